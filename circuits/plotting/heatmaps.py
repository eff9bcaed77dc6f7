"""Arrays → matplotlib ``Figure``. Nothing here trains, saves, or touches pyplot and its global state.

Rows and columns are given from 0, as everywhere in code. Positions on the axes are printed from 1, as in the paper.
A figure that is the last value of a notebook cell is shown there.
"""

from collections.abc import Callable, Sequence
from io import BytesIO
from itertools import groupby
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Real
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.transforms import ScaledTranslation

from circuits import checks
from circuits.files import write_bytes
from circuits.typing import AnyArray

Matrix = Real[AnyArray, "rows columns"]
Curve = Real[AnyArray, " _"]
Labels = Sequence[Any] | Real[AnyArray, " labels"]
"""What stands at the ticks: anything that has a ``str``."""
Mark = tuple[int, int, str]
"""(row, column, text): a cell to outline, and what to say about it."""

ROW_SUM_TOLERANCE = 5e-3
"""How far a row of attention may sum from 1. Rounding its entries to bfloat16 moves the sum by at most 2^-8."""
MOST_ANNOTATED = 16
"""Values are written into the cells of matrices of at most this many rows and columns."""
SHOWN_FROM = 0.005
"""Smaller values, relative to the largest that the colours span, are left unwritten."""

CELL = 0.44
"""Inches."""
FILE_DPI = 130
UNSEEN, UNSEEN_HATCH, OUTLINE, QUIET = "#f3f3f3", "#cccccc", "#0072B2", "#666666"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito: told apart with any colour vision."""
ROLE_COLOURS = {
    "start": COLOURS[0],
    "goal": COLOURS[1],
    "path": COLOURS[2],
    "distractor": COLOURS[4],
    "answer": COLOURS[3],
    "symbol": COLOURS[5],
}
"""Of the parts that positions play; anything else is ``OTHER_ROLE``."""
OTHER_ROLE = "#686868"


class Shown(Figure):
    """A figure that Jupyter shows though pyplot, which would attach a formatter, is not imported."""

    def _repr_png_(self) -> bytes:
        buffer = BytesIO()
        self.savefig(buffer, format="png", dpi=110)
        return buffer.getvalue()


def attention_heatmap(
    attention: Matrix,
    tokens: Labels,
    *,
    title: str = "",
    roles: Sequence[str] | None = None,
    mark: Sequence[Mark] = (),
    ax: Axes | None = None,
    colour_bar: bool = True,
) -> Figure:
    """One causal pattern (T, T): queries down, keys across, with label and position at both.

    ``roles`` holds a role for each position; equal neighbours share a band. ``mark`` outlines cells and says
    why. ``ax`` draws into a figure of the caller's, with a colour bar of its own or not. Raises ValueError unless the
    pattern is square, finite, not negative, zero above the diagonal and of row sums 1, and labels, roles and marks fit
    its length.
    """
    pattern = _pattern("attention", attention)
    names = label_texts("tokens", tokens, len(pattern))
    target = _grid_of_axes(1, 1, len(names))[0] if ax is None else ax
    image = _draw_pattern(target, pattern, names, title, roles, mark)
    return with_colour_bar([target], image, "attention") if colour_bar else target.figure.figure


def attention_heatmaps(
    panels: Sequence[tuple[str, Matrix]],
    tokens: Labels,
    *,
    title: str = "",
    roles: Sequence[str] | None = None,
    mark: Sequence[Sequence[Mark]] | None = None,
    columns: int = 2,
) -> Figure:
    """Patterns on one sequence, each a (title, (T, T) array), with one colour bar from 0 to 1.

    ``mark`` holds the marks of every panel, in order. Everything else, errors too, as in ``attention_heatmap``.
    """
    checks.require(len(panels) > 0, "panels", "must hold at least one (title, attention)", len(panels))
    checks.integer("columns", columns, min_value=1)
    marks = [()] * len(panels) if mark is None else mark
    checks.require(
        len(marks) == len(panels), "mark", f"must hold the marks of each of {len(panels)} panels", len(marks)
    )
    patterns = [_pattern(f"panels[{number}]", attention) for number, (_, attention) in enumerate(panels)]
    for number, pattern in enumerate(patterns):
        checks.shape(f"panels[{number}]", pattern, patterns[0].shape)
    names = label_texts("tokens", tokens, len(patterns[0]))
    across = min(columns, len(panels))
    axes = _grid_of_axes(ceil(len(panels) / across), across, len(names), title)
    for spare in axes[len(panels) :]:
        spare.remove()
    used = axes[: len(panels)]
    images = [
        _draw_pattern(ax, pattern, names, name, roles, cells)
        for ax, pattern, (name, _), cells in zip(used, patterns, panels, marks, strict=True)
    ]
    return with_colour_bar(used, images[0], "attention")


def weight_heatmap(
    matrix: Matrix,
    row_labels: Labels,
    column_labels: Labels,
    title: str = "",
    *,
    row_name: str = "query",
    column_name: str = "key",
) -> Figure:
    """Weights, or a gradient, (rows, columns): white is 0, and the colours reach equally far on both sides of it.

    Raises ValueError for entries that are not finite, and for labels of another number.
    """
    values = finite_matrix("matrix", matrix)
    rows = label_texts("row_labels", row_labels, values.shape[0])
    columns = label_texts("column_labels", column_labels, values.shape[1])
    figure = Shown(figsize=(len(columns) * CELL + 2.2, len(rows) * CELL + 1.5), layout="constrained")
    ax = figure.add_subplot()
    largest = float(np.max(np.abs(values))) or 1.0
    image = ax.imshow(values, cmap="RdBu_r", vmin=-largest, vmax=largest)
    frame(ax, rows, columns, title)
    name_axes(ax, row_name, column_name)
    write_values(ax, image, values, largest, "{:.2g}".format)
    return with_colour_bar([ax], image, "")


def role_colour(role: str) -> str:
    """The colour of a role, the same in figures and pages."""
    return ROLE_COLOURS.get(role, OTHER_ROLE)


def visible(token: str) -> str:
    """A token in which spaces at its ends, and the ends of lines, can be seen."""
    body = token.strip(" ")
    left = len(token) - len(token.lstrip(" ")) if body else len(token)
    right = len(token) - left - len(body)
    return ("␣" * left + body + "␣" * right).replace("\n", "↵").replace("\t", "→")


# ------------------------------------------------------------------------------------------- arguments


def finite_matrix(argument: str, array: Matrix) -> np.ndarray:
    """The array in float64. Raises ValueError unless it is a matrix of finite numbers that is not empty."""
    values = np.asarray(array, float)
    checks.require(values.ndim == 2 and values.size > 0, argument, "must be a matrix that is not empty", values.shape)
    checks.finite(argument, values)
    return values


def _pattern(argument: str, array: Matrix) -> np.ndarray:
    values = finite_matrix(argument, array)
    checks.shape(argument, values, (len(values), len(values)))
    checks.require(bool(np.all(values >= 0)), argument, "must not be negative", float(values.min()))
    unseen = float(np.max(np.triu(values, 1)))
    checks.require(unseen == 0, argument, "must be 0 above the diagonal, where keys are in the future", unseen)
    sums = values.sum(axis=1).tolist()
    row = max(range(len(sums)), key=lambda i: abs(sums[i] - 1))
    rule = f"every row must sum to 1 within {ROW_SUM_TOLERANCE:g}"
    checks.require(abs(sums[row] - 1) <= ROW_SUM_TOLERANCE, argument, f"{rule}, row {row} does not", sums[row])
    return values


def label_texts(argument: str, labels: Labels, length: int) -> list[str]:
    """The labels as texts. Raises ValueError unless there are ``length`` of them."""
    checks.require(len(labels) == length, argument, f"must hold {length} labels", len(labels))
    return [str(label) for label in (labels if isinstance(labels, Sequence) else np.asarray(labels).tolist())]


# ---------------------------------------------------------------------------------------------- matrices


def _grid_of_axes(down: int, across: int, length: int, title: str = "") -> list[Axes]:
    size = (across * (length * CELL + 1.5) + 0.8, down * (length * CELL + 2.5) + (0.4 if title else 0))
    figure = Shown(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.17))
    figure.suptitle(title, fontsize=13, fontweight="bold")
    return list(figure.subplots(down, across, squeeze=False).flat)


def _draw_pattern(
    ax: Axes,
    pattern: np.ndarray,
    names: list[str],
    title: str,
    roles: Sequence[str] | None,
    mark: Sequence[Mark],
) -> AxesImage:
    length = len(names)
    unseen = np.triu(np.ones((length, length), bool), 1)
    image = ax.imshow(np.ma.masked_array(pattern, unseen), cmap="magma_r", vmin=0, vmax=1, zorder=1)
    ax.patch.set(facecolor=UNSEEN, edgecolor=UNSEEN_HATCH, hatch="////")
    frame(ax, names, names, title)
    write_values(ax, image, np.where(unseen, 0, pattern), 1.0, share)
    number_positions(ax, names)
    if roles is None:
        name_axes(ax, "query: who reads", "key: what is read")
    else:
        bands(ax, names, label_texts("roles", roles, length))
        name_axes(ax, "query: who reads", "key: what is read", pad=24)
    _outline(ax, mark, length)
    return image


def frame(ax: Axes, rows: list[str], columns: list[str], title: str) -> None:
    """Labels on the left and above, so that there is room for words below; no frame, and white between cells."""
    ax.spines[:].set_visible(False)
    ax.tick_params(which="both", length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    ax.set_yticks(range(len(rows)), rows, fontsize=font_size(rows))
    ax.set_xticks(range(len(columns)), columns, fontsize=font_size(columns), rotation=90 if _upright(columns) else 0)
    for place in range(1, len(rows)):
        ax.axhline(place - 0.5, color="white", linewidth=0.6, zorder=1.5)
    for place in range(1, len(columns)):
        ax.axvline(place - 0.5, color="white", linewidth=0.6, zorder=1.5)
    ax.set_title(title, fontsize=11, pad=10)


def name_axes(ax: Axes, row_name: str, column_name: str, pad: int = 4) -> None:
    """What runs down and what runs across, ``pad`` points outside of the labels."""
    ax.xaxis.set_label_position("top")
    ax.set_ylabel(row_name, color=QUIET, fontsize=9, labelpad=pad)
    ax.set_xlabel(column_name, color=QUIET, fontsize=9, labelpad=pad)


def number_positions(ax: Axes, names: list[str], places: Sequence[int] | None = None, rows: bool = True) -> None:
    """1 .. T, or ``places`` + 1, in small digits outside of the labels: minor ticks at the places of the major ones."""
    numbers = [str(place + 1) for place in (range(len(names)) if places is None else places)]
    left, up = _reach(names)
    for axis, reach in ((ax.yaxis, left), (ax.xaxis, up)) if rows else ((ax.xaxis, up),):
        axis.remove_overlapping_locs = False
        axis.set_ticks(range(len(names)), numbers, minor=True, fontsize=0.65 * font_size(names), color=QUIET)
        axis.set_tick_params(which="minor", pad=reach)


def bands(
    ax: Axes,
    names: list[str],
    roles: list[str],
    *,
    colours: Callable[[str], str] | None = None,
    words: bool = True,
    rows: bool = True,
    reach: float | None = None,
) -> None:
    """A bar, with the role as a word or not, outside of the positions of each run of equal roles that is named.

    It is grey, or as ``colours`` has it. On both axes, or the upper one alone. ``reach`` points outside of the matrix,
    by default as far as labels and positions need.
    """
    left, up = (far + 1.2 * font_size(names) for far in _reach(names)) if reach is None else (reach, reach)
    beside = ax.get_yaxis_transform() + _shift(ax, -left, 0.0)
    above = ax.get_xaxis_transform() + _shift(ax, 0.0, up)
    word: dict[str, Any] = {"color": QUIET, "fontsize": 8}
    start = 0
    for role, run in groupby(roles):
        end = start + len(list(run))
        ends, middle, start = (start - 0.38, end - 0.62), (start + end - 1) / 2, end
        if colours is not None and not role:
            continue
        bar: dict[str, Any] = {"color": QUIET, "linewidth": 1.2, "clip_on": False}
        if colours is not None:
            bar |= {"color": colours(role), "linewidth": 4, "solid_capstyle": "butt"}
        ax.add_line(Line2D(ends, (1, 1), transform=above, **bar))
        if rows:
            ax.add_line(Line2D((0, 0), ends, transform=beside, **bar))
        if words:
            ax.text(middle, 1, role, transform=above + _shift(ax, 0.0, 3.0), ha="center", va="bottom", **word)
        if words and rows:
            outside = beside + _shift(ax, -3.0, 0.0)
            ax.text(0, middle, role, transform=outside, ha="right", va="center", rotation=90, **word)


def font_size(names: list[str]) -> float:
    """Points, less for more labels."""
    return max(4.0, min(10.0, 400 / len(names)))


def _upright(names: list[str]) -> bool:
    """Whether labels are too long to stand side by side above their columns."""
    return max(map(len, names)) > 4


def _reach(names: list[str]) -> tuple[float, float]:
    """How many points labels extend to the left of the matrix, and above it, with the space around them."""
    width = 0.65 * font_size(names) * max(map(len, names))
    return 12 + width, 10 + (width if _upright(names) else 1.1 * font_size(names))


def _shift(ax: Axes, right: float, up: float) -> ScaledTranslation:
    """By points."""
    return ScaledTranslation(right / 72, up / 72, ax.figure.figure.dpi_scale_trans)


def write_values(
    ax: Axes, image: AxesImage, values: np.ndarray, largest: float, written: Callable[[float], str]
) -> None:
    """The values in the cells, if these are few, in ink that is read on their colours."""
    if max(values.shape) > MOST_ANNOTATED:
        return
    brightness = image.to_rgba(values)[..., :3] @ np.array([0.3, 0.6, 0.1])
    for row, column in np.argwhere(np.abs(values) >= SHOWN_FROM * largest).tolist():
        ink = "black" if brightness[row, column] > 0.5 else "white"
        ax.text(column, row, written(values[row, column]), ha="center", va="center", fontsize=7, color=ink)


def share(value: float) -> str:
    """Two digits, or three where two would make 1 of what is less: ".50", ".997"."""
    return (f"{value:.3f}" if 0.995 <= value < 0.9995 else f"{value:.2f}").removeprefix("0")


def _outline(ax: Axes, mark: Sequence[Mark], length: int) -> None:
    """Outlines, and their texts: in the same row where its unseen part has room, or else below the matrix."""
    for number, (row, column, _) in enumerate(mark):
        checks.integer(f"mark[{number}] row", row, min_value=0, max_value=length - 1)
        checks.integer(f"mark[{number}] column", column, min_value=0, max_value=row)
    below = 10.0
    for row, column, text in mark:
        outline = Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=OUTLINE, linewidth=2.2, zorder=4)
        ax.add_patch(outline)
        style: dict[str, Any] = {"fontsize": 9, "color": OUTLINE, "annotation_clip": False, "zorder": 5}
        style["arrowprops"] = {"arrowstyle": "-|>", "color": OUTLINE, "shrinkA": 1, "shrinkB": 1, "linewidth": 1.2}
        if 0.066 * len(text) / CELL + 1.2 <= length - 1 - row:
            box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
            ax.annotate(text, (column + 0.5, row), (row + 1, row), va="center", bbox=box, **style)
            continue
        side, to = (
            ("left", -0.5) if column < length / 3 else ("right", 0.5) if column >= 0.6 * length else ("center", 0)
        )
        place = ax.get_xaxis_transform() + _shift(ax, 0.0, -below)
        ax.annotate(text, (column, row + 0.5), (column + to, 0), textcoords=place, ha=side, va="top", **style)
        below += 15


def with_colour_bar(axes: list[Axes], image: AxesImage, label: str) -> Figure:
    """The figure of the axes, with one bar for all of them."""
    figure = axes[0].figure.figure
    figure.colorbar(image, ax=axes, label=label, shrink=0.7, aspect=28, pad=0.02).outline.set_visible(False)
    return figure


def write_figure(folder: Path, name: str, figure: Figure) -> None:
    """Write name.png and name.pdf into a folder, each atomically."""
    for kind in ("png", "pdf"):
        buffer = BytesIO()
        figure.savefig(buffer, format=kind, dpi=FILE_DPI)
        write_bytes(folder / f"{name}.{kind}", buffer.getvalue())
