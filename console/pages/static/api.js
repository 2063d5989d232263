// Requests to the console: with the session's CSRF header, problems as exceptions that people read.

export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `the console answered ${status}`);
    this.status = status;
    this.body = body;
  }
}

const csrf = () => document.querySelector('meta[name="csrf-token"]')?.content ?? "";

/** The answer to a request; throws a Problem. `body` is sent as JSON unless it is FormData. */
export async function call(method, url, body, {headers = {}, signal} = {}) {
  const form = body instanceof FormData;
  const own = {Accept: "application/json", "X-CSRF-Token": csrf(), "X-Telltale-Part": "1"};
  if (body !== undefined && !form) own["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(url, {
      method,
      headers: {...own, ...headers},
      body: body === undefined || form ? body : JSON.stringify(body),
      credentials: "same-origin",
      signal,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, {detail: "The console cannot be reached. Is it running?"});
  }
  if (!answer.ok) {
    const told = await answer.json().catch(() => ({}));
    throw new Problem(answer.status, told);
  }
  return answer;
}

/** A JSON answer, null if it has no body. */
export async function json(method, url, body, options) {
  const answer = await call(method, url, body, options);
  return answer.status === 204 ? null : answer.json();
}

/** A page, or a part of one, as a document that is not shown. */
export async function page(url, options = {}) {
  const answer = await call("GET", url, undefined, {...options, headers: {Accept: "text/html"}});
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

/** Say something for some seconds; `kind` is "wrong" or "done". A function takes it away. */
export function say(text, kind = "done", action = null) {
  const place = document.getElementById("toasts");
  const toast = document.createElement("div");
  toast.className = `toast ${kind}`;
  const words = document.createElement("span");
  words.textContent = text;
  toast.append(words);
  if (action !== null) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = action.title;
    button.addEventListener("click", () => { toast.remove(); action.run(); });
    toast.append(button);
  }
  place.append(toast);
  while (place.children.length > 3) place.firstElementChild.remove();
  const timer = setTimeout(() => toast.remove(), kind === "wrong" ? 12000 : 6000);
  return () => { clearTimeout(timer); toast.remove(); };
}

/** Show what went wrong; whoever is logged out goes to the login and comes back. */
export function show(error) {
  if (error.name === "AbortError") return;
  if (error.status === 401) {
    const back = encodeURIComponent(location.pathname + location.search);
    location.assign(`/ui/login?next=${back}`);
    return;
  }
  say(error.message, "wrong");
}
