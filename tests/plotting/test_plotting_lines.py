"""Curves are drawn as given, named without overlap, and refused where they do not fit."""

import re
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgba

from circuits.plotting import Line, LinePanel, line_panels, lines_by_gamma
from circuits.plotting.lines import MAX_NAMED
from circuits.plotting.style import COLOURS, GREY
from tests.plotting.reading import draw, labels_are_apart, texts

X = np.logspace(-2, 4, 25)
FALLING = 1 / (1 + X)
RISING = Line("rising", X, np.log1p(X), 0)
GAMMAS = np.linspace(5, 500, 12)


def line_data(ax) -> list[np.ndarray]:
    return [np.asarray(line.get_xydata(), float) for line in ax.get_lines()]


def test_curves_are_those_given():
    band = Line("band", X, FALLING, 2, "printed", span=(FALLING / 2, 2 * FALLING))
    law = Line("1/t", X[10:], 1 / X[10:], kind="reference")
    panels = [
        LinePanel("weights", "w", [RISING, band], limits=(-1, 12)),
        LinePanel("loss", "nats", [Line("L", X, FALLING, 1), law], log_y=True),
        LinePanel("more", "nats", [Line("", X, FALLING)]),
    ]
    figure = line_panels(panels, "time", title="A finding", note="Its method")
    assert (figure.get_suptitle(), figure.get_supxlabel()) == ("A finding", "Its method")
    weights, loss, more = figure.axes  # the spare fourth is removed
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["weights", "loss", "more"]
    assert [ax.get_yscale() for ax in figure.axes] == ["linear", "log", "linear"]
    assert {(ax.get_xscale(), ax.get_xlabel()) for ax in figure.axes} == {("log", "time")}
    assert (weights.get_ylabel(), weights.get_ylim()) == ("w", (-1, 12))
    for ax, panel in zip(figure.axes, panels, strict=True):
        assert ax.get_xlim() == pytest.approx((X[0], X[-1]))
        for data, line in zip(line_data(ax), panel.lines, strict=True):
            np.testing.assert_array_equal(data, np.stack([line.x, line.y], axis=1))
    assert (texts(weights), texts(more)) == (["rising", "band"], [])
    colours = [to_rgba(line.get_color()) for ax in figure.axes for line in ax.get_lines()]
    assert colours == [to_rgba(name) for name in (COLOURS[0], COLOURS[2], COLOURS[1], GREY, GREY)]
    exact, printed, reference = *weights.get_lines(), loss.get_lines()[1]
    assert exact.get_linestyle() == "-"
    assert printed.get_linestyle() == reference.get_linestyle() == "--"  # matplotlib's word for any dashes
    assert reference.get_linewidth() < printed.get_linewidth()
    (shade,) = weights.collections
    heights = np.asarray(shade.get_paths()[0].vertices)[:, 1]
    assert set(heights.round(9)) == set(np.concatenate([FALLING / 2, 2 * FALLING]).round(9))


def test_names_at_ends_do_not_overlap_on_a_linear_axis():
    lines = [Line(f"line {number}\nof two rows", X, np.log1p(X) + 0.01 * number, number) for number in range(4)]
    figure = line_panels([LinePanel("", "", [*lines, Line("short", X[:9], FALLING[:9])])], "time")
    (ax,) = figure.axes
    draw(figure)
    assert len(ax.texts) == 5
    assert labels_are_apart(figure, ax)
    short = next(text for text in ax.texts if text.get_text() == "short")
    end = ax.transAxes.transform(np.asarray(short.xy))  # pyright: ignore[reportAttributeAccessIssue]
    np.testing.assert_allclose(end, ax.transData.transform((X[8], FALLING[8])), rtol=0, atol=0.5)


def test_steps_may_be_linear_and_unknown_values_are_gaps():
    gap = np.where(X > 1, np.nan, FALLING)
    (ax,) = line_panels([LinePanel("", "", [Line("known", X - X[0], gap)])], "steps", log_x=False).axes
    assert ax.get_xscale() == "linear"
    np.testing.assert_array_equal(line_data(ax)[0][:, 1], gap)
    assert len(ax.texts) == 0  # its end is not known


def replaced(**parts: Any) -> list[LinePanel]:
    return [LinePanel("", "", [RISING._replace(**parts)])]


@pytest.mark.parametrize(
    ("panels", "message"),
    [
        ([], "panels: must hold at least one LinePanel"),
        ([LinePanel("", "", [])], "panels[0]: must hold at least one line"),
        (replaced(y=FALLING[1:]), "panels[0] line 'rising' y: must have shape (25,)"),
        (replaced(y=np.where(X > 1, np.inf, 1)), "y: must be finite"),
        (replaced(y=X * np.nan), "y: must hold a number"),
        (replaced(x=X[::-1]), "x: must be at least 2 increasing numbers"),
        (replaced(x=np.maximum(X, X[1])), "x: must be at least 2 increasing numbers"),
        (replaced(x=X * np.nan), "x: must be at least 2 increasing numbers"),
        (replaced(x=X - X[0]), "x: must be positive on a logarithmic axis"),
        (replaced(kind="bold"), "kind: must be one of exact, printed, reference"),
        (replaced(colour=7), "line 'rising' colour: must be an integer between 0 and 6"),
        (replaced(span=(X, X[1:])), "line 'rising' high: must have shape (25,)"),
        ([LinePanel("", "", [Line("L", X, FALLING - 0.5)], log_y=True)], "y: must be positive on a logarithmic axis"),
    ],
)
def test_curves_that_do_not_fit(panels, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        line_panels(panels, "time")


def test_lines_by_gamma_are_named_at_their_ends_without_overlap():
    lines = {"L1a": 11 * np.exp(-GAMMAS), "L2": 8 * np.exp(-GAMMAS), "L1b": GAMMAS - np.log(3)}
    figure = lines_by_gamma(GAMMAS, lines, title="Losses", ylabel="nats", reference=1)
    (ax,) = figure.axes
    assert (ax.get_yscale(), ax.get_xlabel(), ax.get_ylabel(), ax.get_legend()) == ("log", "γ", "nats", None)
    assert texts(ax) == ["L1a", "L2", "L1b", r"$e^{-\gamma}$"]
    for data, values in zip(line_data(ax), (*lines.values(), np.exp(-GAMMAS)), strict=True):
        np.testing.assert_allclose(data, np.stack([GAMMAS, values], axis=1))
    assert [text.get_color() for text in ax.texts] == [line.get_color() for line in ax.get_lines()]
    draw(figure)
    assert labels_are_apart(figure, ax)


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
    np.testing.assert_allclose(line_data(ax)[-1][:, 1], [3 / np.e, np.nan])


@pytest.mark.parametrize(
    ("gammas", "lines", "reference", "message"),
    [
        (GAMMAS, {}, None, "lines: must hold at least one line"),
        (GAMMAS, {"L2": GAMMAS[1:]}, None, "lines['L2']: must have shape (12,)"),
        (GAMMAS, {"L2": GAMMAS - 5}, None, "lines['L2']: must be positive on a logarithmic axis"),
        (GAMMAS, {"L2": GAMMAS * np.nan}, None, "lines['L2']: must be finite"),
        (GAMMAS[::-1], {"L2": GAMMAS}, None, "gammas: must be at least 2 increasing numbers"),
        (GAMMAS[:1], {"L2": GAMMAS[:1]}, None, "gammas: must be at least 2 increasing numbers"),
        (GAMMAS, {"L2": GAMMAS}, 0.0, "reference: must be positive and finite"),
    ],
)
def test_lines_by_gamma_that_do_not_fit(gammas, lines, reference, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        lines_by_gamma(gammas, lines, reference=reference)
