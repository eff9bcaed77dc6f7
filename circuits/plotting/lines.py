"""Lines against gamma, and the names of lines beside their ends. As in ``plotting``, nothing trains or saves."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from circuits import checks
from circuits.plotting.heatmaps import COLOURS, QUIET, Curve, Shown

MOST_DIRECT_LABELS = 5
"""Lines that are named at their ends. More of them get a legend."""

_DASHES = ("-", "--", "-.", ":")


def lines_by_gamma(
    gammas: Curve,
    lines: Mapping[str, Curve],
    *,
    title: str = "",
    ylabel: str = "",
    reference: float | int | None = None,
) -> Figure:
    """Positive quantities (G,) against increasing gamma (G,), on a logarithmic axis.

    Up to five lines are named at their right ends. ``reference`` = c adds the line c e^-γ. Raises ValueError for
    other shapes, and values that are not finite and positive.
    """
    x = np.asarray(gammas, float)
    checks.finite("gammas", x)
    rising = len(x) >= 2 and bool(np.all(np.diff(x) > 0))
    checks.require(rising, "gammas", "must be at least two numbers that increase", x.tolist())
    checks.require(len(lines) > 0, "lines", "must hold at least one line", len(lines))
    if reference is not None:
        checks.require(0 < reference < float("inf"), "reference", "must be positive and finite", reference)
    figure = Shown(figsize=(7.4, 4.2), layout="constrained")
    ax = figure.add_subplot(xlabel="γ", ylabel=ylabel, yscale="log", xlim=(x[0], x[-1]))
    ax.set_title(title, fontsize=11, loc="left")
    ax.spines[["top", "right"]].set_visible(False)
    for number, (name, line) in enumerate(lines.items()):
        values = _positive(f"lines[{name!r}]", line, len(x))
        colour, dashes = COLOURS[number % len(COLOURS)], _DASHES[number % len(_DASHES)]
        ax.plot(x, values, label=name, color=colour, linestyle=dashes, linewidth=2)
    if reference is not None:
        falling = np.exp(np.log(reference) - x)  # e^-γ itself underflows beyond 745
        visible = np.where(falling > 0, falling, np.nan)
        name = r"$e^{-\gamma}$" if reference == 1 else rf"${reference:g}\,e^{{-\gamma}}$"
        ax.plot(x, visible, label=name, color=QUIET, linestyle=":", linewidth=1.2)
    if len(lines) > MOST_DIRECT_LABELS:
        ax.legend(frameon=False)
    else:
        name_at_ends(ax)
    return figure


def name_at_ends(ax: Axes, gap: float = 0.065) -> None:
    """The name of each line beside its right end, moved up or down until they are ``gap`` of the axes' height apart.

    Lines whose label begins with "_" stay without.
    """
    ax.set_xlim(*ax.get_xlim())
    ax.set_ylim(*ax.get_ylim())
    last = {line: np.asarray(line.get_xydata(), float)[-1] for line in ax.get_lines()}
    named = [line for line, point in last.items() if np.isfinite(point).all() and str(line.get_label())[0] != "_"]
    to_share = ax.transScale + ax.transLimits
    ends = np.array([to_share.transform(last[line]) for line in named]).reshape(-1, 2)
    for line, (across, up), place in zip(named, ends, _apart(ends[:, 1], gap), strict=True):
        ax.annotate(
            str(line.get_label()),
            (min(across, 1), up),
            (1.045, place),
            xycoords="axes fraction",
            textcoords="axes fraction",
            va="center",
            color=line.get_color(),
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": line.get_color(), "linewidth": 0.8, "relpos": (0, 0.5)},
        )


def _apart(places: np.ndarray, gap: float) -> np.ndarray:
    """The places in the same order, at least ``gap`` apart: moved up, and then down again as far as 1 requires."""
    order = np.argsort(places, kind="stable")
    spread, lowest = np.empty(len(places)), 0.0
    for index in order:
        spread[index] = max(places[index], lowest)
        lowest = spread[index] + gap
    highest = 1.0
    for index in order[::-1]:
        spread[index] = min(spread[index], highest)
        highest = spread[index] - gap
    return spread


def _positive(argument: str, line: Curve, length: int) -> np.ndarray:
    values = np.asarray(line, float)
    checks.shape(argument, values, (length,))
    checks.finite(argument, values)
    checks.require(bool(np.all(values > 0)), argument, "must be positive on a logarithmic axis", float(values.min()))
    return values
