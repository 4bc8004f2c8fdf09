(() => {
  const DRAWN = "drawn on the map";

  // A selection drawn here is shown already; drawing the points again would only take time. Its outline goes,
  // because a drag that starts inside it would move it instead of drawing another.
  const shown = (selection) => {
    const { triggered } = window.dash_clientside.callback_context;
    if (!selection || selection.label !== DRAWN) return false;
    if (!triggered.every(({ prop_id }) => prop_id === "store--selection.data")) return false;
    const map = document.querySelector("#embedding--graph .js-plotly-plot");
    setTimeout(() => window.Plotly.relayout(map, { selections: [] }), 250);
    return true;
  };

  const ready = (points, groups) => points && groups && backlight.same(points.scope, groups.scope);

  // Rows of each cluster, in the order the clusters are drawn.
  const rowsOf = (ids, clusters) => {
    const rows = new Map(clusters.map(({ id }) => [id, []]));
    ids.forEach((id, row) => rows.get(id < 0 ? -1 : id).push(row));
    return rows;
  };

  const size = (count) => (count < 500 ? 9 : count < 2000 ? 7 : count < 20000 ? 5 : 3);

  const axis = (title, style, key) => ({
    title: { text: title, font: { size: 12 }, standoff: 8 },
    color: style.axis, gridcolor: style.grid, zeroline: false, nticks: 6, tickfont: { size: 11 },
    automargin: true, uirevision: key,
  });

  const layout = (points) => {
    const key = JSON.stringify([points.scope, points.name, points.axes]);
    return {
      xaxis: axis(points.axes[0], points.style, key),
      yaxis: axis(points.axes[1], points.style, key),
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      margin: { l: 48, r: 16, t: 40, b: 40 }, showlegend: false,
      dragmode: "select", hovermode: "closest", hoverdistance: 12,
      font: { family: "system-ui, sans-serif", color: points.style.axis },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: points.style.axis, activecolor: "#b45309", uirevision: "kept" },
      newselection: { line: { color: "#b45309", width: 1, dash: "solid" } },
      // With another selection the outline of the last one goes.
      selections: [], selectionrevision: Math.random(), uirevision: "kept",
    };
  };

  const figure = (points, groups, selection) => {
    if (!ready(points, groups) || shown(selection)) return window.dash_clientside.no_update;
    const [x, y, index, ids] = [points.x, points.y, points.index, groups.ids].map(backlight.array);
    const chosen = selection && backlight.same(selection.scope, points.scope) ? new Set(backlight.array(selection.indices)) : null;
    const rows = rowsOf(ids, groups.clusters);
    const data = groups.clusters.map(({ id, name, colour }) => {
      const mine = rows.get(id);
      const trace = {
        type: "scattergl", mode: "markers", name, hoverinfo: "none",
        x: Float32Array.from(mine, (row) => x[row]),
        y: Float32Array.from(mine, (row) => y[row]),
        customdata: mine.map((row) => index[row]),
        marker: { color: colour, size: size(x.length), opacity: id < 0 ? 0.6 : 0.85 },
        unselected: { marker: { opacity: 0.12 } },
        selected: { marker: { opacity: 1 } },
      };
      if (chosen) trace.selectedpoints = [...mine.keys()].filter((k) => chosen.has(index[mine[k]]));
      return trace;
    });
    return { data, layout: layout(points) };
  };

  const select = (selected, points) => {
    if (selected === undefined || !points) return window.dash_clientside.no_update;
    // Redrawing without the outline of a selection reports one without points; only a person draws or clears.
    if (selected && !selected.range && !selected.lassoPoints) return window.dash_clientside.no_update;
    if (!selected || !selected.points.length) return null;
    const indices = Uint32Array.from(selected.points, (point) => point.customdata).sort();
    return { scope: points.scope, indices: backlight.pack(indices), label: DRAWN };
  };

  const percent = (value) => `${(100 * value).toFixed(0)}%`;

  const preview = async (hover, points, colour) => {
    const { no_update } = window.dash_clientside;
    if (!hover || !hover.points || !hover.points.length || !points) return [false, no_update, no_update, no_update];
    const { customdata: index, bbox } = hover.points[0];
    const sample = await backlight.sample(points.scope[0], index);
    const line = (children, className) => backlight.element("Div", { children, className });
    const guess = sample.predicted && sample.predicted[0];
    const picture = (mode) =>
      backlight.element("Img", { src: backlight.imageUrl(points.scope[0], index, { ...colour, mode }), alt: mode });
    const modes = colour.mode === "input" ? ["input", "attribution"] : ["input", colour.mode];
    const children = [
      line(modes.map(picture), "preview-pictures"),
      line(sample.label || `sample ${index}`, "preview-label"),
      line(guess ? `predicted ${guess[0]}, ${percent(guess[1])}` : "no prediction", sample.correct === false ? "wrong" : ""),
      line(sample.file || "", "preview-file"),
    ];
    const middle = document.getElementById("embedding--graph").clientWidth / 2;
    return [true, bbox, bbox.x0 > middle ? "left" : "right", children];
  };

  // The select and the shared store follow each other.
  const colourBy = (by, colour) => {
    const { no_update, callback_context } = window.dash_clientside;
    const stored = callback_context.triggered.some(({ prop_id }) => prop_id === "store--colour.data");
    if (stored || !callback_context.triggered.length) return [no_update, colour.by || "cluster"];
    return [by === colour.by ? no_update : { ...colour, by }, no_update];
  };

  // What the colours mean; clusters have a list of their own.
  const legend = (groups) =>
    !groups || groups.by === "cluster" ? [] : groups.clusters.slice(0, 12).map(({ name, colour }) =>
      backlight.element("Span", { className: "legend-entry", children: [
        backlight.element("Span", { className: "swatch", style: { backgroundColor: colour } }), name] }));

  return { colourBy, legend, figure, select, preview };
})()
