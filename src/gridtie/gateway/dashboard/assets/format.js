// Numbers as people read them, the same as the report's.

const UNKNOWN = "unknown";

export const count = (value) => (value === null || value === undefined ? UNKNOWN : Math.round(value).toLocaleString("en"));

export function money(value) {
  if (value === null || value === undefined) return UNKNOWN;
  const size = Math.abs(value);
  const places = size >= 1 || !size ? 2 : size >= 0.01 ? 4 : 6;
  const told = size.toLocaleString("en", { minimumFractionDigits: places, maximumFractionDigits: places });
  return `${value < 0 ? "-" : ""}$${told}`;
}

export const percent = (share) => (share === null || share === undefined ? UNKNOWN : `${(share * 100).toFixed(1)} %`);

export function seconds(value) {
  if (value === null || value === undefined) return UNKNOWN;
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  if (value < 100) return `${value.toFixed(1)} s`;
  if (value < 7200) return `${Math.round(value / 60)} min`;
  return value < 172800 ? `${(value / 3600).toFixed(1)} h` : `${Math.round(value / 86400)} days`;
}

export function rate(value) {
  return value === null || value === undefined ? UNKNOWN : value < 10 ? value.toFixed(1) : count(value);
}

export function bytes(value) {
  return value === null || value === undefined ? UNKNOWN : `${(value / 2 ** 30).toFixed(value < 10 * 2 ** 30 ? 1 : 0)} GiB`;
}

export const clock = (time) => new Date(time * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

export const moment = (time) => new Date(time * 1000).toLocaleString([],
  { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

export const day = (time) => new Date(time * 1000).toLocaleDateString([], { month: "short", day: "numeric" });
