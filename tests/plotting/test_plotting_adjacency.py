"""Figures of adjacency probes show what they are given, and refuse what does not fit."""

import re

import numpy as np
import pytest
from matplotlib.collections import LineCollection

from circuits.plotting import NullBand, matrix_panels, power_bars, power_heatmap, powers_over_training
from circuits.plotting.style import COLOURS
from tests.plotting.reading import bars, image, texts, ticks

N = 5
A = np.triu(np.ones((N, N)), 1)
MATRICES = np.random.default_rng(0).normal(size=(2, N, N))
NAMES = ["A", "A^2", "A^2 support"]


def test_matrices_stand_above_powers_in_one_order():
    order = np.array([4, 2, 0, 1, 3])
    matrices = [("head\nA^2 0.5", MATRICES[0]), ("$x$", 7 * MATRICES[1] + 3)]
    powers = [A, A @ A, A @ A @ A]
    figure = matrix_panels(matrices, [(f"A^{k}", power) for k, power in enumerate(powers)], title="run", order=order)
    panels = [ax for ax in figure.axes if ax.get_title()]
    assert [ax.get_title() for ax in panels] == ["head\nA² 0.5", r"\$x\$", "A⁰", "A¹", "A²"]
    centred = [one - one.mean(axis=1, keepdims=True) for one in (MATRICES[0], 7 * MATRICES[1])]
    for ax, one in zip(panels, centred, strict=False):
        np.testing.assert_allclose(image(ax), (one / np.quantile(np.abs(one), 0.99))[order][:, order])
        assert ax.images[0].get_clim() == (-1, 1)
    for ax, power in zip(panels[2:], powers, strict=True):
        np.testing.assert_allclose(image(ax) ** 2, power[order][:, order])
        assert ax.images[0].get_clim() == (0, np.sqrt(np.max(powers)))
    assert all(ticks(axis) == list("42013") for ax in panels for axis in (ax.xaxis, ax.yaxis))
    assert figure.get_suptitle() == "run"


def test_many_nodes_get_some_numbers():
    matrix = np.random.default_rng(0).normal(size=(100, 100))
    ax = matrix_panels([("m", matrix)], [("A", np.abs(matrix))]).axes[0]
    assert ticks(ax.xaxis) == ["0", "20", "40", "60", "80"]


def test_bars_with_their_intervals_and_bands():
    cosines, ends = np.array([0.2, 0.7, -0.1]), (np.array([0.1, 0.6, -0.3]), np.array([0.3, 0.8, 0.1]))
    nulls = {
        "permuted": NullBand(np.zeros(3), np.full(3, -0.1), np.full(3, 0.1)),
        "rewired": NullBand(np.array([0.3, np.nan, 0.1]), np.array([0.2, np.nan, 0.0]), np.array([0.4, np.nan, 0.2])),
    }
    figure = power_bars(NAMES, cosines, ends, nulls, title="head")
    (ax,) = figure.axes
    measured, permuted, rewired = bars(ax)
    assert [bar.get_height() for bar in measured] == cosines.tolist()
    assert [bar.get_y() for bar in permuted] == [-0.1] * 3
    assert [bar.get_height() for bar in permuted] == pytest.approx([0.2] * 3)
    assert np.isnan(rewired[1].get_height())
    errors, *_ = (each for each in ax.collections if isinstance(each, LineCollection))
    np.testing.assert_allclose([segment[:, 1] for segment in errors.get_segments()], np.transpose(ends))
    assert ticks(ax.xaxis) == ["A", "A²", "A²\nsupport"]
    assert ax.get_title(loc="left") == "head"
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["measured", "permuted: 95% of draws", "rewired: 95% of draws"]


def test_cosines_of_heads_are_written_and_marked():
    cosines, significant = np.array([[0.9, -0.2, 0.1], [0.0, 0.5, 0.4]]), np.zeros((2, 3), bool)
    significant[1, 2] = True
    ax = power_heatmap(["L0H0", "$"], NAMES, cosines, significant, title="run").axes[0]
    np.testing.assert_array_equal(image(ax), cosines)
    assert ax.images[0].get_clim() == (-1, 1)
    assert texts(ax)[:6] == ["0.90", "-0.20", "0.10", "0.00", "0.50", "0.40"]
    assert ticks(ax.yaxis) == ["L0H0", r"\$"]
    assert ticks(ax.xaxis) == ["A", "A²", "A² support"]
    (points,) = ax.collections
    np.testing.assert_allclose(np.round(np.asarray(points.get_offsets())), [[2, 1]])


def test_a_hundred_heads_are_drawn_without_numbers():
    ax = power_heatmap([f"head {i}" for i in range(100)], NAMES, np.zeros((100, 3))).axes[0]
    assert (len(ax.texts), len(ax.collections), len(ticks(ax.yaxis))) == (0, 0, 100)


def test_lines_over_training_and_a_null():
    steps, lines = np.array([10, 20, 40]), {"A": np.array([0.1, 0.2, 0.9]), "A^2": np.array([0.0, 0.1, 0.2])}
    ax = powers_over_training(steps, lines, null=np.full(3, 0.3), title="run").axes[0]
    assert [line.get_label() for line in ax.get_lines()] == ["A", "A²", "95% of null"]
    for line, values in zip(ax.get_lines(), [*lines.values(), np.full(3, 0.3)], strict=True):
        np.testing.assert_array_equal(line.get_xydata(), np.stack([steps, values], axis=1))
    assert ax.get_lines()[0].get_color() == COLOURS[0]
    assert (ax.get_xlabel(), ax.get_xscale()) == ("training steps", "linear")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: matrix_panels([], [("A", A)]), "matrices: must hold at least one"),
        (lambda: matrix_panels([("m", A)], []), "powers: must hold at least one"),
        (lambda: matrix_panels([("m", A[:, :4])], [("A", A[:, :4])]), "matrices[0]: must have shape (5, 5)"),
        (lambda: matrix_panels([("m", A)], [("A", A)], order=np.zeros(5, int)), "order: must hold each of range(5)"),
        (lambda: matrix_panels([("m", A * np.nan)], [("A", A)]), "matrices[0]: must be finite"),
        (lambda: power_bars([], np.zeros(0), (np.zeros(0), np.zeros(0)), {}), "references: must hold at least one"),
        (lambda: power_bars(["A"], np.zeros(2), (np.zeros(1), np.zeros(1)), {}), "cosines: must have shape (1,)"),
        (lambda: power_bars(["A"], np.zeros(1), (np.zeros(1), np.ones(2)), {}), "interval[1]: must have shape (1,)"),
        (
            lambda: power_bars(["A"], np.zeros(1), (np.zeros(1), np.zeros(1)), {"p": NullBand(*[np.zeros(2)] * 3)}),
            "nulls['p']",
        ),
        (lambda: power_heatmap(["a"], NAMES, np.zeros((2, 3))), "names: must hold 2 labels"),
        (lambda: power_heatmap(["a"], NAMES, np.zeros((1, 2))), "references: must hold 2 labels"),
        (lambda: power_heatmap(["a"], NAMES, np.zeros((1, 3)), np.zeros((2, 3), bool)), "significant: must have shape"),
        (lambda: powers_over_training(np.arange(2), {}), "cosines: must hold 1 to 7 lines"),
    ],
)
def test_what_does_not_fit(call, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        call()
