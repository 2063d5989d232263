// The form that starts a job: only the fields of its type, and what is sent, as one types.

import {json, show} from "./api.js";

const form = document.getElementById("start");
const type = document.getElementById("type");
const what = document.getElementById("what");

function body() {
  const found = {type: type.value};
  for (const label of form.querySelectorAll("[data-for]")) {
    if (label.hidden) continue;
    const field = label.querySelector("input, select");
    if (field.value === "") continue;
    found[field.name] = "number" in field.dataset ? Number(field.value)
      : field.value === "true" ? true : field.value;
  }
  return found;
}

function fit() {
  for (const label of form.querySelectorAll("[data-for]")) {
    label.hidden = !label.dataset.for.split(" ").includes(type.value);
  }
  what.textContent = JSON.stringify(body());
}

form.addEventListener("input", fit);
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    const {id} = await json("POST", "/api/v1/jobs", body());
    location.assign(`${form.action}/${encodeURIComponent(id)}`);
  } catch (error) {
    show(error);
  }
});
fit();
