// The panels of what is so now: station, requests in flight, budgets, machine. Drawn anew once a second.

import { send } from "./api.js";
import { bar, byId, cards, el, notice, show, soft, table } from "./dom.js";
import { bytes, clock, count, money, moment, percent, seconds } from "./format.js";
import * as speed from "./speed.js";

let latest = null;
// The request whose end has been asked for once, and is to be asked for again; not by a key that is held down.
let armed = "";
let armedAt = 0;
const HELD_MS = 500;

export function draw(now) {
  latest = now;
  show(byId("station"), ...station(now));
  show(byId("flight"), ...flight(now));
  show(byId("budgets"), ...budgets(now));
  show(byId("machine"), ...machine(now));
  speed.now(now.tokens_per_second);
}

export function forget() {
  latest = null;
  doctor = null;
  armed = "";
  byId("flight-said").textContent = "";
}

// -- station --------------------------------------------------------------------------------------------------------

let doctor = null;

// What the ledger says of the doctor comes with the history.
export function doctorSaid(found) {
  doctor = found;
  if (latest) show(byId("station"), ...station(latest));
}

function station(now) {
  const engine = now.engine;
  const models = now.targets.filter((each) => each.locality === "local");
  const up = models.filter((each) => each.ready).length;
  const said = doctor ? (doctor.answered ? "answered" : "not answered") : "not seen";
  return [
    cards(
      ["router", now.ready ? "ready" : "cannot serve", `badge ${now.ready ? "good" : "bad"}`],
      models.length ? ["local models that answer", `${up} of ${models.length}`, `badge ${up ? "good" : "bad"}`] : null,
      engine ? ["engine", `${engine.kind} ${engine.version}`.trim()] : ["engine", "none of its own"],
      [doctor ? `to the doctor, ${moment(doctor.time)}` : "by the doctor in 30 days", said,
        doctor && !doctor.answered ? "badge bad" : null],
      ["runs for", seconds(now.time - now.router.started)],
    ),
    now.reasons.map((reason) => notice(reason)),
    (now.router.problems || []).map((problem) => notice(`Configuration: ${problem}`)),
    now.targets.length ? table("Targets", ["target", "state", "in memory", ["on the card", "number"],
      ["context", "number"], ["busy", "number"], ["waiting", "number"]],
    now.targets.map((each) => ({ key: each.id, cells: target(each) }))) : soft("No model is configured."),
  ];
}

function target(each) {
  const state = !each.ready ? el("span", { class: "badge bad" }, "does not answer")
    : each.paused ? el("span", { class: "badge bad" }, `left alone for ${seconds(each.paused)} (${each.paused_by})`)
      : el("span", { class: "badge good" }, each.locality === "cloud" ? "asked when needed" : "answers");
  return [
    each.id,
    [state, each.error ? el("span", { class: "soft" }, each.error) : null],
    each.locality === "cloud" ? "at a cloud" : each.loaded === null ? "not known" : each.loaded
      ? (each.memory_bytes ? bytes(each.memory_bytes) : "yes") : "no",
    each.memory_bytes ? percent(each.card_bytes / each.memory_bytes) : "-",
    each.context ? count(each.context) : "-",
    each.slots ? `${each.in_flight} of ${each.slots}` : count(each.in_flight),
    count(each.waiting),
  ];
}

// -- in flight ------------------------------------------------------------------------------------------------------

function flight(now) {
  const local = now.targets.filter((each) => each.slots);
  const slots = local.reduce((sum, each) => sum + each.slots, 0);
  const taken = local.reduce((sum, each) => sum + each.in_flight, 0);
  const waiting = now.targets.reduce((sum, each) => sum + each.waiting, 0);
  return [
    cards(
      [now.admin ? "requests under way" : "of your requests under way", count(now.under_way)],
      ["waiting for a slot", count(waiting)],
      ["slots taken", slots ? `${taken} of ${slots}` : "no limit"],
      ["oldest", now.requests.length ? seconds(now.requests[0].age) : "-"],
      now.admin ? ["connections", count(now.router.connections)] : null,
    ),
    now.requests.length ? table("Requests in flight", ["request", "end it", "whose", "asked for", "at",
      ["age", "number"], ["tokens", "number"]], now.requests.map((each) => ({ key: each.id, cells: request(each) })))
      : soft("Nothing is under way."),
    now.under_way > now.requests.length ? soft(`${count(now.under_way - now.requests.length)} more are not shown.`) : null,
  ];
}

function request(each) {
  const whose = [each.key, each.environment, each.agent, each.private ? "private" : null].filter(Boolean);
  const again = armed === each.id;
  return [
    el("button", { type: "button", class: "link", "data-request": each.id }, each.id),
    el("button", { type: "button", class: "end", "data-end": each.id,
      "aria-label": `${again ? "Really end" : "End"} request ${each.id} of ${each.key}` }, again ? "Really end it" : "End"),
    whose.join(", "),
    each.asked || "the default",
    [each.target || "-", el("span", { class: "soft" }, `${each.phase}${each.attempts > 1 ? `, attempt ${each.attempts}` : ""}`)],
    seconds(each.age),
    count(each.tokens),
  ];
}

export function listen() {
  byId("flight").addEventListener("click", (event) => {
    const button = event.target.closest("[data-end]");
    if (button) end(button.dataset.end);
  });
  // Whoever looks elsewhere has thought better of it.
  byId("flight").addEventListener("focusout", () => { armed = ""; });
}

async function end(id) {
  if (armed !== id) {
    armed = id;
    armedAt = performance.now();
    if (latest) show(byId("flight"), ...flight(latest));
    return;
  }
  if (performance.now() - armedAt < HELD_MS) return;
  armed = "";
  try {
    await send("POST", "cancel", { id });
    byId("flight-said").textContent = `Request ${id} was ended.`;
  } catch (error) {
    byId("flight-said").textContent = error.message;
  }
}

// -- budgets --------------------------------------------------------------------------------------------------------

function budgets(now) {
  if (!now.budgets.length) {
    return [soft(now.admin ? "No budget is set, neither in the routing file nor with a key." : "Your key has no budget of its own.")];
  }
  return [table("Budgets", ["budget", "used", ["spent", "number"], ["reserved", "number"], ["left", "number"], "at this pace"],
    now.budgets.map((each) => ({ key: each.name, cells: [
      [each.of_key ? `key ${each.name}` : each.name, el("span", { class: "soft" }, `${money(each.usd)} a ${each.period}`)],
      [percent(1 - each.left / each.usd), bar(1 - each.left / each.usd, each.left > 0.2 * each.usd ? "local" : "bad")],
      money(each.spent), money(each.reserved), money(each.left), pace(each, now.time),
    ] })))];
}

function pace(budget, now) {
  if (budget.left <= 0) return el("span", { class: "badge bad" }, `used up until ${moment(budget.ends)}`);
  if (budget.lasts_until === null || budget.lasts_until >= budget.ends) return "lasts";
  const when = budget.lasts_until - now < 86400 ? clock(budget.lasts_until) : moment(budget.lasts_until);
  return el("span", { class: "badge bad" }, `used up at ${when}`);
}

// -- machine --------------------------------------------------------------------------------------------------------

function machine(now) {
  const found = now.machine;
  const celsius = (value) => (value === null || value === undefined ? null : `${Math.round(value)} °C`);
  const models = now.targets.filter((each) => each.own && (each.predicted_bytes || each.memory_bytes));
  const used = found.memory_bytes && found.available_bytes ? found.memory_bytes - found.available_bytes : null;
  return [
    cards(
      ["memory in use", used === null ? "unknown" : `${bytes(used)} of ${bytes(found.memory_bytes)}`],
      ["processor", celsius(found.processor_celsius) || "not measured"],
      ["graphics card", celsius(found.card_celsius) || "not measured"],
      ["the card draws", found.card_watts === null || found.card_watts === undefined ? "not measured" : `${Math.round(found.card_watts)} W`],
    ),
    models.length ? table("Memory of models against the prediction", ["model", ["predicted", "number"],
      ["in memory", "number"], ["margin", "number"]], models.map((each) => ({ key: each.id, cells: [
      each.id, each.predicted_bytes ? bytes(each.predicted_bytes) : "-", each.memory_bytes ? bytes(each.memory_bytes) : "-",
      each.predicted_bytes && each.memory_bytes ? percent(1 - each.memory_bytes / each.predicted_bytes) : "-",
    ] }))) : null,
    soft("Seen from the router; of NVIDIA's cards by the machine's service ", el("code", {}, "gridtie-readings"), "."),
  ];
}
