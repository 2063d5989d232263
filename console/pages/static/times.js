// Times in the viewer's zone, which the page names.

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
const exact = new Intl.DateTimeFormat("sv-SE", {dateStyle: "short", timeStyle: "medium", timeZone: zone});
const full = new Intl.DateTimeFormat("en-GB", {dateStyle: "full", timeStyle: "long", timeZone: zone});
const ago = new Intl.RelativeTimeFormat("en", {numeric: "auto", style: "short"});
const steps = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

function since(date) {
  const seconds = (date - Date.now()) / 1000;
  const [unit, size] = steps.find(([, size]) => Math.abs(seconds) >= size) ?? steps.at(-1);
  return ago.format(Math.round(seconds / size), unit);
}

/** Write all times under an element. */
export function localise(root = document) {
  for (const element of root.querySelectorAll("time[datetime]")) {
    const date = new Date(element.dateTime);
    if (Number.isNaN(date.getTime())) continue;
    const text = element.dataset.style === "ago" ? since(date) : exact.format(date);
    if (element.textContent !== text) element.textContent = text;
    element.title = full.format(date);
  }
}

export function name() {
  const parts = new Intl.DateTimeFormat("en", {timeZone: zone, timeZoneName: "short"});
  const short = parts.formatToParts(new Date()).find((part) => part.type === "timeZoneName")?.value;
  return short && short !== zone ? `${zone} (${short})` : zone;
}

export {zone};
