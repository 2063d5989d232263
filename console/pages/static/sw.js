// Keeps static files, which never change under their address, and a page for when there is no
// connection. Pages and data are never kept: they show what is now, to who is logged in.

const KEPT = "telltale-static";
const OFFLINE = "/ui/offline";

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(KEPT).then((cache) => cache.add(OFFLINE)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  event.waitUntil(self.clients.claim());
});

async function kept(request) {
  const cache = await caches.open(KEPT);
  const found = await cache.match(request);
  if (found) return found;
  const answer = await fetch(request);
  if (answer.ok && answer.headers.get("cache-control")?.includes("immutable")) {
    const name = new URL(request.url).pathname.split("/").at(-1);
    for (const old of await cache.keys()) {
      if (new URL(old.url).pathname.split("/").at(-1) === name) await cache.delete(old);
    }
    await cache.put(request, answer.clone());
  }
  return answer;
}

self.addEventListener("fetch", (event) => {
  const {request} = event;
  if (request.method !== "GET") return;
  const path = new URL(request.url).pathname;
  if (path.startsWith("/ui/static/")) event.respondWith(kept(request));
  else if (request.mode === "navigate") {
    event.respondWith(fetch(request).catch(() => caches.match(OFFLINE)));
  }
});
