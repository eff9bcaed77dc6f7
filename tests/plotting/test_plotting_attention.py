"""Figures of attention records, scores and sweeps hold what they were given, name it, and refuse what does not fit."""

import re
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from circuits.plotting.attention import attention_grid
from circuits.plotting.attention import query_heatmap
from circuits.plotting.effects import effect_heatmap
from circuits.plotting.effects import head_score_heatmap
from circuits.plotting.style import ROLE_COLOURS
from circuits.probes.attention.maps import AttentionMaps

ROLES = ("path", "path", "distractor", "distractor", "goal", "start")
TOKENS = ("3", " a", "$x$", "4", "4", "3")
T, L, H = len(TOKENS), 5, 3
SHOWN = ["3", "␣a", r"\$x\$", "4", "4", "3"]


def softmax(layers: int, heads: int, length: int, causal: bool = True) -> np.ndarray:
    weights = np.random.default_rng(length).random((layers, heads, length, length))
    weights = np.tril(weights) if causal else weights
    return weights / weights.sum(-1, keepdims=True)


def record(**changes: Any) -> AttentionMaps:
    maps = AttentionMaps(softmax(L, H, T), TOKENS, ROLES, 4, ("1", "2", "3"), "A star", {})
    return maps._replace(**changes)


def matrix(ax: Axes) -> np.ma.MaskedArray:
    return np.ma.asarray(ax.images[0].get_array())


def labels(axis: Any, minor: bool = False) -> list[str]:
    return [label.get_text() for label in axis.get_ticklabels(minor=minor)]


def band_colours(ax: Axes) -> list[tuple[Any, ...]]:
    """(colour, first and last place) of each band over the columns."""
    lines = [line for line in ax.get_lines() if line.get_linewidth() == 4 and np.all(np.equal(line.get_ydata(), 1))]
    return [(line.get_color(), *np.round(np.asarray(line.get_xdata(), float)).astype(int)) for line in lines]


BANDS = [
    (ROLE_COLOURS[role], start, end)
    for role, start, end in (("path", 0, 1), ("distractor", 2, 3), ("goal", 4, 4), ("start", 5, 5))
]


def drawn(figure: Figure) -> Figure:
    FigureCanvasAgg(figure).draw()
    return figure


# ------------------------------------------------------------------------------------------- patterns


@pytest.mark.parametrize(("head", "of"), [("mean", lambda p: p.mean(1)), (1, lambda p: p[:, 1])])
def test_a_panel_for_each_layer(head, of):
    maps = record(positions=np.arange(T) + 9)
    figure = drawn(attention_grid(maps, head=head, columns=3))
    *panels, bar = figure.axes
    assert [ax.get_title() for ax in panels] == [f"Layer {layer}" for layer in range(1, L + 1)]
    for ax, expected in zip(panels, of(maps.patterns), strict=True):
        np.testing.assert_allclose(matrix(ax).filled(0), expected)
        np.testing.assert_array_equal(np.ma.getmaskarray(matrix(ax)), np.triu(np.ones((T, T), bool), 1))
        for axis in (ax.xaxis, ax.yaxis):
            assert labels(axis) == SHOWN
            assert labels(axis, minor=True) == [str(place) for place in range(10, 10 + T)]
        (outline,) = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
        assert (outline.get_xy(), outline.get_width(), outline.get_height()) == ((-0.5, 3.5), T, 1)
        assert band_colours(ax) == BANDS
    assert bar.get_ylim() == (0, 1)
    assert figure.get_suptitle() == f"A star, {'mean of 3 heads' if head == 'mean' else 'head 2'}"
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["path", "distractor", "goal", "start"]
    assert [patch.get_facecolor() for patch in legend.get_patches()] == [
        to_rgba(ROLE_COLOURS[role]) for role in ("path", "distractor", "goal", "start")
    ]


def test_layers_down_and_heads_across():
    maps = record()
    *panels, _ = drawn(attention_grid(maps, head="all", title="all of them")).axes
    assert [ax.get_title() for ax in panels] == [f"L{layer} H{head}" for layer in range(1, L + 1) for head in (1, 2, 3)]
    for ax, expected in zip(panels, maps.patterns.reshape(-1, T, T), strict=True):
        np.testing.assert_allclose(matrix(ax).filled(0), expected)
    corners = [ax.get_position() for ax in panels]
    assert corners[0].x0 < corners[1].x0 < corners[2].x0
    assert corners[0].y0 == pytest.approx(corners[1].y0)
    assert corners[0].y0 > corners[3].y0


def test_what_is_above_the_diagonal_is_shown_where_there_is_anything():
    maps = record(patterns=softmax(L, 1, T, causal=False), heads=("mean of 8",), roles=("",) * T)
    figure = drawn(attention_grid(maps, scale="root"))
    assert not np.ma.getmaskarray(matrix(figure.axes[0])).any()
    assert isinstance(figure.axes[0].images[0].norm, PowerNorm)
    assert figure.axes[0].images[0].norm(0.25) == pytest.approx(0.5)
    assert band_colours(figure.axes[0]) == []
    assert figure.legends == []
    assert figure.get_suptitle() == "A star, mean of 8"


def test_titles_and_bands_of_panels_do_not_meet():
    """Of short and of long sequences, laid out: the words above the bands, and the bands above the numbers."""
    length = 50
    long = AttentionMaps(softmax(2, 1, length), ("x",) * length, ("goal",) * length, 3, ("1",), "long", {})
    short = record(patterns=softmax(2, H, T))
    for maps, head in ((short, "mean"), (short, "all"), (long, "mean")):
        figure = drawn(attention_grid(maps, head=head))
        ax = figure.axes[0]
        renderer = FigureCanvasAgg(figure).get_renderer()
        bands = [line for line in ax.get_lines() if line.get_linewidth() == 4 and np.all(np.equal(line.get_ydata(), 1))]
        height = max(line.get_window_extent(renderer).y1 for line in bands)
        assert ax.title.get_window_extent(renderer).y0 > height
        numbers = [label for minor in (False, True) for label in ax.get_xticklabels(minor=minor) if label.get_text()]
        assert all(label.get_window_extent(renderer).y1 < height for label in numbers)


# ------------------------------------------------------------------------------------------- one query


def test_the_row_of_a_query_in_every_layer():
    maps = record(errors=0.1 * softmax(L, H, T))
    figure = drawn(query_heatmap(maps, head=2, scale="root"))
    ax = figure.axes[0]
    np.testing.assert_allclose(matrix(ax).filled(0), maps.patterns[:, 2, 4])
    assert np.ma.getmaskarray(matrix(ax)).tolist() == [[False] * 5 + [True]] * L
    assert labels(ax.yaxis) == ["1", "2", "3", "4", "5"]
    assert labels(ax.xaxis) == SHOWN
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("layer, from 1", "key: what is read")
    assert band_colours(ax) == BANDS
    assert "read by query 5 “4”" in figure.get_suptitle()
    written = {(text.get_position()): text.get_text() for text in ax.texts}
    first = maps.patterns[0, 2, 4, 1]
    assert written[(1, 0)] == f"{first:.2f}".removeprefix("0")
    assert written[(1, 0.1)] == f"±{0.1 * first:.2f}".replace("0.", ".")


def test_the_mean_over_heads_has_no_known_error():
    maps = record(errors=0.1 * softmax(L, H, T))
    ax = drawn(query_heatmap(maps, query=2)).axes[0]
    np.testing.assert_allclose(matrix(ax).filled(0), maps.patterns.mean(1)[:, 2])
    assert not any("±" in text.get_text() for text in ax.texts)
    single = maps._replace(patterns=maps.patterns[:, :1], errors=softmax(L, 1, T), heads=("mean of 3",))
    assert any("±" in text.get_text() for text in drawn(query_heatmap(single)).axes[0].texts)


def test_eight_layers_of_eighteen_positions_fit_on_a_slide():
    maps = AttentionMaps(softmax(8, 1, 18), ("12",) * 18, ("path",) * 18, 17, ("1",), "wide", {})
    width, height = query_heatmap(maps).get_size_inches()
    assert width < 13.33
    assert height < 7.5


# ------------------------------------------------------------------------------------ scores and sweeps


def test_scores_of_heads():
    scores = np.array([[0.1, 0.5, 0.0], [0.9, 0.2, 0.3]])
    figure = drawn(head_score_heatmap(scores, "cost in $", label="share", significant=scores > 0.4))
    ax, bar = figure.axes
    np.testing.assert_array_equal(matrix(ax), scores)
    assert (labels(ax.yaxis), labels(ax.xaxis)) == (["1", "2"], ["1", "2", "3"])
    assert (ax.get_ylabel(), ax.get_xlabel(), bar.get_ylabel()) == ("layer, from 1", "head, from 1", "share")
    assert ax.images[0].get_clim() == (0, 0.9)
    dots = np.asarray(ax.collections[0].get_offsets())
    assert np.rint(dots).astype(int).tolist() == [[1, 0], [0, 1]]
    assert figure.get_suptitle() == r"cost in \$"


def test_scores_below_zero_diverge_and_limits_are_taken():
    ax = head_score_heatmap(np.array([[-0.5, 2.0]]), "signed").axes[0]
    assert ax.images[0].get_clim() == (-2, 2)
    assert ax.images[0].get_cmap().name == "RdBu_r"
    assert len(ax.collections) == 0
    assert head_score_heatmap(np.ones((1, 1)), "", limits=(0.0, 4.0)).axes[0].images[0].get_clim() == (0, 4)


def test_effects_by_layer_and_position():
    values = np.random.default_rng(0).normal(size=(3, T))
    figure = drawn(effect_heatmap(values, range(1, 4), TOKENS, title="patched", roles=ROLES, label="restored"))
    ax, bar = figure.axes
    np.testing.assert_array_equal(matrix(ax), values)
    largest = np.abs(values).max()
    assert ax.images[0].get_clim() == (-largest, largest)
    assert (labels(ax.yaxis), labels(ax.xaxis)) == (["1", "2", "3"], SHOWN)
    assert (ax.get_ylabel(), ax.get_xlabel(), bar.get_ylabel()) == ("layer", "position", "restored")
    assert band_colours(ax) == BANDS
    assert f"{values[1, 2]:.2f}" in [text.get_text() for text in ax.texts]
    shares = effect_heatmap(np.abs(values), "abc", TOKENS, diverging=False).axes[0]
    assert shares.images[0].get_clim() == (0, largest)
    assert band_colours(shares) == []


def test_long_sequences_get_some_numbers_only():
    length = 60
    figure = drawn(effect_heatmap(np.ones((2, length)), "ab", range(length), roles=["goal"] * length, diverging=False))
    ax = figure.axes[0]
    assert labels(ax.xaxis) == [str(place) for place in range(1, length + 1, 5)]
    assert not ax.texts
    assert band_colours(ax) == [(ROLE_COLOURS["goal"], 0, length - 1)]


# ---------------------------------------------------------------------------------------------- refusals

REFUSED = [
    (lambda: attention_grid(record(tokens=TOKENS[1:])), "tokens: must hold 6 texts, got 5"),
    (lambda: attention_grid(record(patterns=2 * softmax(L, H, T))), "patterns: must lie between 0 and 1, got"),
    (lambda: attention_grid(record(), head="some"), "head: must be one of mean, all, got 'some'"),
    (lambda: attention_grid(record(), head=3), "head: must be an integer between 0 and 2, got 3"),
    (lambda: attention_grid(record(), scale="log"), "scale: must be one of linear, root, got 'log'"),
    (lambda: attention_grid(record(), columns=0), "columns: must be an integer at least 1, got 0"),
    (lambda: attention_grid(record(positions=np.arange(3))), "positions: must have shape (6,), got (3,)"),
    (lambda: query_heatmap(record(), query=6), "query: must be an integer between 0 and 5, got 6"),
    (lambda: query_heatmap(record(), head="all"), "head: must be one of mean, got 'all'"),
    (lambda: query_heatmap(record(query=7)), "query: must be an integer between 0 and 5, got 7"),
    (lambda: head_score_heatmap(np.full((2, 2), np.nan), ""), "scores: must be finite, got nan at (0, 0)"),
    (lambda: head_score_heatmap(np.ones((2, 2)), "", limits=(1.0, 1.0)), "limits: must rise, got (1.0, 1.0)"),
    (
        lambda: head_score_heatmap(np.ones((2, 2)), "", significant=np.ones((2, 3), bool)[:, :1]),
        "significant: must have shape (2, 2), got (2, 1)",
    ),
    (lambda: effect_heatmap(np.ones((2, 3)), "ab", "ab"), "column_labels: must hold 3 labels, got 2"),
    (lambda: effect_heatmap(np.ones((2, 3)), "a", "abc"), "row_labels: must hold 2 labels, got 1"),
    (lambda: effect_heatmap(np.ones((2, 2)), "ab", "ab", roles=["goal"]), "roles: must hold 2 labels, got 1"),
]


@pytest.mark.parametrize(("call", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


def test_columns_are_numbered_where_they_are_positions():
    values, names = np.eye(3), ["a", "b", "c"]
    for roles, numbers in ((None, []), (["path"] * 3, ["1", "2", "3"])):
        ax = effect_heatmap(values, names, names, roles=roles).axes[0]
        assert [text for text in labels(ax.xaxis, minor=True) if text] == numbers
        assert labels(ax.xaxis) == names
