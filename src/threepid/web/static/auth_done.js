// Tells the app that opened this page that the step is done.
// https://spec.matrix.org/latest/client-server-api/#fallback
"use strict";

(() => {
  const EVERY_MS = 100;
  const TIMES = 300;

  function told() {
    if (typeof window.onAuthDone === "function") {
      window.onAuthDone();
      return true;
    }
    if (window.opener && window.opener.postMessage) {
      window.opener.postMessage("authDone", "*");
      return true;
    }
    return false;
  }

  // An app that embeds the page may put its function in only when the page has loaded.
  function tell(left) {
    if (!told() && left > 0) {
      setTimeout(tell, EVERY_MS, left - 1);
    }
  }

  tell(TIMES);
})();
