// What takes longer than half a second says so: a line along the top while the server is at work.
"use strict";

(() => {
  const PATIENCE = 500;
  const ASKED = ["/_dash-update-component", "/members.json"];
  let pending = 0;
  let timer = null;

  const show = (busy) => {
    const line = document.getElementById("app--busy");
    if (!line) return;
    line.classList.toggle("busy", busy);
    line.textContent = busy ? "Working …" : "";
  };

  const change = (by) => {
    pending += by;
    if (pending && timer === null) timer = setTimeout(() => show(true), PATIENCE);
    if (!pending) {
      clearTimeout(timer);
      timer = null;
      show(false);
    }
  };

  const plain = window.fetch;
  window.fetch = (address, ...rest) => {
    const answer = plain(address, ...rest);
    const path = new URL(typeof address === "string" ? address : address.url, location.href).pathname;
    if (ASKED.includes(path)) {
      change(1);
      answer.then(() => change(-1), () => change(-1));
    }
    return answer;
  };

  // The field behind an upload button has no name of its own.
  const name = () => document.querySelectorAll("input[type=file]:not([aria-label])").forEach((field) => {
    const button = field.parentElement.querySelector("button") || field.parentElement;
    field.setAttribute("aria-label", button.textContent.trim() || "Upload");
    field.tabIndex = -1;
  });
  new MutationObserver(name).observe(document.documentElement, { childList: true, subtree: true });
})();
