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
function swatch(role) {
  const dot = make("i", { class: "swatch" });
  dot.style.background = roleColour(role);
  return dot;
}
// Which model, and when: only what the page has more than one of.
const modelTitle = model => (models.length > 1 ? model.title : "");
const sourceTitle = () => [steps.length ? `step ${steps[state.step].toLocaleString("en")}` : "",
  state.example < 0 ? "" : `problem ${state.example}`].filter(Boolean).join(", ");
