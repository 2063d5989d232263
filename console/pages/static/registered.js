// Uploaded and triage models: an upload, its proposal to a profile, the stage of one, deletion.

import {json, say, show} from "./api.js";

const LIST = "/ui/models";
const address = (id) => `/api/v1/models/${encodeURIComponent(id)}`;

document.getElementById("upload-model")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const {target: form, submitter: button} = event;
  const fields = new FormData(form);
  const {size} = fields.get("file");
  if (size > Number(form.dataset.most)) {
    show(new Error(`file: expected at most ${form.dataset.most} bytes, got ${size}`));
    return;
  }
  for (const [name, value] of [...fields]) if (value === "") fields.delete(name);
  button.disabled = true;
  try {
    const {id} = await json("POST", "/api/v1/models", fields);
    location.assign(`${LIST}/${encodeURIComponent(id)}`);
  } catch (error) {
    button.disabled = false;
    show(error);
  }
});

document.getElementById("propose-model")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const {target: form, submitter: button} = event;
  const told = document.getElementById("propose-answer");
  button.disabled = true;
  told.textContent = "The gate judges it …";
  try {
    const body = Object.fromEntries(new FormData(form));
    const {outcome, gate, receipt, figures} = await json("POST", `${address(form.dataset.id)}/propose`, body);
    const lines = [`${outcome}: ${receipt?.detail ?? gate.why}`];
    for (const [name, value] of Object.entries(figures)) {
      lines.push(`${name.replaceAll("_", " ")}: ${Number.isInteger(value) ? value : value.toFixed(3)}`);
    }
    told.replaceChildren(...lines.flatMap((line) => [line, document.createElement("br")]));
  } catch (error) {
    told.textContent = "";
    show(error);
  } finally {
    button.disabled = false;
  }
});

for (const place of document.querySelectorAll("[data-model]")) {
  const {model, name} = place.dataset;
  place.querySelector("[data-delete]")?.addEventListener("click", async () => {
    if (!confirm(`Delete the model ${name} and its file?`)) return;
    try {
      await json("DELETE", address(model));
      if (place.matches("tr")) location.reload();
      else location.assign(LIST);
    } catch (error) {
      show(error);
    }
  });
  const stage = place.querySelector("[data-stage]");
  let held = stage?.value;
  stage?.addEventListener("change", async () => {
    try {
      await json("PATCH", address(model), {stage: stage.value});
      held = stage.value;
      say(`${name}: ${stage.selectedOptions[0].textContent} now.`);
    } catch (error) {
      stage.value = held;
      show(error);
    }
  });
}
