// What maps share in the browser: they ask for points and colours, draw them, and hear what a person does.
backlight.embedding ||= (() => {
  const dash = window.dash_clientside;  // which gets its `no_update` later

  // What one array sent from the server becomes, made once and kept with it.
  const made = new WeakMap();
  const once = (sent, make) => {
    if (!made.has(sent)) made.set(sent, make(sent));
    return made.get(sent);
  };

  const keyOf = ({ scope, embedding }) => JSON.stringify([scope, embedding]);
  const decoded = (points) => once(points, ({ x, y, index, scope, embedding, axes }) => ({
    x: backlight.array(x), y: backlight.array(y), index: backlight.array(index), titles: axes, key: keyOf({ scope, embedding }),
  }));

  // For every row the position of its group in the list; ids below zero are all the same one.
  const grouped = (groups) => once(groups, ({ ids, clusters }) => {
    const known = clusters.map(({ id }) => Math.max(-1, id));
    const position = new Uint16Array(Math.max(...known) + 2);
    known.forEach((id, k) => { position[id + 1] = k; });
    return {
      group: Uint16Array.from(backlight.array(ids), (id) => position[Math.max(-1, id) + 1]),
      names: clusters.map(({ name }) => name), colours: clusters.map(({ colour }) => colour), quiet: known.map((id) => id < 0),
    };
  });

  // One byte for each row, whether it is selected; null without a selection here.
  const chosen = (selection, points) => {
    if (!selection || !backlight.same(selection.scope, points.scope)) return null;
    return backlight.members(backlight.array(selection.indices), decoded(points).index);
  };

  // Where the store `placed` puts a picture among these points, or null where it is about others.
  const crossed = (placed, points) => {
    if (!placed || !backlight.same(placed.scope, points.scope)) return null;
    const { x, y, index } = decoded(points);
    const [rows, weights] = [Array.from(backlight.array(placed.indices), (k) => index.indexOf(k)), backlight.array(placed.weights)];
    const mean = (values) => rows.reduce((sum, row, k) => sum + weights[k] * values[row], 0);
    return { x: mean(x), y: mean(y), label: placed.label };
  };

  const selectionOf = (points, rows, label) => {
    const { index } = decoded(points);
    return { scope: points.scope, indices: backlight.pack(Uint32Array.from(rows, (row) => index[row]).sort()), label };
  };

  // A map can be drawn before Dash is ready, which its first callback says; what a person does waits until then.
  let begin;
  const ready = new Promise((resolve) => { begin = resolve; });
  const tell = (id, data) => ready.then(() => dash.set_props(id, { data }));

  // What a person does on the map: it selects; on another panel's it goes into that panel's store `drawn`.
  const hearing = (panel, element, word) => {
    let count = 0;
    const drawn = (selection) => {
      count += 1;
      if (panel === "embedding") ready.then(() => backlight.select(selection));
      else tell(`${panel}--drawn`, { selection, count });
    };
    const points = () => element.backlightPoints;
    return {
      selected: (rows, clicked) =>
        drawn(selectionOf(points(), rows, clicked ? `sample ${decoded(points()).index[rows[0]]}` : word)),
      cleared: () => drawn(null),
      hovered: (row, box) => tell(`${panel}--hovered`, row < 0 ? null : { index: decoded(points()).index[row], box }),
      looked: (range, contours) => {
        if (panel !== "embedding") return;
        told = range || contours ? { scope: points().scope, embedding: points().embedding, range, contours } : null;
        ready.then(() => dash.set_props("store--view", { data: told }));  // the last one, if several waited
      },
    };
  };

  // A view that others bring: the link, once, or a file. What the map itself has told is older than what it shows.
  let told = null;
  const bring = (map, view) =>
    map.adopt({ key: view ? keyOf(view) : map.key, range: view && view.range, contours: Boolean(view && view.contours) });
  const adopt = (view) => {
    const map = document.getElementById("embedding--map").backlightMap;
    if (map && !backlight.same(view || null, told)) bring(map, view);
  };

  const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;

  // Draw, and say in words what is drawn.
  const draw = (panel, word, points, groups, selection, placed) => {
    const element = document.getElementById(`${panel}--map`);
    const main = panel === "embedding", fresh = !element.backlightMap;
    const map = backlight.map(element, hearing(panel, element, word), main);
    if (main && fresh && backlight.linked) bring(map, backlight.linked);
    if (points === null) {
      element.backlightDrawn = null;
      map.clear("There is no map of this class.");
      return "Map, empty";
    }
    if (!points || !groups || !backlight.same(points.scope, groups.scope)) return dash.no_update;
    const shown = [points, groups, selection || null, placed || null];
    if (element.backlightDrawn?.shown.every((value, k) => value === shown[k])) return element.backlightDrawn.label;
    const mask = chosen(selection, points);
    element.backlightPoints = points;
    const cross = crossed(placed, points);
    map.show(decoded(points), grouped(groups), mask, cross);
    const count = mask ? mask.reduce((sum, value) => sum + value, 0) : 0;
    const { index, titles } = decoded(points);
    const label = `Map of ${plural(index.length, "sample")}, ${titles[0]} across, ${titles[1]} up; ${count ? plural(count, "sample") : "none"} selected${cross ? `; a cross for ${cross.label}` : ""}`;
    element.backlightDrawn = { shown, label };
    return label;
  };

  // Ask for what has changed since the last time, and draw it; an answer that another question overtook is dropped.
  const held = {};
  const asked = (name, ...args) => {
    const key = JSON.stringify(args);
    if (!held[name] || held[name].key !== key) {
      const answer = backlight.ask("embedding", name, ...args);
      answer.catch(() => { held[name] = null; });
      held[name] = { key, answer };
    }
    return held[name].answer;
  };

  let turn = 0;
  const fetched = async ([project, analysis, category, clustering, embedding], by) => {
    turn += 1;
    const mine = turn;
    const scope = [project, analysis, category];
    const [points, groups] = await Promise.all([
      embedding ? asked("points", scope, embedding) : null, asked("groups", scope, clustering, by || "cluster"),
    ]);
    return mine !== turn || !groups || (embedding && !points) ? null : { points, groups };
  };

  const drawn = ({ points, groups }, selection, placed) =>
    draw("embedding", "drawn on the map", points, groups, selection, placed);

  // What the stores said last, and what was found there.
  const seen = { place: null, by: "cluster", selection: null, placed: null, key: null, found: null };

  const look = async (project, analysis, category, embedding, clustering, by, selection, placed) => {
    begin();
    const place = [project, analysis, category, clustering, embedding];
    const key = JSON.stringify([place, by]);
    // A clustering that is written again has other names or colours.
    const { triggered } = window.dash_clientside.callback_context;
    if (key === seen.key && triggered.some(({ prop_id }) => prop_id === "store--clustering.data")) held.groups = null;
    Object.assign(seen, { place, by, selection, placed, key });
    if (!category) return [dash.no_update, dash.no_update];
    const found = await fetched(place, by);
    seen.found = found || seen.found;
    return found ? [drawn(found, selection, placed), legend(found.groups)] : [dash.no_update, dash.no_update];
  };

  const standing = (id) => new Promise((resolve) => {
    const look = () => document.getElementById(id) && (resolve(), watch.disconnect());
    const watch = new MutationObserver(look);
    watch.observe(document, { childList: true, subtree: true });
    look();
  });

  // Draw what Dash is about to ask for by `look`: its rounds take longer than the answer. Failures are left to `look`.
  const glance = async (place, by) => {
    if (!place || !place[2]) return;
    const found = await fetched(place, by).catch(() => null);
    const mine = turn;
    await standing("embedding--map");
    if (!found || mine !== turn) return;
    seen.found = found;
    drawn(found, seen.selection, seen.placed);
  };

  document.addEventListener("backlight:place", ({ detail }) => {
    if (detail.colour) seen.by = detail.colour.by;
    detail.until(glance(detail.chosen, seen.by));
  });
  document.addEventListener("backlight:selection", ({ detail }) => {
    seen.selection = detail.selection;
    if (seen.found) drawn(seen.found, detail.selection, seen.placed);
  });
  document.addEventListener("change", ({ target }) => { if (target.id === "embedding--by") glance(seen.place, target.value); }, true);

  const percent = (value) => `${(100 * value).toFixed(0)}%`;

  const preview = async (hovered, project, colour) => {
    if (!hovered) return [false, dash.no_update, dash.no_update, dash.no_update];
    const { index, box } = hovered;
    const sample = await backlight.sample(project, index);
    const line = (children, className) => backlight.element("Div", { children, className });
    const guess = sample.predicted && sample.predicted[0];
    const picture = (mode) =>
      backlight.element("Img", { src: backlight.imageUrl(project, index, { ...colour, mode }), alt: mode });
    const modes = colour.mode === "input" ? ["input", "attribution"] : ["input", colour.mode];
    const children = [
      line(modes.map(picture), "preview-pictures"),
      line(sample.label || `sample ${index}`, "preview-label"),
      line(guess ? `predicted ${guess[0]}, ${percent(guess[1])}` : "no prediction", sample.correct === false ? "wrong" : ""),
      line(sample.file || "", "preview-file"),
    ];
    const middle = document.getElementById("embedding--map").clientWidth / 2;
    return [true, box, box.x0 > middle ? "left" : "right", children];
  };

  // The select and the shared store follow each other.
  const colourBy = (by, colour) => {
    const { callback_context } = window.dash_clientside;
    const stored = callback_context.triggered.some(({ prop_id }) => prop_id === "store--colour.data");
    if (stored || !callback_context.triggered.length) return [dash.no_update, colour.by || "cluster"];
    return [by === colour.by ? dash.no_update : { ...colour, by }, dash.no_update];
  };

  // What the colours mean; clusters have a list of their own.
  const legend = (groups) =>
    !groups || groups.by === "cluster" ? [] : groups.clusters.slice(0, 12).map(({ name, colour }) =>
      backlight.element("Span", { className: "legend-entry", children: [
        backlight.element("Span", { className: "swatch", style: { backgroundColor: colour } }), name] }));

  return { adopt, colourBy, draw, look, preview };
})();
