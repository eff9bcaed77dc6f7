// ---------------------------------------------------------------- the heads of a model: thumbnails, and one number each

function buildThumbnails(view) {
  const grid = view.part("thumbnails");
  grid.style.setProperty("--heads", H);
  grid.classList.toggle("single", H === 1);
  view.part("all").textContent =
    H > 1 ? "Layers down, heads across" : `Layers, ${isNumber(heads[0]) ? "head " : ""}${heads[0]}`;
  if (H > 1) grid.append(make("span"), ...heads.map(name => make("span", { class: "name", text: name })));
  for (let layer = 0; layer < L; layer++) {
    if (H > 1) grid.append(make("span", { class: "name", text: layer }));
    for (let head = 0; head < H; head++) {
      const canvas = make("canvas", { width: T, height: T, class: T > 48 ? "fine" : "" });
      const label = headTitle(layer, head);
      const button = make("button", { type: "button", "aria-label": label, title: label }, canvas);
      if (H === 1) button.prepend(make("span", { class: "name", text: layer }));
      button.addEventListener("click", () => select({ layer, head }));
      button.addEventListener("keydown", event => moveHead(view, event));
      view.thumbnails.push({ layer, head, canvas, button });
      grid.append(button);
    }
  }
}
function moveHead(view, event) {
  const [down, across] =
    { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1] }[event.key] || [0, 0];
  if (!down && !across) return;
  event.preventDefault();
  const step = H === 1 ? down + across : down; // narrow screens wrap the one column
  select({
    layer: Math.min(L - 1, Math.max(0, state.layer + step)),
    head: H === 1 ? 0 : Math.min(H - 1, Math.max(0, state.head + across)),
  });
  view.thumbnails[state.layer * H + state.head].button.focus();
}
function paintThumbnails({ model, thumbnails }) {
  const future = theme("--future").match(/[\da-f]{2}/gi).map(part => parseInt(part, 16));
  for (const { layer, head, canvas } of thumbnails) {
    const image = new ImageData(T, T);
    for (let row = 0; row < T; row++) {
      attention(model, layer, head, row).forEach((value, key) => {
        image.data.set([...(isVisible(row, key) ? shade(value) : future), 255], 4 * (row * T + key));
      });
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
  }
}
function markThumbnail({ thumbnails }) {
  for (const { layer, head, button } of thumbnails) {
    const selected = layer === state.layer && head === state.head;
    button.setAttribute("aria-pressed", selected);
    button.tabIndex = selected ? 0 : -1;
  }
}

// One number of each head: its attention from the selected query to a role or a key, or a score given with the record.
function headNumber(model, layer, head) {
  const [kind, name] = target();
  if (kind === "score") return model.scores[name]?.[layer][head] ?? null;
  const values = attention(model, layer, head, state.row);
  return kind === "role" ? attentionTo(values, name) : values[Number(name)];
}
const target = () => byId("target").value.split(/:(.*)/s);
// Attention has the colours of the patterns; a score is relative to the largest of its name, red above 0, blue below.
function colours(value) {
  const [kind, name] = target();
  if (value === null) return ["transparent", "var(--soft)"];
  if (kind !== "score") { const colour = shade(value); return [css(colour), inkOn(colour)]; }
  const all = models.flatMap(model => (model.scores[name] ?? []).flat()).filter(each => each !== null);
  const part = Math.abs(value) / (Math.max(...all.map(Math.abs)) || 1);
  const hue = value < 0 ? "#2f6fb5" : "#c8452f";
  return [`color-mix(in srgb, ${hue} ${Math.round(65 * (state.root ? Math.sqrt(part) : part))}%, var(--card))`, "var(--ink)"];
}
function showAllHeads({ model, part }) {
  const [kind, name] = target();
  const names = H > 1 ? [make("tr", {}, make("td"), ...heads.map(head => make("th", { scope: "col", text: head })))] : [];
  const rows = Array.from({ length: L }, (_, layer) => make("tr", {}, make("th", { scope: "row", text: layer }),
    ...heads.map((_, head) => {
      const value = headNumber(model, layer, head);
      const label = `${headTitle(layer, head)}: ${value === null ? "none" : digits(value)}`;
      const selected = layer === state.layer && head === state.head;
      const short = value === null ? "–" : value.toFixed(2).replace(/^(-?)0\./, "$1.").replace("-", "−");
      const button = make("button", { type: "button", tabindex: -1, text: short, "aria-pressed": selected,
        "aria-label": label, title: label });
      [button.style.background, button.style.color] = colours(value);
      button.addEventListener("click", () => select({ layer, head }));
      return make("td", {}, button);
    })));
  part("everywhere").replaceChildren(...names, ...rows);
  const to = kind === "role" ? `all keys of role ${name}` : `key ${positionTitle(Number(name))}`;
  part("what").textContent =
    kind === "score" ? `${name}, of each head.` : `Attention of query ${positionTitle(state.row)} to ${to}.`;
  part("everywhere").setAttribute("aria-label", part("what").textContent);
}
