// ---------------------------------------------------------------- the enlarged pattern

const AXIS = 15; // pixels for the names of the axes
function measure(pen, width) {
  pen.font = "bold 11px system-ui, sans-serif";
  const longest = Math.min(90, 1 + Math.max(...tokens.map(text => pen.measureText(text).width)));
  const numbers = pen.measureText(Math.max(...positions)).width;
  const band = ownRoles.length ? 22 : 4;
  const left = Math.ceil(AXIS + band + numbers + longest + 14);
  const cell = Math.min(34, (width - left - 12) / T);
  const upright = longest > 0.9 * cell;
  const top = Math.ceil(AXIS + band + 15 + (upright ? longest : 12) + 8);
  const every = Math.ceil(11.5 / cell), numbersEvery = every * Math.ceil((numbers + 3) / cell / every);
  return { left, top, cell, upright, longest, every, numbersEvery };
}
function drawPattern(view) {
  const canvas = view.part("pattern"), width = canvas.parentElement.clientWidth, ratio = devicePixelRatio || 1;
  const pen = canvas.getContext("2d"), box = view.box = measure(pen, width);
  const height = box.top + box.cell * T + 4;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.height = `${height}px`;
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  drawFuture(pen, box);
  drawCells(pen, box, view.model);
  drawAxes(pen, box);
  drawLabels(pen, box);
  drawBands(pen, box);
  drawMarks(pen, box);
  const name = [modelTitle(view.model), headTitle(state.layer, state.head)].filter(Boolean).join(", ");
  canvas.setAttribute("aria-label",
    `${name}: query positions down, key positions across. Up and down select the query, left and right the key.`);
}
function drawFuture(pen, { left, top, cell }) {
  if (!causal) return;
  const side = cell * T;
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
function drawCells(pen, { left, top, cell }, model) {
  const gap = cell >= 9 ? 0.75 : 0;
  for (let row = 0; row < T; row++) {
    attention(model, state.layer, state.head, row).forEach((value, key) => {
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
function drawAxes(pen, { left, top, cell }) {
  pen.font = "11px system-ui, sans-serif";
  pen.fillStyle = theme("--soft");
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.fillText("key position →", left + cell * T / 2, 7);
  pen.save();
  pen.translate(7, top + cell * T / 2);
  pen.rotate(-Math.PI / 2);
  pen.fillText("← query position", 0, 0);
  pen.restore();
}
function fitted(pen, text, width) {
  if (pen.measureText(text).width <= width) return text;
  let short = text;
  while (short && pen.measureText(`${short}…`).width > width) short = [...short].slice(0, -1).join("");
  return `${short}…`;
}
function drawLabels(pen, { left, top, cell, upright, longest, every, numbersEvery }) {
  const row = shownRow();
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
function drawBands(pen, { left, top, cell }) {
  pen.font = "10px system-ui, sans-serif";
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  for (const { role, start, end } of runs()) {
    const from = start * cell + 1, length = (end - start) * cell - 2;
    pen.fillStyle = roleColour(role);
    pen.fillRect(left + from, AXIS + 14, length, 5);
    pen.fillRect(AXIS + 14, top + from, 5, length);
    if (pen.measureText(role).width > length + 2) continue; // the colours are named above the pattern
    pen.fillStyle = theme("--soft");
    pen.fillText(role, left + from + length / 2, AXIS + 7);
    pen.save();
    pen.translate(AXIS + 7, top + from + length / 2);
    pen.rotate(-Math.PI / 2);
    pen.fillText(role, 0, 0);
    pen.restore();
  }
}
function drawMarks(pen, { left, top, cell }) {
  const side = cell * T, middle = top + (query + 0.5) * cell;
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


function cellAt(view, event) {
  const bounds = view.part("pattern").getBoundingClientRect(), { left, top, cell } = view.box;
  const row = Math.floor((event.clientY - bounds.top - top) / cell);
  const key = Math.floor((event.clientX - bounds.left - left) / cell);
  return { row: row >= 0 && row < T ? row : null, key: key >= 0 && key < T ? key : null };
}
function hover(row, key) {
  if (row === state.hovered && key === state.key) return;
  Object.assign(state, { hovered: row, key: row === null ? null : key });
  views.forEach(drawPattern);
  views.forEach(showRow);
}
function listenToPattern(view) {
  const canvas = view.part("pattern");
  canvas.addEventListener("pointermove", event => { const { row, key } = cellAt(view, event); hover(row, key); });
  canvas.addEventListener("pointerleave", () => hover(null, null));
  canvas.addEventListener("click", event => { const { row } = cellAt(view, event); if (row !== null) select({ row }); });
  canvas.addEventListener("keydown", event => {
    const { row, key } = state, within = at => Math.min(T - 1, Math.max(0, at));
    const change = {
      ArrowDown: { row: within(row + 1) }, ArrowUp: { row: within(row - 1) }, Home: { row: 0 }, End: { row: T - 1 },
      ArrowRight: { key: within((key ?? -1) + 1) }, ArrowLeft: { key: within((key ?? T) - 1) }, Escape: { key: null },
    }[event.key];
    if (!change) return;
    event.preventDefault();
    select({ hovered: null, ...change });
  });
  new ResizeObserver(() => drawPattern(view)).observe(canvas.parentElement);
}
