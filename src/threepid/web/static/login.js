// The login fallback: sends the form to /login and hands the answer to the app that embeds this page.
// https://spec.matrix.org/latest/client-server-api/#login-fallback
"use strict";

// Apps set `matrixLogin.onLogin`, as they have since 2015, or the specification's `onLogin`.
window.matrixLogin = window.matrixLogin || {};

(() => {
  const API = "/_matrix/client/v3";
  const form = document.getElementById("login");
  const button = form.querySelector("button[type=submit]");
  const problem = document.getElementById("problem");
  const done = document.getElementById("done");

  // What people paste along with a name or number and do not see: blanks, and marks of the direction.
  function trimmed(text) {
    return text.replace(/^[\s\p{Cf}]+|[\s\p{Cf}]+$/gu, "");
  }

  // The server reads digits, blanks and dashes of all scripts.
  function identifier(text) {
    if (/^[+\uff0b][\p{Nd}\p{Zs}\p{Pd}()./]+$/u.test(text)) {
      return { type: "m.id.thirdparty", medium: "msisdn", address: text };
    }
    if (text.indexOf("@") > 0) {
      return { type: "m.id.thirdparty", medium: "email", address: text };
    }
    return { type: "m.id.user", user: text };
  }

  // What the specification lets an app give to the login by way of this page's address: nothing that is secret.
  function wishes() {
    const query = new URLSearchParams(window.location.search);
    const found = {};
    for (const name of ["device_id", "initial_device_display_name"]) {
      if (query.get(name)) {
        found[name] = query.get(name);
      }
    }
    if (query.get("refresh_token") === "true") {
      found.refresh_token = true;
    }
    return found;
  }

  async function post(path, body, token) {
    const headers = { "Content-Type": "application/json" };
    if (token) {
      headers.Authorization = `Bearer ${token}`;
    }
    const answer = await fetch(API + path, { method: "POST", headers, body: JSON.stringify(body), credentials: "omit" });
    return { ok: answer.ok, body: await answer.json() };
  }

  function receiver() {
    if (typeof window.matrixLogin.onLogin === "function") {
      return window.matrixLogin.onLogin.bind(window.matrixLogin);
    }
    return typeof window.onLogin === "function" ? window.onLogin.bind(window) : null;
  }

  // What describes each field when nothing is wrong: not every field has a hint.
  const hints = new Map(
    [form.elements.user, form.elements.password].map((field) => [field, field.getAttribute("aria-describedby") || ""]),
  );

  function complain(text) {
    problem.textContent = text;
    problem.hidden = false;
    for (const [field, hint] of hints) {
      field.setAttribute("aria-invalid", "true");
      field.setAttribute("aria-describedby", `problem ${hint}`.trim());
    }
    form.elements.password.value = "";
    form.elements.password.focus();
  }

  function inWords(milliseconds) {
    const seconds = Math.ceil(milliseconds / 1000);
    const [unit, count] = seconds < 60 ? ["second", seconds] : ["minute", Math.ceil(seconds / 60)];
    return new Intl.NumberFormat(document.documentElement.lang, { style: "unit", unit, unitDisplay: "long" }).format(count);
  }

  // The API answers in English.
  function inLanguage(refused) {
    if (refused.errcode === "M_LIMIT_EXCEEDED" && refused.retry_after_ms) {
      return form.dataset.limited.replace("%(wait)s", inWords(refused.retry_after_ms));
    }
    return JSON.parse(form.dataset.sentences)[refused.error] || refused.error || form.dataset.failed;
  }

  async function logIn() {
    const { ok, body } = await post("/login", {
      ...wishes(),
      type: "m.login.password",
      identifier: identifier(trimmed(form.elements.user.value)),
      password: form.elements.password.value,
    });
    if (!ok) {
      complain(inLanguage(body));
      return;
    }
    const onLogin = receiver();
    if (!onLogin) {
      // Nobody takes the token, so nobody could ever log this device out.
      await post("/logout", {}, body.access_token);
      complain(form.dataset.noApp);
      return;
    }
    form.hidden = true;
    done.hidden = false;
    done.focus();
    onLogin(body);
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    problem.hidden = true;
    for (const [field, hint] of hints) {
      field.removeAttribute("aria-invalid");
      if (hint) {
        field.setAttribute("aria-describedby", hint);
      } else {
        field.removeAttribute("aria-describedby");
      }
    }
    button.disabled = true;
    try {
      await logIn();
    } catch {
      complain(form.dataset.noServer);
    } finally {
      button.disabled = false;
    }
  });
  form.hidden = false;
  form.elements.user.focus();
})();
