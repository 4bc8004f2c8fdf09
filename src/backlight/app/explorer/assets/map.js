// A map of points to look at and to select from: axes, tools, wheel, pinches, keys, a ring around the point under the pointer.
//
// backlight.map(element, heard) makes one inside an element, or returns the one that is there. `show` gives it points;
// heard.selected(rows, clicked), heard.cleared(), heard.hovered(row, box) and heard.looked(range, contoured) tell what
// a person did. `state()` and `places()` say what is shown, for tests and benchmarks; they change nothing.
"use strict";

(() => {
  const backlight = (window.backlight = window.backlight || {});
  const MARGIN = { left: 56, top: 44, right: 16, bottom: 44 };
  const REACH = 12;
  const STILL = 4;
  const DENSE = 200000;
  const SETTLED = 250;
  const STEP = 0.8;
  const PER_TICK = { across: 88, up: 52 };

  const TOOLS = [
    ["box", "Select a rectangle", "b", "M2.5 2.5h11v11h-11z", "dashed"],
    ["lasso", "Select freely", "l", "M5 11.5C3 10.6 2 9.3 2 7.5 2 4.7 4.7 2.5 8 2.5s6 2.2 6 5-2.7 4.5-6 4.5c-2.6 0-3.6-1-3.3-1.9.4-1.1 2.1-.7 2 .7-.1 1.4-1.4 2.5-3.2 2.9"],
    ["pan", "Move the map", "g", "M8 1.5v13M1.5 8h13M6 3.5l2-2 2 2M6 12.5l2 2 2-2M3.5 6l-2 2 2 2M12.5 6l2 2-2 2"],
    ["zoom", "Zoom into a rectangle", "m", "M11.5 7a4.5 4.5 0 1 1-9 0 4.5 4.5 0 0 1 9 0zM10.3 10.3l4 4M7 5v4M5 7h4"],
  ];
  const DEEDS = [
    ["closer", "Zoom in", "+", "M3 8h10M8 3v10"],
    ["farther", "Zoom out", "-", "M3 8h10"],
    ["contours", "Lines of equal density", "d", "M1.5 8.5c0-3.6 2.6-6 6.3-6s6.7 2 6.7 5.3-2.6 5.7-6.5 5.7-6.5-1.8-6.5-5zM4.5 8.3c0-2 1.5-3.3 3.5-3.3s3.6 1 3.6 2.8-1.5 3-3.6 3-3.5-.8-3.5-2.5zM7 8h2"],
    ["reset", "Show all points", "r", "M1.8 7.8L8 2.3l6.2 5.5M3.8 6.5v7h3v-4h2.4v4h3v-7"],
  ];

  const made = (name, attributes, ...children) => {
    const element = document.createElement(name);
    Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value));
    element.append(...children);
    return element;
  };

  const button = ([name, title, key, path, style], keys, press) => {
    const icon = backlight.drawing("svg", { viewBox: "0 0 16 16", "aria-hidden": "true", class: style || "" });
    icon.append(backlight.drawing("path", { d: path }));
    const found = made("button", { type: "button", title, "aria-label": title, "data-tool": name, ...(keys && { "data-key": key }) }, icon);
    found.addEventListener("click", () => press(name));
    return found;
  };

  const packed = (colour) => {
    const [r, g, b] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
    return r | (g << 8) | (b << 16);
  };

  // A colour of the page as the number a picture's pixel holds.
  const resolved = (element, name) => {
    const pen = resolved.pen || (resolved.pen = document.createElement("canvas").getContext("2d", { willReadFrequently: true }));
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = getComputedStyle(element).getPropertyValue(name).trim() || "#808080";
    pen.fillRect(0, 0, 1, 1);
    const [r, g, b] = pen.getImageData(0, 0, 1, 1).data;
    return (0xff000000 | (b << 16) | (g << 8) | r) >>> 0;
  };

  class PointMap {
    constructor(element, heard, keys) {
      Object.assign(this, { element, heard, cloud: null, view: null, tool: "box", contoured: false, painted: 0, pointers: new Map() });
      this.canvas = made("canvas", { "aria-hidden": "true" });
      this.pen = this.canvas.getContext("2d", { alpha: false });
      this.overlay = backlight.drawing("svg", { class: "scatter-axes", "aria-hidden": "true" });
      [this.labels, this.outline, this.ring] = ["g", "path", "circle"].map((name) => backlight.drawing(name, { class: `scatter-${name}` }));
      this.ring.setAttribute("r", 7);
      this.cross = backlight.drawing("g", { class: "scatter-cross" });
      this.cross.append(backlight.drawing("path", { d: "M-9 0H9M0-9V9" }), backlight.drawing("text", { x: 12, y: 4 }));
      this.overlay.append(this.labels, this.cross, this.ring, this.outline);
      this.empty = made("p", { class: "empty", hidden: "" });
      this.buttons = [
        ...TOOLS.map((entry) => button(entry, keys, (name) => this.use(name))),
        ...DEEDS.map((entry) => button(entry, keys, (name) => this[name]())),
      ];
      this.stage = made("div", { class: "scatter-stage" }, this.canvas, this.overlay);
      element.append(this.stage, this.empty, made("div", { class: "scatter-tools", role: "group", "aria-label": "Map tools" }, ...this.buttons));
      this.use("box");
      this.listen();
    }

    // ---- What is shown

    // points: {key, x, y, index, titles}; groups: {group, names, colours, quiet}; chosen: one byte for each row, or null;
    // placed: {x, y, label} of a cross that is none of the points, or null.
    show(points, groups, chosen, placed = null) {
      const { x, y, index } = points;
      const { group, quiet } = groups;
      const colours = groups.colours.map(packed);
      this.cloud = { x, y, index, group, quiet, colours, chosen, names: groups.names, ...backlight.scatter.ordered(group, quiet, chosen) };
      [this.titles, this.placed] = [points.titles, placed];
      // Recolouring keeps the view; other places have another.
      if (this.key !== points.key) {
        this.home = { x: backlight.scatter.fit(x), y: backlight.scatter.fit(y) };
        this.view = this.home;
        this.key = points.key;
        this.hover(-1);
        this.arrive();
      }
      this.empty.hidden = true;
      this.stage.hidden = false;
      this.paint();
    }

    clear(reason) {
      [this.cloud, this.key] = [null, null];
      this.empty.textContent = reason;
      this.empty.hidden = false;
      this.stage.hidden = true;
    }

    // Paint with the next frame; further calls until then are the same one.
    paint() {
      if (this.pending) return;
      this.pending = requestAnimationFrame(() => { this.pending = null; this.paintNow(); });
    }

    paintNow() {
      const [width, height] = [this.stage.clientWidth, this.stage.clientHeight];
      if (!this.cloud || width < 120 || height < 120) return;
      const scale = window.devicePixelRatio || 1;
      const picture = this.picture(width, height, scale);
      const box = (factor) => ({
        left: Math.round(MARGIN.left * factor), top: Math.round(MARGIN.top * factor),
        right: Math.round((width - MARGIN.right) * factor), bottom: Math.round((height - MARGIN.bottom) * factor),
      });
      const plot = backlight.scatter.plotted(this.view, box(scale));
      this.plot = backlight.scatter.plotted(this.view, box(1));
      const across = backlight.axes.ticks(...this.view.x, (this.plot.right - this.plot.left) / PER_TICK.across);
      const up = backlight.axes.ticks(...this.view.y, (this.plot.bottom - this.plot.top) / PER_TICK.up);
      const line = resolved(this.element, "--grid");
      picture.pixels.fill(resolved(this.element, "--card"));
      across.values.forEach((value) => {
        const column = Math.floor(plot.column(value));
        for (let row = plot.top; row < plot.bottom; row += 1) picture.pixels[row * picture.width + column] = line;
      });
      up.values.forEach((value) => {
        const start = Math.floor(plot.row(value)) * picture.width;
        picture.pixels.fill(line, start + plot.left, start + plot.right);
      });
      const count = backlight.scatter.visible(this.cloud, this.view);
      this.dense = count > DENSE;
      const diameter = Math.max(3, Math.min(9, 26 / Math.max(1, count) ** 0.2));
      backlight.scatter.draw(picture, plot, this.cloud, { radius: (diameter / 2) * scale, dense: this.dense });
      this.pen.putImageData(picture.image, 0, 0);
      if (this.contoured) backlight.contours(this.pen, plot, this.cloud, scale, getComputedStyle(this.element).color);
      this.labels.replaceChildren(...backlight.axes.labels(this.plot, across, up, this.titles));
      this.mark();
      this.painted += 1;
      this.element.dispatchEvent(new CustomEvent("backlight:painted", { bubbles: true }));
    }

    picture(width, height, scale) {
      const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
      if (this.canvas.width !== w || this.canvas.height !== h || !this.image) {
        [this.canvas.width, this.canvas.height] = [w, h];
        this.image = this.pen.createImageData(w, h);
        this.pixels = new Uint32Array(this.image.data.buffer);
      }
      return { image: this.image, pixels: this.pixels, width: w, scale };
    }

    // Show part of the points, as `looked` told it: {key, range: [x0, x1, y0, y1] or null for all of it, contours}.
    adopt(wanted) {
      [this.wanted, this.contoured] = [wanted, wanted.contours];
      this.press();
      this.paint();
      this.arrive();
    }

    arrive() {
      const { wanted } = this;
      if (!wanted || wanted.key !== this.key || !this.cloud) return;
      this.wanted = null;
      this.look(wanted.range ? { x: wanted.range.slice(0, 2), y: wanted.range.slice(2) } : this.home);
      this.tell();
    }

    // Tell what is looked at, once it has not changed for a moment.
    tell() {
      clearTimeout(this.telling);
      this.telling = setTimeout(() => {
        if (this.view) this.heard.looked(this.view === this.home ? null : [...this.view.x, ...this.view.y], this.contoured);
      }, SETTLED);
    }

    // ---- What a person does

    use(tool) {
      this.tool = tool;
      this.stage.dataset.using = tool;
      this.press();
    }

    contours() {
      this.contoured = !this.contoured;
      this.press();
      this.paint();
      this.tell();
    }

    press() {
      const pressed = { [this.tool]: true, contours: this.contoured };
      this.buttons.forEach((found) => {
        if (found.dataset.tool !== "reset") found.setAttribute("aria-pressed", String(Boolean(pressed[found.dataset.tool])));
      });
    }

    reset() {
      this.look(this.home);
    }

    look(view) {
      if (!view || !this.cloud) return;
      const wide = (range, home) => range[1] - range[0] > (home[1] - home[0]) * 1e-6 && range[1] - range[0] < (home[1] - home[0]) * 20;
      if (!wide(view.x, this.home.x) || !wide(view.y, this.home.y)) return;
      this.view = view;
      this.hover(-1);
      this.paint();
      this.tell();
    }

    // Zoom by a factor about a place of the data that stays where it is.
    zoom(factor, [x, y]) {
      const about = ([low, high], at) => [at + (low - at) * factor, at + (high - at) * factor];
      this.look({ x: about(this.view.x, x), y: about(this.view.y, y) });
    }

    get middle() {
      return [(this.view.x[0] + this.view.x[1]) / 2, (this.view.y[0] + this.view.y[1]) / 2];
    }

    closer() {
      if (this.cloud) this.zoom(STEP, this.middle);
    }

    farther() {
      if (this.cloud) this.zoom(1 / STEP, this.middle);
    }

    pan(columns, rows, { view, plot } = this) {
      const [dx, dy] = [columns / plot.across, rows / plot.up];
      this.look({ x: view.x.map((value) => value - dx), y: view.y.map((value) => value + dy) });
    }

    at(event) {
      const box = this.stage.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    }

    place([column, row]) {
      return [this.plot.x(column), this.plot.y(row)];
    }

    listen() {
      const { stage } = this;
      stage.addEventListener("pointerdown", (event) => this.grab(event));
      stage.addEventListener("pointermove", (event) => this.move(event));
      stage.addEventListener("pointerup", (event) => this.drop(event));
      stage.addEventListener("pointercancel", (event) => { this.lift(event); this.release(); });
      stage.addEventListener("pointerleave", () => this.hover(-1));
      stage.addEventListener("dblclick", () => (this.tool === "pan" || this.tool === "zoom" ? this.reset() : this.heard.cleared()));
      stage.addEventListener("wheel", (event) => {
        if (!this.plot || !this.cloud) return;
        event.preventDefault();
        const lines = event.deltaMode === 1 ? 24 : 1;
        // A pinch on a trackpad comes as a wheel with Ctrl held, in smaller steps.
        const [base, most] = event.ctrlKey ? [1.01, 40] : [1.0016, 240];
        this.zoom(base ** Math.max(-most, Math.min(most, event.deltaY * lines)), this.place(this.at(event)));
      }, { passive: false });
      this.element.addEventListener("keydown", (event) => this.typed(event));
      new ResizeObserver(() => this.paint()).observe(stage);
      new MutationObserver(() => this.paint()).observe(document.documentElement, { attributeFilter: ["data-bs-theme"] });
    }

    typed(event) {
      if (event.target !== this.element || !this.plot || !this.cloud || event.ctrlKey || event.metaKey || event.altKey) return;
      const acts = {
        ArrowLeft: () => this.pan(48, 0), ArrowRight: () => this.pan(-48, 0), ArrowUp: () => this.pan(0, 48), ArrowDown: () => this.pan(0, -48),
        "+": () => this.closer(), "=": () => this.closer(), "-": () => this.farther(),
        0: () => this.reset(), Escape: () => (this.drag ? this.release() : this.heard.cleared()),
      };
      if (!acts[event.key]) return;
      event.preventDefault();
      event.stopPropagation();
      acts[event.key]();
    }

    grab(event) {
      if (!this.plot || !this.cloud || event.button > 1) return;
      event.preventDefault();
      this.element.focus({ preventScroll: true });
      this.stage.setPointerCapture(event.pointerId);
      this.hover(-1);
      const from = this.at(event);
      this.pointers.set(event.pointerId, from);
      if (this.pointers.size > 1) { this.pinch(); return; }
      this.drag = { tool: event.button === 1 ? "pan" : this.tool, from, to: from, path: [from], view: this.view, plot: this.plot };
    }

    move(event) {
      const to = this.at(event);
      if (this.pointers.has(event.pointerId)) this.pointers.set(event.pointerId, to);
      if (this.pinched) { this.spread(); return; }
      if (!this.drag) { if (!this.pointers.size) this.point(to); return; }
      const { drag } = this, last = drag.path[drag.path.length - 1];
      drag.to = to;
      drag.moved = drag.moved || Math.hypot(to[0] - drag.from[0], to[1] - drag.from[1]) >= STILL;
      if (Math.hypot(to[0] - last[0], to[1] - last[1]) >= 2) drag.path.push(to);
      if (drag.tool === "pan") this.pan(to[0] - drag.from[0], to[1] - drag.from[1], drag);
      this.mark();
    }

    // Two fingers: what lies under their middle stays there, and their distance is how near it looks.
    pinch() {
      this.release();
      this.pinched = this.pointers.size === 2 ? { ...this.grip(), view: this.view, plot: this.plot } : null;
    }

    grip() {
      const [[ax, ay], [bx, by]] = this.pointers.values();
      return { middle: [(ax + bx) / 2, (ay + by) / 2], distance: Math.max(8, Math.hypot(ax - bx, ay - by)) };
    }

    spread() {
      const { middle: [column, row], distance, view, plot } = this.pinched;
      const now = this.grip(), factor = distance / now.distance;
      const about = ([low, high], at, share) => [at - share * (high - low) * factor, at + (1 - share) * (high - low) * factor];
      const [right, up] = [(now.middle[0] - plot.left) / (plot.right - plot.left), (plot.bottom - now.middle[1]) / (plot.bottom - plot.top)];
      this.look({ x: about(view.x, plot.x(column), right), y: about(view.y, plot.y(row), up) });
    }

    lift(event) {
      this.pointers.delete(event.pointerId);
      this.pinched = null;
    }

    drop(event) {
      this.lift(event);
      const { drag } = this;
      if (!drag) return;
      this.move(event);
      this.release();
      if (!drag.moved) this.click(drag.from);
      else if (drag.tool === "box") this.heard.selected(backlight.scatter.inBox(this.cloud, [drag.from, drag.to].map((p) => this.place(p))));
      else if (drag.tool === "lasso") this.heard.selected(backlight.scatter.inPolygon(this.cloud, [...drag.path, drag.to].map((p) => this.place(p))));
      else if (drag.tool === "zoom") {
        const [[x0, y0], [x1, y1]] = [drag.from, drag.to].map((p) => this.place(p));
        this.look({ x: [Math.min(x0, x1), Math.max(x0, x1)], y: [Math.min(y0, y1), Math.max(y0, y1)] });
      }
    }

    release() {
      this.drag = null;
      this.mark();
    }

    click(place) {
      const row = backlight.scatter.nearest(this.cloud, this.plot, place, REACH);
      if (row >= 0) this.heard.selected([row], true);
    }

    // Ask for the point under the pointer once a frame.
    point(place) {
      if (!this.plot || !this.cloud) return;
      const waiting = this.pointed;
      this.pointed = place;
      if (!waiting) requestAnimationFrame(() => {
        const asked = this.pointed;
        this.pointed = null;
        if (asked && this.cloud && !this.drag) this.hover(backlight.scatter.nearest(this.cloud, this.plot, asked, REACH));
      });
    }

    hover(row) {
      if (row < 0) this.pointed = null;
      if (row === this.hovered) return;
      this.hovered = row;
      this.mark();
      if (row < 0) { this.heard.hovered(-1); return; }
      const [column, line] = [this.plot.column(this.cloud.x[row]), this.plot.row(this.cloud.y[row])];
      this.heard.hovered(row, { x0: column - 6, x1: column + 6, y0: line - 6, y1: line + 6 });
    }

    // The outline of a drag, the cross, and the ring around the point under the pointer.
    mark() {
      const { drag, ring, hovered, placed, plot } = this;
      const drawn = drag && drag.moved && drag.tool !== "pan";
      const [[x0, y0], [x1, y1]] = drawn ? [drag.from, drag.to] : [[0, 0], [0, 0]];
      const path = !drawn ? "" : drag.tool === "lasso" ? `M${drag.path.join("L")}Z` : `M${x0} ${y0}H${x1}V${y1}H${x0}Z`;
      this.outline.setAttribute("d", path);
      const [across, up] = placed && plot ? [plot.column(placed.x), plot.row(placed.y)] : [NaN, NaN];
      const inside = across >= plot?.left && across <= plot?.right && up >= plot?.top && up <= plot?.bottom;
      this.cross.style.display = inside ? "" : "none";
      if (inside) {
        this.cross.setAttribute("transform", `translate(${across} ${up})`);
        this.cross.lastChild.textContent = placed.label;
      }
      const shown = hovered >= 0 && this.cloud && this.plot;
      ring.style.display = shown ? "" : "none";
      if (!shown) return;
      ring.setAttribute("cx", this.plot.column(this.cloud.x[hovered]));
      ring.setAttribute("cy", this.plot.row(this.cloud.y[hovered]));
    }

    // ---- What others may know

    state() {
      const { cloud } = this;
      const groups = !cloud ? [] : cloud.names.map((name) => ({ name, size: 0, selected: 0 }));
      for (let k = 0; cloud && k < cloud.group.length; k += 1) {
        groups[cloud.group[k]].size += 1;
        if (cloud.chosen && cloud.chosen[k]) groups[cloud.group[k]].selected += 1;
      }
      return {
        size: cloud ? cloud.x.length : 0, first: cloud && cloud.x.length ? cloud.index[0] : null, axes: this.titles || [],
        view: this.view, tool: this.tool, dense: Boolean(this.dense), contours: this.contoured, painted: this.painted, placed: this.placed,
        settled: Boolean(cloud && this.plot && !this.pending), groups,
      };
    }

    // [dataset index, x, y in the window] of every point.
    places() {
      if (!this.cloud || !this.plot || this.pending) return null;
      const { x, y, index } = this.cloud;
      const box = this.stage.getBoundingClientRect();
      return Array.from(x, (value, k) => [index[k], box.left + this.plot.column(value), box.top + this.plot.row(y[k])]);
    }
  }

  backlight.map = (element, heard, keys = false) =>
    element.backlightMap || (element.backlightMap = new PointMap(element, heard, keys));
})();
