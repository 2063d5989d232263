// A profile's page: its chart opens reasons, its buttons send commands and show the receipts.

import {json, page, say, show} from "./api.js";
import {refresh, replace} from "./live.js";
import {localise} from "./times.js";
import {toggle} from "./rows.js";

const state = document.getElementById("state-part");
const {kind, profile, path} = state.dataset;
const api = `/api/v1/profiles/${encodeURIComponent(kind)}/${encodeURIComponent(profile)}`;
let gone = false;

async function go(url, push = true) {
  try {
    const next = await page(url);
    if (push) history.pushState(null, "", url);
    replace(next, "[data-part]");
  } catch (error) { show(error); }
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-go]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  go(link.href);
});
addEventListener("popstate", () => go(location.href, false));

// From a mark to its reason: its row opens, or, if the table does not hold it, the reason below.
async function pick(verdict) {
  const row = document.querySelector(`tr[data-verdict="${CSS.escape(verdict)}"]`);
  if (row) {
    if (!row.nextElementSibling?.classList.contains("detail")) toggle(row);
    row.scrollIntoView({block: "center"});
    row.querySelector("[data-open-row]").focus({preventScroll: true});
    return;
  }
  try {
    const told = await page(`/ui/anomalies/${encodeURIComponent(verdict)}/why`);
    localise(told);
    document.getElementById("picked").replaceChildren(...document.importNode(told.body, true).childNodes);
  } catch (error) { show(error); }
}

document.addEventListener("telltale:drawn", (event) => {
  const plot = event.detail;
  if (plot.dataset.heard || event.target.id !== "over-time") return;
  plot.dataset.heard = "1";
  plot.on("plotly_click", ({points: [point]}) => { if (point.customdata?.[0]) pick(point.customdata[0]); });
});

const live = refresh({least: 2000, most: 20000, query: `?${new URLSearchParams({kind, profile_id: profile})}`});

// Commands.
const act = document.getElementById("act");
const form = document.getElementById("act-form");
const told = {
  train: ["Train now", "Learning ends with the samples that are there."],
  retrain: ["Retrain", "A new version is trained on what the profile has shown lately; the gate decides whether it is taken."],
  rollback: ["Roll back", "An earlier version judges again, at once."],
  suppress: ["Suppress", "A maintenance window: records are judged, but nobody is alerted, and nothing is learnt."],
  resume: ["Resume", "The maintenance window ends now."],
  adopt: ["Adopt the new normal", "What the profile shows now becomes its normal."],
  hold: ["Hold the new normal", "What the profile shows now is not learnt, until somebody adopts it."],
};
let command = null;

for (const dialog of document.querySelectorAll("dialog")) {
  dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
}
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-command]");
  if (!button) return;
  command = button.dataset.command;
  const [title, what] = told[command];
  form.reset();
  document.getElementById("act-title").textContent = title;
  document.getElementById("act-what").textContent = what;
  document.getElementById("act-hours").hidden = !["suppress", "hold"].includes(command);
  document.getElementById("act-version").hidden = command !== "rollback";
  if (button.dataset.version) form.elements.version.value = button.dataset.version;
  document.getElementById("act-send").textContent = title;
  act.showModal();
});

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = {command};
  const given = new FormData(form);
  if (["suppress", "hold"].includes(command)) {
    body.until = new Date(Date.now() + Number(given.get("hours")) * 3600000).toISOString();
  }
  if (command === "rollback" && given.get("version")) body.version = Number(given.get("version"));
  if (given.get("reason").trim()) body.reason = given.get("reason").trim();
  const send = document.getElementById("act-send");
  send.disabled = true;
  try {
    const answer = await json("POST", `${api}/commands`, body, {headers: {Prefer: "wait=20"}});
    act.close();
    const receipt = answer.receipts.at(-1);
    const words = receipt ? `${receipt.event.replaceAll("_", " ")}${receipt.detail ? `: ${receipt.detail}` : ""}` : "Sent; not yet confirmed, it stays queued.";
    say(words, receipt?.event === "command_rejected" ? "wrong" : "done");
    live();
    replace(await page(location.href));
  } catch (error) {
    show(error);
  } finally {
    send.disabled = false;
  }
});

// Forgetting: typed confirmation, then the receipts as they come.
const forget = document.getElementById("forget");
const forgetting = document.getElementById("forget-form");
const receipts = document.getElementById("receipts");
const roles = {
  scorer: "The scorer has deleted the model, the samples and what it knew",
  retrainer: "The retrainer has deleted the pool and the artefacts",
  console: "The console has deleted its rows",
};

document.addEventListener("click", (event) => {
  // The part that holds the button is read again now and then.
  if (event.target.id === "forget-button" && !forget.open) { forgetting.reset(); forget.showModal(); }
});
forgetting?.elements.typed.addEventListener("input", () => {
  document.getElementById("forget-send").disabled = forgetting.elements.typed.value !== profile;
});

function line(role) {
  const made = document.createElement("li");
  made.dataset.role = role;
  made.textContent = `${roles[role]} …`;
  made.className = "quiet";
  return made;
}

function confirm(receipt) {
  const row = receipts.querySelector(`[data-role="${CSS.escape(receipt.role ?? "")}"]`);
  if (!row || row.dataset.done) return;
  row.dataset.done = "1";
  row.className = "good";
  row.textContent = `✓ ${roles[receipt.role]}${receipt.detail ? `: ${receipt.detail}` : ""}`;
}

forgetting?.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (forgetting.elements.typed.value !== profile) return;
  gone = true;
  document.getElementById("forget-send").disabled = true;
  receipts.hidden = false;
  receipts.replaceChildren(...Object.keys(roles).map(line));
  try {
    const sent = await json("DELETE", api, undefined, {headers: {Prefer: "respond-async"}});
    const end = Date.now() + 60000;
    let done = false;
    while (!done && Date.now() < end) {
      const answer = await json("GET", `/api/v1/commands/${encodeURIComponent(sent.command_id)}`);
      const refused = answer.receipts.find((each) => each.event === "command_rejected");
      if (refused) { say(refused.detail, "wrong"); return; }
      answer.receipts.filter((each) => each.event === "forgotten").forEach(confirm);
      done = receipts.querySelectorAll("[data-done]").length === Object.keys(roles).length;
      if (!done) await new Promise((resolve) => setTimeout(resolve, 300));
    }
    for (const row of receipts.querySelectorAll(":not([data-done])")) {
      row.textContent = `${roles[row.dataset.role]}: not yet confirmed; the command stays queued`;
    }
    const close = forgetting.querySelector("[data-close]");
    close.textContent = "To the Explorer";
    close.addEventListener("click", () => location.assign("/ui/explorer"));
  } catch (error) { show(error); }
});
forget?.addEventListener("cancel", (event) => { if (gone) { event.preventDefault(); location.assign("/ui/explorer"); } });
