"""Heatmaps of patterns and weights show what they are given, refuse what does not fit, and leave pyplot alone."""

import re
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure

from circuits.plotting import (
    attention_heatmap,
    attention_heatmaps,
    lines_by_gamma,
    power_bars,
    weight_heatmap,
)
from circuits.plotting.cells import MAX_ANNOTATED
from tests.cases import EXAMPLE
from tests.plotting.reading import draw, image, outlines, texts, ticks, uniform

T = len(EXAMPLE)
ROLES = [*(f"edge {number}" for number in (1, 2, 3, 4) for _ in range(2)), "goal", "start"]


def test_two_patterns_on_one_sequence():
    panels = [("Layer 0", uniform(T)), ("Layer 1", np.eye(T))]
    marks = [[(T - 1, T - 2, "attend to the goal"), (3, 2, "trace back")], [(T - 1, 3, "find its edge")]]
    figure = attention_heatmaps(panels, np.asarray(EXAMPLE), title="By hand", roles=ROLES, marks=marks)
    *heatmaps, bar = figure.axes
    assert figure.get_suptitle() == "By hand"
    assert [ax.get_title() for ax in heatmaps] == ["Layer 0", "Layer 1"]
    assert (bar.get_ylim(), bar.get_ylabel()) == ((0, 1), "attention")
    for ax, (_, attention), cells in zip(heatmaps, panels, marks, strict=True):
        assert ax.yaxis_inverted()
        assert not ax.xaxis_inverted()
        assert (ax.get_ylabel(), ax.get_xlabel()) == ("query position", "key position")
        for axis in (ax.xaxis, ax.yaxis):
            assert ticks(axis) == [str(label) for label in EXAMPLE]
            assert ticks(axis, minor=True) == [str(position) for position in range(T)]
        np.testing.assert_array_equal(np.ma.getmaskarray(image(ax)), np.triu(np.ones((T, T), bool), 1))
        np.testing.assert_array_equal(image(ax).filled(0), attention)
        assert ax.images[0].get_clim() == (0, 1)
        outlined = [(patch.get_y() + 0.5, patch.get_x() + 0.5) for patch in outlines(ax)]
        assert outlined == [(row, column) for row, column, _ in cells]
        assert set(texts(ax)) >= {text for _, _, text in cells}
        assert all(texts(ax).count(role) == 2 for role in set(ROLES))  # a band on either axis


def test_the_future_looks_unlike_zero():
    """Drawn, cell by cell: key 0 with weight 0, and the hatched keys after the query."""
    figure = attention_heatmap(np.eye(4), list("abcd"))
    pixels = draw(figure)
    to_pixel = figure.axes[0].transData.transform

    def cell(row: int, column: int) -> np.ndarray:
        (left, low), (right, high) = to_pixel([(column - 0.3, row + 0.3), (column + 0.3, row - 0.3)])
        height = len(pixels)
        return pixels[round(height - high) : round(height - low), round(left) : round(right), :3].reshape(-1, 3)

    zero, future = cell(3, 0), cell(0, 3)
    assert len(zero) > 100
    assert len(np.unique(zero, axis=0)) == 1
    assert not (future == zero[0]).all(axis=1).any()
    assert len(np.unique(future, axis=0)) > 1


def test_axes_of_the_caller_with_and_without_a_colour_bar():
    figure = Figure()
    upper, lower = figure.subplots(2)
    assert attention_heatmap(uniform(3), "abc", ax=lower, title="here", colour_bar=False) is figure
    assert figure.axes == [upper, lower]
    assert (lower.get_title(), len(upper.images)) == ("here", 0)
    attention_heatmap(uniform(3), "abc", ax=lower)
    assert len(figure.axes) == 3


def test_panels_fill_rows_and_spare_axes_are_removed():
    figure = attention_heatmaps([(str(n), uniform(3)) for n in range(4)], "abc", columns=3)
    draw(figure)
    assert [ax.get_title() for ax in figure.axes[:-1]] == ["0", "1", "2", "3"]
    tops = [round(ax.get_position().y1, 3) for ax in figure.axes[:-1]]
    assert tops[0] == tops[1] == tops[2] > tops[3]


def test_values_are_written_into_small_patterns():
    assert texts(attention_heatmap(uniform(3), "abc").axes[0]) == ["1.00", ".50", ".50", ".33", ".33", ".33"]
    assert texts(attention_heatmap(np.eye(3), "abc").axes[0]) == ["1.00"] * 3  # zeros stay empty
    nearly = np.array([[1, 0], [0.003, 0.997]])
    assert texts(attention_heatmap(nearly, "ab").axes[0]) == ["1.00", ".997"]
    large = MAX_ANNOTATED + 1
    assert texts(attention_heatmap(uniform(large), range(large)).axes[0]) == []


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_low_precision_patterns_are_accepted(dtype):
    rounded = jnp.asarray(uniform(11), dtype)
    ax = attention_heatmap(rounded, range(11)).axes[0]
    np.testing.assert_array_equal(image(ax).filled(0), np.asarray(rounded, float))


INVALID = [
    ({"attention": np.ones((T, T - 1))}, f"attention: must have shape ({T}, {T})"),
    ({"attention": np.zeros((0, 0))}, "attention: must be a non-empty matrix"),
    ({"attention": uniform(T) * np.nan}, "attention: must be finite"),
    ({"attention": np.full((T, T), 1 / T)}, "attention: must be 0 above the diagonal"),
    ({"attention": -uniform(T)}, "attention: must not be negative"),
    ({"attention": np.tril(np.ones((T, T)))}, "attention: every row must sum to 1 within 0.005, row 9 does not"),
    ({"tokens": EXAMPLE[:-1]}, "tokens: must hold 10 labels"),
    ({"roles": ROLES[1:]}, "roles: must hold 10 labels"),
    ({"marks": [(1, 1, ""), (T, 0, "")]}, "marks[1] row: must be an integer between 0 and 9"),
    ({"marks": [(2, 3, "")]}, "marks[0] column: must be an integer between 0 and 2"),
]


@pytest.mark.parametrize(("wrong", "message"), INVALID)
def test_patterns_that_do_not_fit(wrong, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        attention_heatmap(**{"attention": uniform(T), "tokens": EXAMPLE} | wrong)


@pytest.mark.parametrize(
    ("panels", "options", "message"),
    [
        ([], {}, "panels: must hold at least one"),
        ([("a", uniform(T)), ("b", uniform(3))], {}, "panels[1]: must have shape (10, 10)"),
        ([("a", uniform(T)), ("b", 2 * uniform(T))], {}, "panels[1]: every row must sum to 1"),
        ([("a", uniform(T))], {"marks": [[], []]}, "marks: must hold the marks of each of 1 panels"),
        ([("a", uniform(T))], {"columns": 0}, "columns: must be an integer at least 1"),
    ],
)
def test_panels_that_do_not_fit(panels, options: dict[str, Any], message):
    with pytest.raises(ValueError, match=re.escape(message)):
        attention_heatmaps(panels, EXAMPLE, **options)


def test_weights_are_centred_on_zero():
    matrix = np.array([[0.0, -3.0, 1.0], [0.5, 0.0, 0.0]])
    ax = weight_heatmap(matrix, ["r", "s"], ["a", "b", "c"], "W0", row_name="query label").axes[0]
    assert ax.images[0].get_clim() == (-3, 3)
    assert min(ax.images[0].to_rgba(np.zeros((1, 1)))[0, 0, :3]) > 0.95
    assert (ticks(ax.xaxis), ticks(ax.yaxis)) == (["a", "b", "c"], ["r", "s"])
    assert texts(ax) == ["-3", "1", "0.5"]
    assert (ax.get_ylabel(), ax.get_xlabel(), ax.get_title()) == ("query label", "key", "W0")
    assert weight_heatmap(np.zeros((2, 2)), "ab", "ab").axes[0].images[0].get_clim() == (-1, 1)
    with pytest.raises(ValueError, match="row_labels: must hold 2 labels"):
        weight_heatmap(matrix, "abc", "abc")
    with pytest.raises(ValueError, match="matrix: must be finite"):
        weight_heatmap(np.full((2, 3), np.inf), "ab", "abc")


def test_jupyter_displays_figures_and_pyplot_knows_none_of_them():
    import matplotlib.pyplot as plt

    before, settings = plt.get_fignums(), dict(plt.rcParams)
    one = np.ones(2)
    figures = [
        attention_heatmaps([("", uniform(2))], "ab", marks=[[(1, 0, "first")]]),
        weight_heatmap(uniform(2), "ab", "ab"),
        lines_by_gamma(np.array([1.0, 2.0]), {"L1b": one}),
        power_bars("AB", one, (one, one), {}),
    ]
    for figure in figures:
        assert figure._repr_png_().startswith(b"\x89PNG")  # pyright: ignore[reportAttributeAccessIssue]
    assert plt.get_fignums() == before
    assert dict(plt.rcParams) == settings
