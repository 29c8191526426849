// Shows new messages by itself, as long as the page is visible.
"use strict";

(() => {
  const EVERY_MS = 2000;

  async function look() {
    const shown = document.getElementById("messages");
    if (!document.hidden) {
      try {
        const answer = await fetch(location.href, { redirect: "error" });
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const found = page.getElementById("messages");
        if (answer.ok && found && found.innerHTML !== shown.innerHTML) {
          const focused = shown.contains(document.activeElement) && document.activeElement.getAttribute("href");
          shown.replaceChildren(...found.childNodes);
          if (focused) {
            shown.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
          }
        }
      } catch {
        // The server may be back at the next look.
      }
    }
    setTimeout(look, EVERY_MS);
  }

  setTimeout(look, EVERY_MS);
})();
