// How fast answers come: now by the requests in flight, over a period by the ledger.

import { byId, cards, el, notice, show, soft, table } from "./dom.js";
import { count, rate, seconds } from "./format.js";
import { lines } from "./plot.js";
import { labels, values } from "./series.js";

let pace = null;
let past = null;
let wrong = "";

export function now(tokens) {
  pace = tokens;
  draw();
}

export function forget() {
  pace = null;
  past = null;
  wrong = "";
}

export function of(history, error) {
  past = history || past;
  wrong = error || "";
  draw();
}

function draw() {
  const local = past && past.speed.find((row) => row.group === "local");
  const cloud = past && past.speed.find((row) => row.group === "cloud");
  const reading = past ? null : "…";
  const show2 = (row, value) => reading || (row ? value(row) : "-");
  show(byId("speed"),
    wrong ? notice(wrong) : null,
    cards(
      ["tokens a second being answered now", pace === null ? "…" : rate(pace)],
      ["tokens a second of one answer, local", show2(local, (row) => rate(row.output_tokens_per_second))],
      ["prompt tokens a second, until the first of the answer", reading || rate(past.prompt_tokens_per_second)],
      ["to the first token, local: half of them", show2(local, (row) => seconds(row.first_token_p50))],
      ["to the first token, local: 95 of 100", show2(local, (row) => seconds(row.first_token_p95))],
      cloud ? ["to the first token, clouds: half of them", seconds(cloud.first_token_p50)] : null,
    ),
    past ? drawn() : soft("Reading the ledger."));
}

function drawn() {
  if (!past.series.length) return soft("No answer in this period.");
  return el("div", { class: "side" },
    lines("Seconds to the first token", labels(past), [
      { name: "half of them", fill: "local", values: values(past, "first_token_p50") },
      { name: "95 of 100", fill: "cloud", values: values(past, "first_token_p95") },
    ], seconds),
    past.speed_by_model.length ? table("Speed by model", ["model", ["answers", "number"], ["first token, half", "number"],
      ["95 of 100", "number"], ["tokens a second", "number"]], past.speed_by_model.map((row) => ({ key: row.group, cells: [
      row.group, count(row.answers), seconds(row.first_token_p50), seconds(row.first_token_p95),
      rate(row.output_tokens_per_second)] }))) : null);
}
