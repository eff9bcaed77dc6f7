"""Figures hold what they were given, refuse what does not fit, and leave pyplot alone."""

import re
from itertools import pairwise
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from circuits.disentangled.circuit import circuit
from circuits.disentangled.closed_form import forward
from circuits.plotting.heatmaps import attention_heatmap, attention_heatmaps, weight_heatmap
from circuits.plotting.cells import MAX_ANNOTATED
from circuits.plotting.lines import lines_by_gamma
from circuits.plotting.lines import MAX_NAMED
from tests.cases import EXAMPLE, example

T = len(EXAMPLE)
ROLES = [*(f"edge {number}" for number in (1, 2, 3, 4) for _ in range(2)), "goal", "start"]
GAMMAS = np.linspace(5, 500, 12)


def pattern(length: int = T) -> np.ndarray:
    return np.tril(np.ones((length, length))) / np.arange(1, length + 1)[:, None]


def texts(ax) -> list[str]:
    return [text.get_text() for text in ax.texts]


def pixels(figure: Figure) -> np.ndarray:
    """Lays out and draws."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def test_both_layers_of_the_circuit():
    acts = forward(circuit(8.0, 10, T), example()[0])
    panels = [(f"Layer {number}", attention) for number, attention in enumerate(acts.attention, start=1)]
    marks = [[(T - 1, T - 2, "attend to the goal"), (3, 2, "trace back")], [(T - 1, 3, "find its edge")]]
    figure = attention_heatmaps(panels, example()[0], title="By hand", roles=ROLES, mark=marks)
    assert isinstance(figure, Figure)
    assert figure.get_suptitle() == "By hand"
    *heatmaps, bar = figure.axes
    assert [ax.get_title() for ax in heatmaps] == ["Layer 1", "Layer 2"]
    assert bar.get_ylim() == (0, 1)
    assert bar.get_ylabel() == "attention"
    for ax, (_, attention), cells in zip(heatmaps, panels, marks, strict=True):
        for axis in (ax.xaxis, ax.yaxis):
            assert [label.get_text() for label in axis.get_ticklabels()] == [str(label) for label in EXAMPLE]
            numbers = [label.get_text() for label in axis.get_ticklabels(minor=True)]
            assert numbers == [str(position) for position in range(1, T + 1)]
        shown = np.ma.asarray(ax.images[0].get_array())
        np.testing.assert_array_equal(np.ma.getmaskarray(shown), np.triu(np.ones((T, T), bool), 1))
        np.testing.assert_allclose(shown.filled(0), attention)
        assert ax.images[0].get_clim() == (0, 1)
        outlined = [(patch.get_y() + 0.5, patch.get_x() + 0.5) for patch in ax.patches if isinstance(patch, Rectangle)]
        assert outlined == [(row, column) for row, column, _ in cells]
        assert set(texts(ax)) >= {text for _, _, text in cells}
        for role in set(ROLES):
            assert texts(ax).count(role) == 2  # a band on either axis
    assert {".997", ".50", "1.00"} <= set(texts(heatmaps[1]))


def test_queries_run_down_and_keys_across():
    ax = attention_heatmap(pattern(), EXAMPLE).axes[0]
    assert ax.yaxis_inverted()
    assert not ax.xaxis_inverted()
    assert ax.get_ylabel().startswith("query")
    assert ax.get_xlabel().startswith("key")


def test_the_future_looks_unlike_zero():
    """Drawn, cell by cell: key 1 seen with weight 0, and the unseen keys behind the query."""
    figure = attention_heatmap(np.eye(4), list("abcd"))
    drawn = pixels(figure)
    to_pixel = figure.axes[0].transData.transform

    def cell(row: int, column: int) -> np.ndarray:
        (left, low), (right, high) = to_pixel([(column - 0.3, row + 0.3), (column + 0.3, row - 0.3)])
        height = len(drawn)
        return drawn[round(height - high) : round(height - low), round(left) : round(right), :3].reshape(-1, 3)

    zero, unseen = cell(3, 0), cell(0, 3)
    assert len(zero) > 100
    assert len(np.unique(zero, axis=0)) == 1
    assert not (unseen == zero[0]).all(axis=1).any()
    assert len(np.unique(unseen, axis=0)) > 1  # hatched


def test_an_axes_of_the_callers_is_drawn_into():
    figure = Figure()
    upper, lower = figure.subplots(2)
    assert attention_heatmap(pattern(), EXAMPLE, ax=lower, title="here") is figure
    assert lower.get_title() == "here"
    assert not upper.images


def test_the_colour_bar_can_be_left_out():
    figure = Figure()
    ax = figure.subplots()
    attention_heatmap(pattern(), EXAMPLE, ax=ax, colour_bar=False)
    assert figure.axes == [ax]
    attention_heatmap(pattern(), EXAMPLE, ax=ax)
    assert len(figure.axes) == 2


def test_panels_fill_rows_and_spare_axes_go():
    figure = attention_heatmaps([(str(n), pattern(3)) for n in range(4)], "abc", columns=3)
    assert [ax.get_title() for ax in figure.axes[:-1]] == ["0", "1", "2", "3"]
    tops = [round(ax.get_position().y1, 3) for ax in figure.axes[:-1]]
    assert tops[0] == tops[1] == tops[2] > tops[3]


def test_values_are_written_where_there_is_room():
    small, large = attention_heatmap(pattern(3), "abc").axes[0], pattern(MAX_ANNOTATED + 1)
    assert texts(small) == ["1.00", ".50", ".50", ".33", ".33", ".33"]
    assert texts(attention_heatmap(large, range(len(large))).axes[0]) == []
    assert texts(attention_heatmap(np.eye(3), "abc").axes[0]) == ["1.00"] * 3  # zeros stay empty


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_low_precision_patterns_are_taken(dtype):
    rounded = jnp.asarray(pattern(11), dtype)
    ax = attention_heatmap(rounded, list("abcdefghijk")).axes[0]
    np.testing.assert_array_equal(np.ma.asarray(ax.images[0].get_array()).filled(0), np.asarray(rounded, float))


NOT_CAUSAL = np.full((T, T), 1 / T)
REFUSED = [
    ({"attention": np.ones((T, T - 1))}, f"attention: must have shape ({T}, {T}), got ({T}, {T - 1})"),
    ({"attention": np.zeros((0, 0))}, "attention: must be a matrix that is not empty, got (0, 0)"),
    ({"attention": pattern() * np.nan}, "attention: must be finite, got nan at (0, 0)"),
    ({"attention": NOT_CAUSAL}, "attention: must be 0 above the diagonal, where keys are in the future, got 0.1"),
    ({"attention": -pattern()}, "attention: must not be negative, got -1.0"),
    (
        {"attention": np.tril(np.ones((T, T)))},
        "attention: every row must sum to 1 within 0.005, row 9 does not, got 10.0",
    ),
    ({"tokens": EXAMPLE[:-1]}, "tokens: must hold 10 labels, got 9"),
    ({"roles": ROLES[1:]}, "roles: must hold 10 labels, got 9"),
    ({"mark": [(1, 1, ""), (T, 0, "")]}, "mark[1] row: must be an integer between 0 and 9, got 10"),
    ({"mark": [(2, 3, "")]}, "mark[0] column: must be an integer between 0 and 2, got 3"),
]


@pytest.mark.parametrize(("wrong", "message"), REFUSED)
def test_patterns_that_do_not_fit_are_refused(wrong, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        attention_heatmap(**{"attention": pattern(), "tokens": EXAMPLE} | wrong)


@pytest.mark.parametrize(
    ("panels", "options", "message"),
    [
        ([], {}, "panels: must hold at least one (title, attention), got 0"),
        ([("a", pattern()), ("b", pattern(3))], {}, "panels[1]: must have shape (10, 10), got (3, 3)"),
        (
            [("a", pattern()), ("b", 2 * pattern())],
            {},
            "panels[1]: every row must sum to 1 within 0.005, row 0 does not, got 2.0",
        ),
        ([("a", pattern())], {"mark": [[], []]}, "mark: must hold the marks of each of 1 panels, got 2"),
        ([("a", pattern())], {"columns": 0}, "columns: must be an integer at least 1, got 0"),
    ],
)
def test_panels_that_do_not_fit_are_refused(panels, options: dict[str, Any], message):
    with pytest.raises(ValueError, match=re.escape(message)):
        attention_heatmaps(panels, EXAMPLE, **options)


def test_weights_are_centred_on_zero():
    matrix = np.array([[0.0, -3.0, 1.0], [0.5, 0.0, 0.0]])
    figure = weight_heatmap(matrix, ["r", "s"], ["a", "b", "c"], "W0", row_name="query label")
    ax, _ = figure.axes
    assert ax.images[0].get_clim() == (-3, 3)
    red, green, blue, _ = ax.images[0].to_rgba(np.zeros((1, 1)))[0, 0]
    assert min(red, green, blue) > 0.95
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "b", "c"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["r", "s"]
    assert texts(ax) == ["-3", "1", "0.5"]
    assert (ax.get_ylabel(), ax.get_xlabel(), ax.get_title()) == ("query label", "key", "W0")
    assert weight_heatmap(np.zeros((2, 2)), "ab", "ab").axes[0].images[0].get_clim() == (-1, 1)


@pytest.mark.parametrize(
    ("matrix", "rows", "message"),
    [
        (np.ones((2, 3)), "abc", "row_labels: must hold 2 labels, got 3"),
        (np.full((2, 3), np.inf), "ab", "matrix: must be finite, got inf at (0, 0) (6 such entries)"),
    ],
)
def test_weights_that_do_not_fit_are_refused(matrix, rows, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        weight_heatmap(matrix, rows, "abc")


def test_lines_are_named_at_their_ends_without_overlap():
    lines = {"L1a": 11 * np.exp(-GAMMAS), "L2": 8 * np.exp(-GAMMAS), "L1b": GAMMAS - np.log(3)}
    figure = lines_by_gamma(GAMMAS, lines, title="Losses", ylabel="nats", reference=1)
    (ax,) = figure.axes
    assert ax.get_yscale() == "log"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("γ", "nats")
    assert ax.get_legend() is None
    assert texts(ax) == ["L1a", "L2", "L1b", r"$e^{-\gamma}$"]
    for line, values in zip(ax.get_lines(), (*lines.values(), np.exp(-GAMMAS)), strict=True):
        np.testing.assert_allclose(np.asarray(line.get_ydata(), float), values)
    for text, line in zip(ax.texts, ax.get_lines(), strict=True):
        assert to_rgba(text.get_color()) == to_rgba(line.get_color())
    pixels(figure)
    # An annotation's own extent would hold its leader, too.
    boxes = sorted((Text.get_window_extent(text) for text in ax.texts), key=lambda box: box.y0)
    assert all(low.y1 <= high.y0 for low, high in pairwise(boxes))
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)


def test_many_lines_get_a_legend():
    names = [f"line {number}" for number in range(MAX_NAMED + 1)]
    (ax,) = lines_by_gamma(GAMMAS, dict.fromkeys(names, GAMMAS + 1)).axes
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == names
    assert texts(ax) == []


def test_a_reference_that_underflows_ends_there():
    (ax,) = lines_by_gamma(np.array([1.0, 800.0]), {"one": np.ones(2)}, reference=3).axes
    assert texts(ax) == ["one"]
    last = np.asarray(ax.get_lines()[-1].get_ydata(), float)
    np.testing.assert_allclose(last, [3 / np.e, np.nan])


@pytest.mark.parametrize(
    ("gammas", "lines", "reference", "message"),
    [
        (GAMMAS, {}, None, "lines: must hold at least one line, got 0"),
        (GAMMAS, {"L2": GAMMAS[1:]}, None, "lines['L2']: must have shape (12,), got (11,)"),
        (GAMMAS, {"L2": GAMMAS - 5}, None, "lines['L2']: must be positive on a logarithmic axis, got 0.0"),
        (GAMMAS, {"L2": GAMMAS * np.nan}, None, "lines['L2']: must be finite, got nan at (0,)"),
        (GAMMAS[::-1], {"L2": GAMMAS}, None, "gammas: must be at least two numbers that increase, got [500.0"),
        (GAMMAS[:1], {"L2": GAMMAS[:1]}, None, "gammas: must be at least two numbers that increase, got [5.0]"),
        (GAMMAS, {"L2": GAMMAS}, 0.0, "reference: must be positive and finite, got 0.0"),
    ],
)
def test_lines_that_do_not_fit_are_refused(gammas, lines, reference, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        lines_by_gamma(gammas, lines, reference=reference)


def test_figures_show_in_jupyter_and_pyplot_knows_none_of_them():
    import matplotlib.pyplot as plt

    before, settings = plt.get_fignums(), dict(plt.rcParams)
    figures = [
        attention_heatmap(pattern(), EXAMPLE, roles=ROLES, mark=[(3, 2, "trace back")]),
        attention_heatmaps([("", pattern())], EXAMPLE),
        weight_heatmap(pattern(), EXAMPLE, EXAMPLE),
        lines_by_gamma(GAMMAS, {"L1b": GAMMAS}),
    ]
    for figure in figures:
        png = figure._repr_png_()  # pyright: ignore[reportAttributeAccessIssue]
        assert png.startswith(b"\x89PNG")
    assert plt.get_fignums() == before
    assert dict(plt.rcParams) == settings
