"""Colours, figures and axes shared by all plots, without pyplot or its global state."""

from collections.abc import Sequence
from io import BytesIO
from math import ceil
from pathlib import Path

import numpy as np
from jaxtyping import Real
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.layout_engine import ConstrainedLayoutEngine

from circuits import checks
from circuits.display import COLOURS, OTHER_ROLE, ROLE_COLOURS
from circuits.files import write_bytes
from circuits.typing import AnyArray

Matrix = Real[AnyArray, "rows columns"]
Curve = Real[AnyArray, " _"] | Sequence[float | int]
Labels = Sequence[object] | Real[AnyArray, " labels"]
"""Tick labels, converted by ``str``."""

GREY = "#666666"
FILE_DPI = 130


class InlineFigure(Figure):
    """A figure that Jupyter displays even if pyplot, which would register a formatter, is not imported."""

    def _repr_png_(self) -> bytes:
        return _rendered(self, "png", dpi=110)


def role_colour(role: str) -> str:
    """Return the colour of a role, the same in figures and on the interactive page."""
    return ROLE_COLOURS.get(role, OTHER_ROLE)


def write_figure(folder: str | Path, name: str, figure: Figure) -> None:
    """Write a figure as ``name.png`` and ``name.pdf``, each atomically.

    Args:
        folder: an existing folder.
        name: file name without its ending.
        figure: any matplotlib figure.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_figure(folder, "empty", InlineFigure())
        >>> sorted(path.name for path in folder.iterdir())
        ['empty.pdf', 'empty.png']
    """
    for kind in ("png", "pdf"):
        write_bytes(Path(folder) / f"{name}.{kind}", _rendered(figure, kind, FILE_DPI))


def _rendered(figure: Figure, kind: str, dpi: int) -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, format=kind, dpi=dpi)
    return buffer.getvalue()


# ---------------------------------------------------------------------------------------- figures and axes


def layout_engine(pad: float) -> ConstrainedLayoutEngine:
    """Return a layout with ``pad`` inches around every axes."""
    return ConstrainedLayoutEngine(w_pad=pad, h_pad=pad, wspace=0.02, hspace=0.03)


def panel_grid(
    count: int,
    columns: int,
    size: tuple[float, float],
    *,
    margin: tuple[float, float] = (0.0, 0.0),
    title: str = "",
    note: str = "",
    pad: float = 0.1,
) -> tuple[Figure, list[Axes]]:
    """Return a figure with ``count`` empty axes of ``size`` inches, and the axes; title and note add height."""
    checks.integer("columns", columns, min_value=1)
    across = min(columns, count)
    down = ceil(count / across)
    words = 0.5 * bool(title) + 0.25 * (note.count("\n") + 1) * bool(note)
    inches = across * size[0] + margin[0], down * size[1] + margin[1] + words
    figure = InlineFigure(figsize=inches, layout=layout_engine(pad))
    figure.suptitle(title, fontsize=13, fontweight="bold")
    if note:
        figure.supxlabel(note, fontsize=9.5, color=GREY)
    axes = list(figure.subplots(down, across, squeeze=False).flat)
    for spare in axes[count:]:
        spare.remove()
    return figure, axes[:count]


def style_axes(ax: Axes, title: str, xlabel: str = "", ylabel: str = "") -> None:
    """Title an axes on the left, name its axes, and remove the upper and the right spine."""
    ax.set_title(title, fontsize=11, loc="left")
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.spines[["top", "right"]].set_visible(False)


def add_colour_bar(axes: Sequence[Axes], image: AxesImage, label: str) -> Figure:
    """Add one colour bar for all of the axes, and return their figure."""
    figure = axes[0].figure.figure
    figure.colorbar(image, ax=axes, label=label, shrink=0.7, aspect=28, pad=0.02).outline.set_visible(False)
    return figure


def symmetric_limits(values: np.ndarray) -> tuple[float, float]:
    """Return symmetric limits of a colour scale, whose white is at 0."""
    largest = float(np.nanmax(np.abs(values))) or 1.0
    return -largest, largest


def escape_dollars(text: str) -> str:
    """Escape dollar signs, which would start a formula in matplotlib."""
    return text.replace("$", r"\$")


# --------------------------------------------------------------------------------------------- arguments


def finite_matrix(argument: str, array: Matrix) -> np.ndarray:
    """Return a matrix in float64. Raises ValueError if it is empty or not finite."""
    values = np.asarray(array, float)
    checks.require(values.ndim == 2 and values.size > 0, argument, "must be a non-empty matrix", values.shape)
    checks.finite(argument, values)
    return values


def label_texts(argument: str, labels: Labels, length: int) -> list[str]:
    """Return the labels as strings. Raises ValueError unless there are ``length`` of them."""
    checks.require(len(labels) == length, argument, f"must hold {length} labels", len(labels))
    return [str(label) for label in (labels if isinstance(labels, Sequence) else np.asarray(labels).tolist())]


def checked_curve(
    argument: str, curve: Curve, length: int, *, positive: bool = False, gaps: bool = False
) -> np.ndarray:
    """Return a curve of ``length`` finite values in float64; with ``gaps``, some may be NaN."""
    values = np.asarray(curve, float)
    checks.shape(argument, values, (length,))
    known = values[~np.isnan(values)] if gaps else values
    checks.require(len(known) > 0, argument, "must hold a number", curve)
    checks.finite(argument, known)
    low = float(known.min())
    checks.require(not positive or low > 0, argument, "must be positive on a logarithmic axis", low)
    return values


def increasing(argument: str, curve: Curve, *, positive: bool = False, min_length: int = 2) -> np.ndarray:
    """Return increasing finite values in float64; with ``positive``, for a logarithmic axis."""
    values = np.asarray(curve, float)
    rising = values.ndim == 1 and len(values) >= min_length and bool(np.all(np.diff(values) > 0))
    checks.require(rising, argument, f"must be at least {min_length} increasing numbers", values.tolist())
    return checked_curve(argument, values, len(values), positive=positive)


def check_colour(argument: str, colour: int | None) -> None:
    """Check an index into ``COLOURS``; None is grey."""
    if colour is not None:
        checks.integer(f"{argument} colour", colour, min_value=0, max_value=len(COLOURS) - 1)


def line_colour(colour: int | None) -> str:
    """Return the colour at an index of ``COLOURS``, or grey."""
    return GREY if colour is None else COLOURS[colour]
