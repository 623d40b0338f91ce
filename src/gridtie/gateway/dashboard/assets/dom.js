// Elements by functions, and showing new ones in the place of old ones without losing focus, selection or place.
// Text is only ever text: nothing that a client named is read as HTML.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((each) => each !== null && each !== undefined && each !== ""));
  return node;
}

export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

export const byId = (id) => document.getElementById(id);

// `data-key` says which element is the same as before; without it the place does.
export function show(parent, ...nodes) {
  const fresh = nodes.flat(Infinity).filter((each) => each !== null && each !== undefined && each !== "");
  const keyed = new Map();
  for (const child of parent.children) if (child.dataset && child.dataset.key) keyed.set(child.dataset.key, child);
  fresh.forEach((node, at) => {
    const wanted = typeof node === "string" ? document.createTextNode(node) : node;
    const key = wanted.dataset && wanted.dataset.key;
    const there = parent.childNodes[at];
    const same = key ? keyed.get(key) : there;
    if (same && alike(same, wanted)) {
      if (same !== there) parent.insertBefore(same, there);
      update(same, wanted);
    } else {
      parent.insertBefore(wanted, there || null);
    }
  });
  while (parent.childNodes.length > fresh.length) parent.lastChild.remove();
}

function alike(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) return false;
  return old.nodeType !== Node.ELEMENT_NODE || (old.dataset.key || "") === (fresh.dataset.key || "");
}

function update(old, fresh) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name); // what a person has opened stays open
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  show(old, ...fresh.childNodes);
}

export function cards(...rows) {
  return el("div", { class: "cards" }, rows.filter(Boolean).map(([name, value, kind]) =>
    el("div", { class: "card" }, el("b", { class: kind || null }, value), el("span", {}, name))));
}

// `head`: names, or [name, "number"]; `rows`: arrays of cells, or {key, cells}.
export function table(caption, head, rows) {
  const numbers = head.map((each) => Array.isArray(each));
  const names = head.map((each) => (Array.isArray(each) ? each[0] : each));
  return el("div", { class: "wide", tabindex: 0, role: "region", "aria-label": caption },
    el("table", {},
      el("thead", {}, el("tr", {}, names.map((name, at) =>
        el("th", { scope: "col", class: numbers[at] ? "number" : null }, name)))),
      el("tbody", {}, rows.map((row) => {
        const [key, cells] = Array.isArray(row) ? [null, row] : [row.key, row.cells];
        return el("tr", { "data-key": key }, cells.map((cell, at) => (at
          ? el("td", { class: numbers[at] ? "number" : null }, cell)
          : el("th", { scope: "row" }, cell))));
      }))));
}

export const soft = (...text) => el("p", { class: "soft" }, ...text);
export const notice = (...text) => el("p", { class: "notice", role: "alert" }, ...text);

// A bar for a share between 0 and 1; its words stand beside it.
export function bar(share, kind) {
  const width = Math.max(0, Math.min(1, share || 0)) * 100;
  return svg("svg", { class: "bar", viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { width, height: 6, class: `fill-${kind}` }));
}
