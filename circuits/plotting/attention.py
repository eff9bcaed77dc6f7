"""Attention maps, scores of heads and effects by layer and position → matplotlib ``Figure``.

As in ``plotting``, nothing trains or saves. Arrays are indexed from 0; layers, heads and positions are printed from 1.
Roles have the colours that they have in the page of ``circuits.plotting.page``.
"""

from collections.abc import Sequence
from math import ceil
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch, Rectangle

from circuits import checks
from circuits.plotting import heatmaps as plotting
from circuits.plotting.heatmaps import OUTLINE, QUIET, UNSEEN, UNSEEN_HATCH, Labels, Matrix, Shown, role_colour, visible
from circuits.probes.attention.maps import AttentionMaps, check

MOST_LABELLED = 36
"""Sequences of more positions get only some of their numbers."""
_CELL, _WIDE_CELL, _LEAST_CELL = 0.245, 0.5, 0.05
"""Inches: with labels, with values, and without either."""


class _Positions(NamedTuple):
    """What stands along an axis of positions."""

    names: list[str]
    roles: list[str]
    places: list[int]


def attention_grid(
    maps: AttentionMaps, *, head: int | str = "mean", scale: str = "linear", columns: int = 4, title: str | None = None
) -> Figure:
    """A panel for each layer, with the query of the record outlined: the counterpart of the paper's Figures 5 and 6.

    ``head`` is a head from 0, "mean" over all of them, or "all", which puts layers down and heads across. ``scale`` of
    the colours, from 0 to 1: "linear" or "root", the square root. Raises ValueError as ``maps.check``, and for other
    words and heads.
    """
    check(maps)
    checks.integer("columns", columns, min_value=1)
    if isinstance(head, str):
        checks.choice("head", head, ("mean", "all"))
    along = _along(maps)
    if head == "all":
        panels = [
            (_head_title(maps, layer, column), pattern)
            for layer, heads in enumerate(maps.patterns)
            for column, pattern in enumerate(heads)
        ]
        across = len(maps.heads)
    else:
        panels = [(f"Layer {layer}", pattern) for layer, pattern in enumerate(_one_head(maps, head), start=1)]
        across = min(columns, len(panels))
    norm = _norm(scale)
    figure, axes = _panels(len(panels), across, len(along.names), head == "all")
    causal = _causal(maps)
    for ax, (name, pattern) in zip(axes, panels, strict=True):
        _draw_pattern(ax, pattern, along, name, causal, norm, plain=head == "all")
        _outline_row(ax, maps.query, len(along.names))
    for ax in axes[0 : len(axes) : across]:
        ax.set_ylabel("query", color=QUIET, fontsize=9, labelpad=12)
    _finish(figure, axes, axes[0].images[0], along, _title(maps, title, head))
    return figure


def query_rows(
    maps: AttentionMaps,
    *,
    query: int | None = None,
    head: int | str = "mean",
    scale: str = "linear",
    title: str | None = None,
) -> Figure:
    """What one query reads: layers down, positions across, shares written into the cells.

    ``query`` is a position from 0, by default that of the record; ``head`` a head from 0, or "mean"; ``scale`` as in
    ``attention_grid``. Where the record has standard errors of what is shown, they stand below the shares. Raises
    ValueError as ``maps.check``, and for queries, heads and scales that are none.
    """
    check(maps)
    row = maps.query if query is None else query
    checks.integer("query", row, min_value=0, max_value=len(maps.tokens) - 1)
    along, values = _along(maps), _one_head(maps, head)[:, row]
    figure, ax = _single(len(values), len(along.names), extra=1.5)
    unseen = np.broadcast_to(_causal(maps) & (np.arange(len(along.names)) > row), values.shape)
    shown = np.ma.masked_array(values, unseen)
    image = ax.imshow(shown, cmap="magma_r", norm=_norm(scale), aspect="auto")
    ax.patch.set(facecolor=UNSEEN, edgecolor=UNSEEN_HATCH, hatch="////")
    _across_positions(ax, [str(layer) for layer in range(1, len(values) + 1)], along)
    if len(along.names) <= MOST_LABELLED:
        _write(ax, image, values, _errors(maps, head, row))
    plotting.name_axes(ax, "layer, from 1", "key: what is read", pad=20)
    ax.yaxis.labelpad = 4
    reader = f"read by query {along.places[row] + 1} “{along.names[row]}”"
    _finish(figure, [ax], image, along, f"{_title(maps, title, head)}\n{reader}")
    return figure


def head_scores(
    scores: Matrix,
    title: str,
    *,
    label: str = "score",
    significant: Bool[np.ndarray, "_ _"] | None = None,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """A score of each head, (L, H): layers down, heads across, with a dot in the corner of the ``significant`` ones.

    The colours of scores that are all at least 0 begin at 0; others are red above 0 and blue below. ``limits``
    of the colours. Raises ValueError for scores that are not finite, and limits that do not rise.
    """
    values = plotting.finite_matrix("scores", scores)
    diverging = bool(values.min() < 0) if limits is None else limits[0] < 0
    low, high = _limits(values, diverging) if limits is None else limits
    checks.require(low < high, "limits", "must rise", limits)
    if significant is not None:
        checks.shape("significant", significant, values.shape)
    figure, ax = _single(*values.shape, extra=0.5)
    image = ax.imshow(values, cmap="RdBu_r" if diverging else "magma_r", vmin=low, vmax=high, aspect="auto")
    layers, heads = ([str(number) for number in range(1, count + 1)] for count in values.shape)
    plotting.frame(ax, layers, heads, "")
    plotting.name_axes(ax, "layer, from 1", "head, from 1")
    plotting.write_values(ax, image, values, max(abs(low), abs(high)), "{:.2f}".format)
    if significant is not None:
        found = np.argwhere(significant)
        ax.scatter(
            found[:, 1] + 0.38, found[:, 0] - 0.34, s=26, color="black", edgecolor="white", linewidth=0.8, zorder=4
        )
        ax.text(1, -0.02, "● significant", transform=ax.transAxes, ha="right", va="top", fontsize=8, color=QUIET)
    figure.suptitle(_literal(title), fontsize=12, fontweight="bold")
    return plotting.with_colour_bar([ax], image, label)


def sweep_heatmap(
    values: Matrix,
    row_labels: Labels,
    column_labels: Labels,
    *,
    title: str = "",
    row_name: str = "layer",
    column_name: str = "position",
    label: str = "effect",
    roles: Sequence[str] | None = None,
    diverging: bool = True,
) -> Figure:
    """An effect at each row, such as a layer, and column, such as a position, with bands of roles over the columns.

    With ``roles`` columns are positions, and numbered; without them they are anything else, and their labels are all.
    ``diverging``: white is 0, and the colours reach equally far on both sides. Else they start at 0 or the least
    value. Raises ValueError for values that are not finite, and labels and roles of another number.
    """
    numbers = plotting.finite_matrix("values", values)
    rows = plotting.label_texts("row_labels", row_labels, numbers.shape[0])
    names = plotting.label_texts("column_labels", column_labels, numbers.shape[1])
    bands = [""] * len(names) if roles is None else plotting.label_texts("roles", roles, len(names))
    along = _Positions([_literal(visible(name)) for name in names], bands, list(range(len(names))))
    low, high = _limits(numbers, diverging)
    figure, ax = _single(*numbers.shape, extra=1.1)
    image = ax.imshow(numbers, cmap="RdBu_r" if diverging else "magma_r", vmin=low, vmax=high, aspect="auto")
    _across_positions(ax, [_literal(row) for row in rows], along, numbered=roles is not None)
    if len(names) <= MOST_LABELLED:
        _write(ax, image, numbers, None, shares=False)
    plotting.name_axes(ax, row_name, column_name, pad=20 if any(bands) else 12)
    ax.yaxis.labelpad = 4
    _finish(figure, [ax], image, along, title, label)
    return figure


# ------------------------------------------------------------------------------------------- arguments


def _along(maps: AttentionMaps) -> _Positions:
    places = np.arange(len(maps.tokens)) if maps.places is None else maps.places
    checks.shape("places", places, (len(maps.tokens),))
    return _Positions([_literal(visible(token)) for token in maps.tokens], list(maps.roles), places.tolist())


def _one_head(maps: AttentionMaps, head: int | str) -> np.ndarray:
    """(L, T, T) of one head, or the mean of all."""
    if isinstance(head, str):
        checks.choice("head", head, ("mean",))
        return maps.patterns.astype(float).mean(axis=1)
    checks.integer("head", head, min_value=0, max_value=len(maps.heads) - 1)
    return maps.patterns[:, head].astype(float)


def _causal(maps: AttentionMaps) -> bool:
    """Whether nothing in the record is above the diagonal, where keys are then in the future."""
    return not np.triu(maps.patterns, 1).any()


def _errors(maps: AttentionMaps, head: int | str, row: int) -> np.ndarray | None:
    """(L, T) of what is shown of one query, or None where the record does not hold them."""
    if maps.errors is None or _averaged(maps, head):
        return None
    return maps.errors[:, 0 if isinstance(head, str) else head, row]


def _averaged(maps: AttentionMaps, head: int | str) -> bool:
    """Whether what is shown is a mean over several heads, whose standard error the record does not hold."""
    return head == "mean" and len(maps.heads) > 1


def _norm(scale: str) -> Normalize:
    checks.choice("scale", scale, ("linear", "root"))
    return Normalize(0, 1) if scale == "linear" else PowerNorm(0.5, 0, 1)


def _limits(values: np.ndarray, diverging: bool) -> tuple[float, float]:
    if diverging:
        largest = float(np.max(np.abs(values))) or 1.0
        return -largest, largest
    low = min(0.0, float(values.min()))
    return low, max(float(values.max()), low + 1e-9)


def _literal(text: str) -> str:
    """The text in a figure, where a dollar sign would otherwise start a formula."""
    return text.replace("$", r"\$")


def _head_title(maps: AttentionMaps, layer: int, head: int) -> str:
    name = maps.heads[head]
    return f"L{layer + 1} H{name}" if name.isdigit() else f"L{layer + 1}, {_literal(name)}"


def _title(maps: AttentionMaps, title: str | None, head: int | str) -> str:
    """That of the caller, or of the record with the head shown."""
    if title is not None:
        return _literal(title)
    if head == "all":
        return _literal(maps.title)
    name = maps.heads[0 if isinstance(head, str) else head]
    one = f"mean of {len(maps.heads)} heads" if _averaged(maps, head) else f"head {name}" if name.isdigit() else name
    return _literal(f"{maps.title}, {one}")


# --------------------------------------------------------------------------------------------- drawing


def _panels(count: int, across: int, length: int, plain: bool) -> tuple[Figure, list[Axes]]:
    """A figure with ``count`` square axes; plain ones have no labels and are small."""
    down = ceil(count / across)
    labelled = length <= MOST_LABELLED and not plain
    side = length * _CELL if labelled else min(3.6, max(1.2 if plain else 2.4, length * _LEAST_CELL))
    room = (0.9, 1.15) if labelled else (0.25, 0.4) if plain else (0.6, 0.8)
    size = (across * (side + room[0]) + 1.2, down * (side + room[1]) + 1.0)
    figure = Shown(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06, wspace=0.01, hspace=0.01))
    axes = list(figure.subplots(down, across, squeeze=False).flat)
    for spare in axes[count:]:
        spare.remove()
    return figure, axes[:count]


def _single(down: int, across: int, extra: float) -> tuple[Figure, Axes]:
    """A figure with one matrix of cells that have room for values, if these are few enough to be written."""
    width = _WIDE_CELL if across <= MOST_LABELLED else 0.16
    height = 0.42 if down <= MOST_LABELLED else 0.2
    figure = Shown(figsize=(max(4.2, across * width + 2.0), down * height + 1.2 + extra), layout="constrained")
    return figure, figure.add_subplot()


def _draw_pattern(
    ax: Axes, pattern: np.ndarray, along: _Positions, title: str, causal: bool, norm: Normalize, plain: bool
) -> None:
    length = len(along.names)
    unseen = np.triu(np.ones((length, length), bool), 1) & causal
    ax.imshow(np.ma.masked_array(pattern, unseen), cmap="magma_r", norm=norm, zorder=1)
    ax.patch.set(facecolor=UNSEEN, edgecolor=UNSEEN_HATCH, hatch="////")
    if length <= MOST_LABELLED and not plain:
        plotting.frame(ax, along.names, along.names, title)
        plotting.number_positions(ax, along.names, along.places)
        plotting.bands(ax, along.names, along.roles, colours=role_colour, words=False)
        ax.set_title(title, fontsize=13, pad=18)
    else:
        reach = 4.0 if plain else 20.0
        _some_numbers(ax, along, rows=True, plain=plain)
        plotting.bands(ax, along.names, along.roles, colours=role_colour, words=False, reach=reach)
        ax.set_title(title, fontsize=8 if plain else 13, pad=8 if plain else 27)


def _across_positions(ax: Axes, rows: list[str], along: _Positions, numbered: bool = True) -> None:
    """Names of the rows, and the positions above their columns, with their numbers if columns are positions."""
    if len(along.names) <= MOST_LABELLED:
        plotting.frame(ax, rows, along.names, "")
        if numbered:
            plotting.number_positions(ax, along.names, along.places, rows=False)
        plotting.bands(ax, along.names, along.roles, colours=role_colour, words=False, rows=False)
        return
    plotting.frame(ax, rows, [""] * len(along.names), "")
    _some_numbers(ax, along, rows=False, plain=False)
    plotting.bands(ax, along.names, along.roles, colours=role_colour, words=False, rows=False, reach=20.0)


def _some_numbers(ax: Axes, along: _Positions, rows: bool, plain: bool) -> None:
    """Every few positions in digits, or none."""
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    chosen = [] if plain else list(range(0, len(along.places), ceil(len(along.places) / 12)))
    for axis in (ax.xaxis, ax.yaxis) if rows else (ax.xaxis,):
        axis.set_ticks(chosen, [str(along.places[at] + 1) for at in chosen], fontsize=7, color=QUIET)


def _outline_row(ax: Axes, row: int, length: int) -> None:
    """The query that predicts the chosen token."""
    edge: dict[str, Any] = {"fill": False, "edgecolor": OUTLINE, "linewidth": 1.4, "zorder": 4, "clip_on": False}
    ax.add_patch(Rectangle((-0.5, row - 0.5), length, 1, **edge))


def _write(ax: Axes, image: AxesImage, values: np.ndarray, errors: np.ndarray | None, shares: bool = True) -> None:
    """Shares, or signed numbers, in the cells, and their standard errors in small digits below."""
    brightness = image.to_rgba(values)[..., :3] @ np.array([0.3, 0.6, 0.1])
    largest = max(abs(bound) for bound in image.get_clim())
    for row, column in np.argwhere(np.abs(values) >= plotting.SHOWN_FROM * largest).tolist():
        value, ink = float(values[row, column]), "black" if brightness[row, column] > 0.5 else "white"
        text = plotting.share(value) if shares else f"{value:.2f}" if largest < 10 else f"{value:.3g}"
        style: dict[str, Any] = {"ha": "center", "color": ink}
        ax.text(column, row, text, va="center" if errors is None else "bottom", fontsize=8, **style)
        if errors is not None:
            below = f"±{plotting.share(float(errors[row, column]))}"
            ax.text(column, row + 0.1, below, va="top", fontsize=5.5, **style)


def _finish(
    figure: Figure, axes: list[Axes], image: AxesImage, along: _Positions, title: str, label: str = "attention"
) -> None:
    figure.suptitle(title, fontsize=max(12, 0.8 * float(figure.get_figwidth())), fontweight="bold")
    plotting.with_colour_bar(axes, image, label)
    roles = [role for role in dict.fromkeys(along.roles) if role]
    if roles:
        patches = [Patch(color=role_colour(role), label=role) for role in roles]
        figure.legend(handles=patches, loc="outside lower center", ncols=len(roles), frameon=False, fontsize=9)
