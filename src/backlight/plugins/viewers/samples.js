// The grid and the table of samples, drawn by the browser: pictures are asked for at once, what is known about them
// follows. Two dozen thumbnails as components of Dash cost a third of a second.
backlight.samples ||= (() => {
  const { made } = backlight;
  const dash = window.dash_clientside;  // which gets its `no_update` later
  const PER_PAGE = 24;
  const EMPTY = "Select samples to see them here: drag on the map, or click a cluster or a class.";
  const HEADINGS = {
    index: "Index", label: "Label", prediction: "Predicted", confidence: "Confidence", cluster: "Cluster", tags: "Tags", file: "File",
  };

  const percent = (value, digits) => (value == null ? "" : `${(100 * value).toFixed(digits)}%`);

  // ---- Pictures

  const thumbnail = (index) => {
    const found = made("button", { type: "button", className: "thumbnail" }, made("img", { alt: `sample ${index}` }),
      made("div", { className: "caption" }, made("span"), made("span", { className: "quiet" })));
    found.dataset.index = index;
    return found;
  };

  const paint = (button, project, colour) => {
    const [picture, source] = [button.firstChild, backlight.imageUrl(project, button.dataset.index, colour)];
    if (picture.getAttribute("src") !== source) picture.src = source;
  };

  const describe = (button, sample) => {
    const [guess, confidence] = button.lastChild.children;
    [guess.textContent, confidence.textContent] = [sample.guess ?? "no prediction", percent(sample.confidence, 0)];
    guess.classList.toggle("wrong", sample.correct === false);
    button.title = `${sample.label ?? "no label"}, predicted ${guess.textContent} · ${sample.file}`;
  };

  // ---- Table

  const heading = ([key, text], order) => {
    const way = { [key]: "ascending", [`${key}-down`]: "descending" }[order] || "none";
    const button = made("button", { type: "button", className: "heading", title: `Sort by ${text.toLowerCase()}` }, text);
    button.dataset.sort = key;
    const cell = made("th", { scope: "col" }, button);
    cell.setAttribute("aria-sort", way);
    return cell;
  };

  const row = (button, sample) => {
    const cell = (text, className = "") => made("td", { className }, text ?? "–");
    const file = cell(sample.file, "file");
    file.title = sample.file;
    return made("tr", {}, made("td", {}, button), cell(String(sample.index), "number"), cell(sample.label),
      cell(sample.guess, sample.correct === false ? "wrong" : ""), cell(percent(sample.confidence, 1) || null, "number"),
      cell(sample.cluster), cell(sample.tags.join(", ")), file);
  };

  const table = (buttons, samples, order) => {
    const corner = made("th", {}, made("span", { className: "visually-hidden" }, "Picture"));
    const head = made("tr", {}, corner, ...Object.entries(HEADINGS).map((entry) => heading(entry, order)));
    return made("table", { className: "sample-table" }, made("thead", {}, head), made("tbody", {}, ...buttons.map((b, k) => row(b, samples[k]))));
  };

  // A heading sorts by its column, once more the other way round; an order that is not offered yet is added.
  let offered = null;
  const sort = (key) => {
    const select = document.getElementById("samples--order");
    offered = offered || [...select.options].map(({ value, label }) => ({ value, label }));
    const value = select.value === key ? `${key}-down` : key;
    const falling = { value, label: `${(offered.find((entry) => entry.value === key) || {}).label}, falling` };
    dash.set_props("samples--order", { value, options: offered.some((entry) => entry.value === value) ? offered : [...offered, falling] });
  };

  // ---- The page that is shown

  let page = { number: 0, indices: [] };
  let turn = 0;

  const place = () => document.getElementById("samples--grid");

  document.addEventListener("click", ({ target }) => {
    const button = target.closest("#samples--grid button");
    if (button?.dataset.sort) sort(button.dataset.sort);
    else if (button) dash.set_props("store--sample", { data: Number(button.dataset.index) });
  });

  const put = (className, ...children) => {
    const grid = place();
    grid.className = className;
    grid.replaceChildren(...children);
  };

  const buttonsOf = (indices, project, colour) => {
    const shown = [...place().querySelectorAll(".thumbnail")];
    const same = indices.join() === shown.map((button) => button.dataset.index).join();
    const buttons = same ? shown : indices.map(thumbnail);
    buttons.forEach((button) => paint(button, project, colour));
    return { buttons, same };
  };

  // As selected, a selection stays in the browser, and a page of it is asked about; to be sorted or searched it travels.
  const question = ({ selection, order, search, view, clustering }, number) => {
    const [plain, all] = [order === "given" && !search, backlight.array(selection.indices)];
    const turned = (total) => { const pages = Math.max(1, Math.ceil(total / PER_PAGE)); return ((number % pages) + pages) % pages; };
    const first = PER_PAGE * turned(all.length);
    const slice = plain ? Array.from(all.subarray(first, first + PER_PAGE)) : null;
    const args = [selection.scope, plain ? backlight.pack(slice) : selection.indices, order, search || "", clustering,
      plain ? 0 : number, view === "table"];
    return { slice, args, told: ({ total, samples }) => {
      const known = plain ? all.length : total;
      return { total: known, number: turned(known), samples };
    } };
  };

  // The answer to the question asked last is kept: a selection is shown before Dash passes it on, and then once more.
  let held = null;
  const asked = (args) => {
    const key = JSON.stringify(args);
    if (!held || held.key !== key) {
      const answer = backlight.ask("samples", "page", ...args);
      answer.catch(() => { held = null; });
      held = { key, answer };
    }
    return held.answer;
  };

  const none = (words) => {
    page = { number: 0, indices: [] };
    put("grid", made("p", { className: "empty" }, EMPTY));
    return [words, "", true];
  };

  // Show one page of what the stores hold; return the words about it, or null when another page overtook it.
  const present = async (asks, number) => {
    const { selection, order, search, view, colour } = asks;
    turn += 1;
    const mine = turn;
    if (!selection || !backlight.array(selection.indices).length) return none(selection ? `nothing · ${selection.label}` : "");
    const { slice, args, told } = question(asks, number);
    const [project, wide] = [selection.scope[0], view === "table"];
    if (slice && !wide) {
      const { buttons, same } = buttonsOf(slice, project, colour);
      if (!same || place().className !== "grid") put("grid", ...buttons);
    }
    const found = told(await asked(args));
    if (mine !== turn) return null;
    const label = search ? `${selection.label}, search “${search}”` : selection.label;
    if (!found.total) return none(`nothing · ${label}`);
    page = { number: found.number, indices: found.samples.map(({ index }) => index) };
    const { buttons, same } = buttonsOf(page.indices, project, colour);
    buttons.forEach((button, k) => describe(button, found.samples[k]));
    if (wide) put("as-table", table(buttons, found.samples, order));
    else if (!same || place().className !== "grid") put("grid", ...buttons);
    const pages = Math.ceil(found.total / PER_PAGE);
    return [`${found.total.toLocaleString("en")} · ${label}`, `${found.number + 1} of ${pages}`, pages < 2];
  };

  let settings = null;
  const show = async (selection, order, search, view, colour, clustering, shown) => {
    const changed = window.dash_clientside.callback_context.triggered.map(({ prop_id }) => prop_id);
    settings = { selection, order, search, view, colour, clustering, shown };
    const step = { "samples--previous.n_clicks": -1, "samples--next.n_clicks": 1 }[changed[0]] || 0;
    const stays = changed.length && changed.every((id) => /^(samples--view|store--colour|store--clustering|store--shown)/.test(id));
    const number = stays || step ? page.number + step : 0;
    if (shown !== "samples") page.number = number;
    return (shown === "samples" && await present(settings, number)) || [dash.no_update, dash.no_update, dash.no_update];
  };

  // What is selected is shown before Dash knows, pictures and all; what goes wrong is left to `show`.
  document.addEventListener("backlight:selection", ({ detail }) => {
    if (!settings || settings.shown !== "samples") return;
    present({ ...settings, selection: detail.selection }, 0).catch(() => null);
    detail.until(Promise.all([...place().querySelectorAll("img")].map((picture) => picture.decode().catch(() => null))));
  });

  // From the sample that is looked at to its neighbour on the page.
  const step = (clicks, sample) => {
    const { triggered_id, triggered } = window.dash_clientside.callback_context;
    const { indices } = page;
    if (!triggered_id || !triggered[0].value || !indices.length) return dash.no_update;
    const at = Math.max(0, indices.indexOf(sample)) + triggered_id.index;
    return indices[(at + indices.length) % indices.length];
  };

  return { show, step };
})();
