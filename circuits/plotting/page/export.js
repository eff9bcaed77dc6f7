// ---------------------------------------------------------------- what is shown, as a picture and as numbers

const fileName = ending => [document.title, headTitle(state.layer, state.head), sourceTitle()].filter(Boolean).join(" ")
  .replace(/[^\w.-]+/g, "-").slice(0, 100) + ending;
function save(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
// The shown pattern of every model, one line for each query and key.
function table() {
  const quoted = value => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  const lines = [["model", "step", "problem", "layer", "head", "query", "query_token", "query_role", "key", "key_token",
    "key_role", "attention", "standard_error"]];
  for (const model of models) {
    for (let row = 0; row < T; row++) {
      const errors = standardErrors(model, row);
      attention(model, state.layer, state.head, row).forEach((value, key) => lines.push([model.title,
        steps.length ? steps[state.step] : "", state.example < 0 ? "mean" : state.example, state.layer, heads[state.head],
        positions[row], tokens[row], roles[row], positions[key], tokens[key], roles[key], value.toFixed(6),
        errors ? errors[key].toFixed(6) : ""]));
    }
  }
  return lines.map(line => line.map(value => quoted(String(value))).join(",")).join("\r\n") + "\r\n";
}
// The enlarged patterns side by side, each below its title.
function picture() {
  const parts = views.map(view => view.part("pattern")), ratio = devicePixelRatio || 1, gap = 16 * ratio, head = 30 * ratio;
  const whole = make("canvas", { width: gap + parts.reduce((sum, part) => sum + part.width + gap, 0),
    height: head + Math.max(...parts.map(part => part.height)) + gap });
  const pen = whole.getContext("2d");
  pen.fillStyle = theme("--card");
  pen.fillRect(0, 0, whole.width, whole.height);
  let left = gap;
  for (const [at, part] of parts.entries()) {
    pen.fillStyle = theme("--ink");
    pen.font = `bold ${14 * ratio}px system-ui, sans-serif`;
    const title = [models[at].title, headTitle(state.layer, state.head), sourceTitle()].filter(Boolean).join(", ");
    pen.fillText(fitted(pen, title, part.width), left, 20 * ratio);
    pen.drawImage(part, left, head);
    left += part.width + gap;
  }
  return whole;
}
function listenToExport() {
  const png = () => decode(picture().toDataURL("image/png").split(",")[1]);
  byId("png").addEventListener("click", () => save(new Blob([png()], { type: "image/png" }), fileName(".png")));
  byId("csv").addEventListener("click", () => save(new Blob([table()], { type: "text/csv" }), fileName(".csv")));
}
