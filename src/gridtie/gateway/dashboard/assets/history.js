// The panels of a period, by the ledger: money, shares, trouble, who and what.

import { bar, byId, cards, el, notice, show, soft, table } from "./dom.js";
import { count, money, percent } from "./format.js";
import { columns } from "./plot.js";
import { labels, values } from "./series.js";

const PANELS = ["money", "share", "trouble", "leading"];

export function draw(history) {
  show(byId("money"), ...spent(history));
  show(byId("share"), ...share(history));
  show(byId("trouble"), ...trouble(history));
  show(byId("leading"), ...leading(history));
}

// What was drawn before stays, under what went wrong.
export function fail(message) {
  for (const id of PANELS) {
    const panel = byId(id);
    const before = [...panel.childNodes].filter((each) => !(each.classList && each.classList.contains("notice")));
    show(panel, notice(message), ...before.map((each) => each.cloneNode(true)));
  }
}

// -- money ----------------------------------------------------------------------------------------------------------

function spent(history) {
  const { money: line, totals } = history;
  const nothing = !totals.requests;
  const electricity = (line.electricity_usd || 0) + (line.idle_usd || 0);
  const names = history.named.filter((row) => row.baseline_usd !== null);
  const baselines = [...new Set(names.map((row) => row.baseline))].join(", ") || "none";
  const dates = [...new Set(names.map((row) => row.price_date).filter(Boolean))].join(", ");
  const kind = line.net_usd === null ? null : line.net_usd >= 0 ? "good" : "bad";
  return [
    cards(
      ["spent at clouds", nothing ? money(0) : money(line.cloud_usd)],
      ["avoided list price, quality unknown", nothing ? money(0) : money(totals.avoided_usd)],
      [`electricity, ${line.electricity_status}`, money(electricity)],
      line.amortisation_usd ? ["the hardware's amortisation", money(line.amortisation_usd)] : null,
      ["net against the baseline", nothing ? money(0) : money(line.net_usd), nothing ? null : kind],
    ),
    nothing ? soft("No request of this period is metered; the tool's own traffic is in no figure.") : [
      soft(`Baseline: the same tokens on ${baselines}, ${money(line.baseline_usd)} at the list prices of ${dates || "no known date"}.`,
        line.net_usd !== null && line.net_usd < 0 ? " It would have been cheaper." : ""),
      el("div", { class: "side" },
        columns("Dollars over time", labels(history), [
          { name: "clouds", fill: "cloud", values: values(history, "cost_usd") },
          { name: "avoided", fill: "local", values: avoided(history) },
        ], money),
        el("div", {}, el("h3", {}, "How sure the money is"), table("How sure the money is", ["money is", ["requests", "number"],
          ["clouds", "number"], ["baseline", "number"]], history.confidence.map((row) => ({ key: row.confidence, cells: [
          row.confidence, count(row.requests), money(row.cloud_usd), money(row.baseline_usd)] }))))),
    ],
  ];
}

function avoided(history) {
  const costs = values(history, "cost_usd");
  return values(history, "baseline_usd").map((value, at) => (value === null ? null : Math.max(0, value - (costs[at] || 0))));
}

// -- local share ----------------------------------------------------------------------------------------------------

function share(history) {
  const totals = history.totals;
  if (!totals.requests) return [soft("Nothing was asked in this period.")];
  const rows = [["of the dollars of the baseline", totals.local_share_usd], ["of requests that were answered", totals.local_share_requests],
    ["of tokens", totals.local_share_tokens]];
  return [el("div", { class: "side" },
    el("div", {}, rows.map(([name, value]) => el("p", {}, el("b", {}, percent(value)), ` ${name}`, bar(value, "local")))),
    columns("Requests over time", labels(history), [
      { name: "local", fill: "local", values: values(history, "local") },
      { name: "cloud", fill: "cloud", values: values(history, "cloud") },
      { name: "not answered", fill: "bad", values: values(history, "unanswered") },
    ], count))];
}

// -- trouble --------------------------------------------------------------------------------------------------------

function trouble(history) {
  const totals = history.totals;
  return [
    cards(
      ["answered", count(totals.answered)],
      ["refused", count(totals.refused), totals.refused ? "bad" : null],
      ["failed", count(totals.failed), totals.failed ? "bad" : null],
      ["interrupted", count(totals.interrupted), totals.interrupted ? "bad" : null],
      ["cancelled", count(totals.cancelled)],
      ["private requests at a cloud", count(totals.private_cloud), totals.private_cloud ? "bad" : "good"],
    ),
    totals.private_cloud ? notice(`Private requests reached a cloud: ${history.private_at_a_cloud.map((row) => row.id).join(", ")}`) : null,
    el("div", { class: "side" },
      history.fallbacks.length ? el("div", {}, el("h3", {}, "Answered by something else"), table("Fallbacks",
        ["meant for", "why not", "answered by", ["requests", "number"]], history.fallbacks.map((row) => ({
          key: `${row.meant_for} ${row.reason} ${row.answered_by}`,
          cells: [row.meant_for, row.reason, row.answered_by, count(row.requests)] }))))
        : soft("No fallback: what was meant to answer did."),
      history.unanswered.length ? el("div", {}, el("h3", {}, "Not answered whole"), table("Not answered whole",
        ["reason", ["refused", "number"], ["failed", "number"], ["interrupted", "number"], ["cancelled", "number"]],
        history.unanswered.map((row) => ({ key: row.reason, cells: [row.reason, count(row.refused), count(row.failed),
          count(row.interrupted), count(row.cancelled)] }))))
        : soft("Everything was answered whole.")),
  ];
}

// -- who and what ---------------------------------------------------------------------------------------------------

function leading(history) {
  const names = [["key", "Keys"], ["agent", "Agents"], ["model", "Models"], ["environment", "Environments"]];
  if (!history.totals.requests) return [soft("Nothing was asked in this period.")];
  return [el("div", { class: "side" }, names.map(([name, title]) => el("div", {}, el("h3", {}, title),
    table(title, [name, ["requests", "number"], ["tokens", "number"], ["clouds", "number"], ["avoided", "number"]],
      history.by[name].map((row) => ({ key: row.group, cells: [row.group, count(row.requests),
        count(row.input_tokens + row.output_tokens), money(row.cloud_usd), money(row.avoided_usd)] }))))))];
}
