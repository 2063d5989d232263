// What comes from the stream, and parts of a page that are read again when something came.

import {page, show} from "./api.js";
import {localise} from "./times.js";

/**
 * Follow the stream. `on` has a function for each event name: verdict, lifecycle, gap; and
 * `state`, called with true when connected and false when not. Returns what ends it.
 */
export function follow(on, query = "") {
  const source = new EventSource(`/api/v1/stream${query}`);
  source.addEventListener("open", () => on.state?.(true));
  source.addEventListener("error", () => on.state?.(false));
  for (const name of Object.keys(on).filter((name) => name !== "state")) {
    source.addEventListener(name, (event) => on[name](JSON.parse(event.data), event.lastEventId));
  }
  const close = () => source.close();
  addEventListener("pagehide", close, {once: true});
  return close;
}

/** Put parts of another document, by id, in place of this one's; those that differ are returned. */
export function replace(from, selector = "[data-live]") {
  const changed = [];
  for (const now of document.querySelectorAll(selector)) {
    const next = now.id && from.getElementById(now.id);
    if (!next) continue;
    localise(next);
    if (next.innerHTML === now.innerHTML) continue;
    const focused = now.contains(document.activeElement) ? document.activeElement : null;
    const key = focused && (focused.id ? `#${CSS.escape(focused.id)}`
      : focused.href ? `a[href="${CSS.escape(focused.getAttribute("href"))}"]` : null);
    const open = [...now.querySelectorAll("details[open][id]")].map((each) => each.id);
    const figures = [...now.querySelectorAll("[data-figure]")];
    now.replaceChildren(...document.importNode(next, true).childNodes);
    for (const id of open) now.querySelector(`#${CSS.escape(id)}`)?.setAttribute("open", "");
    // A drawn figure stays, and gets the new data: drawing it anew would flicker.
    for (const drawn of figures) {
      const fresh = drawn.id && now.querySelector(`#${CSS.escape(drawn.id)}`);
      if (!fresh) continue;
      const data = fresh.querySelector('script[type="application/json"]');
      drawn.querySelector('script[type="application/json"]')?.replaceWith(data);
      fresh.replaceWith(drawn);
    }
    if (key) now.querySelector(key)?.focus({preventScroll: true});
    changed.push(now);
  }
  if (changed.length) document.dispatchEvent(new CustomEvent("telltale:changed", {detail: changed}));
  return changed;
}

/**
 * Read the page's parts marked `data-live` (each with an id) again when something comes from the
 * stream, at most once in `least` ms, and in any case every `most` ms.
 */
export function refresh({least = 2000, most = 15000, query = "", select = "[data-live]"} = {}) {
  let due = false, running = false, last = 0;
  const mark = document.getElementById("live");
  const say = (text, state) => {
    if (!mark) return;
    mark.dataset.state = state;
    mark.textContent = text;
  };
  async function look() {
    if (running || document.hidden) return;
    const now = Date.now();
    if (!(due && now - last >= least) && now - last < most) return;
    running = true;
    due = false;
    try {
      replace(await page(location.href), select);
    } catch (error) {
      if (error.status === 401) show(error);
      else say("Not connected: trying again", "off");
    } finally {
      running = false;
      last = Date.now();
    }
  }
  const came = () => { due = true; look(); };
  follow({
    verdict: came, lifecycle: came, gap: came,
    state: (open) => say(open ? "Live" : "Not connected: trying again", open ? "on" : "off"),
  }, query);
  last = Date.now();
  setInterval(look, 500);
  document.addEventListener("visibilitychange", came);
  return came;
}
