// What a person looks at, as text: the part of the address behind '#', which never leaves the browser.
"use strict";

(() => {
  window.backlight = window.backlight || {};
  const LONGEST = 30000;

  // Ascending whole numbers as "3-7,12"; null when that gets longer than a link may be.
  const ranges = (numbers) => {
    const parts = [];
    let length = 0;
    for (let k = 0; k < numbers.length && length < LONGEST; ) {
      let end = k;
      while (end + 1 < numbers.length && numbers[end + 1] === numbers[end] + 1) end += 1;
      parts.push(end > k ? `${numbers[k]}-${numbers[end]}` : `${numbers[k]}`);
      length += parts[parts.length - 1].length + 1;
      k = end + 1;
    }
    return length < LONGEST ? parts.join(",") : null;
  };

  const numbers = (text) =>
    text.split(",").flatMap((part) => {
      const found = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(part);
      if (!found) return [];
      const first = Number(found[1]), last = Number(found[2] || first);
      return last < first || last - first > 5e6 ? [] : Array.from({ length: last - first + 1 }, (_, k) => first + k);
    });

  const placeOf = (parts) => ({
    scope: ["project", "analysis", "class"].map((key) => parts.get(key)),
    embedding: { name: parts.get("map"), x: Number(parts.get("x") || 0), y: Number(parts.get("y") || 1) },
  });

  // Where the map is zoomed to, and whether it has contours; null where neither is said.
  const viewOf = (parts) => {
    const range = (parts.get("zoom") || "").split(",").map(Number);
    const fits = range.length === 4 && range.every(Number.isFinite) && range[0] < range[1] && range[2] < range[3];
    const contours = parts.get("contours") === "on";
    return fits || contours ? { ...placeOf(parts), range: fits ? range : null, contours } : null;
  };

  const same = (name) => (value) => value[name];
  const FIELDS = { project: same("project"), analysis: same("analysis"), class: same("category"), clustering: same("clustering") };

  const write = (state) => {
    const parts = new URLSearchParams();
    Object.entries(FIELDS).forEach(([key, get]) => get(state) != null && parts.set(key, get(state)));
    const { embedding, colour, selection, shown, view } = state;
    if (shown && shown !== "samples") parts.set("panel", shown);
    if (embedding) Object.entries({ map: embedding.name, x: embedding.x, y: embedding.y }).forEach(([k, v]) => parts.set(k, v));
    const here = view && backlight.same([view.scope, view.embedding], [[state.project, state.analysis, state.category], embedding]);
    if (here && view.range) parts.set("zoom", view.range.map((value) => Number(value.toPrecision(6))).join(","));
    if (view && view.contours) parts.set("contours", "on");
    Object.entries(colour || {}).forEach(([key, value]) => value !== backlight.choices.defaults[key] && parts.set(key, value));
    const chosen = selection && ranges(backlight.array(selection.indices).slice().sort());
    if (chosen) [["selection", chosen], ["label", selection.label]].forEach(([k, v]) => parts.set(k, v));
    return { text: parts.toString(), whole: !selection || chosen !== null };
  };

  // Text that does not fit is left out: the toolbar takes what exists.
  const read = (text) => {
    const parts = new URLSearchParams(text);
    if (![...parts].length) return null;
    const { defaults, allowed } = backlight.choices;
    const colour = { ...defaults };
    Object.keys(defaults).forEach((key) => {
      const value = parts.get(key);
      if (value && (!allowed[key] || allowed[key].includes(value))) colour[key] = value;
    });
    const { scope, embedding } = placeOf(parts);
    const chosen = parts.get("selection") ? numbers(parts.get("selection")) : [];
    return {
      shown: parts.get("panel"),
      project: scope[0], analysis: scope[1], category: scope[2], clustering: parts.get("clustering"), colour,
      embedding,
      selection: chosen.length ? { scope, indices: backlight.pack(chosen), label: parts.get("label") || "linked" } : null,
    };
  };

  backlight.state = { read, write };

  // The view that the link brought; read at once, since the address follows what is looked at.
  backlight.linked = viewOf(new URLSearchParams(location.hash.slice(1)));

  // Called on every change of what is looked at.
  backlight.remember = (...values) => {
    const names = ["project", "analysis", "category", "clustering", "embedding", "colour", "selection", "shown", "view"];
    const state = Object.fromEntries(names.map((name, k) => [name, values[k]]));
    if (!state.project) return;
    const { text, whole } = write(state);
    backlight.linkIsWhole = whole;
    history.replaceState(null, "", `#${text}`);
  };

  // Another link pasted into the same tab.
  window.addEventListener("hashchange", () => location.reload());

  backlight.share = (clicks) => {
    if (!clicks) return window.dash_clientside.no_update;
    const note = backlight.linkIsWhole === false ? " – without the selection, which is too large; use Export" : "";
    const copied = navigator.clipboard ? navigator.clipboard.writeText(location.href) : Promise.reject();
    return copied.then(() => `Link copied${note}`, () => `The address bar holds the link${note}`);
  };
})();
