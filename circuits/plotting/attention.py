"""Attention maps by layer and head: whole patterns, or the row of one query."""

from collections.abc import Sequence
from math import ceil
from textwrap import wrap
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Patch, Rectangle

from circuits import checks
from circuits.plotting import cells
from circuits.plotting.heatmaps import OUTLINE
from circuits.plotting.style import GREY, InlineFigure, add_colour_bar, escape_dollars, role_colour
from circuits.probes.attention.maps import AttentionMaps, check_maps

MAX_LABELLED = 36
"""Longer axes of positions show only some of the position numbers."""
QUERY, KEY = "query position", "key position"
SORTED = (
    "Positions are sorted by their part of the graph before problems are averaged (edges of the path first), "
    "so cells above the diagonal are not the future."
)
LEFT, RIGHT, BELOW, ABOVE = 0.3, 1.1, 0.85, 0.55
"""Margins of a grid of patterns in inches, for the name of the rows, the colour bar, the legend and the title."""


class PositionAxis(NamedTuple):
    """Labels along an axis of positions: token, role ("" for none) and number of each."""

    names: list[str]
    roles: list[str]
    positions: list[int]


def attention_grid(
    maps: AttentionMaps, *, head: int | str = "mean", scale: str = "linear", columns: int = 4, title: str | None = None
) -> Figure:
    """Draw one panel per layer with the query of the record outlined, as in the paper's Figures 5 and 6.

    In the aligned order, a cell above the diagonal is not the future: positions of every problem are sorted by their
    part of the graph before they are averaged, so a key above the diagonal may be earlier in the problem.

    Args:
        maps: patterns with tokens, roles and query.
        head: an attention head from 0; "mean" over all of them; or "all", which puts layers down and heads across.
        scale: of the colours from 0 to 1, "linear" or "root", the square root.
        columns: panels side by side, unless ``head`` is "all".
        title: by default that of the record, and the head.

    Returns:
        A figure with one axes for each panel, and a legend of roles.

    Raises:
        ValueError: if the record is not consistent, or has no such head, or for another scale.

    Example:
        >>> maps = AttentionMaps(np.ones((2, 1, 1, 1)), ("a",), ("start",), 0, ("0",), "model", {})
        >>> [ax.get_title() for ax in attention_grid(maps, head="all").axes[:2]]
        ['L0H0', 'L1H0']
    """
    along = _position_axis(maps)
    norm, causal = _norm(scale), _causal(maps)
    grid = head == "all"
    if grid:
        layers, heads = maps.patterns.shape[:2]
        panels = [(_head_title(maps, l, h), maps.patterns[l, h]) for l in range(layers) for h in range(heads)]
        columns = heads
    else:
        selected = _select_head(maps, head, ("mean", "all"))
        panels = [(f"Layer {layer}", pattern) for layer, pattern in enumerate(selected)]
    length = len(along.names)
    labelled = length <= MAX_LABELLED and not grid
    side = length * 0.245 if labelled else min(3.6, max(1.2 if grid else 2.4, length * 0.05))
    size = 8 if grid else 13
    outside = cells.band_distance(along.names) if labelled else (4.0, 4.0) if grid else (20.0, 20.0)
    margin = outside[0] + 14, outside[1] + 2.2 * size + 8
    axes = _panels(len(panels), columns, side, margin, "" if causal else SORTED)
    for ax, (name, pattern) in zip(axes, panels, strict=True):
        cells.show_pattern(ax, pattern, causal=causal, norm=norm)
        label_positions(ax, along, plain=grid)
        ax.set_title(name, fontsize=size, y=1, pad=outside[1] + (4 if grid else 8))  # with y, it measures no labels
        outline = {"fill": False, "edgecolor": OUTLINE, "linewidth": 1.4, "zorder": 4, "clip_on": False}
        ax.add_patch(Rectangle((-0.5, maps.query - 0.5), length, 1, **outline))
    across = min(columns, len(panels))
    for ax in axes[::across]:
        ax.set_ylabel(QUERY, color=GREY, fontsize=9, labelpad=12)
    for ax in axes[-across:]:
        ax.set_xlabel(KEY, color=GREY, fontsize=9)
    figure = _colour_bar(axes, axes[0].images[0], "attention")
    return _name_figure(figure, along, _title(maps, title, head), y=1 - 0.15 / figure.get_figheight())


def query_heatmap(
    maps: AttentionMaps,
    *,
    query: int | None = None,
    head: int | str = "mean",
    scale: str = "linear",
    title: str | None = None,
) -> Figure:
    """Draw what one query attends to: layers down, key positions across, and shares of attention in the cells.

    Args:
        maps: patterns with tokens, roles and query. Standard errors, if there are any, are written below the shares.
        query: a position from 0; by default that of the record.
        head: an attention head from 0, or "mean" over all of them.
        scale: of the colours from 0 to 1, "linear" or "root", the square root.
        title: by default that of the record, and the head.

    Returns:
        A figure with one axes, and a legend of roles.

    Raises:
        ValueError: if the record is not consistent, or has no such query or head, or for another scale.

    Example:
        >>> maps = AttentionMaps(np.ones((2, 1, 1, 1)), ("a",), ("start",), 0, ("0",), "model", {})
        >>> query_heatmap(maps).get_suptitle()
        'model, head 0\\nattention of query 0 “a”'
    """
    along = _position_axis(maps)
    row = maps.query if query is None else query
    checks.integer("query", row, min_value=0, max_value=len(along.names) - 1)
    values = _select_head(maps, head, ("mean",))[:, row]
    future = np.broadcast_to(_causal(maps) & (np.arange(len(along.names)) > row), values.shape)
    ax = matrix_axes(*values.shape, extra=1.5)
    cells.hatch_background(ax)
    image = ax.imshow(np.ma.masked_array(values, future), cmap="magma_r", norm=_norm(scale), aspect="auto")
    label_positions(ax, along, [str(layer) for layer in range(len(values))])
    if len(along.names) <= MAX_LABELLED:
        errors = None
        if maps.errors is not None and not _averages(maps, head):
            errors = maps.errors[:, 0 if isinstance(head, str) else head, row]
        cells.write_values(ax, image, values, cells.format_share, errors=errors, size=8)
    cells.name_axes(ax, "layer", KEY if _causal(maps) else f"{KEY}, sorted by part of the graph", pad=20)
    ax.yaxis.labelpad = 4
    reader = f"attention of query {along.positions[row]} “{along.names[row]}”"
    return finish([ax], image, along, f"{_title(maps, title, head)}\n{reader}", "attention")


# ----------------------------------------------------------------------------------------- axes of positions


def matrix_axes(down: int, across: int, extra: float) -> Axes:
    """Return the axes of a new figure for one matrix, with cells large enough for values unless there are many."""
    width = 0.5 if across <= MAX_LABELLED else 0.16
    height = 0.42 if down <= MAX_LABELLED else 0.2
    size = max(4.2, across * width + 2.0), down * height + 1.2 + extra
    return InlineFigure(figsize=size, layout="constrained").add_subplot()


def label_positions(
    ax: Axes, along: PositionAxis, rows: list[str] | None = None, *, numbered: bool = True, plain: bool = False
) -> None:
    """Label columns with positions, and rows too unless ``rows`` labels them; with ``plain``, draw only role bands."""
    square = rows is None
    few = len(along.names) <= MAX_LABELLED and not plain
    if few:
        cells.label_cells(ax, along.names if square else rows, along.names)
        if numbered:
            cells.number_positions(ax, along.names, along.positions, rows=square)
    else:
        if not square:
            cells.label_cells(ax, rows, [""] * len(along.names))
        cells.ticks_above(ax)
        chosen = [] if plain else range(0, len(along.positions), ceil(len(along.positions) / 12))
        for axis in (ax.xaxis, ax.yaxis) if square else (ax.xaxis,):
            axis.set_ticks(chosen, [str(along.positions[index]) for index in chosen], fontsize=7, color=GREY)
    distance = None if few else 4.0 if plain else 20.0
    bands = {"colours": role_colour, "words": False, "rows": square, "distance": distance}
    cells.draw_role_bands(ax, along.names, along.roles, **bands)


def finish(axes: Sequence[Axes], image: AxesImage, along: PositionAxis, title: str, label: str) -> Figure:
    """Add title, colour bar and a legend of the roles."""
    return _name_figure(add_colour_bar(axes, image, label), along, title, outside=True)


def _panels(count: int, columns: int, side: float, margin: tuple[float, float], note: str) -> list[Axes]:
    """Return square axes of ``side`` inches in rows, with a margin in points on the left of each and above it.

    The note is written below them.

    Positions are fixed: matplotlib's layout engines measure every label twice, which takes seconds for many panels.
    """
    checks.integer("columns", columns, min_value=1)
    across = min(columns, count)
    down = ceil(count / across)
    pitch = side + margin[0] / 72, side + margin[1] / 72
    width = across * pitch[0] + LEFT + RIGHT
    lines = wrap(note, int(14 * width))
    below = BELOW + 0.17 * max(len(lines) - 1, 0)
    height = down * pitch[1] + below + ABOVE
    figure = InlineFigure(figsize=(width, height))
    figure.text(0.5, 0.38 / height, "\n".join(lines), ha="center", va="bottom", fontsize=9, color=GREY)
    axes = []
    for number in range(count):
        row, column = divmod(number, across)
        left, low = LEFT + column * pitch[0] + margin[0] / 72, below + (down - 1 - row) * pitch[1]
        axes.append(figure.add_axes((left / width, low / height, side / width, side / height)))
    return axes


def _colour_bar(axes: Sequence[Axes], image: AxesImage, label: str) -> Figure:
    """Add a colour bar on the right of fixed axes, and return their figure."""
    figure = axes[0].figure.figure
    width, height = figure.get_size_inches()
    boxes = [ax.get_position() for ax in axes]
    low, high = min(box.y0 for box in boxes), max(box.y1 for box in boxes)
    long = 0.7 * (high - low)
    thick = min(0.25, long * height / 28) / width
    place = max(box.x1 for box in boxes) + 0.2 / width, (low + high - long) / 2, thick, long
    figure.colorbar(image, cax=figure.add_axes(place), label=label).outline.set_visible(False)
    return figure


def _name_figure(
    figure: Figure, along: PositionAxis, title: str, *, outside: bool = False, y: float | int = 0.98
) -> Figure:
    """Add the title and a legend of the roles; with ``outside``, the layout engine makes room for them."""
    place = {} if outside else {"y": y, "va": "top"}
    figure.suptitle(title, fontsize=max(12, 0.8 * float(figure.get_figwidth())), fontweight="bold", **place)
    roles = [role for role in dict.fromkeys(along.roles) if role]
    if roles:
        patches = [Patch(color=role_colour(role), label=role) for role in roles]
        figure.legend(
            handles=patches,
            loc="outside lower center" if outside else "lower center",
            ncols=len(roles),
            frameon=False,
            fontsize=9,
        )
    return figure


# ------------------------------------------------------------------------------------------------- the record


def _position_axis(maps: AttentionMaps) -> PositionAxis:
    check_maps(maps)
    positions = np.arange(len(maps.tokens)) if maps.positions is None else maps.positions
    checks.shape("positions", positions, (len(maps.tokens),))
    names = [escape_dollars(cells.visible_whitespace(token)) for token in maps.tokens]
    return PositionAxis(names, list(maps.roles), positions.tolist())


def _select_head(maps: AttentionMaps, head: int | str, words: tuple[str, ...]) -> np.ndarray:
    """Return patterns [L, T, T] of one head, or the mean of all."""
    if isinstance(head, str):
        checks.choice("head", head, words)
        return maps.patterns.astype(float).mean(axis=1)
    checks.integer("head", head, min_value=0, max_value=len(maps.heads) - 1)
    return maps.patterns[:, head].astype(float)


def _causal(maps: AttentionMaps) -> bool:
    """Return whether everything above the diagonal is 0; then it is hatched as the future."""
    return not np.triu(maps.patterns, 1).any()


def _averages(maps: AttentionMaps, head: int | str) -> bool:
    """Return whether several heads are averaged, for which the record has no standard errors."""
    return head == "mean" and len(maps.heads) > 1


def _norm(scale: str) -> Normalize:
    checks.choice("scale", scale, ("linear", "root"))
    return Normalize(0, 1) if scale == "linear" else PowerNorm(0.5, 0, 1)


def _head_title(maps: AttentionMaps, layer: int, head: int) -> str:
    name = maps.heads[head]
    return f"L{layer}H{name}" if name.isdigit() else f"L{layer}, {escape_dollars(name)}"


def _title(maps: AttentionMaps, title: str | None, head: int | str) -> str:
    """Return the given title, or that of the record and the head."""
    if title is not None or head == "all":
        return escape_dollars(maps.title if title is None else title)
    name = maps.heads[0 if isinstance(head, str) else head]
    if _averages(maps, head):
        name = f"mean of {len(maps.heads)} attention heads"
    return escape_dollars(f"{maps.title}, {f'head {name}' if name.isdigit() else name}")
