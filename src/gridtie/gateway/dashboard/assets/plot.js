// Plots over time as SVG that takes its colours from the page, as the report's are.

import { el, svg, table } from "./dom.js";

const WIDTH = 560;
const LEFT = 58;
const TOP = 26;
const BOTTOM = 150;

// The next of 1, 2, 5, 10 times a power of ten.
function step(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= least * (1 - 1e-9));
}

function frame(title, most, show, labels, width, drawn, legend) {
  const each = step(most / 3);
  const high = Math.ceil(most / each - 1e-9) * each;
  const y = (value) => BOTTOM - (value / high) * (BOTTOM - TOP);
  const lines = [];
  for (let at = 0; at <= Math.round(high / each); at += 1) {
    lines.push(svg("line", { x1: LEFT, x2: WIDTH, y1: y(at * each), y2: y(at * each), class: "axis" }));
    lines.push(svg("text", { x: LEFT - 6, y: y(at * each) + 4, "text-anchor": "end", class: "soft" }, show(at * each)));
  }
  const named = legend.map(({ name, fill }, at) => svg("g", {},
    svg("rect", { x: LEFT + at * 165, y: 2, width: 10, height: 10, class: `fill-${fill}` }),
    svg("text", { x: LEFT + at * 165 + 15, y: 12, class: "soft" }, name)));
  const every = Math.ceil(labels.length / 6);
  const dates = labels.map((label, at) => (at % every ? null
    : svg("text", { x: LEFT + at * width, y: BOTTOM + 16, class: "soft" }, label)));
  return svg("svg", { class: "plot", viewBox: `0 0 ${WIDTH} ${BOTTOM + 20}`, role: "img" },
    svg("title", {}, title), named, lines, drawn(y), dates);
}

// Stacked columns. `parts`: {name, fill, values}, all of the same length as `labels`; null is nothing.
export function columns(title, labels, parts, show) {
  const width = (WIDTH - LEFT) / labels.length;
  const sums = labels.map((_, at) => parts.reduce((sum, part) => sum + (part.values[at] || 0), 0));
  const drawn = (y) => labels.map((label, at) => {
    let below = 0;
    const stacked = parts.map((part) => {
      const value = part.values[at] || 0;
      const top = y(below + value);
      const rect = value ? svg("rect", { x: LEFT + at * width + width * 0.1, y: top, width: width * 0.8,
        height: Math.max(y(below) - top, 1), class: `fill-${part.fill}` }) : null;
      below += value;
      return rect;
    });
    const told = parts.map((part) => `${part.name} ${show(part.values[at] || 0)}`).join(", ");
    return svg("g", {}, stacked, svg("rect", { x: LEFT + at * width, y: TOP, width, height: BOTTOM - TOP, class: "hit" },
      svg("title", {}, `${label}: ${told}`)));
  });
  return plotted(title, Math.max(...sums), show, labels, width, drawn, parts);
}

// Lines, broken where nothing was measured.
export function lines(title, labels, parts, show) {
  const width = (WIDTH - LEFT) / labels.length;
  const most = Math.max(...parts.flatMap((part) => part.values.map((value) => value || 0)));
  const drawn = (y) => parts.map((part) => {
    const x = (at) => LEFT + (at + 0.5) * width;
    let path = "";
    part.values.forEach((value, at) => {
      if (value === null || value === undefined) return;
      const before = at ? part.values[at - 1] : null;
      path += `${before === null || before === undefined ? "M" : "L"}${x(at).toFixed(1)} ${y(value).toFixed(1)} `;
    });
    const dots = part.values.map((value, at) => (value === null || value === undefined ? null
      : svg("circle", { cx: x(at), cy: y(value), r: 2.5, class: `fill-${part.fill}` },
        svg("title", {}, `${labels[at]}: ${part.name} ${show(value)}`))));
    return svg("g", {}, svg("path", { d: path, class: `line line-${part.fill}` }), dots);
  });
  return plotted(title, most, show, labels, width, drawn, parts);
}

function plotted(title, most, show, labels, width, drawn, parts) {
  if (!(most > 0)) return el("p", { class: "soft" }, `${title}: nothing in this period.`);
  const rows = labels.map((label, at) => [label, ...parts.map((part) => {
    const value = part.values[at];
    return value === null || value === undefined ? "-" : show(value);
  })]).filter((row) => row.slice(1).some((cell) => cell !== "-"));
  return el("div", {}, el("h3", {}, title),
    frame(title, most, show, labels, width, drawn, parts),
    el("details", {}, el("summary", { class: "soft" }, "as a table"),
      table(title, ["time", ...parts.map((part) => [part.name, "number"])], rows)));
}
