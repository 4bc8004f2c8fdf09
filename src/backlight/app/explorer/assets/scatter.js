// Points as pixels: typed arrays in, a picture out; and which points lie where a person points to.
//
// Drawn by the processor on a plain canvas. Where there is no graphics card a million points take 40 ms this way
// and 400 ms by WebGL, which browsers are about to refuse there; nothing can be lost with a context either.
// Places are (x, y) of the data; a plot maps them to device pixels, see `plotted`.
"use strict";

(() => {
  const backlight = (window.backlight = window.backlight || {});

  const BACKGROUND = { noise: 0.6, plain: 0.85, faded: 0.2, chosen: 1 };
  const PHASES = 4;
  const CELL = 2;

  // The range of what is finite, with a margin; one value alone gets room around it.
  const fit = (values) => {
    let [low, high] = [Infinity, -Infinity];
    for (let k = 0; k < values.length; k += 1) {
      const value = values[k];
      if (value < low && value > -Infinity) low = value;
      if (value > high && value < Infinity) high = value;
    }
    if (low > high) return [0, 1];
    const margin = (high - low) * 0.05 || Math.abs(low) * 0.05 || 0.5;
    return [low - margin, high + margin];
  };

  // How a view (x: [low, high], y: [low, high]) falls on a box {left, top, right, bottom} of pixels.
  const plotted = (view, box) => {
    const across = (box.right - box.left) / (view.x[1] - view.x[0]);
    const up = (box.bottom - box.top) / (view.y[1] - view.y[0]);
    return {
      ...box, across, up, x0: view.x[0], y0: view.y[0],
      column: (x) => box.left + (x - view.x[0]) * across,
      row: (y) => box.bottom - (y - view.y[0]) * up,
      x: (column) => view.x[0] + (column - box.left) / across,
      y: (row) => view.y[0] + (box.bottom - row) / up,
    };
  };

  const visible = ({ x, y }, view) => {
    const [[x0, x1], [y0, y1]] = [view.x, view.y];
    let count = 0;
    for (let k = 0; k < x.length; k += 1) if (x[k] >= x0 && x[k] <= x1 && y[k] >= y0 && y[k] <= y1) count += 1;
    return count;
  };

  // Rows in the order they are drawn: noise beneath, then the others, what is chosen on top.
  const ordered = (group, quiet, chosen) => {
    const level = (k) => (chosen && chosen[k] ? 2 : quiet[group[k]] ? 0 : 1);
    const ends = [0, 0, 0];
    for (let k = 0; k < group.length; k += 1) ends[level(k)] += 1;
    ends[1] += ends[0];
    ends[2] += ends[1];
    const [order, next] = [new Uint32Array(group.length), [0, ends[0], ends[1]]];
    for (let k = 0; k < group.length; k += 1) { const l = level(k); order[next[l]] = k; next[l] += 1; }
    return { order, ends };
  };

  const parts = (colour) => [0, 8, 16].map((shift) => (colour >> shift) & 255);

  // One disc for every quarter of a pixel its centre can stand on: offsets into the picture and how much it covers.
  const stamps = (radius, width) => {
    const [reach, found] = [Math.ceil(radius + 1), []];
    for (let phase = 0; phase < PHASES * PHASES; phase += 1) {
      const [offsets, covers] = [[], []];
      const [cx, cy] = [(phase % PHASES + 0.5) / PHASES - 0.5, (Math.floor(phase / PHASES) + 0.5) / PHASES - 0.5];
      for (let dy = -reach; dy <= reach; dy += 1) for (let dx = -reach; dx <= reach; dx += 1) {
        const cover = Math.min(1, radius + 0.5 - Math.hypot(dx - cx, dy - cy));
        if (cover > 0.02) { offsets.push(dy * width + dx); covers.push(Math.round(256 * cover)); }
      }
      found.push({ offsets: Int32Array.from(offsets), covers: Int32Array.from(covers) });
    }
    return found;
  };

  // Draw the rows order[from … to) as discs; opacity[group] is how much of its colour a group keeps.
  const discs = (picture, plot, cloud, [from, to], radius, opacity) => {
    const { pixels, width } = picture;
    const { x, y, group, colours, order } = cloud;
    const shapes = stamps(radius, width);
    const { left, right, top, bottom, across, up, x0, y0 } = plot;
    const strengths = Int32Array.from(opacity, (value) => Math.round(256 * value));
    for (let q = from; q < to; q += 1) {
      const k = order[q];
      const [column, row] = [left + (x[k] - x0) * across, bottom - (y[k] - y0) * up];
      // Written so that what is not a number is left out.
      if (!(column >= left && column <= right && row >= top && row <= bottom)) continue;
      const [i, j] = [Math.floor(column), Math.floor(row)];
      const { offsets, covers } = shapes[Math.floor((column - i) * PHASES) + PHASES * Math.floor((row - j) * PHASES)];
      const [start, strength, colour] = [j * width + i, strengths[group[k]], colours[group[k]]];
      const [redBlue, green] = [colour & 0xff00ff, colour & 0x00ff00];
      for (let m = 0; m < offsets.length; m += 1) {
        const [at, a] = [start + offsets[m], (covers[m] * strength) >> 8];
        const under = pixels[at];
        pixels[at] = 0xff000000
          | (((Math.imul(redBlue, a) + Math.imul(under & 0xff00ff, 256 - a)) >>> 8) & 0xff00ff)
          | (((Math.imul(green, a) + Math.imul(under & 0x00ff00, 256 - a)) >>> 8) & 0x00ff00);
      }
    }
  };

  // Draw rows as density: each cell in the mean colour of its points, the stronger the more there are.
  const density = (picture, plot, cloud, [from, to], strength) => {
    const { pixels, width, scale } = picture;
    const { x, y, group, colours, order } = cloud;
    const { left, right, top, bottom, across, up, x0, y0 } = plot;
    const cell = Math.max(1, Math.round(CELL * scale));
    const columns = Math.ceil((right - left) / cell) + 1;
    const rows = Math.ceil((bottom - top) / cell) + 1;
    const [counts, sums] = [new Uint32Array(columns * rows), new Uint32Array(3 * columns * rows)];
    const [reds, greens, blues] = [0, 1, 2].map((k) => Int32Array.from(colours, (colour) => parts(colour)[k]));
    let most = 1;
    for (let q = from; q < to; q += 1) {
      const k = order[q];
      const [column, row] = [(x[k] - x0) * across, bottom - top - (y[k] - y0) * up];
      if (!(column >= 0 && column <= right - left && row >= 0 && row <= bottom - top)) continue;
      const at = Math.floor(row / cell) * columns + Math.floor(column / cell);
      const g = group[k];
      counts[at] += 1;
      sums[3 * at] += reds[g];
      sums[3 * at + 1] += greens[g];
      sums[3 * at + 2] += blues[g];
      if (counts[at] > most) most = counts[at];
    }
    const full = Math.log1p(most);
    for (let r = 0; r < rows; r += 1) for (let c = 0; c < columns; c += 1) {
      const at = r * columns + c, n = counts[at];
      if (!n) continue;
      const a = Math.round(256 * strength * (0.25 + 0.75 * Math.log1p(n) / full));
      const [red, green, blue] = [sums[3 * at] / n, sums[3 * at + 1] / n, sums[3 * at + 2] / n];
      const [i1, j1] = [Math.min(left + (c + 1) * cell, right), Math.min(top + (r + 1) * cell, bottom)];
      for (let j = top + r * cell; j < j1; j += 1) for (let i = left + c * cell; i < i1; i += 1) {
        const under = pixels[j * width + i];
        const mix = (over, shift) => ((over * a + ((under >>> shift) & 255) * (256 - a)) >> 8) << shift;
        pixels[j * width + i] = (0xff000000 | mix(blue, 16) | mix(green, 8) | mix(red, 0)) >>> 0;
      }
    }
  };

  // Draw a cloud: {x, y, group, colours, quiet, chosen, order, ends}, as discs, or as density where there are many.
  const draw = (picture, plot, cloud, { radius, dense }) => {
    const { colours, quiet, chosen, ends } = cloud;
    const { noise, plain, faded } = BACKGROUND;
    const opacity = colours.map((_, g) => (chosen ? faded : quiet[g] ? noise : plain));
    const layers = [[[0, ends[1]], opacity, chosen ? 0.3 : 1], [[ends[1], ends[2]], colours.map(() => BACKGROUND.chosen), 1]];
    layers.forEach(([rows, values, strength]) => {
      if (rows[0] === rows[1]) return;
      if (dense) density(picture, plot, cloud, rows, strength);
      else discs(picture, plot, cloud, rows, radius, values);
    });
  };

  // The row nearest to a place on the screen within `reach` pixels, or -1. All are asked: 2 ms for a million.
  const nearest = ({ x, y }, plot, [column, row], reach) => {
    const [atX, atY, { across, up }] = [plot.x(column), plot.y(row), plot];
    let [best, found] = [reach * reach, -1];
    for (let k = 0; k < x.length; k += 1) {
      const dx = (x[k] - atX) * across;
      const dy = (y[k] - atY) * up;
      const distance = dx * dx + dy * dy;
      if (distance <= best) { best = distance; found = k; }
    }
    return found;
  };

  const inBox = ({ x, y }, [[x0, y0], [x1, y1]]) => {
    const rows = [];
    const [left, right, low, high] = [Math.min(x0, x1), Math.max(x0, x1), Math.min(y0, y1), Math.max(y0, y1)];
    for (let k = 0; k < x.length; k += 1) if (x[k] >= left && x[k] <= right && y[k] >= low && y[k] <= high) rows.push(k);
    return rows;
  };

  // Rows inside a polygon, by crossings. Its edges are filed by bands of y, so that a point asks only a few of them.
  const BANDS = 256;
  const inPolygon = (cloud, corners) => {
    const ys = corners.map(([, y]) => y);
    const [low, high] = [Math.min(...ys), Math.max(...ys)];
    const xs = corners.map(([x]) => x);
    const band = (y) => Math.min(BANDS - 1, Math.max(0, Math.floor(((y - low) / (high - low)) * BANDS)));
    const bands = Array.from({ length: BANDS }, () => []);
    corners.forEach(([ax, ay], k) => {
      const [bx, by] = corners[(k + 1) % corners.length];
      for (let b = band(Math.min(ay, by)); b <= band(Math.max(ay, by)); b += 1) bands[b].push([ax, ay, bx, by]);
    });
    const inside = (x, y) => {
      let odd = false;
      for (const [ax, ay, bx, by] of bands[band(y)])
        if (ay > y !== by > y && x < ax + ((bx - ax) * (y - ay)) / (by - ay)) odd = !odd;
      return odd;
    };
    const box = [[Math.min(...xs), low], [Math.max(...xs), high]];
    return high > low ? inBox(cloud, box).filter((k) => inside(cloud.x[k], cloud.y[k])) : [];
  };

  backlight.scatter = { draw, fit, inBox, inPolygon, nearest, ordered, plotted, visible };
})();
