// Tables of anomalies in other pages: a row opens in place, and is labelled by a button or a key.

import {call, json, page, say, show} from "./api.js";
import {localise} from "./times.js";

const words = {n: "normal", a: "anomaly", u: "unsure"};
const detail = (row) => row.nextElementSibling?.classList.contains("detail") ? row.nextElementSibling : null;
const rowOf = (element) => element.closest?.("table[data-rows] tr[data-verdict]");

async function part(place, url, what) {
  try {
    const told = await page(url);
    localise(told);
    place.replaceWith(...document.importNode(told.body, true).childNodes);
  } catch (error) {
    if (error.status === 401) show(error);
    place.className = "wrong small";
    place.textContent = `${what}: ${error.message}`;
  }
}

/** Open a row, or close it: why it is an anomaly, and the raw records around it. */
export function toggle(row) {
  const button = row.querySelector("[data-open-row]");
  const open = detail(row);
  button.setAttribute("aria-expanded", String(!open));
  if (open) { open.remove(); return; }
  const made = document.createElement("tr");
  made.className = "detail";
  const cell = made.insertCell();
  cell.colSpan = row.children.length;
  row.after(made);
  const id = encodeURIComponent(row.dataset.verdict);
  for (const [name, what] of [["why", "The explanation"], ["records", "The raw records"]]) {
    const place = document.createElement("div");
    place.className = "quiet small";
    place.textContent = `${what} …`;
    cell.append(place);
    part(place, `/ui/anomalies/${id}/${name}`, what);
  }
}

function mark(row, label) {
  row.dataset.label = label ?? "";
  for (const button of row.querySelectorAll("[data-judge]")) {
    button.setAttribute("aria-pressed", String(button.dataset.judge === label));
  }
}

async function judge(row, label) {
  const before = row.dataset.label || null;
  mark(row, label);
  const url = `/api/v1/verdicts/${encodeURIComponent(row.dataset.verdict)}/label`;
  try {
    const told = label ? await json("PUT", url, {label}) : await call("DELETE", url);
    if (told?.not_accepted) say(`Labelled normal, but not learnt: ${told.not_accepted}`);
  } catch (error) {
    mark(row, before);
    show(error);
  }
}

document.addEventListener("click", (event) => {
  const row = rowOf(event.target);
  if (!row) return;
  const button = event.target.closest("[data-judge]");
  if (button) judge(row, button.getAttribute("aria-pressed") === "true" ? null : button.dataset.judge);
  else if (event.target.closest("[data-open-row]")) toggle(row);
});

document.addEventListener("keydown", (event) => {
  const row = rowOf(event.target);
  if (!row || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input")) return;
  if (words[event.key] && row.closest("[data-labels]")) judge(row, words[event.key]);
  else if (event.key === "j" || event.key === "k") {
    const all = [...row.parentElement.querySelectorAll("tr[data-verdict]")];
    all[all.indexOf(row) + (event.key === "j" ? 1 : -1)]?.querySelector("[data-open-row]").focus();
  } else return;
  event.preventDefault();
});

document.addEventListener("submit", async (event) => {
  if (!event.target.matches("[data-note]")) return;
  const row = event.target.closest("tr").previousElementSibling;
  event.preventDefault();
  if (!row.dataset.label) { say("Label it first: a note belongs to a label."); return; }
  const note = event.target.querySelector("input").value.trim();
  try {
    await json("PUT", `/api/v1/verdicts/${encodeURIComponent(row.dataset.verdict)}/label`,
      {label: row.dataset.label, ...(note ? {note} : {})});
    say("Noted.");
  } catch (error) { show(error); }
});
