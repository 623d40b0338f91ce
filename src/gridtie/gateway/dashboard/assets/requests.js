// The last panel: rows of the ledger, filtered; one of them in words; files to take away.

import { get } from "./api.js";
import { byId, el, notice, show, soft, table } from "./dom.js";
import { count, money, moment, seconds } from "./format.js";

const EVERY_MS = 10000;
const GROUPED = ["key", "agent", "model", "environment"];
let period = "day";
let before = "";
let asked = 0;
let waiting = null;

export function listen() {
  const form = byId("filters");
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(first, 300);
  });
  form.addEventListener("reset", () => setTimeout(first, 0));
  byId("requests").addEventListener("click", (event) => {
    const page = event.target.closest("[data-before]");
    if (page) {
      before = page.dataset.before;
      load();
    }
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-request]");
    if (button) tell(button.dataset.request);
  });
  setInterval(() => {
    // The newest are kept new; whoever has turned the page is left where he is.
    if (!document.hidden && !before && !byId("panels").hidden) load();
  }, EVERY_MS);
}

export function of(name) {
  period = name;
  first();
}

export function forget() {
  asked += 1;
  before = "";
  clearTimeout(waiting);
  for (const name of GROUPED) show(byId("filters").elements[name], el("option", { value: "" }, "all"));
  byId("request").close();
  show(byId("request-told"));
}

// The names that there were in the period, to choose from.
export function names(history) {
  for (const name of GROUPED) {
    const select = byId("filters").elements[name];
    const chosen = select.value;
    const found = history.by[name].map((row) => row.group);
    if (chosen && !found.includes(chosen)) found.push(chosen);
    show(select, el("option", { value: "" }, "all"), ...found.map((each) => el("option", { value: each }, each)));
    select.value = chosen;
  }
}

function first() {
  before = "";
  load();
}

function query() {
  const chosen = new URLSearchParams({ period });
  for (const [name, value] of new FormData(byId("filters"))) if (value) chosen.set(name, value);
  return chosen;
}

async function load() {
  const chosen = query();
  byId("as-csv").href = `/dashboard/requests.csv?${chosen}`;
  byId("as-json").href = `/dashboard/requests.json?${chosen}`;
  if (before) chosen.set("before", before);
  asked += 1;
  const mine = asked;
  try {
    const found = await get(`requests?${chosen}`);
    if (mine === asked) draw(found);
  } catch (error) {
    if (mine === asked) show(byId("requests"), notice(error.message));
  }
}

function draw({ requests, older }) {
  show(byId("requests"),
    requests.length ? table("Requests", ["time", "whose", "asked for", "answered by", "became", ["tokens in", "number"],
      ["out", "number"], ["first token", "number"], ["took", "number"], ["cost", "number"]],
    requests.map((row) => ({ key: row.id, cells: cells(row) }))) : soft("No request of this period is like that."),
    el("p", {}, before ? el("button", { type: "button", "data-before": "" }, "Newest") : null, " ",
      older ? el("button", { type: "button", "data-before": older }, "Older") : null));
}

function cells(row) {
  const whose = [row.key, row.environment, row.agent === "(none)" ? null : row.agent, row.private ? "private" : null,
    row.purpose || null].filter(Boolean);
  const well = row.outcome === "answered";
  return [
    el("button", { type: "button", class: "link", "data-request": row.id, "aria-label": `Request ${row.id}` }, moment(row.time)),
    whose.join(", "),
    row.asked || "the default",
    [row.locality ? row.model : "-", row.tries.length > 1 ? el("span", { class: "soft" }, `attempt ${row.tries.length}`) : null],
    [el("span", { class: `badge ${well ? "good" : "bad"}` }, row.outcome), row.code ? el("span", { class: "soft" }, row.code) : null],
    count(row.input_tokens),
    [count(row.output_tokens), row.estimated ? " (estimated)" : null],
    row.first_token === null ? "-" : seconds(row.first_token),
    seconds(row.duration),
    money(row.cost_usd),
  ];
}

// -- one of them ----------------------------------------------------------------------------------------------------

async function tell(id) {
  byId("request-title").textContent = `Request ${id}`;
  show(byId("request-told"), soft("Looking it up."));
  if (!byId("request").open) byId("request").showModal();
  try {
    show(byId("request-told"), ...told(await get(`requests/${encodeURIComponent(id)}`)));
  } catch (error) {
    show(byId("request-told"), notice(error.message));
  }
}

function told(found) {
  const row = found.request;
  const facts = [["key", row.key], ["environment", row.environment], ["agent", row.agent], ["asked for", row.asked || "the default"],
    ["tags", (row.tags || []).join(", ")], ["answered by", row.target]];
  if (!found.under_way) {
    facts.push(["time", moment(row.time)], ["took", seconds(row.duration || 0)],
      ["first token", row.first_token === undefined || row.first_token === null ? null : seconds(row.first_token)],
      ["tokens", `${count(row.input_tokens || 0)} in (${count(row.cached_tokens || 0)} cached), ${count(row.output_tokens || 0)} out${row.estimated ? ", estimated" : ""}`],
      ["cost", money(row.cost_usd === undefined ? null : row.cost_usd)],
      ["on the baseline", row.baseline ? `${money(row.baseline_usd)} on ${row.baseline}, prices of ${row.price_date}` : "compared with nothing"]);
  }
  return [listed(facts.filter(([, value]) => value)),
    el("h3", {}, "What happened"), found.happened.length ? listed(found.happened) : soft("Its first attempt is under way."),
    el("h3", {}, "The decision"), soft(found.basis), listed(found.decided)];
}

const listed = (lines) => el("dl", { class: "told" }, lines.map(([name, said]) => [el("dt", {}, name), el("dd", {}, said)]));
