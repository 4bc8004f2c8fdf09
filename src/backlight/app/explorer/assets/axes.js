// Round numbers along an axis, and how they are written.
"use strict";

(() => {
  const backlight = (window.backlight = window.backlight || {});

  // Round values between low and high, about `many` of them.
  const ticks = (low, high, many) => {
    const rough = (high - low) / Math.max(1, many);
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999);
    const first = Math.ceil(low / step - 1e-9);
    const count = Math.floor(high / step + 1e-9) - first + 1;
    return { step, values: Array.from({ length: Math.max(0, count) }, (_, k) => (first + k) * step) };
  };

  const power = (value) => Math.floor(Math.log10(value) + 1e-9);

  // As many decimals as the step has; powers of ten where that would be long.
  const written = (value, step) => {
    if (value === 0) return "0";
    const largest = Math.abs(value);
    const text = step < 1e-4 || largest >= 1e6
      ? value.toExponential(Math.max(0, power(largest) - power(step))).replace("e+", "e")
      : value.toFixed(Math.max(0, Math.ceil(-Math.log10(step) - 1e-9)));
    return text.replaceAll("-", "−");
  };

  const SVG = "http://www.w3.org/2000/svg";
  backlight.drawing = (name, attributes, text) => {
    const element = document.createElementNS(SVG, name);
    Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value));
    if (text !== undefined) element.textContent = text;
    return element;
  };

  // Labels of both axes in CSS pixels: `plot` as backlight.scatter.plotted gives it, `titles` [x, y].
  const labels = (plot, across, up, titles) => {
    const text = (words, attributes) => backlight.drawing("text", attributes, words);
    const middle = (plot.top + plot.bottom) / 2;
    const left = plot.left - 40;
    return [
      ...across.values.map((value) =>
        text(written(value, across.step), { x: plot.column(value), y: plot.bottom + 16, "text-anchor": "middle" })),
      ...up.values.map((value) =>
        text(written(value, up.step), { x: plot.left - 8, y: plot.row(value) + 4, "text-anchor": "end" })),
      text(titles[0], { x: (plot.left + plot.right) / 2, y: plot.bottom + 34, "text-anchor": "middle", class: "axis-title" }),
      text(titles[1], {
        x: left, y: middle, "text-anchor": "middle", transform: `rotate(-90 ${left} ${middle})`, class: "axis-title",
      }),
    ];
  };

  backlight.axes = { labels, ticks, written };
})();
