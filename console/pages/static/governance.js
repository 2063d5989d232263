// Governance: asks for reports, waits for one that is being made, prints and deletes it.

import {json, show} from "./api.js";

const LOOK_MS = 1000;

function bodyOf(form) {
  const body = {};
  for (const [name, value] of new FormData(form)) {
    const text = String(value).trim();
    if (text === "") continue;
    const list = form.elements[name].dataset?.list !== undefined;
    body[name] = list ? text.split(",").map((each) => each.trim()).filter(Boolean) : text;
  }
  return body;
}

const idOf = (told) =>
  told.analysis_id ?? told.explanation_id ?? told.assessment_id ?? told.monitoring_id;

for (const form of document.querySelectorAll("form[data-ask]")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button[type=submit]");
    button.disabled = true;
    try {
      const told = await json("POST", form.dataset.ask, bodyOf(form));
      location.assign(`/ui/governance/${form.dataset.page}/${encodeURIComponent(idOf(told))}`);
    } catch (error) {
      show(error);
      button.disabled = false;
    }
  });
}

document.querySelector("[data-print]")?.addEventListener("click", () => print());

const remove = document.querySelector("[data-delete]");
remove?.addEventListener("click", async () => {
  if (!confirm("Delete this report?")) return;
  try {
    await json("DELETE", remove.dataset.delete);
    location.assign("/ui/governance");
  } catch (error) {
    show(error);
  }
});

const report = document.getElementById("report");
const waits = () => report && ["queued", "running"].includes(report.dataset.status);

async function look() {
  try {
    const told = await json("GET", report.dataset.api);
    if (!["queued", "running"].includes(told.status)) { location.reload(); return; }
  } catch (error) {
    show(error);
    return;
  }
  setTimeout(look, LOOK_MS);
}
if (waits()) setTimeout(look, LOOK_MS);
