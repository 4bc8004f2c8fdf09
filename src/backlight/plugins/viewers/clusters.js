// The list of clusters, drawn by the browser; a click selects the samples of one.
backlight.clusters ||= (() => {
  const { made } = backlight;
  const dash = window.dash_clientside;  // which gets its `no_update` later
  const EMPTY = "This class has no clusterings.";
  let listed = { place: [], rows: [] };

  const entry = ({ cluster, name, size, share, percent, colour, marked }) => {
    const swatch = made("span", { className: "swatch" });
    const bar = made("span", { className: "share" });
    swatch.style.backgroundColor = bar.style.backgroundColor = colour;
    bar.style.width = `${(100 * share).toFixed(1)}%`;
    const count = size.toLocaleString("en");
    const button = made("button", { type: "button", className: "cluster", title: `Select the ${count} samples of ${name}` },
      swatch, made("span", { className: "cluster-name", title: name }, name[0].toUpperCase() + name.slice(1)),
      marked && made("span", { className: "badge-quiet" }, "suspicious"),
      made("span", { className: "number" }, count), made("span", { className: "number quiet" }, percent), bar);
    button.dataset.cluster = cluster;
    return button;
  };

  const list = () => document.getElementById("clusters--list");

  const mark = (selection) => listed.rows.forEach(({ name }, k) =>
    list().children[k].classList.toggle("chosen", Boolean(selection) && selection.label === name));
  document.addEventListener("backlight:selection", ({ detail }) => mark(detail.selection));

  document.addEventListener("click", async ({ target }) => {
    const button = target.closest("#clusters--list button");
    if (!button) return;
    const { place, rows } = listed;
    const { cluster, name } = rows.find((row) => String(row.cluster) === button.dataset.cluster);
    const indices = await backlight.ask("clusters", "members", ...place, cluster);
    backlight.select({ scope: place.slice(0, 3), indices, label: name });
  });

  const show = async (project, analysis, category, clustering, selection) => {
    const place = [project, analysis, category, clustering];
    const { triggered } = window.dash_clientside.callback_context;
    if (triggered.length && triggered.every(({ prop_id }) => prop_id === "store--selection.data")) { mark(selection); return dash.no_update; }
    const found = category && clustering !== null ? await backlight.ask("clusters", "list", ...place) : { count: "", rows: [] };
    if (!found) return dash.no_update;  // the toolbar is about to replace the clustering by one this class has
    listed = { place, rows: found.rows };
    list().replaceChildren(...(category && clustering !== null ? found.rows.map(entry) : [made("p", { className: "empty" }, EMPTY)]));
    mark(selection);
    return found.count;
  };

  return { show };
})();
