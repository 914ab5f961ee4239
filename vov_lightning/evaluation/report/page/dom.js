// Elements, numbers as text, and controls. Text only ever becomes text nodes: names and errors come from files.

const DASH = "\u2014";
const MINUS = "\u2212";

/** An HTML element; attributes `on*` are listeners, false and null leave one out, children are nodes or text. */
function html(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same in SVG. */
function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const byId = (id) => document.getElementById(id);
const unique = (values) => [...new Set(values)];
const isNumber = (value) => typeof value === "number";
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const signed = (text) => text.replace("-", MINUS);

function fixed(value, digits) {
  return signed(value.toFixed(digits));
}

/** Three significant digits without an exponent; more where the number is large. */
function precise(value) {
  if (value === 0) return "0";
  const digits = clamp(2 - Math.floor(Math.log10(Math.abs(value))), 0, 7);
  return fixed(value, digits);
}

/** 12345 as 12 345 with narrow spaces. */
function whole(value) {
  return signed(String(Math.round(value))).replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");
}

/** Seconds as text; the dash where not measured. */
function seconds(value) {
  return isNumber(value) ? precise(value) : DASH;
}

/** "30000/1001" as a number; 1 where it is not a rate. */
function frameRate(text) {
  const [numerator, denominator = "1"] = String(text).split("/");
  const rate = Number(numerator) / Number(denominator);
  return Number.isFinite(rate) && rate > 0 ? rate : 1;
}

/** The figure as text in the metric's digits, with its unit if asked. */
function figureText(value, metric, unit = false) {
  if (!isNumber(value)) return DASH;
  return fixed(value, metric.digits ?? 3) + (unit && metric.unit ? "\u00a0" + metric.unit : "");
}

const better = (metric) => (metric.higher_is_better ? "\u2191" : "\u2193");
const betterWords = (metric) => (metric.higher_is_better ? "higher is better" : "lower is better");
const withUnit = (metric) => metric.label + (metric.unit ? `, ${metric.unit}` : "");
const arrow = (metric) => `${better(metric)} ${betterWords(metric)}`;

let labels = 0;

/** A labelled menu. `groups` is a list of [group label or "", [[value, text], ...]]. */
function menu(label, groups, value, onchange) {
  const id = `menu-${labels++}`;
  const select = html("select", { id });
  setOptions(select, groups, value);
  select.addEventListener("change", () => onchange(select.value));
  return { element: html("label", { class: "control", for: id }, html("span", {}, label), select), select };
}

function setOptions(select, groups, value) {
  const option = ([key, text]) => html("option", { value: key, selected: key === value }, text);
  const nodes = groups.flatMap(([name, options]) =>
    name ? [html("optgroup", { label: name }, ...options.map(option))] : options.map(option),
  );
  select.replaceChildren(...nodes);
}

/** A button that is on or off. */
function toggle(text, pressed, onchange) {
  const button = html("button", { type: "button", class: "toggle", "aria-pressed": String(pressed) }, text);
  button.addEventListener("click", () => {
    const next = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(next));
    onchange(next);
  });
  return button;
}

// Colour and shape of the i-th series: eight colours (style.css), as many shapes, shifted when the colours start anew.
const SHAPES = [
  "M5 0A5 5 0 1 1-5 0A5 5 0 1 1 5 0Z",
  "M-4.4-4.4H4.4V4.4H-4.4Z",
  "M0-5.6L5.2 4H-5.2Z",
  "M0-6L6 0L0 6L-6 0Z",
  "M0 5.6L5.2-4H-5.2Z",
  "M-1.7-5.2H1.7V-1.7H5.2V1.7H1.7V5.2H-1.7V1.7H-5.2V-1.7H-1.7Z",
  "M0-6L1.8-2H5.8L2.6.9L3.8 5.2L0 2.8L-3.8 5.2L-2.6.9L-5.8-2H-1.8Z",
  "M-3-5.2H3L6 0L3 5.2H-3L-6 0Z",
];

const hue = (index) => `hue-${index % 8}`;
const shape = (index) => SHAPES[(index + Math.floor(index / 8)) % 8];

function swatch(index) {
  return svg(
    "svg",
    { class: `swatch ${hue(index)}`, viewBox: "-14 -8 28 16", "aria-hidden": "true" },
    svg("line", { class: "line", x1: -13, x2: 13, y1: 0, y2: 0 }),
    svg("path", { class: "marker", d: shape(index) }),
  );
}
