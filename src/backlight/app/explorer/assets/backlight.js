// What panels and the toolbar share in the browser: contained callbacks, typed arrays, addresses.
"use strict";

const backlight = (window.backlight = window.backlight || {});

// Run a panel's clientside callback; a failure shows in the panel's card instead of ending everything.
backlight.guard = (slot, callback, args) => {
  const { no_update, set_props } = window.dash_clientside;
  const fail = (error) => {
    backlight.failed.add(slot);
    set_props(slot, { children: backlight.element("Div", { className: "panel-problem", children: String(error) }) });
    return no_update;
  };
  const succeed = (result) => {
    if (backlight.failed.delete(slot)) set_props(slot, { children: null });
    return result;
  };
  try {
    const result = callback(...args);
    return result instanceof Promise ? result.then(succeed, fail) : succeed(result);
  } catch (error) {
    return fail(error);
  }
};
backlight.failed = new Set();

// An element of the page, made by a script.
backlight.made = (name, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children.filter(Boolean));
  return element;
};

// An HTML component, as Dash's renderer takes it; text in it stays text.
backlight.element = (type, props) => ({ namespace: "dash_html_components", type, props });

const ARRAYS = {
  f4: Float32Array, f8: Float64Array, i1: Int8Array, u1: Uint8Array, i2: Int16Array, u2: Uint16Array, i4: Int32Array, u4: Uint32Array,
};

const bytes = (text) => {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const plain = atob(text), found = new Uint8Array(plain.length);
  for (let k = 0; k < plain.length; k += 1) found[k] = plain.charCodeAt(k);
  return found;
};

const base64 = (found) => {
  if (found.toBase64) return found.toBase64();
  const parts = [];
  for (let k = 0; k < found.length; k += 0x2000) parts.push(String.fromCharCode(...found.subarray(k, k + 0x2000)));
  return btoa(parts.join(""));
};

// Whole numbers told as one bit for each from `first` on, see core.panel.typed_indices.
const unpacked = ({ first, bdata }) => {
  const held = bytes(bdata), found = new Uint32Array(8 * held.length);
  let count = 0;
  held.forEach((byte, k) => { for (let bit = 0; byte >> bit; bit += 1) if ((byte >> bit) & 1) { found[count] = first + 8 * k + bit; count += 1; } });
  return found.slice(0, count);
};

// The numbers behind core.panel.typed_array and typed_indices, decoded once for each that came; not to be written to.
const decoded = new WeakMap();
backlight.array = (sent) => {
  if (!decoded.has(sent)) decoded.set(sent, sent.dtype === "bits" ? unpacked(sent) : new ARRAYS[sent.dtype](bytes(sent.bdata).buffer));
  return decoded.get(sent);
};

// The compact form of whole numbers >= 0, such as dataset indices: bits where they ascend and that is shorter.
const MOST_BITS = 2 ** 24;
const packed = (numbers) => {
  const first = numbers[0], reach = numbers[numbers.length - 1] - first + 1;
  const shorter = reach > 0 && reach <= Math.min(32 * numbers.length, MOST_BITS);
  if (!shorter || numbers.some((n, k) => k && n <= numbers[k - 1]))
    return { dtype: "u4", bdata: base64(new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength)) };
  const held = new Uint8Array(Math.ceil(reach / 8));
  numbers.forEach((n) => { held[(n - first) >> 3] |= 1 << ((n - first) & 7); });
  return { dtype: "bits", first, bdata: base64(held) };
};
backlight.pack = (numbers) => {
  const narrow = numbers instanceof Uint32Array ? numbers : Uint32Array.from(numbers);
  const sent = packed(narrow);
  decoded.set(sent, narrow);
  return sent;
};

// One byte for each of `among`, 1 where it is one of `numbers`; both hold whole numbers >= 0.
backlight.members = (numbers, among) => {
  const largest = (values) => values.reduce((high, value) => (value > high ? value : high), 0);
  const held = new Uint8Array(largest(numbers) + 1);
  numbers.forEach((value) => { held[value] = 1; });
  return Uint8Array.from(among, (value) => held[value] || 0);
};

backlight.imageUrl = (project, index, colour) => {
  const { mode, cmap, scaling } = colour;
  const query = mode === "input" ? { mode } : scaling && scaling !== "image" ? { mode, cmap, scaling } : { mode, cmap };
  return `/image/${encodeURIComponent(project)}/${index}.png?${new URLSearchParams(query)}`;
};

// What is known about a sample beside its picture; the same promise for the same sample.
const facts = new Map();
backlight.sample = (project, index) => {
  const url = `/sample/${encodeURIComponent(project)}/${index}.json`;
  if (!facts.has(url)) facts.set(url, fetch(url).then((answer) => (answer.ok ? answer.json() : {})));
  return facts.get(url);
};

// What a panel's Python says to its script, see core.panel.Callbacks.data.
const LONGEST_ADDRESS = 2000;
backlight.ask = async (panel, name, ...args) => {
  const [address, text] = [`/panel/${encodeURIComponent(panel)}/${name}.json`, JSON.stringify(args)];
  const answer = await (text.length > LONGEST_ADDRESS
    ? fetch(address, { method: "POST", body: text }) : fetch(`${address}?${new URLSearchParams({ args: text })}`));
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
};

// Tell scripts what the stores are about to hold: "place" (toolbar.js) or "selection" (selection.js). Dash is busy for
// long with any change, so it waits a moment until those who listen have shown theirs: they hand a promise to `until`.
const PATIENCE = 200;
const after = (time) => new Promise((resolve) => { setTimeout(resolve, time); });
const painted = () => Promise.race([after(100), new Promise((resolve) => { requestAnimationFrame(() => setTimeout(resolve)); })]);
backlight.ahead = (kind, detail) => {
  const waiting = [];
  const until = (promise) => waiting.push(promise);
  document.dispatchEvent(new CustomEvent(`backlight:${kind}`, { detail: { ...detail, until } }));
  return Promise.race([after(PATIENCE), Promise.all(waiting).then(painted)]);
};

backlight.same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

// Dash's own light and dark follow Bootstrap's attribute, and that follows the system.
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const theme = () => document.documentElement.setAttribute("data-bs-theme", dark.matches ? "dark" : "light");
dark.addEventListener("change", theme);
theme();

// Enlarged pictures: small ones keep their pixels unless smooth ones are asked for (backlight.css).
document.addEventListener("load", ({ target }) => {
  if (target.tagName === "IMG") target.classList.toggle("small", target.naturalWidth <= 64);
}, true);
