"""Parts of heatmaps: labels, position numbers, role bands, values in cells, and hatched masks."""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from jaxtyping import Bool
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation

from circuits.plotting.style import GREY

CELL = 0.44
"""Side of a cell in inches."""
MAX_ANNOTATED = 16
"""Values are written into the cells of matrices of at most this many rows and columns."""
MIN_WRITTEN = 0.005
"""Smaller values, relative to the end of the colour scale, are not written."""


def show_pattern(ax: Axes, pattern: np.ndarray, *, causal: bool, norm: Normalize | None = None) -> AxesImage:
    """Draw an attention pattern [T, T]; if it is causal, the future is hatched."""
    future = np.triu(np.ones(pattern.shape, bool), 1) & causal
    hatch_background(ax)
    return ax.imshow(np.ma.masked_array(pattern, future), cmap="magma_r", norm=norm or Normalize(0, 1), zorder=1)


def hatch_background(ax: Axes) -> None:
    """Hatch the background, which is visible in masked cells."""
    ax.patch.set(facecolor="#f3f3f3", edgecolor="#cccccc", hatch="////")


def label_cells(ax: Axes, rows: list[str], columns: list[str], title: str = "") -> None:
    """Label rows on the left and columns above, and draw white lines between cells."""
    ticks_above(ax)
    ax.set_yticks(range(len(rows)), rows, fontsize=font_size(rows))
    ax.set_xticks(range(len(columns)), columns, fontsize=font_size(columns), rotation=90 if _upright(columns) else 0)
    look: dict[str, Any] = {"color": "white", "linewidth": 0.6, "zorder": 1.5}
    for count, swap, transform in (
        (len(rows), 1, ax.get_yaxis_transform()),
        (len(columns), -1, ax.get_xaxis_transform()),
    ):
        edges = np.repeat(np.arange(1, count) - 0.5, 3)
        ends = np.tile([0, 1, np.nan], count - 1)  # one line, interrupted by NaN
        ax.add_line(Line2D(*(ends, edges)[::swap], transform=transform, **look))
    ax.set_title(title, fontsize=11, pad=10)


def ticks_above(ax: Axes) -> None:
    """Move tick labels of columns above the matrix, and remove ticks and frame."""
    ax.spines[:].set_visible(False)
    ax.tick_params(which="both", length=0, top=True, labeltop=True, bottom=False, labelbottom=False)


def name_axes(ax: Axes, row_name: str, column_name: str, pad: int = 4) -> None:
    """Name rows and columns, ``pad`` points outside their labels."""
    ax.xaxis.set_label_position("top")
    ax.set_ylabel(row_name, color=GREY, fontsize=9, labelpad=pad)
    ax.set_xlabel(column_name, color=GREY, fontsize=9, labelpad=pad)


def number_positions(ax: Axes, names: list[str], positions: Sequence[int] | None = None, rows: bool = True) -> None:
    """Write positions in small digits outside the labels, as minor ticks. By default they are 0 .. T - 1."""
    numbers = [str(position) for position in (range(len(names)) if positions is None else positions)]
    left, up = _label_extent(names)
    for axis, extent in ((ax.yaxis, left), (ax.xaxis, up)) if rows else ((ax.xaxis, up),):
        axis.remove_overlapping_locs = False
        axis.set_ticks(range(len(names)), numbers, minor=True, fontsize=0.65 * font_size(names), color=GREY)
        axis.set_tick_params(which="minor", pad=extent)


def draw_role_bands(
    ax: Axes,
    names: list[str],
    roles: list[str],
    *,
    colours: Callable[[str], str] | None = None,
    words: bool = True,
    rows: bool = True,
    distance: float | None = None,
) -> None:
    """Draw a bar along each run of positions with the same role, above columns and, with ``rows``, left of rows.

    Bars are grey, or coloured by ``colours``; then positions with the role "" have none. With ``words`` the role is
    written next to the bar. Bars are ``distance`` points away from the cells, by default outside labels and positions.
    """
    left, up = band_distance(names) if distance is None else (distance, distance)
    beside = ax.get_yaxis_transform() + shift(ax, -left, 0.0)
    above = ax.get_xaxis_transform() + shift(ax, 0.0, up)
    word: dict[str, Any] = {"color": GREY, "fontsize": 8}
    start = 0
    for role, run in groupby(roles):
        end = start + len(list(run))
        ends, middle, start = (start - 0.38, end - 0.62), (start + end - 1) / 2, end
        if colours is not None and not role:
            continue
        bar: dict[str, Any] = {"color": GREY, "linewidth": 1.2, "clip_on": False}
        if colours is not None:
            bar |= {"color": colours(role), "linewidth": 4, "solid_capstyle": "butt"}
        ax.add_line(Line2D(ends, (1, 1), transform=above, **bar))
        if rows:
            ax.add_line(Line2D((0, 0), ends, transform=beside, **bar))
        if words:
            ax.text(middle, 1, role, transform=above + shift(ax, 0.0, 3.0), ha="center", va="bottom", **word)
        if words and rows:
            outside = beside + shift(ax, -3.0, 0.0)
            ax.text(0, middle, role, transform=outside, ha="right", va="center", rotation=90, **word)


def write_values(
    ax: Axes,
    image: AxesImage,
    values: np.ndarray,
    text: Callable[[float], str],
    *,
    errors: np.ndarray | None = None,
    size: float | int = 7,
    min_written: float | int = MIN_WRITTEN,
) -> None:
    """Write values into cells, in black or white, with their standard errors below if there are any."""
    brightness = image.to_rgba(values)[..., :3] @ np.array([0.3, 0.6, 0.1])
    largest = max(abs(bound) for bound in image.get_clim())
    for row, column in np.argwhere(np.abs(values) >= min_written * largest).tolist():
        look: dict[str, Any] = {"ha": "center", "color": "black" if brightness[row, column] > 0.5 else "white"}
        aligned = "center" if errors is None else "bottom"
        ax.text(column, row, text(float(values[row, column])), va=aligned, fontsize=size, **look)
        if errors is not None:
            ax.text(column, row + 0.1, f"±{text(float(errors[row, column]))}", va="top", fontsize=5.5, **look)


def mark_significant(
    ax: Axes, significant: Bool[np.ndarray, "_ _"], text: str, up: float = 0.32, size: float | int = 24
) -> None:
    """Draw a dot in the right corner of significant cells, and explain it by ``text`` below the matrix."""
    rows, columns = np.nonzero(significant)
    ax.scatter(columns + 0.39, rows - up, s=size, color="black", edgecolor="white", linewidth=0.8, zorder=4)
    ax.text(1, -0.01, f"● {text}", transform=ax.transAxes, ha="right", va="top", fontsize=8, color=GREY)


def format_share(value: float) -> str:
    """Format a share with two digits, or three if two would round up to 1: ".50", ".997"."""
    return (f"{value:.3f}" if 0.995 <= value < 0.9995 else f"{value:.2f}").removeprefix("0")


def visible_whitespace(token: str) -> str:
    """Return a token with visible symbols for line ends, tabs, and leading and trailing spaces."""
    body = token.strip(" ")
    left = len(token) - len(token.lstrip(" ")) if body else len(token)
    right = len(token) - left - len(body)
    return ("␣" * left + body + "␣" * right).replace("\n", "↵").replace("\t", "→")


def band_distance(names: list[str]) -> tuple[float, float]:
    """Return how many points role bands are from the matrix, on the left and above: outside labels and positions."""
    left, up = _label_extent(names)
    return left + 1.2 * font_size(names), up + 1.2 * font_size(names)


def font_size(names: list[str]) -> float:
    """Return the font size in points, smaller for more labels."""
    return max(4.0, min(10.0, 400 / len(names)))


def shift(ax: Axes, right: float, up: float) -> ScaledTranslation:
    """Return a translation by points."""
    return ScaledTranslation(right / 72, up / 72, ax.figure.figure.dpi_scale_trans)


def _upright(names: list[str]) -> bool:
    """Return whether labels are too long to be written horizontally above their columns."""
    return max(map(len, names)) > 4


def _label_extent(names: list[str]) -> tuple[float, float]:
    """Return how many points labels extend to the left of the matrix and above it, including padding."""
    width = 0.65 * font_size(names) * max(map(len, names))
    return 12 + width, 10 + (width if _upright(names) else 1.1 * font_size(names))
