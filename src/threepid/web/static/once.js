// Sends a form once, however often its button is tapped: a second tap would make the browser forget the answer to the first.
"use strict";

(() => {
  const WAIT_MS = 5000;
  let sent = new WeakMap();

  document.addEventListener("submit", (event) => {
    const before = sent.get(event.target);
    if (before !== undefined && performance.now() - before < WAIT_MS) {
      event.preventDefault();
    } else {
      sent.set(event.target, performance.now());
    }
  });

  // Who comes back to a page may send its forms again.
  window.addEventListener("pageshow", () => {
    sent = new WeakMap();
  });
})();
