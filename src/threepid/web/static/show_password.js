// Puts a button after every password field that shows what was typed. Pages with several fields load this several times.
"use strict";

for (const field of document.querySelectorAll("input[data-show]")) {
  if (field.nextElementSibling?.matches("button.show")) {
    continue;
  }
  const button = document.createElement("button");

  const show = (shown) => {
    field.type = shown ? "text" : "password";
    button.textContent = shown ? field.dataset.hide : field.dataset.show;
  };

  button.type = "button";
  button.className = "show";
  button.setAttribute("aria-controls", field.id);
  button.addEventListener("click", () => show(field.type === "password"));
  // Browsers keep what is typed into a plain field, to offer it again.
  field.form?.addEventListener("submit", () => show(false));
  show(false);
  field.after(button);
}
