// The table of anomalies: move, open, label, each by one key; all requests in their order.

import {call, json, page, say, show} from "./api.js";
import {follow} from "./live.js";
import {localise} from "./times.js";

const table = document.getElementById("anomalies");
const body = document.getElementById("rows");
const labels = table && "labels" in table.dataset;
const progress = document.getElementById("progress");
const rows = () => [...body.querySelectorAll("tr[data-verdict]")];
const done = [];
let current = null, more = body?.dataset.more || null, loading = null, queue = Promise.resolve(), judged = 0;

function address(verdict) {
  const url = new URL(location.href);
  if (verdict) url.searchParams.set("open", verdict);
  else url.searchParams.delete("open");
  history.replaceState(null, "", url);
}

function select(row, scroll = true) {
  if (!row) return;
  current?.removeAttribute("aria-current");
  current = row;
  row.setAttribute("aria-current", "true");
  const button = row.querySelector("[data-open-row]");
  button.focus({preventScroll: true});
  if (scroll) row.scrollIntoView({block: "nearest"});
  const left = rows().length - rows().indexOf(row);
  if (left < 12) load();
}

/** The next page's rows, put below these. */
function load() {
  if (!more || loading) return loading;
  loading = (async () => {
    try {
      const next = await page(more);
      const found = next.getElementById("rows");
      more = found?.dataset.more || null;
      localise(next);
      body.append(...document.importNode(found, true).children);
      document.getElementById("shown").textContent = `${rows().length} shown${more ? "" : ", no older ones"}`;
      const link = document.getElementById("more");
      if (more) link.href = more;
      else link?.remove();
    } catch (error) {
      show(error);
    } finally {
      loading = null;
    }
  })();
  return loading;
}

async function step(by) {
  if (!current) { select(rows()[0]); return; }
  const next = () => rows()[rows().indexOf(current) + by];
  if (!next() && by > 0) await load();
  select(next() ?? current);
}

const detail = (row) => row.nextElementSibling?.classList.contains("detail") ? row.nextElementSibling : null;

function close(row) {
  detail(row)?.remove();
  row.querySelector("[data-open-row]").setAttribute("aria-expanded", "false");
  address(null);
}

/** Explanation and raw records, side by side: neither waits for the other. */
function open(row) {
  const id = encodeURIComponent(row.dataset.verdict);
  const cell = document.createElement("td");
  cell.colSpan = row.children.length;
  const made = document.createElement("tr");
  made.className = "detail";
  made.append(cell);
  row.after(made);
  row.querySelector("[data-open-row]").setAttribute("aria-expanded", "true");
  address(row.dataset.verdict);
  const parts = [["why", "Reading the explanation …"]];
  if (labels) parts.push(["records", "Reading the raw records from Kafka …"]);
  for (const [name, wait] of parts) {
    const place = document.createElement("div");
    place.className = "quiet small";
    place.textContent = wait;
    cell.append(place);
    page(`/ui/anomalies/${id}/${name}`).then((told) => {
      localise(told);
      place.replaceWith(...document.importNode(told.body, true).childNodes);
      // The record itself in the middle of its neighbours, without moving the page.
      const list = cell.querySelector(".raw");
      const own = list?.querySelector(".this");
      if (own) list.scrollTop = own.offsetTop - 60;
    }).catch((error) => {
      if (error.status === 401) show(error);
      place.className = "wrong small";
      place.textContent = `${name === "why" ? "The explanation" : "The raw records"}: ${error.message}`;
    });
  }
}

const toggle = (row) => (detail(row) ? close(row) : open(row));

function mark(row, label) {
  row.dataset.label = label ?? "";
  for (const button of row.querySelectorAll("[data-judge]")) {
    button.setAttribute("aria-pressed", String(button.dataset.judge === label));
  }
}

function send(row, label, note) {
  const url = `/api/v1/verdicts/${encodeURIComponent(row.dataset.verdict)}/label`;
  return label ? json("PUT", url, {label, ...(note ? {note} : {})}) : call("DELETE", url);
}

/** Show a label at once and send it after those before; what fails is taken back and said. */
function judge(row, label, {undo = false} = {}) {
  const before = row.dataset.label || null;
  if (before === label) return;
  mark(row, label);
  const note = detail(row)?.querySelector("[data-note] input")?.value.trim();
  if (!undo) done.push({row, before});
  queue = queue.then(async () => {
    row.dataset.sending = "1";
    try {
      const told = await send(row, label, note);
      judged += undo ? -1 : 1;
      progress.textContent = judged > 0 ? `${judged} labelled` : "";
      if (told?.not_accepted) say(`Labelled normal, but not learnt: ${told.not_accepted}`);
    } catch (error) {
      if (row.dataset.label === (label ?? "")) mark(row, before);
      const at = done.findLastIndex((each) => each.row === row);
      if (!undo && at >= 0) done.splice(at, 1);
      show(error);
    } finally {
      delete row.dataset.sending;
    }
  });
}

function undo() {
  const last = done.pop();
  if (!last) { say("There is no label of this visit to take back."); return; }
  judge(last.row, last.before, {undo: true});
  select(last.row);
}

const keys = document.getElementById("keys");
const by = {
  j: () => step(1), k: () => step(-1), o: () => current && toggle(current),
  p: () => current && location.assign(current.querySelector("a.profile").href),
  "?": () => keys.showModal(),
};
const words = {n: "normal", a: "anomaly", u: "unsure"};

if (table) {
  addEventListener("keydown", (event) => {
    const typing = event.target.matches("input, select, textarea");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || keys.open) return;
    const word = labels ? words[event.key] : null;
    if (word) {
      if (!current) select(rows()[0]);
      else { judge(current, word); step(1); }
    } else if (labels && event.key === "z") undo();
    else if (by[event.key]) by[event.key]();
    else return;
    event.preventDefault();
  });
  body.addEventListener("click", (event) => {
    const row = event.target.closest("tr[data-verdict]");
    if (!row) return;
    const button = event.target.closest("[data-judge]");
    if (button) {
      select(row, false);
      judge(row, button.getAttribute("aria-pressed") === "true" ? null : button.dataset.judge);
    } else if (event.target.closest("[data-open-row]")) { select(row, false); toggle(row); }
  });
  body.addEventListener("submit", (event) => {
    // A note alone is sent with the label that there is.
    event.preventDefault();
    const row = event.target.closest("tr").previousElementSibling;
    if (!row.dataset.label) { say("Label it first: a note belongs to a label."); return; }
    const note = event.target.querySelector("input").value.trim();
    queue = queue.then(() => send(row, row.dataset.label, note)).then(() => say("Noted."), show);
  });
  const wanted = table.dataset.open && rows().find((row) => row.dataset.verdict === table.dataset.open);
  if (wanted) { select(wanted); open(wanted); }
  addEventListener("beforeunload", (event) => {
    if (body.querySelector("[data-sending]")) event.preventDefault();
  });
}
document.getElementById("keys-button")?.addEventListener("click", () => keys.showModal());

document.getElementById("filters").addEventListener("change", (event) => {
  if (event.target.matches("select, input[type=checkbox]")) event.currentTarget.requestSubmit();
});
document.getElementById("filters").addEventListener("submit", (event) => {
  // An address without empty fields is one that people can read.
  for (const field of event.currentTarget.elements) if (field.name && field.value === "") field.disabled = true;
});
addEventListener("pageshow", () => {
  for (const field of document.getElementById("filters").elements) field.disabled = false;
});

const live = document.getElementById("live");
const filter = new URL(location.href).searchParams;
const query = new URLSearchParams();
for (const name of ["kind", "profile_id", "suppressed"]) if (filter.get(name)) query.set(name, filter.get(name));
let newer = 0;
follow({
  state: (open) => {
    live.dataset.state = open ? "on" : "off";
    live.textContent = open ? "Live" : "Not connected: trying again";
  },
  verdict: (verdict) => {
    const severities = filter.getAll("severity");
    if (!verdict.anomaly || (severities.length && !severities.includes(verdict.severity))) return;
    newer += 1;
    document.getElementById("newer").hidden = false;
    document.getElementById("newer-link").textContent = `${newer} newer: show`;
  },
}, query.size ? `?${query}` : "");
