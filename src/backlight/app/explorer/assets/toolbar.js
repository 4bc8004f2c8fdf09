// The toolbar: keeps project, analysis, class, clustering and map a choice that exists, whoever changed it.
"use strict";

(() => {
  const { catalogue, defaults, allowed } = JSON.parse(document.getElementById("app--opened").textContent);
  backlight.choices = { defaults, allowed };
  const CONTROLS = ["project", "analysis", "category", "clustering", "embedding", "x", "y"];
  const CHOSEN = ["project", "analysis", "category", "clustering", "embedding"];

  const named = (list, name) => list.find((entry) => entry.name === name);
  const option = (value, label) => ({ value: String(value), label: String(label) });
  const names = (list) => list.map((entry) => option(entry.name, entry.name));

  const asked = (state) => ({ ...state, embedding: (state.embedding || {}).name, axes: state.embedding || {} });

  // What was asked for: the stores, overruled by the controls the user has just changed.
  const wanted = (stores, changed) => {
    const want = asked(Object.fromEntries(CHOSEN.map((name, k) => [name, stores[k]])));
    Object.entries(changed).forEach(([name, value]) => {
      if (name === "x" || name === "y") want.axes = { ...want.axes, [name]: Number(value) };
      else want[name] = value;
    });
    return want;
  };

  const changedOf = (values) => {
    const changed = window.dash_clientside.callback_context.triggered.map(({ prop_id }) => prop_id);
    const kept = CONTROLS.map((name, k) => [name, values[k]]).filter(([name, value]) => value != null && changed.includes(`app--${name}.value`));
    return Object.fromEntries(kept);
  };

  // A state that comes whole, from an imported file or, once, from the link.
  let linked = true;
  const restored = (imported) => {
    const changed = window.dash_clientside.callback_context.triggered.map(({ prop_id }) => prop_id);
    if (imported && changed.includes("app--restore.data")) return imported;
    if (!linked) return null;
    linked = false;
    return backlight.state.read(location.hash.slice(1));
  };

  // The nearest choice that exists.
  const resolve = (want) => {
    const project = named(catalogue, want.project) || catalogue[0];
    const analysis = named(project.analyses, want.analysis) || project.analyses[0];
    const id = (wantedId) => analysis.categories.find((entry) => entry.id === wantedId);
    const category = id(want.category) || id(analysis.start);
    if (!category) return { project, analysis };
    const clustering = category.clusterings.includes(want.clustering) ? want.clustering : category.clusterings[0];
    const embedding = named(category.embeddings, want.embedding) || category.embeddings[0];
    return { project, analysis, category, clustering, embedding, axes: embedding && axesOf(embedding, want) };
  };

  const axesOf = (embedding, { axes = {} }) => {
    const keep = axes.name === embedding.name;
    const axis = (value, start) => (keep && value >= 0 && value < embedding.dimensions ? value : start);
    return [axis(axes.x, embedding.axes[0]), axis(axes.y, embedding.axes[1])];
  };

  const optionsOf = (found) => {
    const { embedding } = found;
    const components = embedding && embedding.dimensions > 2 ? [...Array(embedding.dimensions).keys()] : [];
    return [
      names(catalogue),
      names(found.project.analyses),
      found.analysis.categories.map((entry) => option(entry.id, entry.name)),
      found.category ? found.category.clusterings.map((name) => option(name, name)) : [],
      found.category ? names(found.category.embeddings) : [],
      components.map((k) => option(k, k + 1)),
      components.map((k) => option(k, k + 1)),
    ];
  };

  const facts = ({ project, analysis, category }) =>
    [
      project.name,
      project.model,
      category && `${category.size.toLocaleString("en")} samples`,
    ].filter(Boolean).join("  ·  ");

  // The tabs of the lower panels: one is in front, the others hidden.
  let opened = null;
  backlight.front = (clicks, shown, ids) => {
    const { no_update, callback_context } = window.dash_clientside;
    const names = ids.map(({ index }) => index);
    if (!names.length) return [no_update, []];
    if (opened === null) opened = new URLSearchParams(location.hash.slice(1)).get("panel") || shown;
    else if (callback_context.triggered_id && callback_context.triggered_id.index) opened = callback_context.triggered_id.index;
    else opened = shown;
    const front = names.includes(opened) ? opened : names[0];
    names.forEach((name) => { document.getElementById(`app--${name}-panel`).hidden = name !== front; });
    return [front === shown ? no_update : front, names.map((name) => String(name === front))];
  };

  // What the stores of CHOSEN hold for a choice.
  const stored = ({ project, analysis, category, clustering = null, embedding, axes }) => [
    project.name,
    analysis.name,
    category ? category.id : null,
    clustering,
    embedding ? { name: embedding.name, x: axes[0], y: axes[1] } : null,
  ];

  // What a control or a link chose is shown before Dash passes it on.
  let settled = null;
  let shown = null;
  const ahead = (want, colour) => { shown = backlight.ahead("place", { chosen: stored(resolve(want)), colour }); };

  backlight.begin = () => {
    const linkedTo = backlight.state.read(location.hash.slice(1));
    ahead(linkedTo ? asked(linkedTo) : {}, linkedTo ? linkedTo.colour : defaults);
  };

  document.addEventListener("change", ({ target }) => {
    const name = (target.id || "").replace(/^app--/, "");
    if (settled && name !== target.id && CONTROLS.includes(name)) ahead(wanted(settled, { [name]: target.value }));
  }, true);

  // Options of a control, where they are others than before.
  const listed = [];
  const anew = (options, k) => {
    if (backlight.same(options, listed[k])) return window.dash_clientside.no_update;
    listed[k] = options;
    return options;
  };

  backlight.choose = async (...args) => {
    const { no_update } = window.dash_clientside;
    const values = args.slice(0, CONTROLS.length);
    const stores = args.slice(CONTROLS.length, CONTROLS.length + CHOSEN.length);
    const [imported, selection] = args.slice(-2);
    const whole = restored(imported);
    const found = resolve(whole ? asked(whole) : wanted(stores, changedOf(values)));
    const { embedding, axes } = found;
    const chosen = stored(found);
    settled = chosen;
    const written = [...chosen.slice(0, 4), embedding && embedding.name, axes && axes[0], axes && axes[1]].map(
      (value) => (value == null ? null : String(value)));
    const options = optionsOf(found);
    const place = chosen.slice(0, 3);
    const brought = whole && whole.selection && backlight.same(whole.selection.scope, place) ? whole.selection : null;
    const stale = selection && !backlight.same(selection.scope, place);
    const few = (list, k) => (k < 2 ? list.length < 2 : list.length === 0);
    await shown;
    return [
      ...options.map(anew),
      ...written.map((value, k) => (value === values[k] ? no_update : value)),
      ...options.map(few),
      facts(found),
      ...chosen.map((value, k) => (backlight.same(value, stores[k]) ? no_update : value)),
      whole ? brought : stale ? null : no_update,
      whole ? whole.colour : no_update,
    ];
  };
})();
