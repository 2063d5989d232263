// The discussion of a room: what was said, what is said now, and a line to say something.

import {json, show} from "./api.js";
import {localise} from "./times.js";

const room = document.getElementById("discussion");
const path = encodeURIComponent(room.dataset.room);
const list = document.getElementById("said");
const log = document.getElementById("said-log");
const none = document.getElementById("said-none");
const form = document.getElementById("say");
const text = form.elements.text;
const known = new Set();

/** A message: its words are text, whatever they look like. */
function line(message) {
  const item = document.createElement("li");
  const head = document.createElement("p");
  const by = document.createElement("bdi");
  const at = document.createElement("time");
  const words = document.createElement("p");
  head.className = "row small quiet";
  by.textContent = message.by;
  at.dateTime = message.at;
  at.dataset.style = "ago";
  head.append(by, at);
  words.className = "words-said";
  words.dir = "auto";
  words.textContent = message.text;
  item.append(head, words);
  localise(item);
  return item;
}

function took(message) {
  // A stream that begins again tells of the last messages again.
  if (known.has(message.id)) return;
  known.add(message.id);
  const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 40;
  none.hidden = true;
  log.hidden = false;
  list.append(line(message));
  if (atEnd) log.scrollTop = log.scrollHeight;
}

const scheme = location.protocol === "https:" ? "wss" : "ws";
let patience = 2000, leaving = false;
function follow() {
  const socket = new WebSocket(`${scheme}://${location.host}/ws/chat/${path}`, ["telltale"]);
  socket.onopen = () => { patience = 2000; };
  socket.onmessage = (event) => took(JSON.parse(event.data));
  socket.onclose = ({code}) => {
    // 1008: the session has ended, or the profile is forgotten.
    if (leaving || code === 1008) return;
    setTimeout(follow, patience);
    patience = Math.min(patience * 2, 60000);
  };
}
addEventListener("pagehide", () => { leaving = true; });
// A page that comes back from the browser's memory has lost its stream.
addEventListener("pageshow", (event) => { if (event.persisted) { leaving = false; follow(); } });
follow();

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const said = text.value.trim();
  if (!said) return;
  const send = form.querySelector("button");
  send.disabled = true;
  try {
    took(await json("POST", `/api/v1/rooms/${path}/messages`, {text: said}));
    form.reset();
  } catch (error) {
    show(error);
  } finally {
    send.disabled = false;
    text.focus();
  }
});
text.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});
