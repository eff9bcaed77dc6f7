"use strict";
// One record of attention maps, read from the page itself. Texts enter the page as text only, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const { tokens, roles, positions, heads, layers, query, causal } = data;
const T = tokens.length, H = heads.length, L = layers;
const patterns = unpack(data.patterns), errors = data.errors && unpack(data.errors);
const shades = decode(data.shades);
const dark = matchMedia("(prefers-color-scheme: dark)");
const state = { layer: 0, head: 0, row: query, hovered: null, key: null, root: false };
const byId = id => document.getElementById(id);

function decode(text) { return Uint8Array.from(atob(text), letter => letter.charCodeAt(0)); }
function unpack({ unit, values }) {
  const whole = new Uint16Array(decode(values).buffer);
  return (layer, head, row) => {
    const start = ((layer * H + head) * T + row) * T;
    return Array.from(whole.subarray(start, start + T), value => value * unit);
  };
}
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") element.textContent = value;
    else if (value !== null && value !== false) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

// ---------------------------------------------------------------- names and colours

const isNumber = name => /^\d+$/.test(name);
const headTitle = (layer, head) => `L${layer}${isNumber(heads[head]) ? "H" : ", "}${heads[head]}`;
const positionTitle = at => `${positions[at]} “${tokens[at]}”${roles[at] && `, ${roles[at]}`}`;
const digits = value => value.toFixed(3);
const roleColour = role => data.colours[role] || "transparent";
const theme = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const scaled = value => { const part = Math.min(1, Math.max(0, value)); return state.root ? Math.sqrt(part) : part; };
// 0 has the colour closest to the page's background, so that large values stand out.
function shade(value) {
  const step = Math.round(255 * scaled(value));
  const at = 3 * (dark.matches ? step : 255 - step);
  return [shades[at], shades[at + 1], shades[at + 2]];
}
const css = ([red, green, blue]) => `rgb(${red} ${green} ${blue})`;
const inkOn = ([red, green, blue]) => (0.3 * red + 0.6 * green + 0.1 * blue > 128 ? "#000" : "#fff");
const isVisible = (row, key) => !causal || key <= row;
const attentionTo = (values, role) => values.reduce((sum, value, key) => sum + (roles[key] === role ? value : 0), 0);
const ownRoles = [...new Set(roles)].filter(role => role !== "");
function runs() {
  const all = [];
  roles.forEach((role, at) => {
    if (at && roles[at - 1] === role) all.at(-1).end = at + 1;
    else all.push({ role, start: at, end: at + 1 });
  });
  return all.filter(run => run.role !== "");
}

// ---------------------------------------------------------------- thumbnails

const thumbnails = [];
function buildThumbnails() {
  const grid = byId("thumbnails");
  grid.style.setProperty("--heads", H);
  grid.classList.toggle("single", H === 1);
  byId("all").textContent = H > 1 ? "Layers down, heads across" : `Layers, ${isNumber(heads[0]) ? "head " : ""}${heads[0]}`;
  if (H > 1) grid.append(make("span"), ...heads.map(name => make("span", { class: "name", text: name })));
  for (let layer = 0; layer < L; layer++) {
    if (H > 1) grid.append(make("span", { class: "name", text: layer }));
    for (let head = 0; head < H; head++) {
      const canvas = make("canvas", { width: T, height: T, class: T > 48 ? "fine" : "" });
      const label = headTitle(layer, head);
      const button = make("button", { type: "button", "aria-label": label, title: label }, canvas);
      if (H === 1) button.prepend(make("span", { class: "name", text: layer }));
      button.addEventListener("click", () => select({ layer, head }));
      button.addEventListener("keydown", event => {
        const [down, across] = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1] }[event.key]
          || [0, 0];
        if (!down && !across) return;
        event.preventDefault();
        const step = H === 1 ? down + across : down; // narrow screens wrap the one column
        select({
          layer: Math.min(L - 1, Math.max(0, layer + step)),
          head: H === 1 ? 0 : Math.min(H - 1, Math.max(0, head + across)),
        });
        thumbnails[state.layer * H + state.head].button.focus();
      });
      thumbnails.push({ layer, head, canvas, button });
      grid.append(button);
    }
  }
}
function paintThumbnails() {
  const future = theme("--future").match(/[\da-f]{2}/gi).map(part => parseInt(part, 16));
  for (const { layer, head, canvas } of thumbnails) {
    const image = new ImageData(T, T);
    for (let row = 0; row < T; row++) {
      patterns(layer, head, row).forEach((value, key) => {
        image.data.set([...(isVisible(row, key) ? shade(value) : future), 255], 4 * (row * T + key));
      });
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
  }
}
function markThumbnail() {
  for (const { layer, head, button } of thumbnails) {
    const selected = layer === state.layer && head === state.head;
    button.setAttribute("aria-pressed", selected);
    button.tabIndex = selected ? 0 : -1;
  }
}

// ---------------------------------------------------------------- the enlarged pattern

const canvas = byId("pattern");
let box = null;
function measure(pen, width) {
  pen.font = "bold 11px system-ui, sans-serif";
  const longest = Math.min(90, 1 + Math.max(...tokens.map(text => pen.measureText(text).width)));
  const numbers = pen.measureText(Math.max(...positions)).width;
  const band = ownRoles.length ? 22 : 4;
  const left = Math.ceil(band + numbers + longest + 14);
  const cell = Math.min(34, (width - left - 12) / T);
  const upright = longest > 0.9 * cell;
  const top = Math.ceil(band + 15 + (upright ? longest : 12) + 8);
  const every = Math.ceil(11.5 / cell), numbersEvery = every * Math.ceil((numbers + 3) / cell / every);
  return { left, top, cell, upright, longest, every, numbersEvery };
}
function drawPattern() {
  const pen = canvas.getContext("2d"), width = canvas.parentElement.clientWidth, ratio = devicePixelRatio || 1;
  box = measure(pen, width);
  const height = box.top + box.cell * T + 4;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.height = `${height}px`;
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  drawFuture(pen);
  drawCells(pen);
  drawLabels(pen);
  drawBands(pen);
  drawMarks(pen);
  canvas.setAttribute("aria-label", `${headTitle(state.layer, state.head)}: queries down, keys across. Up and down keys choose a query.`);
}
function drawFuture(pen) {
  if (!causal) return;
  const { left, top, cell } = box, side = cell * T;
  pen.save();
  pen.beginPath();
  for (let row = 0; row < T - 1; row++) pen.rect(left + (row + 1) * cell, top + row * cell, side - (row + 1) * cell, cell);
  pen.clip();
  pen.fillStyle = theme("--future");
  pen.fillRect(left, top, side, side);
  pen.strokeStyle = theme("--hatch");
  pen.beginPath();
  for (let at = 0; at < 2 * side; at += 7) { pen.moveTo(left + at, top); pen.lineTo(left + at - side, top + side); }
  pen.stroke();
  pen.restore();
}
function drawCells(pen) {
  const { left, top, cell } = box, gap = cell >= 9 ? 0.75 : 0;
  for (let row = 0; row < T; row++) {
    patterns(state.layer, state.head, row).forEach((value, key) => {
      if (!isVisible(row, key)) return;
      pen.fillStyle = css(shade(value));
      // Without gaps, neighbours overlap a little: otherwise seams are visible where cells are not whole pixels.
      const over = gap ? -gap : 0.4;
      pen.fillRect(left + key * cell, top + row * cell, cell + over, cell + over);
    });
  }
  pen.strokeStyle = theme("--line");
  pen.strokeRect(left - 0.5, top - 0.5, cell * T + 1, cell * T + 1);
}
function fitted(pen, text, width) {
  if (pen.measureText(text).width <= width) return text;
  let short = text;
  while (short && pen.measureText(`${short}…`).width > width) short = [...short].slice(0, -1).join("");
  return `${short}…`;
}
function drawLabels(pen) {
  const { left, top, cell, upright, longest, every, numbersEvery } = box, row = shownRow();
  for (let at = 0; at < T; at++) {
    const strong = { row: at === row, key: at === state.key };
    const shown = at % every === 0;
    const near = other => other !== null && at !== other && Math.abs(at - other) < every;
    pen.textBaseline = "middle";
    if (strong.row || (shown && !near(row))) {
      pen.textAlign = "right";
      label(pen, tokens[at], left - 6, top + (at + 0.5) * cell, longest, strong.row, at === query);
      label(pen, positions[at], left - 12 - longest, top + (at + 0.5) * cell, 60, false, false, true);
    }
    if (strong.key || (shown && !near(state.key))) {
      pen.save();
      pen.translate(left + (at + 0.5) * cell, top - 6);
      if (upright) { pen.rotate(-Math.PI / 2); pen.textAlign = "left"; } else { pen.textAlign = "center"; pen.translate(0, -5); }
      label(pen, tokens[at], 0, 0, longest, strong.key, false);
      pen.restore();
    }
    if (strong.key || (at % numbersEvery === 0 && (state.key === null || Math.abs(at - state.key) >= numbersEvery))) {
      pen.textAlign = "center";
      label(pen, positions[at], left + (at + 0.5) * cell, top - (upright ? longest : 12) - 14, 60, false, false, true);
    }
  }
}
function label(pen, text, x, y, width, strong, bold, small) {
  pen.font = `${strong || bold ? "bold " : ""}${small ? 9 : 11}px system-ui, sans-serif`;
  pen.fillStyle = theme(strong ? "--accent" : small ? "--soft" : "--ink");
  pen.fillText(fitted(pen, String(text), width), x, y);
}
function drawBands(pen) {
  const { left, top, cell } = box;
  pen.font = "10px system-ui, sans-serif";
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  for (const { role, start, end } of runs()) {
    const from = start * cell + 1, length = (end - start) * cell - 2;
    pen.fillStyle = roleColour(role);
    pen.fillRect(left + from, 14, length, 5);
    pen.fillRect(14, top + from, 5, length);
    if (pen.measureText(role).width > length + 2) continue; // the colours are named above the pattern
    pen.fillStyle = theme("--soft");
    pen.fillText(role, left + from + length / 2, 7);
    pen.save();
    pen.translate(7, top + from + length / 2);
    pen.rotate(-Math.PI / 2);
    pen.fillText(role, 0, 0);
    pen.restore();
  }
}
function drawMarks(pen) {
  const { left, top, cell } = box, side = cell * T, middle = top + (query + 0.5) * cell;
  pen.fillStyle = theme("--ink");
  pen.beginPath(); // an arrow at the examined query
  pen.moveTo(left + side + 2, middle);
  pen.lineTo(left + side + 10, middle - 5);
  pen.lineTo(left + side + 10, middle + 5);
  pen.fill();
  pen.strokeStyle = theme("--accent");
  pen.lineWidth = 2;
  pen.strokeRect(left - 1, top + shownRow() * cell - 1, side + 2, cell + 1.5);
  if (state.key !== null) pen.strokeRect(left + state.key * cell - 1, top + shownRow() * cell - 1, cell + 1.5, cell + 1.5);
  pen.lineWidth = 1;
}
const shownRow = () => state.hovered ?? state.row;

function cellAt(event) {
  const bounds = canvas.getBoundingClientRect();
  const row = Math.floor((event.clientY - bounds.top - box.top) / box.cell);
  const key = Math.floor((event.clientX - bounds.left - box.left) / box.cell);
  return { row: row >= 0 && row < T ? row : null, key: key >= 0 && key < T ? key : null };
}
canvas.addEventListener("pointermove", event => {
  const { row, key } = cellAt(event);
  if (row === state.hovered && key === state.key) return;
  Object.assign(state, { hovered: row, key: row === null ? null : key });
  drawPattern();
  showRow();
});
canvas.addEventListener("pointerleave", () => {
  Object.assign(state, { hovered: null, key: null });
  drawPattern();
  showRow();
});
canvas.addEventListener("click", event => { const { row } = cellAt(event); if (row !== null) select({ row }); });
canvas.addEventListener("keydown", event => {
  const row = { ArrowDown: state.row + 1, ArrowUp: state.row - 1, Home: 0, End: T - 1 }[event.key];
  if (row === undefined) return;
  event.preventDefault();
  select({ row: Math.min(T - 1, Math.max(0, row)) });
});

// ---------------------------------------------------------------- one row, and the same row in all heads

function showRow() {
  const row = shownRow(), values = patterns(state.layer, state.head, row);
  const spread = errors && errors(state.layer, state.head, row);
  const written = key => digits(values[key]) + (spread ? ` ± ${digits(spread[key])}` : "");
  byId("opened").textContent = headTitle(state.layer, state.head);
  byId("read").textContent = `Query ${positionTitle(row)}`;
  byId("cell").textContent = state.key === null ? (row === query ? "its prediction is examined" : "")
    : `attention to key ${positionTitle(state.key)}: ${isVisible(row, state.key) ? written(state.key) : "in the future"}`;
  const keys = values.map((_, key) => key).filter(key => isVisible(row, key));
  if (byId("sorted").checked) keys.sort((one, other) => values[other] - values[one]);
  byId("bars").replaceChildren(...keys.map(key => {
    const bar = make("i");
    bar.style.width = `${100 * scaled(values[key])}%`;
    bar.style.background = roles[key] ? roleColour(roles[key]) : "var(--accent)";
    const track = make("span", { class: "track" }, bar);
    if (spread) {
      const whisker = make("b"), low = scaled(values[key] - spread[key]), high = scaled(values[key] + spread[key]);
      whisker.style.left = `${100 * low}%`;
      whisker.style.width = `${100 * (high - low)}%`;
      track.append(whisker);
    }
    return make("tr", { class: key === state.key ? "selected" : "", "data-key": key },
      make("td", { class: "number", text: positions[key] }),
      make("th", { scope: "row" }, make("span", { class: "token", text: tokens[key] }),
        make("small", { text: roles[key] })),
      make("td", { class: "wide" }, track),
      make("td", { class: "number", text: written(key) }));
  }));
  byId("roles").hidden = !ownRoles.length;
  byId("share").replaceChildren(...ownRoles.map(role => {
    const part = make("i", { title: `${role} ${digits(attentionTo(values, role))}` });
    part.style.width = `${100 * attentionTo(values, role)}%`;
    part.style.background = roleColour(role);
    return part;
  }));
  byId("masses").replaceChildren(...ownRoles.map(role => make("li", { "data-role": role }, swatch(role),
    make("span", { text: role }), make("span", { class: "number", text: digits(attentionTo(values, role)) }))));
}
function swatch(role) {
  const dot = make("i", { class: "swatch" });
  dot.style.background = roleColour(role);
  return dot;
}
function showAllHeads() {
  const [kind, name] = byId("target").value.split(/:(.*)/s);
  const mass = values => (kind === "role" ? attentionTo(values, name) : values[Number(name)]);
  const names = H > 1 ? [make("tr", {}, make("td"), ...heads.map(head => make("th", { scope: "col", text: head })))] : [];
  const rows = Array.from({ length: L }, (_, layer) => make("tr", {}, make("th", { scope: "row", text: layer }),
    ...heads.map((_, head) => {
      const value = mass(patterns(layer, head, state.row)), colour = shade(value);
      const label = `${headTitle(layer, head)}: ${digits(value)}`;
      const selected = layer === state.layer && head === state.head;
      const short = value.toFixed(2).replace(/^0/, "");
      const button = make("button", { type: "button", tabindex: -1, text: short, "aria-pressed": selected,
        "aria-label": label, title: label });
      button.style.background = css(colour);
      button.style.color = inkOn(colour);
      button.addEventListener("click", () => select({ layer, head }));
      return make("td", {}, button);
    })));
  byId("everywhere").replaceChildren(...names, ...rows);
  const target = kind === "role" ? `all keys of role ${name}` : `key ${positionTitle(Number(name))}`;
  byId("what").textContent = `Attention of query ${positionTitle(state.row)} to ${target}.`;
}

// ---------------------------------------------------------------- selection, and the address that stores it

function select(changes) {
  Object.assign(state, changes);
  const address = `#layer=${state.layer}&head=${state.head}&row=${state.row}`;
  try { history.replaceState(null, "", address); } catch { /* a frame without its own address */ }
  show();
}
function readAddress() {
  const parameters = new URLSearchParams(location.hash.slice(1));
  const number = (name, count, fallback) => {
    const value = parameters.has(name) ? Number(parameters.get(name)) : NaN;
    return Number.isInteger(value) && value >= 0 && value < count ? value : fallback;
  };
  Object.assign(state, { layer: number("layer", L, 0), head: number("head", H, 0), row: number("row", T, query) });
}
function show() {
  byId("row").value = state.row;
  markThumbnail();
  drawPattern();
  showRow();
  showAllHeads();
}
function paint() {
  paintThumbnails();
  const bar = byId("bar"), image = new ImageData(256, 1);
  for (let at = 0; at < 256; at++) image.data.set([...shade(at / 255), 255], 4 * at);
  bar.getContext("2d").putImageData(image, 0, 0);
  show();
}
function build() {
  buildThumbnails();
  byId("row").append(...tokens.map((_, at) =>
    make("option", { value: at, text: positionTitle(at) + (at === query ? " ◂" : "") })));
  const target = byId("target");
  const group = (label, options) => options.length && target.append(make("optgroup", { label }, ...options));
  group("role", ownRoles.map(role => make("option", { value: `role:${role}`, text: role })));
  group("key", tokens.map((_, at) => make("option", { value: `key:${at}`, text: positionTitle(at) })));
  if (roles.includes("goal")) target.value = "role:goal";
  byId("legend").append(...ownRoles.map(role => make("li", {}, swatch(role), role)));
  byId("row").addEventListener("change", event => select({ row: Number(event.target.value) }));
  target.addEventListener("change", showAllHeads);
  byId("sorted").addEventListener("change", showRow);
  for (const choice of document.getElementsByName("scale")) {
    choice.addEventListener("change", () => { state.root = byId("root").checked; paint(); });
  }
  dark.addEventListener("change", paint);
  addEventListener("hashchange", () => { readAddress(); show(); });
  new ResizeObserver(drawPattern).observe(canvas.parentElement);
}
build();
readAddress();
paint();
