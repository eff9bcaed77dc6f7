// ---------------------------------------------------------------- selection, and the address that stores it

const views = models.map(model => {
  const article = byId("view").content.firstElementChild.cloneNode(true);
  return { model, article, part: name => article.querySelector(`.${name}`), thumbnails: [], box: null };
});
const CHOICES = [ // selects: their ids, the values they offer, and what they write
  ["layer", L, at => at],
  ["head", H, at => heads[at]],
  ["row", T, at => positionTitle(at) + (at === query ? " ◂" : "")],
];

function select(changes) {
  const source = "step" in changes || "example" in changes;
  Object.assign(state, changes);
  const address = ["layer", "head", "row", ...(steps.length ? ["step"] : []), ...(data.examples ? ["example"] : [])];
  const text = address.map(name => `${name}=${state[name]}`).join("&");
  try { history.replaceState(null, "", `#${text}`); } catch { /* a frame without its own address */ }
  if (source) views.forEach(paintThumbnails);
  show();
  announce();
}
function readAddress() {
  const parameters = new URLSearchParams(location.hash.slice(1));
  const number = (name, count, fallback, first = 0) => {
    const value = parameters.has(name) ? Number(parameters.get(name)) : NaN;
    return Number.isInteger(value) && value >= first && value < count ? value : fallback;
  };
  Object.assign(state, { layer: number("layer", L, 0), head: number("head", H, 0), row: number("row", T, query),
    step: number("step", steps.length, Math.max(0, steps.length - 1)), example: number("example", data.examples, -1, -1) });
}
function show() {
  for (const name of ["layer", "head", "row", "step", "example"]) byId(name).value = state[name];
  byId("reached").textContent = steps.length ? steps[state.step].toLocaleString("en") : "";
  byId("step").setAttribute("aria-valuetext", `step ${byId("reached").textContent}`);
  for (const each of [markThumbnail, drawPattern, showRow, showAllHeads]) views.forEach(each);
}
function paint() {
  views.forEach(paintThumbnails);
  const bar = byId("bar"), image = new ImageData(256, 1);
  for (let at = 0; at < 256; at++) image.data.set([...shade(at / 255), 255], 4 * at);
  bar.getContext("2d").putImageData(image, 0, 0);
  show();
}

function buildChoices() {
  for (const [name, count, title] of CHOICES) {
    byId(name).append(...Array.from({ length: count }, (_, at) => make("option", { value: at, text: title(at) })));
    byId(name).addEventListener("change", event => select({ [name]: Number(event.target.value) }));
  }
  const mean = data.problems > 1 ? `mean over ${data.problems} problems` : "the record";
  byId("example").append(make("option", { value: -1, text: mean }),
    ...Array.from({ length: data.examples }, (_, at) => make("option", { value: at, text: `problem ${at}` })));
  byId("example").addEventListener("change", event => select({ example: Number(event.target.value) }));
  byId("example").parentElement.hidden = !data.examples;
  const group = (label, options) => options.length && byId("target").append(make("optgroup", { label }, ...options));
  const scores = [...new Set(models.flatMap(model => Object.keys(model.scores)))];
  group("scores", scores.map(name => make("option", { value: `score:${name}`, text: name })));
  group("roles", ownRoles.map(role => make("option", { value: `role:${role}`, text: `attention to ${role}` })));
  group("keys", tokens.map((_, at) => make("option", { value: `key:${at}`, text: `attention to ${positionTitle(at)}` })));
  if (!scores.length && roles.includes("goal")) byId("target").value = "role:goal";
  byId("target").addEventListener("change", () => views.forEach(showAllHeads));
}
function buildTraining() {
  byId("training").hidden = steps.length < 2;
  byId("step").max = Math.max(0, steps.length - 1);
  byId("step").addEventListener("input", event => { stop(); select({ step: Number(event.target.value) }); });
  let timer = null;
  const stop = () => { clearInterval(timer); timer = null; byId("play").textContent = "play"; };
  byId("play").addEventListener("click", () => {
    if (timer !== null) { stop(); return; }
    if (state.step === steps.length - 1) select({ step: 0 });
    byId("play").textContent = "pause";
    timer = setInterval(() => {
      if (state.step < steps.length - 1) select({ step: state.step + 1 });
      if (state.step === steps.length - 1) stop();
    }, 600);
  });
}
function build() {
  const main = document.querySelector("main");
  main.style.setProperty("--models", models.length);
  main.classList.toggle("compare", models.length > 1);
  main.classList.toggle("single", H === 1);
  for (const view of views) {
    main.append(view.article);
    view.article.setAttribute("aria-label", view.model.title);
    buildThumbnails(view);
    listenToPattern(view);
    view.part("sorted").addEventListener("change", () => showRow(view));
  }
  buildChoices();
  buildTraining();
  listenToExport();
  byId("legend").append(...ownRoles.map(role => make("li", {}, swatch(role), role)));
  for (const choice of document.getElementsByName("scale")) {
    choice.addEventListener("change", () => { state.root = byId("root").checked; paint(); });
  }
  dark.addEventListener("change", paint);
  addEventListener("hashchange", () => { readAddress(); paint(); });
}
build();
readAddress();
paint();
