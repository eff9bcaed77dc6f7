"""Weights and attention of reduced models side by side, as in the paper's Figure 3."""

from collections.abc import Sequence
from string import ascii_lowercase
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from circuits import checks
from circuits.plotting.bars import BarPanel, check_bars, draw_bars
from circuits.plotting.cells import hatch_background, ticks_above
from circuits.plotting.heatmaps import Mark, attention_heatmap
from circuits.plotting.style import GREY, InlineFigure, Labels, Matrix, add_colour_bar, layout_engine, symmetric_limits


class Mechanism(NamedTuple):
    """A reduced model.

    Args:
        name: in the titles of its panels.
        weights: for each of two layers the content block [N, N] and the position block [T, T].
        attention: for each of two layers the pattern [T, T] on one sequence.

    Example:
        >>> eye = np.eye(3)
        >>> len(Mechanism("NTP", ((eye, eye), (eye, eye)), (eye, eye)).weights)
        2
    """

    name: str
    weights: tuple[tuple[Matrix, Matrix], tuple[Matrix, Matrix]]
    attention: tuple[Matrix, Matrix]


def mechanism_panels(
    models: Sequence[Mechanism],
    tokens: Labels,
    *,
    title: str = "",
    note: str = "",
    marks: Sequence[Mark] = (),
    heads: Sequence[BarPanel] = (),
    blocks: Sequence[str] = (),
) -> Figure:
    """Draw a row for each model: W^(1), W^(2) of the paper, and the attention of both layers.

    Args:
        models: weights and attention.
        tokens: T labels.
        title: above all panels.
        note: below all panels.
        marks: cells (row, column, caption) to outline in the attention of layer 0, counted from 0.
        heads: panels of bars below the models, such as the weight of each output head on each block.
        blocks: names of the blocks of the residual stream, the categories of these bars.

    Returns:
        A figure with four axes for each model, and one for each panel of ``heads``.

    Raises:
        ValueError: if there are no models, a block is not square and finite, or as ``attention_heatmap`` and
            ``bar_panels`` do.

    Example:
        >>> eye = np.eye(3)
        >>> figure = mechanism_panels([Mechanism("NTP", ((eye, eye), (eye, eye)), (eye, eye))], ["a", "b", "c"])
        >>> figure.axes[0].get_title()
        '(a)  NTP: $W^{(1)}$'
    """
    checks.require(len(models) > 0, "models", "must hold at least one Mechanism", len(models))
    for model in models:
        for number, layer in enumerate(model.weights, start=1):
            for block, array in zip(("content", "position"), layer, strict=True):
                argument = f"{model.name}: {block}_{number}"
                checks.shape(argument, array, (len(array), len(array)))
                checks.finite(argument, array)
    for number, panel in enumerate(heads):
        check_bars(f"heads[{number}]", panel, len(blocks))
    heights = [5.4] * len(models) + [3.7] * bool(heads)
    figure = InlineFigure(figsize=(21.5, sum(heights) + 1.5), layout=layout_engine(0.1))
    figure.suptitle(title, fontsize=20, fontweight="bold")
    figure.supxlabel(note, fontsize=13, color=GREY)
    rows = np.asarray(figure.subfigures(len(heights), 1, height_ratios=heights)).reshape(-1)
    letters = iter(f"({letter})  " for letter in ascii_lowercase)
    for row, model in zip(rows, models, strict=False):
        axes = row.subplots(1, 4)
        for number, (ax, layer) in enumerate(zip(axes[:2], model.weights, strict=True), start=1):
            content, position = (np.asarray(block, float) for block in layer)
            _draw_blocks(ax, content, position, f"{next(letters)}{model.name}: $W^{{({number})}}$")
        for number, (ax, pattern) in enumerate(zip(axes[2:], model.attention, strict=True)):
            name = f"{next(letters)}{model.name}: attention in layer {number}"
            outlined = marks if number == 0 else ()
            attention_heatmap(pattern, tokens, title=name, marks=outlined, ax=ax, colour_bar=number == 1)
            ax.title.set_fontsize(14)
    if heads:
        for ax, panel in zip(np.atleast_1d(rows[-1].subplots(1, len(heads))), heads, strict=True):
            draw_bars(ax, panel, list(blocks), "")
            ax.set_title(next(letters) + panel.title, loc="left", fontsize=14)
    return figure


def _draw_blocks(ax: Axes, upper: np.ndarray, lower: np.ndarray, title: str) -> None:
    """Draw Eq. 4: the content block above, the position block below, and hatched the blocks that are fixed at 0."""
    labels, length = len(upper), len(lower)
    whole = np.full((labels + length, labels + length), np.nan)
    whole[:labels, :labels], whole[labels:, labels:] = upper, lower
    low, high = symmetric_limits(whole)
    image = ax.imshow(np.ma.masked_invalid(whole), cmap="RdBu_r", vmin=low, vmax=high)
    hatch_background(ax)
    ticks_above(ax)
    names = [str(index) for count in (labels, length) for index in range(count)]
    ax.set_xticks(range(len(names)), names, fontsize=8.5)
    ax.set_yticks(range(len(names)), names, fontsize=8.5)
    for draw in (ax.axhline, ax.axvline):
        draw(labels - 0.5, color="black", linewidth=0.8)
    ax.xaxis.set_label_position("top")
    ax.set_xlabel("key:  node label  |  position", color=GREY)
    ax.set_ylabel("query:  position  |  node label", color=GREY)
    ax.set_title(title, fontsize=14, pad=10)
    add_colour_bar([ax], image, "")
