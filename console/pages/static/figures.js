// Draws Plotly figures: <div data-figure id="…" data-height="300"> with the figure as
// <script type="application/json"> inside, or with data-source="URL". Colours are named by custom
// properties, as "var(--critical)", and take the value that they have in the theme.

import {json, show} from "./api.js";

const root = document.documentElement;
const held = new WeakMap();

/** Plotly: its deferred script stands before this one in the page, and has run. */
function plotly() {
  if (!globalThis.Plotly) throw new Error("The charts' script could not be loaded. Reload the page.");
  return globalThis.Plotly;
}

const STAMP = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}$/;
const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
const known = new Map();

/** The colour of a custom property as rgba(): light-dark() and the like are worked out. */
export function colour(name) {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  probe.hidden = true;
  document.body.append(probe);
  const told = getComputedStyle(probe).color;
  probe.remove();
  if (told.startsWith("rgb")) return told;
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = told;
  canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
  return `rgba(${r}, ${g}, ${b}, ${a / 255})`;
}

function resolved(value) {
  if (typeof value === "string") {
    // Times of figures made in Python are text in UTC.
    if (STAMP.test(value)) return local(Date.parse(`${value.replace(" ", "T")}Z`));
    const name = /^var\((--[a-z0-9-]+)\)$/.exec(value)?.[1];
    if (!name) return value;
    if (!known.has(name)) known.set(name, colour(name));
    return known.get(name);
  }
  if (Array.isArray(value)) {
    // Numbers are the bulk of a figure, and none of them is a colour.
    return typeof value[0] === "number" && typeof value.at(-1) === "number" ? value : value.map((each) => resolved(each));
  }
  if (value !== null && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, resolved(v)]));
  }
  return value;
}

function themed(layout) {
  const get = (name) => resolved(`var(${name})`);
  const axis = {gridcolor: get("--grid"), linecolor: get("--line"), zerolinecolor: get("--grid"),
    tickcolor: get("--line"), automargin: true};
  const out = {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: {color: get("--muted"), family: getComputedStyle(document.body).fontFamily, size: 12},
    hoverlabel: {bgcolor: get("--card"), bordercolor: get("--line"),
      font: {color: get("--text")}, namelength: -1},
    margin: {l: 48, r: 12, t: 12, b: 36},
    ...resolved(layout ?? {}),
  };
  delete out.template;
  for (const name of Object.keys(out).filter((key) => /^[xy]axis\d*$/.test(key))) {
    out[name] = {...axis, ...out[name]};
  }
  out.xaxis ??= axis;
  out.yaxis ??= axis;
  return out;
}

const NARROW = 480, SHORT = 14;

/** The first letters of a label: an entity is one of them, a tag and a mark of direction are none. */
function shortened(label) {
  let left = SHORT, cut = false;
  const kept = label.match(/&#?\w+;|<\/?b>|./gsu)?.filter((part) => {
    if (part.startsWith("<") && part.length > 1 || part === "\u2068" || part === "\u2069") return true;
    if (left-- > 0) return true;
    cut = true;
    return false;
  });
  return cut ? kept.join("").replace(/(\u2069?(?:<\/b>)?)$/u, "…$1") : label;
}

/** In a narrow window the labels leave room for what is drawn. */
function narrowed(layout) {
  for (const name of Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key))) {
    const axis = layout[name];
    if (name.startsWith("y") && Array.isArray(axis.ticktext)) axis.ticktext = axis.ticktext.map(shortened);
    if (axis.type === "date") layout[name] = {...axis, nticks: 4, tickangle: 0};
  }
}

async function read(element) {
  const source = element.dataset.source;
  if (source) return json("GET", source);
  const text = element.querySelector(':scope > script[type="application/json"]')?.textContent;
  return text ? JSON.parse(text) : null;
}

/** What the clock here says at epoch milliseconds, as Plotly reads it. */
export const local = (ms) => {
  const at = new Date(ms);
  return new Date(ms - at.getTimezoneOffset() * 60000).toISOString().slice(0, 23);
};

/** Where an axis is of type date, numbers on it are epoch milliseconds, drawn in the viewer's zone. */
function timed({data, layout}) {
  const dated = (letter, name) => layout[`${letter}axis${(name ?? letter).slice(1)}`]?.type === "date";
  const moment = (value) => (typeof value === "number" ? local(value) : value);
  const traces = data.map((trace) => {
    const own = {};
    for (const letter of ["x", "y"]) {
      if (dated(letter, trace[`${letter}axis`]) && typeof trace[letter]?.[0] === "number") {
        own[letter] = trace[letter].map(moment);
      }
    }
    return {...trace, ...own};
  });
  const marked = (items) => items?.map((item) => {
    const own = {};
    for (const letter of ["x", "y"]) {
      if (!dated(letter, item[`${letter}ref`]?.split(" ")[0])) continue;
      for (const key of [letter, `${letter}0`, `${letter}1`]) if (key in item) own[key] = moment(item[key]);
    }
    return {...item, ...own};
  });
  const out = {...layout};
  if (layout.shapes) out.shapes = marked(layout.shapes);
  if (layout.annotations) out.annotations = marked(layout.annotations);
  for (const name of Object.keys(out).filter((key) => /^[xy]axis\d*$/.test(key))) {
    const range = out[name].type === "date" && out[name].range;
    if (range) out[name] = {...out[name], range: range.map(moment)};
  }
  return {data: traces, layout: out};
}

/** Draw a figure, or draw it again with new data; a handler for its events can be added after. */
export async function draw(element, figure = null) {
  try {
    const given = figure ?? await read(element);
    if (!given) return null;
    const Plotly = plotly();
    held.set(element, given);
    let plot = element.querySelector(":scope > .plot");
    if (!plot) {
      plot = document.createElement("div");
      plot.className = "plot";
      element.append(plot);
    }
    const layout = themed(given.layout);
    if (element.clientWidth < NARROW) narrowed(layout);
    if (element.dataset.height) layout.height = Number(element.dataset.height);
    const drawn = timed({data: resolved(given.data), layout});
    await Plotly.react(plot, drawn.data, drawn.layout, {
      responsive: true, displaylogo: false, displayModeBar: false, ...given.config,
    });
    element.dataset.drawn = String(Number(element.dataset.drawn ?? 0) + 1);
    element.dispatchEvent(new CustomEvent("telltale:drawn", {detail: plot, bubbles: true}));
    return plot;
  } catch (error) {
    show(error);
    return null;
  }
}

const rested = () => new Promise((resolve) => { setTimeout(resolve); });
const inSight = (element) => {
  const {top, bottom} = element.getBoundingClientRect();
  return bottom > 0 && top < innerHeight;
};

/**
 * Draw all figures under an element: first those in sight, together, then one after the other, so
 * that clicks and keys need not wait for what is further down. Marks are for whoever measures.
 */
export async function drawAll(under = document) {
  const all = [...under.querySelectorAll("[data-figure]")];
  const first = new Set(all.filter(inSight));
  await Promise.all([...first].map((each) => draw(each)));
  performance.mark("telltale:drawn");
  for (const each of all) {
    if (first.has(each)) continue;
    await rested();
    if (each.isConnected) await draw(each);
  }
}

function redraw() {
  known.clear();
  for (const element of document.querySelectorAll("[data-figure]")) {
    if (held.has(element)) draw(element, held.get(element));
  }
}

new MutationObserver(redraw).observe(root, {attributeFilter: ["data-theme"]});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
addEventListener("beforeprint", redraw);
document.addEventListener("telltale:changed", (event) => event.detail.forEach((each) => drawAll(each)));
drawAll().then(() => performance.mark("telltale:all-drawn"));
