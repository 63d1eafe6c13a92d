"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const chosen = { sample: byId("sample"), budget: byId("budget"), function: byId("function"), a: byId("a"), b: byId("b") };
const calm = matchMedia("(prefers-reduced-motion: reduce)");

let view = data.views[0];
let charts = {}, ran = {};

// What is packed

const packs = new Map();
const whole = new Promise((come) => { // only some of it stands before this script
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", come);
  else come();
});

/** What is packed under this name, unpacked once. */
function unpacked(name) {
  if (!packs.has(name)) packs.set(name, unpack(name));
  return packs.get(name);
}

async function unpack(name) {
  if (![0, "pairs"].includes(name)) await whole;
  const text = byId(`pack-${name}`).textContent;
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
}

let pictures;

/** The picture of a function; where two functions look the same there is one, and the other names it. */
function landscapeOf(name) {
  if (document.readyState === "loading") {
    whole.then(draw);
    return undefined;
  }
  pictures ??= JSON.parse(byId("landscapes").textContent);
  const found = pictures[name];
  return found && { ...found, picture: pictures[found.picture]?.picture ?? found.picture };
}

// Choices

/** Offers these names; what was chosen stays so if it is among them, and else the one at that place is. */
function offer(select, names, place = 0) {
  const before = select.value;
  select.replaceChildren(...names.map((name) => new Option(name)));
  select.value = names.includes(before) ? before : names[Math.min(place, names.length - 1)];
}

function unique(values) {
  return [...new Set(values)];
}

/** Shows the comparison that is chosen; where this sample has no such budget, one that it has. */
async function showView() {
  const ofSample = data.views.filter((v) => v.label === chosen.sample.value);
  const budgets = ofSample.map((v) => String(v.budget));
  for (const option of chosen.budget.options) option.disabled = !budgets.includes(option.value);
  if (!budgets.includes(chosen.budget.value)) chosen.budget.value = budgets[0];
  const now = ofSample.find((v) => String(v.budget) === chosen.budget.value);
  const pack = await unpacked(data.views.indexOf(now));
  const runs = (await unpacked(now.runs)).runs;
  view = now;
  charts = pack.charts;
  ran = runs;
  fill("headline", pack.headline);
  fill("functions", pack.functions);
  byId("friedman").textContent = charts.ranks.friedman;

  offer(chosen.function, view.functions);
  byId("shown").max = view.budget + 1;
  byId("shown").value = view.budget + 1;
  showMeasure(document.querySelector("#measure input:checked").value);
  drawCharts();
  draw();
  remember();
  document.documentElement.dataset.ready = String(data.views.indexOf(view));
}

const first = { headline: byId("headline-view").innerHTML, functions: byId("functions-view").innerHTML };

/** Puts a view's table where it belongs, and makes it sortable; the first view's is on the page as it is. */
function fill(name, html = first[name]) {
  const place = byId(`${name}-view`);
  place.innerHTML = html;
  for (const header of all(".sortable thead th", place)) header.firstElementChild.addEventListener("click", () => sortNext(header));
  for (const row of all(".functions tbody tr", place)) row.addEventListener("click", () => showFunction(row.dataset.function));
}

function showFunction(name) {
  chosen.function.value = name;
  draw();
  remember();
  byId("viewer").scrollIntoView({ block: "nearest", behavior: calm.matches ? "auto" : "smooth" });
}

/** Writes what is chosen into the address, so that it is there after a reload and can be passed on. */
function remember() {
  const state = Object.fromEntries(Object.entries(chosen).map(([name, select]) => [name, select.value]));
  state.measure = document.querySelector("#measure input:checked").value;
  if (scheme !== system()) state.scheme = scheme;
  history.replaceState(null, "", `#${new URLSearchParams(state)}`);
}

/** Chooses what the address says, as far as it can be had. */
function recall() {
  const state = new URLSearchParams(location.hash.slice(1));
  for (const [name, select] of Object.entries(chosen)) {
    const value = state.get(name);
    if (name === "function" && value) select.add(new Option(value));
    if ([...select.options].some((option) => option.value === value)) select.value = value;
  }
  for (const input of all("#measure input")) if (input.value === state.get("measure")) input.checked = true;
  if (["light", "dark"].includes(state.get("scheme"))) scheme = state.get("scheme");
}

// Two methods

/** What is known of two methods in a comparison: their mean regrets, on how many functions each is better, and p. */
function pairOf(pairs, methods, a, b) {
  const i = methods.indexOf(a), j = methods.indexOf(b);
  if (i < 0 || j < 0 || i === j) return null;
  const [low, high] = [Math.min(i, j), Math.max(i, j)];
  const place = low * methods.length - (low * (low + 1)) / 2 + high - low - 1;
  const [one, other] = i < j ? ["first", "second"] : ["second", "first"];
  const regrets = [pairs.regret[i], pairs.regret[j]], better = [pairs[one][place], pairs[other][place]];
  return { regrets, better, equal: pairs.functions - better[0] - better[1], p: pairs.p[place] };
}

async function drawPairs() {
  const pairs = await unpacked("pairs");
  const [a, b] = [chosen.a.value, chosen.b.value];
  const wins = { [a]: 0, [b]: 0, neither: 0 };
  const rows = data.views.flatMap((of, number) => {
    const found = pairOf(pairs[number], of.methods, a, b);
    if (!found) return [];
    const [mine, yours] = found.regrets;
    const lower = mine < yours ? a : b;
    const winner = found.p < 0.05 && mine !== yours ? lower : "neither";
    wins[winner] += 1;
    const words = winner === "neither" ? "not told apart" : `${winner} is better`;
    const [wonByA, wonByB] = found.better;
    const p = found.p > 0 ? found.p.toPrecision(2) : "0";
    const cells = [of.budget, signed(mine), signed(yours), wonByA, found.equal, wonByB, p, words];
    return [[of.label, ...cells]];
  });
  byId("pair").textContent = rows.length
    ? `Of ${rows.length} comparisons ${a} is significantly better in ${wins[a]}, ${b} in ${wins[b]}; in ${wins.neither} they are not told apart.`
    : a === b ? "Choose two different methods." : `${a} and ${b} were never run on the same functions.`;
  document.querySelector(".pairs tbody").replaceChildren(...rows.map((cells) => {
    const row = document.createElement("tr");
    row.append(...cells.map((text, i) => {
      const cell = document.createElement(i ? "td" : "th");
      if (!i) cell.scope = "row";
      if (i === cells.length - 1) cell.className = "text";
      cell.textContent = text;
      return cell;
    }));
    return row;
  }));
}

function signed(value) {
  return value.toFixed(2).replace("-", "−");
}

// Sorting

/** What a row is sorted by: the text of a cell or its number, of two numbers the one that is shown. */
function key(row, header) {
  const cell = row.cells[header.cellIndex];
  const ni = header.closest("table").dataset.measure === "ni";
  const text = (all("span", cell)[ni ? 1 : 0] ?? cell).textContent;
  return isText(header) ? text : parseFloat(text.replace("−", "-"));
}

function isText(header) {
  return header.classList.contains("text");
}

/** Sorts a table by one of its columns; rows without a number are last. */
function sort(header, direction) {
  const table = header.closest("table");
  const body = table.tBodies[0];
  const sign = direction === "ascending" ? 1 : -1;
  const keys = new Map([...body.rows].map((row) => [row, key(row, header)]));
  const compare = (a, b) => {
    if (isText(header)) return sign * a.localeCompare(b, "en", { numeric: true });
    return Number.isNaN(a) || Number.isNaN(b) ? Number.isNaN(a) - Number.isNaN(b) : sign * (a - b);
  };
  body.append(...[...body.rows].sort((a, b) => compare(keys.get(a), keys.get(b))));
  for (const other of all("th[aria-sort]", table)) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", direction);
}

function sortNext(header) {
  const first = header.dataset.first;
  const other = first === "ascending" ? "descending" : "ascending";
  sort(header, header.getAttribute("aria-sort") === first ? other : first);
}

/** Shows one of both numbers in the tables of functions, and sorts by it again. */
function showMeasure(measure) {
  for (const table of all(".functions")) {
    const before = table.dataset.measure;
    table.dataset.measure = measure;
    for (const header of all("th.method", table)) {
      header.dataset.first = measure === "ni" ? "descending" : "ascending";
      if (before && header.hasAttribute("aria-sort")) sort(header, header.dataset.first);
    }
  }
}

// Drawing

function shape(name, attributes, parent, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [attribute, value] of Object.entries(attributes)) element.setAttribute(attribute, value);
  if (text !== undefined) element.textContent = text;
  parent.append(element);
  return element;
}

/** The values of a run's curve, of which it holds the places of the changes and what follows them. */
function curveOf(run) {
  const curve = Array(view.budget + 1);
  for (let i = 0; i < run.curve.length; i += 2) curve.fill(run.curve[i + 1], run.curve[i]);
  return curve;
}

/** The points of a run's path, of whose coordinates each has two digits of base 36. */
function pointsOf(run) {
  const numbers = (run.path.match(/../g) ?? []).map((digits) => parseInt(digits, 36));
  return numbers.flatMap((x, i) => (i % 2 ? [] : [[x, numbers[i + 1]]]));
}

/** Both chosen runs, as far as they are shown; without a method that was not run. */
function runs() {
  const shown = Number(byId("shown").value);
  const byMethod = ran[chosen.function.value] ?? {};
  return ["a", "b"].flatMap((side) => {
    const method = chosen[side].value;
    const run = byMethod[method];
    if (!run) return [];
    const whole = curveOf(run), curve = whole.slice(0, shown), regret = curve[curve.length - 1];
    const points = pointsOf(run).slice(0, shown);
    const best = run.curve.filter((place, i) => i % 2 === 0 && place < shown).pop();
    return [{ color: `var(--${side})`, method, whole, curve, points, regret, best, failed: run.failed }];
  });
}

function draw() {
  const shown = runs();
  byId("count").value = byId("shown").value;
  for (const row of all(".functions tbody tr")) {
    if (row.dataset.function === chosen.function.value) row.setAttribute("aria-current", "true");
    else row.removeAttribute("aria-current");
  }
  drawMap(shown);
  drawCurves(shown);
  byId("legend").replaceChildren(...shown.map(({ method, regret, best, failed, color }) => {
    const text = document.createElement("span");
    const swatch = document.createElement("i");
    swatch.className = "key";
    swatch.style.setProperty("--color", color);
    const found = failed ? "failed" : `log10 regret ${regret.toFixed(2).replace("-", "−")}, found at evaluation ${best + 1}`;
    text.append(swatch, `${method} on ${chosen.function.value}: ${found}`);
    return text;
  }));
}

function drawMap(shown) {
  const map = byId("map");
  const landscape = landscapeOf(chosen.function.value);
  map.replaceChildren();
  map.classList.toggle("flat", landscape?.dim === 1);
  map.style.visibility = landscape ? "visible" : "hidden";
  byId("missing").hidden = Boolean(landscape);
  byId("missing").textContent = "No drawing: this function has more than two dimensions, or no path of it was kept.";
  const [across, up] = landscape ? landscape.ends : [["", ""], ["", ""]];
  const [x, y] = { 1: ["x", "f(x)"], 2: ["x₁", "x₂"] }[landscape?.dim] ?? ["", ""];
  label(byId("across"), [across[0], x, across[1]]);
  label(byId("up"), [up[1], y, up[0]]);
  if (!landscape) return;
  shape("image", { href: landscape.picture, width: 1000, height: 1000, preserveAspectRatio: "none" }, map);
  shape("rect", { class: "shade", width: 1000, height: 1000 }, map);
  shown.forEach((run, i) => drawPath(map, run, i ? 24 : 34));
}

function label(axis, texts) {
  axis.replaceChildren(...texts.map((text) => {
    const element = document.createElement("span");
    element.textContent = text;
    return element;
  }));
}

/** A path that grows stronger with time, from a white dot to a star of that size. */
function drawPath(map, { points, color, best, method }, size) {
  if (!points.length) return;
  const group = shape("g", { class: "path", "data-method": method }, map);
  shape("polyline", { points: points.join(" "), fill: "none", stroke: "#fff", "stroke-width": 3.5, "stroke-opacity": 0.55 }, group);
  points.forEach(([x, y], i) => {
    const strength = 0.3 + 0.7 * (i / Math.max(points.length - 1, 1));
    const style = `stroke: ${color}; fill: ${color}; opacity: ${strength.toFixed(2)}`;
    if (i) shape("line", { x1: points[i - 1][0], y1: points[i - 1][1], x2: x, y2: y, "stroke-width": 1.6, style }, group);
    shape("circle", { cx: x, cy: y, r: 6, "stroke-width": 0, style }, group);
  });
  const [x, y] = points[0];
  shape("circle", { cx: x, cy: y, r: 13, fill: "#fff", stroke: "#000", "stroke-width": 1.5 }, group);
  const star = Array.from({ length: 10 }, (_, i) => {
    const radius = i % 2 ? 0.42 * size : size;
    const [bx, by] = points[Math.min(best, points.length - 1)];
    return [bx + radius * Math.sin(Math.PI * i / 5), by - radius * Math.cos(Math.PI * i / 5)].map(Math.round);
  });
  shape("polygon", { points: star.join(" "), style: `fill: ${color}`, stroke: "#fff", "stroke-width": 1.5 }, group);
}

/** The best value so far of each run, on axes that stay while the slider moves. */
function drawCurves(shown) {
  const svg = byId("curve");
  const { width, height } = svg.getBoundingClientRect();
  const left = 30, right = width - 6, top = 22, bottom = height - 36;
  const values = shown.flatMap(({ whole }) => whole);
  const high = Math.max(0, Math.ceil(Math.max(...values) - 0.2)), low = Math.min(-1, Math.floor(Math.min(...values)));
  const x = (evaluation) => left + (right - left) * (evaluation - 1) / view.budget;
  const y = (regret) => top + (bottom - top) * (high - regret) / (high - low);
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`); // on paper it has another size
  const step = high - low > 2 ? Math.ceil((high - low) / 8) : 0.5;
  for (let tick = high; tick >= low; tick -= step) {
    shape("line", { x1: left, x2: right, y1: y(tick), y2: y(tick), style: "stroke: var(--rule)" }, svg);
    shape("text", { x: left - 8, y: y(tick) + 4, "text-anchor": "end" }, svg, String(tick).replace("-", "−"));
  }
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    const evaluation = Math.round(1 + share * view.budget);
    const anchor = share === 1 ? "end" : "middle";
    shape("text", { x: x(evaluation), y: bottom + 18, "text-anchor": anchor }, svg, evaluation);
  }
  shape("text", { x: 0, y: 8 }, svg, "log10 regret");
  shape("text", { x: right, y: height - 2, "text-anchor": "end" }, svg, "evaluations");
  for (const { curve, color, method } of shown) {
    const points = curve.flatMap((regret, i) => (i ? [[x(i + 1), y(curve[i - 1])], [x(i + 1), y(regret)]] : [[x(1), y(regret)]]));
    const style = `stroke: ${color}; stroke-width: 2.2; fill: none; stroke-linejoin: round`;
    shape("polyline", { points: points.map((p) => p.map((v) => v.toFixed(1))).join(" "), style, "data-method": method }, svg);
    const [endX, endY] = points[points.length - 1];
    shape("circle", { cx: endX, cy: endY, r: 3.5, style: `fill: ${color}` }, svg);
  }
}

// Charts

const WIDE = 640; // pixels, from which names stand at the ends of their lines

function drawCharts() {
  drawRanks(byId("ranks"), charts.ranks);
  drawLines(byId("regret"), charts.regret, "evaluations", "mean log10 regret");
  drawLines(byId("ni"), charts.ni, "evaluations", "mean NI");
  drawLines(byId("targets"), charts.targets, "evaluations", "share of targets reached");
  drawLines(byId("profiles"), charts.profiles, "factor of the fastest method’s evaluations", "share of runs");
  if (!data.equalTime) return;
  const { costs_ms: costs, methods: y, score } = data.equalTime;
  drawLines(byId("equal-time"), { x: costs.map((_, i) => i), y, names: costs }, "milliseconds an evaluation", score);
}

/** A new picture of this height in a chart's place, and its width. */
function picture(place, height, label) {
  const width = Math.max(280, Math.min(place.clientWidth, 1100));
  place.replaceChildren();
  return [shape("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label }, place), width];
}

/** About so many round numbers from low to high. */
function ticks(low, high, count) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.99);
  const from = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - from + 1 }, (_, i) => Number(((from + i) * step).toPrecision(6)));
}

/** Places at least a gap apart, in order, moved as little as a pass down and one up can. */
function apart(places, gap, low, high) {
  const found = [...places];
  for (let i = 0; i < found.length; i++) found[i] = Math.max(found[i], i ? found[i - 1] + gap : low);
  for (let i = found.length - 1; i >= 0; i--) found[i] = Math.min(found[i], i < found.length - 1 ? found[i + 1] - gap : high);
  return found;
}

/** Lines with their names at their ends or, on narrow screens, below. */
function drawLines(place, { x, y, log, names }, across, up) {
  const methods = Object.keys(y);
  const wide = place.clientWidth >= WIDE;
  const height = wide ? Math.max(360, 15 * methods.length + 80) : 300;
  const [svg, width] = picture(place, height, `${up} against ${across}: ${view.title}`);
  const left = 44, right = width - (wide ? 210 : 12), top = 24, bottom = height - 42;
  const values = methods.flatMap((method) => y[method]);
  const low = Math.min(...values), high = Math.max(...values);
  const scale = log ? Math.log : (value) => value;
  const begin = scale(x[0]), end = scale(x[x.length - 1]);
  const atX = (value) => left + (right - left) * (scale(value) - begin) / (end - begin || 1);
  const atY = (value) => bottom - (bottom - top) * (value - low) / (high - low || 1);
  for (const tick of ticks(low, high, 6)) {
    shape("line", { x1: left, x2: right, y1: atY(tick), y2: atY(tick), class: "grid" }, svg);
    shape("text", { x: left - 8, y: atY(tick) + 4, "text-anchor": "end" }, svg, String(tick).replace("-", "−"));
  }
  const places = names ? x : log ? [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000] : ticks(x[0], x[x.length - 1], wide ? 8 : 4);
  for (const tick of places.filter((t) => t >= x[0] && t <= x[x.length - 1])) {
    shape("line", { x1: atX(tick), x2: atX(tick), y1: bottom, y2: bottom + 4, class: "grid" }, svg);
    shape("text", { x: atX(tick), y: bottom + 18, "text-anchor": "middle" }, svg, names ? names[tick] : tick);
  }
  shape("text", { x: 0, y: 11 }, svg, up);
  shape("text", { x: right, y: height - 6, "text-anchor": "end" }, svg, across);
  for (const method of [...methods].reverse()) {
    const [color, thickness, dashes] = data.styles[method] ?? ["var(--others)", 1, ""];
    const points = y[method].map((value, i) => `${atX(x[i]).toFixed(1)},${atY(value).toFixed(1)}`).join(" ");
    const style = `stroke: ${color}; stroke-width: ${thickness}; stroke-dasharray: ${dashes || "none"}`;
    shape("polyline", { points, class: "line", style, "data-method": method }, svg);
  }
  if (wide) nameLines(svg, y, atY, right, top, bottom);
  else place.append(legendOf(methods));
}

function nameLines(svg, y, atY, right, top, bottom) {
  const ends = Object.entries(y).map(([method, values]) => [method, atY(values[values.length - 1])]).sort((a, b) => a[1] - b[1]);
  const places = apart(ends.map(([, end]) => end), 14, top, bottom + 24);
  ends.forEach(([method, end], i) => {
    const [color] = data.styles[method] ?? ["var(--others)"];
    shape("line", { x1: right + 2, x2: right + 16, y1: end, y2: places[i], style: `stroke: ${color}`, "stroke-width": 0.7 }, svg);
    shape("text", { x: right + 19, y: places[i] + 4, style: inkOf(color) }, svg, method);
  });
}

/** A colour for letters: darker than a line's on light ground, and lighter on dark. */
function inkOf(color) {
  return `fill: color-mix(in srgb, ${color} 50%, var(--ink))`;
}

function legendOf(methods) {
  const list = document.createElement("ul");
  list.className = "legend";
  list.append(...methods.map((method) => {
    const item = document.createElement("li"), swatch = document.createElement("i");
    const [color, , dashes] = data.styles[method] ?? ["var(--others)", 1, ""];
    swatch.className = dashes ? "key dashed" : "key";
    swatch.style.setProperty("--color", color);
    item.append(swatch, method);
    return item;
  }));
  return list;
}

/**
 * Mean ranks with their intervals, a row for each method, whose name is beside it or, on narrow screens, above; and at
 * the right the bars that join those without a difference.
 */
function drawRanks(place, { methods, bars }) {
  const wide = place.clientWidth >= WIDE;
  const row = wide ? 22 : 36, top = 30, height = top + row * methods.length + 34;
  const [svg, width] = picture(place, height, `Mean ranks: ${view.title}`);
  const gap = Math.min(9, 90 / Math.max(bars.length, 1));
  const left = wide ? 250 : 6, right = width - 16 - gap * bars.length;
  const ends = methods.flatMap(([, ...numbers]) => numbers.filter((n) => n !== null));
  const low = Math.max(1, Math.min(...ends) - 0.2), high = Math.max(...ends) + 0.2;
  const at = (rank) => left + (right - left) * (rank - low) / (high - low || 1);
  const y = (i) => top + row * (i + (wide ? 0.5 : 0.7));
  for (const tick of ticks(low, high, wide ? 8 : 5)) {
    shape("line", { x1: at(tick), x2: at(tick), y1: top, y2: y(methods.length - 0.5), class: "grid" }, svg);
    shape("text", { x: at(tick), y: top - 8, "text-anchor": "middle" }, svg, tick);
  }
  shape("text", { x: right, y: height - 8, "text-anchor": "end" }, svg, "mean rank (left is better)");
  methods.forEach(([method, rank, from, to], i) => {
    const [color] = data.styles[method];
    const spot = wide ? { x: left - 12, y: y(i) + 4, "text-anchor": "end" } : { x: 0, y: y(i) - 9 };
    shape("text", { ...spot, style: inkOf(color) }, svg, `${method} ${rank.toFixed(2)}`);
    if (from !== null) shape("line", { x1: at(from), x2: at(to), y1: y(i), y2: y(i), style: `stroke: ${color}`, "stroke-width": 2 }, svg);
    shape("circle", { cx: at(rank), cy: y(i), r: 4.5, style: `fill: ${color}` }, svg);
  });
  bars.forEach(([from, to], i) => {
    const x = right + 12 + gap * i;
    shape("line", { x1: x, x2: x, y1: y(from) - 6, y2: y(to) + 6, class: "bar-of-equals", "stroke-width": 3 }, svg);
  });
}

// Light and dark

const dark = matchMedia("(prefers-color-scheme: dark)");
const system = () => (dark.matches ? "dark" : "light");
let scheme = system();

function showScheme(wanted) {
  scheme = wanted;
  document.documentElement.style.colorScheme = wanted;
  byId("theme").textContent = wanted === "dark" ? "Light" : "Dark";
}

// The page comes to life

offer(chosen.sample, unique(data.views.map((v) => v.label)));
offer(chosen.budget, unique(data.views.map((v) => String(v.budget))));
offer(chosen.a, data.methods);
offer(chosen.b, data.methods);
[chosen.a.value, chosen.b.value] = [view.methods[0], view.methods[Math.min(1, view.methods.length - 1)]];
recall();
for (const name of ["sample", "budget"]) chosen[name].addEventListener("change", showView);
for (const name of ["function", "a", "b"]) chosen[name].addEventListener("change", () => { draw(); remember(); });
for (const name of ["a", "b"]) chosen[name].addEventListener("change", drawPairs);
byId("shown").addEventListener("input", draw);
for (const header of all(".pairs thead th")) header.firstElementChild.addEventListener("click", () => sortNext(header));
byId("measure").addEventListener("change", (event) => { showMeasure(event.target.value); remember(); });
byId("theme").addEventListener("click", () => { showScheme(scheme === "dark" ? "light" : "dark"); remember(); });
dark.addEventListener("change", () => showScheme(system()));
for (const link of all("nav a")) {
  link.addEventListener("click", (event) => { // the address keeps what is chosen
    event.preventDefault();
    const section = document.querySelector(link.hash);
    section.scrollIntoView({ behavior: calm.matches ? "auto" : "smooth" });
    section.querySelector("h2").focus({ preventScroll: true });
  });
}
for (const title of all("section > h2")) title.tabIndex = -1;

byId("chooser").hidden = data.views.length < 2;
for (const id of ["theme", "viewer", "measure", "charts", "two"]) byId(id).hidden = false;
showScheme(scheme);
let widths = "";
new ResizeObserver(() => {
  const now = [byId("charts").clientWidth, byId("curve").clientWidth].join();
  if (now === widths || !charts.ranks) return;
  widths = now;
  drawCharts();
  drawCurves(runs());
}).observe(document.body);
showView().then(drawPairs);
