// Users and organisations: add, change, delete.

import {call, json, say, show} from "./api.js";

const again = () => location.reload();

async function act(run, after = again) {
  try {
    await run();
    after();
  } catch (error) {
    show(error);
  }
}

const fields = (form) => Object.fromEntries([...new FormData(form)].filter(([, value]) => value !== ""));

document.getElementById("add-user")?.addEventListener("submit", (event) => {
  event.preventDefault();
  act(() => json("POST", "/api/v1/users", fields(event.target)));
});

document.getElementById("add-organization")?.addEventListener("submit", (event) => {
  event.preventDefault();
  const {name, by, value} = fields(event.target);
  act(() => json("POST", "/api/v1/organizations", {name, [by]: value}));
});

for (const row of document.querySelectorAll("tr[data-user]")) {
  const url = `/api/v1/users/${encodeURIComponent(row.dataset.user)}`;
  row.querySelector("[data-role]")?.addEventListener("change", (event) => {
    act(() => json("PATCH", url, {role: event.target.value}), () => say(`${row.dataset.email} is ${event.target.value} now.`));
  });
  row.querySelector("[data-able]")?.addEventListener("click", (event) => {
    act(() => json("PATCH", url, {disabled: event.target.dataset.able === "true"}));
  });
  const button = row.querySelector("[data-delete]");
  button?.addEventListener("click", () => {
    if (button.dataset.sure) { act(() => call("DELETE", url)); return; }
    button.dataset.sure = "1";
    button.textContent = "Delete for good?";
    button.addEventListener("blur", () => { delete button.dataset.sure; button.textContent = "Delete"; }, {once: true});
  });
}
