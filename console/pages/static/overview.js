// The overview: its parts are read again as verdicts and events come.

import {refresh} from "./live.js";

refresh({least: 1500, most: 10000});

const guide = document.getElementById("guide");
try {
  if (localStorage.getItem("telltale-guide") === "away") guide?.remove();
} catch { /* a browser that keeps nothing shows the guide again */ }
document.getElementById("guide-away")?.addEventListener("click", () => {
  guide.remove();
  try { localStorage.setItem("telltale-guide", "away"); } catch { /* as above */ }
});
