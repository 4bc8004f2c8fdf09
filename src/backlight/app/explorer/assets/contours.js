// Lines of equal density over a plot: a smoothed count of points, cut by marching squares.
"use strict";

(() => {
  const backlight = (window.backlight = window.backlight || {});
  const CELL = 6;
  const LEVELS = 6;

  const counted = ({ x, y }, plot, cell) => {
    const { left, right, top, bottom, across, up, x0, y0 } = plot;
    const columns = Math.ceil((right - left) / cell) + 3, rows = Math.ceil((bottom - top) / cell) + 3;
    const counts = new Float32Array(columns * rows);
    for (let k = 0; k < x.length; k += 1) {
      const column = (x[k] - x0) * across, row = bottom - top - (y[k] - y0) * up;
      if (column >= 0 && column <= right - left && row >= 0 && row <= bottom - top)
        counts[(Math.floor(row / cell) + 1) * columns + Math.floor(column / cell) + 1] += 1;
    }
    return { counts, columns, rows };
  };

  // A running mean along one direction, three times: nearly a Gaussian.
  const smoothed = ({ counts, columns, rows }, reach) => {
    let from = counts;
    const along = (lines, length, step, jump) => {
      const to = new Float32Array(from.length);
      for (let l = 0; l < lines; l += 1) {
        let sum = 0;
        const at = (k) => (k < 0 || k >= length ? 0 : from[l * jump + k * step]);
        for (let k = 0; k < reach; k += 1) sum += at(k);
        for (let k = 0; k < length; k += 1) {
          sum += at(k + reach) - at(k - reach - 1);
          to[l * jump + k * step] = sum / (2 * reach + 1);
        }
      }
      from = to;
    };
    for (let time = 0; time < 3; time += 1) { along(rows, columns, 1, columns); along(columns, rows, columns, 1); }
    return { values: from, columns, rows };
  };

  // Which sides of a cell a line crosses, by which of its corners lie above: sides are top, right, bottom, left.
  const CROSSED = [[], [[3, 0]], [[0, 1]], [[3, 1]], [[1, 2]], [[3, 0], [1, 2]], [[0, 2]], [[3, 2]],
    [[2, 3]], [[2, 0]], [[0, 1], [2, 3]], [[2, 1]], [[1, 3]], [[1, 0]], [[0, 3]], []];

  const traced = (pen, { values, columns, rows }, level, place) => {
    for (let r = 0; r < rows - 1; r += 1) for (let c = 0; c < columns - 1; c += 1) {
      const at = r * columns + c;
      const [a, b, d, e] = [values[at], values[at + 1], values[at + columns + 1], values[at + columns]];
      const sides = CROSSED[(a > level) + 2 * (b > level) + 4 * (d > level) + 8 * (e > level)];
      if (!sides.length) continue;
      const part = (from, to) => (level - from) / (to - from);
      const ends = [() => [c + part(a, b), r], () => [c + 1, r + part(b, d)], () => [c + part(e, d), r + 1], () => [c, r + part(a, e)]];
      sides.forEach(([from, to]) => { pen.moveTo(...place(...ends[from]())); pen.lineTo(...place(...ends[to]())); });
    }
  };

  // Stroke the lines; levels halve from the highest density downwards.
  backlight.contours = (pen, plot, cloud, scale, colour) => {
    const cell = CELL * scale;
    const field = smoothed(counted(cloud, plot, cell), 2);
    const most = field.values.reduce((high, value) => (value > high ? value : high), 0);
    if (!most) return;
    const place = (c, r) => [plot.left + (c - 0.5) * cell, plot.top + (r - 0.5) * cell];
    pen.save();
    pen.beginPath();
    pen.rect(plot.left, plot.top, plot.right - plot.left, plot.bottom - plot.top);
    pen.clip();
    pen.strokeStyle = colour;
    pen.lineWidth = scale;
    for (let k = 0; k < LEVELS; k += 1) {
      pen.globalAlpha = 0.75 - 0.09 * k;
      pen.beginPath();
      traced(pen, field, most * 0.8 / 2 ** k, place);
      pen.stroke();
    }
    pen.restore();
  };
})();
