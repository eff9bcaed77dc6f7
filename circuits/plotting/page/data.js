"use strict";
// The records, read from the page itself, and the selection. Texts enter the page as text only, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const { tokens, roles, positions, heads, layers, query, causal, steps } = data;
const T = tokens.length, H = heads.length, L = layers;
const shades = decode(data.shades);
const models = data.models.map(({ title, scores, frames }) => ({ title, scores,
  frames: frames.map(({ patterns, errors, examples }) => ({
    patterns: unpack(patterns), errors: errors && unpack(errors), examples: examples && unpack(examples) })) }));
const dark = matchMedia("(prefers-color-scheme: dark)");
// example: -1 for the mean. hovered and key are positions under the pointer, or null.
const state = { layer: 0, head: 0, row: query, step: Math.max(0, steps.length - 1), example: -1,
  hovered: null, key: null, root: false };
const byId = id => document.getElementById(id);
const shownRow = () => state.hovered ?? state.row;

function decode(text) { return Uint8Array.from(atob(text), letter => letter.charCodeAt(0)); }
function unpack({ unit, values }) {
  const whole = new Uint16Array(decode(values).buffer);
  return (layer, head, row, example = 0) => {
    const start = (((example * L + layer) * H + head) * T + row) * T;
    return Array.from(whole.subarray(start, start + T), value => value * unit);
  };
}
// Attention from one query to all keys: the mean, or that of the selected problem.
function attention(model, layer, head, row) {
  const { patterns, examples } = model.frames[state.step];
  return state.example < 0 ? patterns(layer, head, row) : examples(layer, head, row, state.example);
}
function standardErrors(model, row) {
  const { errors } = model.frames[state.step];
  return errors && state.example < 0 ? errors(state.layer, state.head, row) : null;
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
