// Dead letters: what one holds, and sending back: always counted first, then sent.

import {json, page, say, show} from "./api.js";
import {localise} from "./times.js";

for (const each of document.querySelectorAll("details[data-letter]")) {
  each.addEventListener("toggle", async () => {
    const place = each.querySelector(".letter");
    if (!each.open || place.dataset.read) return;
    place.dataset.read = "1";
    try {
      const told = await page(each.dataset.letter);
      localise(told);
      place.replaceChildren(...document.importNode(told.body, true).childNodes);
    } catch (error) {
      delete place.dataset.read;
      if (error.status === 401) show(error);
      else place.textContent = error.message;
    }
  });
}

const dialog = document.getElementById("replay");
const told = document.getElementById("replay-told");
const button = document.getElementById("replay-send");
let wanted = null, running = null;

const many = (count, what) => `${count.toLocaleString("en")} ${count === 1 ? what : `${what}s`}`;

function line(text, kind = "") {
  const made = document.createElement("p");
  made.className = kind;
  made.textContent = text;
  return made;
}

function table(rows) {
  const made = document.createElement("table");
  for (const row of rows) {
    const line = made.insertRow();
    for (const cell of [row.reason, row.topic, row.records.toLocaleString("en")]) line.insertCell().textContent = cell;
    line.lastChild.className = "end";
  }
  return made;
}

async function run(dry) {
  running = new AbortController();
  button.hidden = true;
  told.replaceChildren(line(dry ? "Counting what would be sent back: reading the topic …" : "Sending back …", "quiet"));
  try {
    const answer = await json("POST", "/api/v1/dead-letters/replay", {...wanted, dry_run: dry}, {signal: running.signal});
    const sum = answer.sent.reduce((total, row) => total + row.records, 0);
    if (!dry) {
      dialog.close();
      say(`${many(sum, "record")} sent back.`);
      setTimeout(() => location.reload(), 1500);
      return;
    }
    const stay = Object.entries(answer.stay).filter(([why]) => why !== "not asked for");
    told.replaceChildren(
      line(sum ? `${many(sum, "record")} would go back to where they came from, each once:`
        : "Nothing waits: all of these were sent back before, or cannot be."),
      ...(sum ? [table(answer.sent)] : []),
      ...stay.map(([why, count]) => line(`${many(count, "record")} would stay: ${why}`, "quiet small")),
    );
    button.hidden = !sum;
    button.textContent = `Send ${many(sum, "record")} back`;
    if (sum) button.focus();
  } catch (error) {
    if (error.name === "AbortError") return;
    if (error.status === 401) show(error);
    told.replaceChildren(line(error.message, "wrong"));
  } finally {
    running = null;
  }
}

for (const each of document.querySelectorAll("[data-replay]")) {
  each.addEventListener("click", () => {
    wanted = JSON.parse(each.dataset.replay);
    document.getElementById("replay-what").textContent = each.dataset.title;
    dialog.showModal();
    run(true);
  });
}
button.addEventListener("click", () => run(false));
document.getElementById("replay-cancel").addEventListener("click", () => dialog.close());
dialog.addEventListener("close", () => running?.abort());
