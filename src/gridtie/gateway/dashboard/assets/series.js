// A period's rows over time: one for each step in which anything was asked, filled up to all of them.

import { clock, day } from "./format.js";

const steps = (history) => Math.max(1, Math.ceil((history.until - history.since) / history.step - 1e-6));

export function labels(history) {
  const show = history.period === "hour" || history.period === "day" ? clock : day;
  return Array.from({ length: steps(history) }, (_, at) => show(history.since + at * history.step));
}

export function values(history, name) {
  const found = new Map(history.series.map((row) => [row.at, row[name]]));
  return Array.from({ length: steps(history) }, (_, at) => (found.has(at) ? found.get(at) : null));
}
