// A picture that cannot be had is a plain tile whose title says why, in place of the browser's broken icon.
"use strict";

(() => {
  const hears = (kind, answer) => document.addEventListener(kind, ({ target }) => target instanceof HTMLImageElement && answer(target), true);

  hears("error", async (image) => {
    const address = image.src;
    image.classList.add("unavailable");
    const reason = await fetch(address).then((found) => (found.ok ? "" : found.text()), () => "the explorer does not answer");
    if (image.src === address && reason) image.title = reason;
  });

  hears("load", (image) => {
    if (!image.classList.contains("unavailable")) return;
    image.classList.remove("unavailable");
    image.removeAttribute("title");
  });
})();
