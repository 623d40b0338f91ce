// Signs in, and keeps the panels told: what is so now by a stream, a period by asking again and again.

import { events, get, send } from "./api.js";
import { byId, show, soft } from "./dom.js";
import * as past from "./history.js";
import * as now from "./now.js";
import * as requests from "./requests.js";
import * as speed from "./speed.js";

// How often a period is asked for: as long as the router's answer stands.
const EVERY_MS = { hour: 5000, day: 15000, week: 60000, month: 120000 };
const LONGEST_PAUSE_MS = 15000;
let stream = null;
let pause = 1000;
let timer = null;
let asked = 0;

const period = () => new FormData(byId("period")).get("period");

function say(text, kind) {
  const state = byId("state");
  if (state.textContent !== text) state.textContent = text;
  state.className = kind ? `badge ${kind}` : "";
}

// -- signing in -----------------------------------------------------------------------------------------------------

function code(text) {
  const found = text.trim().match(/(?:code=)?([A-Za-z0-9_-]{20,64})$/);
  return found ? found[1] : "";
}

async function begin() {
  const given = code(location.hash);
  // Out of the address and of the history, whether it opens anything or not.
  if (location.hash.includes("code=")) history.replaceState(null, "", "/dashboard");
  try {
    look(given ? await send("POST", "session", { code: given }) : await get("session"));
  } catch (error) {
    if (given) byId("code-wrong").textContent = error.message;
    signedOut(error);
  }
}

// Nothing of who was signed in before is left for who comes next.
function forget() {
  rest();
  asked += 1; // an answer that is on its way is nobody's
  for (const part of [now, speed, requests]) part.forget();
  for (const panel of document.querySelectorAll("#panels section > div")) show(panel, soft("Reading the ledger."));
}

function look(who) {
  forget();
  byId("sign-in").hidden = true;
  byId("code-wrong").textContent = "";
  for (const id of ["panels", "period", "who"]) byId(id).hidden = false;
  byId("who").firstElementChild.textContent = who.admin ? `${who.name}, sees all` : `${who.name}, sees his own`;
  wake();
  requests.of(period());
}

function signedOut(error) {
  forget();
  for (const id of ["panels", "period", "who"]) byId(id).hidden = true;
  byId("sign-in").hidden = false;
  if (error && error.status === 401) say("Not signed in.");
  else if (error) say(error.message, "bad");
  byId("code").focus();
}

// -- what is so now -------------------------------------------------------------------------------------------------

async function watch() {
  const mine = new AbortController();
  stream = mine;
  try {
    await events("live", mine.signal, (event, data) => {
      if (event === "signed-out") {
        signedOut({ status: 401 });
        return;
      }
      pause = 1000;
      say(data.ready ? "Live." : "Live. The station cannot serve.", data.ready ? "good" : "bad");
      now.draw(data);
    });
    // A stream ends after some minutes, and another begins.
    again(mine, "", 200);
  } catch (error) {
    if (error.status === 401) signedOut(error);
    else again(mine, error.message || "the router does not answer", pause);
  }
}

function again(mine, why, wait) {
  if (stream !== mine || mine.signal.aborted) return;
  if (why) {
    pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
    say(`Not live: ${why}; asked again in ${Math.round(wait / 1000)} s.`, "bad");
  }
  setTimeout(() => { if (stream === mine) watch(); }, wait);
}

// -- a period -------------------------------------------------------------------------------------------------------

async function read() {
  clearTimeout(timer);
  const name = period();
  asked += 1;
  const mine = asked;
  try {
    const found = await get(`history?period=${name}`);
    if (mine !== asked) return;
    past.draw(found);
    speed.of(found);
    now.doctorSaid(found.doctor);
    requests.names(found);
  } catch (error) {
    if (mine !== asked) return;
    if (error.status === 401) {
      signedOut(error);
      return;
    }
    past.fail(error.message);
    speed.of(null, error.message);
  }
  if (stream) timer = setTimeout(read, EVERY_MS[name]);
}

// -- only while somebody looks --------------------------------------------------------------------------------------

function wake() {
  if (stream || byId("panels").hidden || document.hidden) return;
  watch();
  read();
}

function rest() {
  if (stream) stream.abort();
  stream = null;
  clearTimeout(timer);
}

document.addEventListener("visibilitychange", () => (document.hidden ? rest() : wake()));
byId("period").addEventListener("change", () => {
  read();
  requests.of(period());
});
byId("sign-out").addEventListener("click", async () => {
  await send("DELETE", "session", {}).catch(() => {});
  signedOut({ status: 401 });
});
byId("code-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  byId("code-wrong").textContent = "";
  try {
    look(await send("POST", "session", { code: code(byId("code").value) }));
    byId("code").value = "";
    byId("panels").focus();
  } catch (error) {
    byId("code-wrong").textContent = error.message;
  }
});
// Another address of `gridtie dashboard` in the same tab changes what is behind the # alone.
window.addEventListener("hashchange", () => { if (location.hash.includes("code=")) begin(); });
now.listen();
requests.listen();
begin();
