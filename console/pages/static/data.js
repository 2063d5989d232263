// Data sets: an upload with progress, sending as telemetry, deletion.

import {json, show} from "./api.js";

const upload = document.getElementById("upload");
const dataset = document.getElementById("dataset");
const csrf = () => document.querySelector('meta[name="csrf-token"]')?.content ?? "";

upload?.addEventListener("submit", (event) => {
  event.preventDefault();
  const form = new FormData(upload);
  const most = Number(upload.dataset.most);
  if (form.get("file").size > most) {
    show(new Error(`file: expected at most ${most} bytes, got ${form.get("file").size}`));
    return;
  }
  for (const [name, value] of [...form]) if (value === "") form.delete(name);
  const place = document.getElementById("sending");
  const bar = document.getElementById("sent");
  const told = document.getElementById("told");
  // fetch() does not tell how much of a body was sent.
  const request = new XMLHttpRequest();
  const over = () => { place.hidden = true; };
  request.upload.onprogress = ({loaded, total}) => {
    bar.value = loaded / total;
    told.textContent = loaded < total ? `${Math.round(100 * loaded / total)} %` : "reading it …";
  };
  request.onload = () => {
    over();
    const answer = JSON.parse(request.responseText || "{}");
    if (request.status === 201) location.assign(`/ui/data/${encodeURIComponent(answer.id)}`);
    else show(new Error(answer.detail ?? `the console answered ${request.status}`));
  };
  request.onerror = () => { over(); show(new Error("The upload broke off.")); };
  request.onabort = over;
  document.getElementById("abort").onclick = () => request.abort();
  place.hidden = false;
  request.open("POST", "/api/v1/datasets");
  request.setRequestHeader("X-CSRF-Token", csrf());
  request.setRequestHeader("X-Telltale-Part", "1");
  request.send(form);
});

const address = dataset && `/api/v1/datasets/${encodeURIComponent(dataset.dataset.id)}`;

document.getElementById("send")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    const body = Object.fromEntries(new FormData(event.target));
    const {id} = await json("POST", `${address}/send`, body);
    location.assign(`/ui/jobs/${encodeURIComponent(id)}`);
  } catch (error) {
    show(error);
  }
});

document.getElementById("delete")?.addEventListener("click", async () => {
  if (!confirm("Delete this data set and its file?")) return;
  try {
    await json("DELETE", address);
    location.assign("/ui/data");
  } catch (error) {
    show(error);
  }
});
