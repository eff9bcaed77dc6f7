// ---------------------------------------------------------------- one row of the pattern in numbers

// What a model's cell says: "0.123 ± 0.004", or that the key is in the future.
function written(model, row, key) {
  if (!isVisible(row, key)) return "in the future";
  const value = attention(model, state.layer, state.head, row)[key], errors = standardErrors(model, row);
  return digits(value) + (errors ? ` ± ${digits(errors[key])}` : "");
}
function showRow({ model, part }) {
  const row = shownRow(), values = attention(model, state.layer, state.head, row), errors = standardErrors(model, row);
  part("opened").textContent =
    [modelTitle(model), headTitle(state.layer, state.head), sourceTitle()].filter(Boolean).join(", ");
  part("read").textContent = `Query ${positionTitle(row)}`;
  part("cell").textContent = state.key === null ? (row === query ? "its prediction is examined" : "")
    : `attention to key ${positionTitle(state.key)}: ${written(model, row, state.key)}`;
  const keys = values.map((_, key) => key).filter(key => isVisible(row, key));
  if (part("sorted").checked) keys.sort((one, other) => values[other] - values[one]);
  part("bars").replaceChildren(...keys.map(key => make("tr",
    { class: key === state.key ? "selected" : "", "data-key": key },
    make("td", { class: "number", text: positions[key] }),
    make("th", { scope: "row" }, make("span", { class: "token", text: tokens[key] }), make("small", { text: roles[key] })),
    make("td", { class: "wide" }, bar(values[key], errors && errors[key], roles[key])),
    make("td", { class: "number", text: written(model, row, key) }))));
  part("by-role").hidden = !ownRoles.length;
  part("share").replaceChildren(...ownRoles.map(role => {
    const piece = make("i", { title: `${role} ${digits(attentionTo(values, role))}` });
    piece.style.width = `${100 * attentionTo(values, role)}%`;
    piece.style.background = roleColour(role);
    return piece;
  }));
  part("masses").replaceChildren(...ownRoles.map(role => make("li", { "data-role": role }, swatch(role),
    make("span", { text: role }), make("span", { class: "number", text: digits(attentionTo(values, role)) }))));
}
function bar(value, error, role) {
  const filled = make("i"), track = make("span", { class: "track" }, filled);
  filled.style.width = `${100 * scaled(value)}%`;
  filled.style.background = role ? roleColour(role) : "var(--accent)";
  if (error !== null) {
    const whisker = make("b"), low = scaled(value - error), high = scaled(value + error);
    whisker.style.left = `${100 * low}%`;
    whisker.style.width = `${100 * (high - low)}%`;
    track.append(whisker);
  }
  return track;
}
// Say what is selected, for screen readers: the selected key, or the one with the largest attention.
function announce() {
  const said = models.map(model => {
    const values = attention(model, state.layer, state.head, state.row);
    const key = state.key ?? values.indexOf(Math.max(...values));
    const which = state.key === null ? "most attention to key" : "attention to key";
    const name = modelTitle(model) && `${modelTitle(model)}: `;
    return `${name}${which} ${positionTitle(key)}, ${written(model, state.row, key)}`;
  });
  const where = [headTitle(state.layer, state.head), sourceTitle(), `query ${positionTitle(state.row)}`];
  byId("live").textContent = `${where.filter(Boolean).join(", ")}. ${said.join("; ")}.`;
}
