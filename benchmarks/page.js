"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const chosen = { sample: byId("sample"), budget: byId("budget"), function: byId("function"), a: byId("a"), b: byId("b") };
const calm = matchMedia("(prefers-reduced-motion: reduce)");

let view = data.views[0];

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
function showView() {
  const ofSample = data.views.filter((v) => v.label === chosen.sample.value);
  const budgets = ofSample.map((v) => String(v.budget));
  for (const option of chosen.budget.options) option.disabled = !budgets.includes(option.value);
  if (!budgets.includes(chosen.budget.value)) chosen.budget.value = budgets[0];
  view = ofSample.find((v) => String(v.budget) === chosen.budget.value);
  const number = String(data.views.indexOf(view));
  for (const element of all(".view")) element.hidden = element.dataset.view !== number;

  offer(chosen.function, view.functions);
  offer(chosen.a, view.methods);
  offer(chosen.b, view.methods, 1);
  byId("shown").max = view.budget + 1;
  byId("shown").value = view.budget + 1;
  draw();
}

function showFunction(name) {
  chosen.function.value = name;
  draw();
  byId("viewer").scrollIntoView({ block: "nearest", behavior: calm.matches ? "auto" : "smooth" });
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
  const byMethod = data.runs[view.budget]?.[chosen.function.value] ?? {};
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
  const landscape = data.landscapes[chosen.function.value];
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

// Light and dark

const dark = matchMedia("(prefers-color-scheme: dark)");
let scheme = dark.matches ? "dark" : "light";

function showScheme(wanted) {
  scheme = wanted;
  document.documentElement.style.colorScheme = wanted;
  byId("theme").textContent = wanted === "dark" ? "Light" : "Dark";
}

// The page comes to life

offer(chosen.sample, unique(data.views.map((v) => v.label)));
offer(chosen.budget, unique(data.views.map((v) => String(v.budget))));
for (const name of ["sample", "budget"]) chosen[name].addEventListener("change", showView);
for (const name of ["function", "a", "b"]) chosen[name].addEventListener("change", draw);
byId("shown").addEventListener("input", draw);
for (const header of all(".sortable thead th")) header.firstElementChild.addEventListener("click", () => sortNext(header));
for (const row of all(".functions tbody tr")) row.addEventListener("click", () => showFunction(row.dataset.function));
byId("measure").addEventListener("change", (event) => showMeasure(event.target.value));
byId("theme").addEventListener("click", () => showScheme(scheme === "dark" ? "light" : "dark"));
dark.addEventListener("change", () => showScheme(dark.matches ? "dark" : "light"));
new ResizeObserver(() => drawCurves(runs())).observe(byId("curve"));

byId("chooser").hidden = data.views.length < 2;
for (const id of ["theme", "viewer", "measure"]) byId(id).hidden = false;
showMeasure("regret");
showScheme(scheme);
showView();
