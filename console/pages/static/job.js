// One job: its frames as they come over the WebSocket, and a stop.

import {json, show} from "./api.js";
import {draw} from "./figures.js";

const job = document.getElementById("job");
const path = encodeURIComponent(job.dataset.id);
const rows = document.getElementById("epochs");
const chart = document.getElementById("history");
const number = new Intl.NumberFormat(undefined, {maximumSignificantDigits: 4});
const ENDS = new Set(["succeeded", "failed", "cancelled", "timed_out"]);
let waiting = null;

function redraw() {
  waiting ??= setTimeout(async () => {
    waiting = null;
    try {
      await draw(chart, await json("GET", `/ui/jobs/${path}/figure`));
    } catch (error) {
      show(error);
    }
  }, 400);
}

function took(frame) {
  const ended = ENDS.has(frame.state);
  document.getElementById("state").textContent = frame.state;
  if (frame.epoch !== null && !ended) {
    const row = document.createElement("tr");
    for (const name of ["epoch", "loss", "accuracy", "val_loss", "val_accuracy"]) {
      const cell = document.createElement("td");
      cell.className = "end";
      cell.textContent = frame[name] === null ? "–" : number.format(frame[name]);
      row.append(cell);
    }
    rows.append(row);
    if (frame.epochs) {
      document.getElementById("progress").value = frame.epoch / frame.epochs;
      document.getElementById("told").textContent = `epoch ${frame.epoch} of ${frame.epochs}`;
    }
    if (!job.dataset.ended) redraw();
  }
  // The results are the server's to draw.
  if (ended && !job.dataset.ended) location.reload();
}

const scheme = location.protocol === "https:" ? "wss" : "ws";
let seen = 0;
function follow() {
  const socket = new WebSocket(`${scheme}://${location.host}/ws/training/${path}`, ["telltale"]);
  let over = false;
  socket.onmessage = (event) => {
    const frame = JSON.parse(event.data);
    over = ENDS.has(frame.state);
    if (frame.seq <= seen) return;
    seen = frame.seq;
    took(frame);
  };
  socket.onclose = () => { if (!over) setTimeout(follow, 2000); };
}
follow();

document.getElementById("stop")?.addEventListener("click", async (event) => {
  event.target.disabled = true;
  try {
    await json("POST", `/api/v1/jobs/${path}/cancel`);
  } catch (error) {
    event.target.disabled = false;
    show(error);
  }
});
