// On every page: theme, times, the installable page's worker.

import {localise, name} from "./times.js";

const root = document.documentElement;
const choice = document.getElementById("theme");
choice?.addEventListener("change", () => {
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `telltale_theme=${choice.value}; Path=/ui; Max-Age=31536000; SameSite=Lax${secure}`;
  root.dataset.theme = choice.value;
});

const zone = document.getElementById("zone");
if (zone) zone.textContent = name();
localise();
setInterval(() => localise(), 10000);

if ("serviceWorker" in navigator) navigator.serviceWorker.register("/ui/sw.js", {scope: "/ui/"}).catch(() => {});

// On narrow screens the navigation is a row that scrolls: the page that one is on is in sight.
const nav = document.querySelector(".side nav");
const here = nav?.querySelector("[aria-current]");
if (here && nav.scrollWidth > nav.clientWidth) nav.scrollLeft = here.offsetLeft - nav.clientWidth / 3;
