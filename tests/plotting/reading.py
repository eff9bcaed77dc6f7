"""What a test reads from a figure."""

from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from circuits.probes.attention.maps import AttentionMaps


def draw(figure: Figure) -> np.ndarray:
    """Lay out and draw; return the pixels."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def ticks(axis: Any, minor: bool = False) -> list[str]:
    return [label.get_text() for label in axis.get_ticklabels(minor=minor)]


def image(ax: Axes) -> np.ma.MaskedArray:
    return np.ma.asarray(ax.images[0].get_array())


def outlines(ax: Axes) -> list[Rectangle]:
    return [patch for patch in ax.patches if isinstance(patch, Rectangle)]


def bars(ax: Axes) -> list[BarContainer]:
    return [each for each in ax.containers if isinstance(each, BarContainer)]


def bar_heights(ax: Axes) -> list[list[float]]:
    return [[bar.get_height() for bar in each] for each in bars(ax)]


def bands(ax: Axes) -> list[tuple[Any, ...]]:
    """Return (colour, first and last position) of each band above the columns."""
    lines = [line for line in ax.get_lines() if line.get_linewidth() == 4 and np.all(np.equal(line.get_ydata(), 1))]
    return [(line.get_color(), *np.round(np.asarray(line.get_xdata(), float)).astype(int).tolist()) for line in lines]


def labels_are_apart(figure: Figure, ax: Axes) -> bool:
    """Return whether the texts of an axes neither overlap nor leave the figure. An annotation's arrow may."""
    boxes = sorted((Text.get_window_extent(text) for text in ax.texts), key=lambda box: box.y0)
    inside = all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)
    return inside and all(low.y1 <= high.y0 for low, high in pairwise(boxes))


def uniform(length: int) -> np.ndarray:
    """Return a causal pattern whose queries read all keys alike."""
    return np.tril(np.ones((length, length))) / np.arange(1, length + 1)[:, None]


def softmax(layers: int, heads: int, length: int, causal: bool = True) -> np.ndarray:
    scores = 2 * np.random.default_rng(length).normal(size=(layers, heads, length, length))
    scores = np.where(np.tril(np.ones((length, length), bool)) | (not causal), scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def random_maps(layers: int, heads: int, tokens: tuple[str, ...], roles: tuple[str, ...], query: int) -> AttentionMaps:
    names = tuple(str(head) for head in range(heads))
    patterns = softmax(layers, heads, len(tokens))
    return AttentionMaps(patterns, tokens, roles, query, names, "A star", {"examples": 64}, 0.1 * patterns)
