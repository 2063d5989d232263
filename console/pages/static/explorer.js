// The Explorer: cells that are clicked or boxed, and links, change the address; the page's parts
// that follow from it are read again.

import {json, page, show} from "./api.js";
import {refresh, replace} from "./live.js";

const PARTS = "[data-part]";
let asked = 0, controller = null;

/** Go to a state of this page: read its parts, without loading the page again. */
async function go(url, {push = true} = {}) {
  const mine = ++asked;
  controller?.abort();
  controller = new AbortController();
  document.body.setAttribute("aria-busy", "true");
  try {
    const next = await page(url, {signal: controller.signal});
    if (mine !== asked) return;
    if (push) history.pushState(null, "", url);
    replace(next, PARTS);
    const filters = next.getElementById("filters");
    if (filters) document.getElementById("filters").replaceChildren(...document.importNode(filters, true).childNodes);
  } catch (error) {
    show(error);
  } finally {
    if (mine === asked) document.body.removeAttribute("aria-busy");
  }
}

const lanes = () => JSON.parse(document.getElementById("lane-names")?.textContent ?? "null");
const instant = (ms) => new Date(ms).toISOString();

/** Choose lanes (none: all of them) and a stretch of time. */
function choose(names, begin, end) {
  const url = new URL(location.href);
  url.searchParams.delete("lane");
  for (const name of names) url.searchParams.append("lane", name);
  url.searchParams.set("from", instant(begin));
  url.searchParams.set("to", instant(end));
  go(url);
}

// What a box says is a time as the clock here says it.
const clock = (text) => new Date(String(text).replace(" ", "T")).getTime();

function boxed(range) {
  const {names, starts, width} = lanes();
  if (!range?.x) return;
  const [a, b] = range.x.map(clock).sort((x, y) => x - y);
  const first = starts.findLast((start) => start <= a) ?? starts[0];
  const last = starts.findLast((start) => start < b) ?? starts.at(-1);
  const rows = range.y ? range.y.map(Number).sort((x, y) => x - y) : null;
  // A lane's number is the middle of it.
  const chosen = rows ? names.filter((_, n) => n + .5 > rows[0] && n - .5 < rows[1]) : [];
  choose(chosen, first, last + width);
}

document.addEventListener("telltale:drawn", (event) => {
  const plot = event.detail;
  const id = event.target.id;
  if (plot.dataset.heard || (id !== "lanes" && id !== "over-time")) return;
  plot.dataset.heard = "1";
  plot.on("plotly_click", ({points: [point]}) => {
    const {names, width} = lanes();
    const told = point.customdata;
    if (id === "over-time") choose([], told, told + width);
    else if (told) choose(told[0] < 0 ? [] : [names[told[0]]], told[1], told[1] + width);
  });
  plot.on("plotly_selected", (chosen) => { if (chosen?.range) boxed(chosen.range); });
});

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-go]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  go(link.href);
});
document.addEventListener("keydown", (event) => {
  const button = event.target.closest?.('a[role="button"]');
  if (button && event.key === " ") { event.preventDefault(); button.click(); }
});
addEventListener("popstate", () => go(location.href, {push: false}));

document.getElementById("filters").addEventListener("change", (event) => {
  const form = event.currentTarget;
  const given = new FormData(form);
  // Another time, or another kind of lane: what was chosen is no longer there.
  if (event.target.name === "last") { given.delete("since"); given.delete("until"); }
  const keep = ["sort", "top"].includes(event.target.name);
  const query = new URLSearchParams([...given].filter(([, value]) => value !== ""));
  if (keep) for (const name of ["lane", "from", "to"]) {
    for (const value of new URL(location.href).searchParams.getAll(name)) query.append(name, value);
  }
  go(new URL(`${form.getAttribute("action")}?${query}`, location.href));
});

refresh({least: 4000, most: 20000});

// Finding a profile: instant, by any part of its id; arrows choose, Enter opens.
const field = document.getElementById("finder");
const list = document.getElementById("finder-found");
let typed = 0, at = -1;

function close() {
  list.hidden = true;
  field.setAttribute("aria-expanded", "false");
  field.removeAttribute("aria-activedescendant");
  at = -1;
}

function point(number) {
  const items = [...list.children];
  if (!items.length) return;
  at = (number + items.length) % items.length;
  items.forEach((item, n) => item.setAttribute("aria-selected", String(n === at)));
  field.setAttribute("aria-activedescendant", items[at].id);
  items[at].scrollIntoView({block: "nearest"});
}

field.addEventListener("input", async () => {
  const mine = ++typed;
  const text = field.value.trim();
  if (!text) { close(); return; }
  try {
    const {items} = await json("GET", `/api/v1/profiles/search?${new URLSearchParams({q: text})}`);
    if (mine !== typed) return;
    list.replaceChildren(...items.map((each, n) => {
      const item = document.createElement("li");
      item.id = `found-${n}`;
      item.role = "option";
      item.dataset.path = `/ui/profiles/${encodeURIComponent(each.kind)}/${encodeURIComponent(each.profile_id)}`;
      const name = document.createElement("bdi");
      name.textContent = each.profile_id;
      const kind = document.createElement("span");
      kind.className = "quiet small";
      kind.textContent = `${each.kind}, ${each.state}`;
      item.append(name, kind);
      return item;
    }));
    at = -1;
    list.hidden = !items.length;
    field.setAttribute("aria-expanded", String(items.length > 0));
  } catch (error) { show(error); }
});
field.addEventListener("keydown", (event) => {
  if (event.key === "Escape") close();
  else if (event.key === "ArrowDown") point(at + 1);
  else if (event.key === "ArrowUp") point(at - 1);
  else if (event.key === "Enter") {
    const item = list.children[Math.max(0, at)];
    if (item && !list.hidden) location.assign(item.dataset.path);
  } else return;
  if (event.key !== "Escape") event.preventDefault();
});
list.addEventListener("pointerdown", (event) => {
  const item = event.target.closest("li");
  if (item) location.assign(item.dataset.path);
});
field.addEventListener("blur", close);
