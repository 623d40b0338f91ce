// Asking the router. The session is in a cookie that no script can read.

const BASE = "/dashboard/";

export class Declined extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

async function declined(response) {
  const body = await response.json().catch(() => ({}));
  const error = body.error || {};
  return new Declined(response.status, error.code || "", error.message || `the router answered ${response.status}`);
}

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(BASE + path, { credentials: "same-origin", cache: "no-store", ...options });
  } catch {
    throw new Declined(0, "unreachable", "the router does not answer");
  }
  if (!response.ok) throw await declined(response);
  return response;
}

export const get = async (path) => (await ask(path)).json();

export const send = async (method, path, body) => (await ask(path, {
  method, headers: { "content-type": "application/json" }, body: JSON.stringify(body),
})).json();

// Server-sent events by fetch, which, unlike EventSource, tells why there are none. Calls `take` with (event, data)
// until the stream ends.
export async function events(path, signal, take) {
  const response = await ask(path, { signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let left = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    left += value;
    const parts = left.split("\n\n");
    left = parts.pop();
    for (const part of parts) {
      const lines = part.split("\n");
      const field = (name) => lines.filter((line) => line.startsWith(`${name}: `))
        .map((line) => line.slice(name.length + 2)).join("\n");
      const data = field("data");
      if (data) take(field("event") || "message", JSON.parse(data));
    }
  }
}
