// Selections combine, come back and go again; whichever panel makes one, it passes through here.
"use strict";

(() => {
  window.backlight = window.backlight || {};
  const DEEPEST = 50;
  let [past, future, last] = [[], [], null];

  const key = (selection) => selection && JSON.stringify([selection.scope, selection.label, selection.indices]);
  const numbers = (selection) => (selection ? backlight.array(selection.indices) : new Uint32Array());

  const settle = (selection) => {
    past = [...past, last].slice(-DEEPEST);
    [last, future] = [selection, []];
    return selection;
  };

  const SIGNS = { add: "+", subtract: "−", intersect: "∩" };
  // Typed arrays and one byte for each number, because a class can have a million samples.
  const among = (a, b, kept) => { const held = backlight.members(b, a); return a.filter((_, k) => Boolean(held[k]) === kept); };
  const joined = (a, b) => { const all = new Uint32Array(a.length + b.length); all.set(a); all.set(b, a.length); return all; };
  const OPERATIONS = {
    add: (a, b) => joined(Uint32Array.from(a), Uint32Array.from(among(b, a, false))),
    subtract: (a, b) => among(a, b, false),
    intersect: (a, b) => among(a, b, true),
  };

  const made = (scope, indices, label) =>
    indices.length ? { scope, indices: backlight.pack(Uint32Array.from(indices).sort()), label } : null;

  const combined = (first, second, mode) => {
    const label = `${first.label} ${SIGNS[mode]} ${second.label}`;
    return made(first.scope, OPERATIONS[mode](numbers(first), numbers(second)), label.length > 60 ? "combined" : label);
  };

  // Every sample of the class, fetched when it is asked for.
  const everything = async (scope) => {
    const answer = await fetch(`/members.json?${new URLSearchParams({ project: scope[0], analysis: scope[1], category: scope[2] })}`);
    return answer.ok ? backlight.array(await answer.json()) : new Uint32Array();
  };

  const BUTTONS = {
    "app--select-all": async (scope) => settle(made(scope, await everything(scope), "whole class")),
    "app--select-invert": async (scope) => {
      return settle(made(scope, OPERATIONS.subtract(await everything(scope), numbers(last)), last ? `not ${last.label}` : "whole class"));
    },
    "app--select-none": () => settle(null),
    "app--undo": () => {
      if (!past.length) return window.dash_clientside.no_update;
      future = [...future, last];
      last = past[past.length - 1];
      past = past.slice(0, -1);
      return last;
    },
    "app--redo": () => {
      if (!future.length) return window.dash_clientside.no_update;
      past = [...past, last];
      last = future[future.length - 1];
      future = future.slice(0, -1);
      return last;
    },
  };

  // What a selection becomes together with the last one.
  const together = (selection, mode) => {
    if (last && selection && !backlight.same(selection.scope, last.scope)) [past, future, last] = [[], [], null];
    // A drag that caught nothing: alone it clears, with another it changes what their combination says.
    const nothing = selection && !numbers(selection).length;
    if (!selection || !last || !OPERATIONS[mode]) return settle(nothing ? null : selection);
    return nothing && mode !== "intersect" ? last : settle(combined(last, selection, mode));
  };

  backlight.combine = (selection, ...rest) => {
    const { no_update, callback_context } = window.dash_clientside;
    const [mode, ...scope] = rest.slice(-4);
    const button = BUTTONS[callback_context.triggered_id];
    if (last && !backlight.same(last.scope, scope)) [past, future, last] = [[], [], null];
    if (button) return scope[2] ? button(scope) : no_update;
    if (key(selection) === key(last)) return no_update;
    const next = together(selection, mode);
    return next === selection ? no_update : next;
  };

  // Select from a script: it is shown before Dash passes it on.
  backlight.select = async (selection) => {
    const mode = document.querySelector("#app--combine input:checked");
    const next = together(selection, mode && mode.value);
    await backlight.ahead("selection", { selection: next });
    window.dash_clientside.set_props("store--selection", { data: next });
  };
})();
