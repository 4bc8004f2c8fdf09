// A key presses the button that names it in `data-key`; the help lists all of them.
"use strict";

(() => {
  window.backlight = window.backlight || {};
  const typing = (element) => element.isContentEditable || ["INPUT", "SELECT", "TEXTAREA"].includes(element.tagName);

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || (typing(event.target) && event.target.type !== "radio")) return;
    const place = document.querySelector(".modal.show") || document;
    const button = place.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
    if (!button || button.disabled) return;
    event.preventDefault();
    button.click();
  });

  backlight.help = (clicks) => {
    const { no_update } = window.dash_clientside;
    if (!clicks) return [no_update, no_update];
    const found = new Map();
    document.querySelectorAll("[data-key]").forEach((button) => {
      const key = button.getAttribute("data-key");
      if (!found.has(key)) found.set(key, button.title || button.textContent);
    });
    const rows = [...found].map(([key, title]) =>
      backlight.element("Div", { children: [backlight.element("Kbd", { children: key }), backlight.element("Span", { children: title })] }));
    return [true, rows];
  };
})();
