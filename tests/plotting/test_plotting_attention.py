"""Attention grids, query rows, head scores and effects show what they are given, and refuse what does not fit."""

import re
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import PowerNorm, to_rgba
from matplotlib.figure import Figure

from circuits.plotting import attention_grid, effect_heatmap, head_score_heatmap, query_heatmap
from circuits.plotting.style import ROLE_COLOURS
from circuits.probes.attention.maps import AttentionMaps
from tests.plotting.reading import bands, draw, image, outlines, random_maps, softmax, texts, ticks

ROLES = ("path", "path", "distractor", "distractor", "goal", "start")
TOKENS = ("3", " a", "$x$", "4", "4", "3")
T, L, H = len(TOKENS), 3, 2
NAMES = ["3", "␣a", r"\$x\$", "4", "4", "3"]
BANDS = [
    (ROLE_COLOURS[role], start, end)
    for role, start, end in (("path", 0, 1), ("distractor", 2, 3), ("goal", 4, 4), ("start", 5, 5))
]
MAPS = random_maps(L, H, TOKENS, ROLES, query=4)


def record(**changes: Any) -> AttentionMaps:
    return MAPS._replace(**changes)


# ------------------------------------------------------------------------------------------- patterns


@pytest.mark.parametrize(("head", "select"), [("mean", lambda p: p.mean(1)), (1, lambda p: p[:, 1])])
def test_a_panel_for_each_layer(head, select):
    figure = attention_grid(record(positions=np.arange(T) + 9), head=head, columns=2)
    *panels, bar = figure.axes
    assert [ax.get_title() for ax in panels] == ["Layer 0", "Layer 1", "Layer 2"]
    assert [ax.get_ylabel() for ax in panels] == ["query position", "", "query position"]
    assert [ax.get_xlabel() for ax in panels] == ["", "key position", "key position"]
    assert figure.texts[0].get_text() == ""  # all above the diagonal is the future
    for ax, expected in zip(panels, select(MAPS.patterns), strict=True):
        np.testing.assert_allclose(image(ax).filled(0), expected)
        np.testing.assert_array_equal(np.ma.getmaskarray(image(ax)), np.triu(np.ones((T, T), bool), 1))
        for axis in (ax.xaxis, ax.yaxis):
            assert ticks(axis) == NAMES
            assert ticks(axis, minor=True) == [str(position) for position in range(9, 9 + T)]
        (outline,) = outlines(ax)
        assert (outline.get_xy(), outline.get_width(), outline.get_height()) == ((-0.5, 3.5), T, 1)
        assert bands(ax) == BANDS
    assert bar.get_ylim() == (0, 1)
    assert figure.get_suptitle() == f"A star, {'mean of 2 attention heads' if head == 'mean' else 'head 1'}"
    (legend,) = figure.legends
    shown = [(text.get_text(), patch.get_facecolor()) for text, patch in zip(*legend_parts(legend), strict=True)]
    assert shown == [(role, to_rgba(ROLE_COLOURS[role])) for role in dict.fromkeys(ROLES)]


def legend_parts(legend: Any) -> tuple[Any, Any]:
    return legend.get_texts(), legend.get_patches()


def test_layers_down_and_heads_across():
    figure = attention_grid(MAPS, head="all", title="all of them")
    draw(figure)
    *panels, _ = figure.axes
    assert [ax.get_title() for ax in panels] == [f"L{layer}H{head}" for layer in range(L) for head in range(H)]
    for ax, expected in zip(panels, MAPS.patterns.reshape(-1, T, T), strict=True):
        np.testing.assert_array_equal(image(ax).filled(0), expected)
    corners = [ax.get_position() for ax in panels]
    assert corners[0].x0 < corners[1].x0
    assert corners[0].y0 == pytest.approx(corners[1].y0)
    assert corners[0].y0 > corners[2].y0


def test_what_is_above_the_diagonal_is_shown_where_there_is_anything():
    maps = record(patterns=softmax(L, 1, T, causal=False), errors=None, heads=("mean of 8",), roles=("",) * T)
    figure = attention_grid(maps, scale="root")
    ax = figure.axes[0]
    note = figure.texts[0]
    draw(figure)
    assert "cells above the diagonal are not the future" in note.get_text().replace("\n", " ")
    assert all(figure.bbox.contains(*corner) for corner in note.get_window_extent().corners())
    assert note.get_window_extent().y1 < ax.xaxis.label.get_window_extent().y0
    assert query_heatmap(maps).axes[0].get_xlabel() == "key position, sorted by part of the graph"
    assert not np.ma.getmaskarray(image(ax)).any()
    assert isinstance(ax.images[0].norm, PowerNorm)
    assert ax.images[0].norm(0.25) == pytest.approx(0.5)
    assert (bands(ax), figure.legends) == ([], [])
    assert figure.get_suptitle() == "A star, mean of 8"


LONG = random_maps(2, 1, ("x",) * 50, ("goal",) * 50, query=3)


@pytest.mark.parametrize(("maps", "head"), [(MAPS, "mean"), (MAPS, "all"), (LONG, "mean")])
def test_titles_bands_and_numbers_of_panels_are_apart(maps, head):
    figure: Figure = attention_grid(maps, head=head)
    draw(figure)
    ax = figure.axes[0]
    lines = [line for line in ax.get_lines() if line.get_linewidth() == 4 and np.all(np.equal(line.get_ydata(), 1))]
    height = max(line.get_window_extent().y1 for line in lines)
    assert ax.title.get_window_extent().y0 > height
    numbers = [label for minor in (False, True) for label in ax.get_xticklabels(minor=minor) if label.get_text()]
    assert all(label.get_window_extent().y1 < height for label in numbers)


# ------------------------------------------------------------------------------------------- one query


def test_the_row_of_a_query_in_every_layer():
    figure = query_heatmap(MAPS, head=1, scale="root")
    ax = figure.axes[0]
    np.testing.assert_array_equal(image(ax).filled(0), MAPS.patterns[:, 1, 4])
    assert np.ma.getmaskarray(image(ax)).tolist() == [[False] * 5 + [True]] * L
    assert (ticks(ax.yaxis), ticks(ax.xaxis)) == (["0", "1", "2"], NAMES)
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("layer", "key position")
    assert bands(ax) == BANDS
    assert "attention of query 4 “4”" in figure.get_suptitle()
    written = {text.get_position(): text.get_text() for text in ax.texts}
    first = MAPS.patterns[0, 1, 4, 1]
    assert written[(1, 0)] == f"{first:.2f}".removeprefix("0")
    assert written[(1, 0.1)] == f"±{0.1 * first:.2f}".replace("0.", ".")


def test_the_mean_over_heads_has_no_known_error():
    ax = query_heatmap(MAPS, query=2).axes[0]
    np.testing.assert_allclose(image(ax).filled(0), MAPS.patterns.mean(1)[:, 2])
    assert not any("±" in text for text in texts(ax))
    single = record(patterns=MAPS.patterns[:, :1], errors=softmax(L, 1, T), heads=("mean of 3",))
    assert any("±" in text for text in texts(query_heatmap(single).axes[0]))


def test_eight_layers_of_eighteen_positions_fit_on_a_slide():
    width, height = query_heatmap(random_maps(8, 1, ("12",) * 18, ("path",) * 18, query=17)).get_size_inches()
    assert width < 13.33
    assert height < 7.5


# ----------------------------------------------------------------------------------- scores and effects


def test_scores_of_heads():
    scores = np.array([[0.1, 0.5, 0.0], [0.9, 0.2, 0.3]])
    figure = head_score_heatmap(scores, "cost in $", label="share", significant=scores > 0.4)
    ax, bar = figure.axes
    np.testing.assert_array_equal(image(ax), scores)
    assert (ticks(ax.yaxis), ticks(ax.xaxis)) == (["0", "1"], ["0", "1", "2"])
    assert (ax.get_ylabel(), ax.get_xlabel(), bar.get_ylabel()) == ("layer", "head", "share")
    assert ax.images[0].get_clim() == (0, 0.9)
    dots = np.asarray(ax.collections[0].get_offsets())
    assert np.rint(dots).astype(int).tolist() == [[1, 0], [0, 1]]
    assert figure.get_suptitle() == r"cost in \$"


def test_negative_scores_diverge_and_limits_are_taken():
    ax = head_score_heatmap(np.array([[-0.5, 2.0]]), "").axes[0]
    assert ax.images[0].get_clim() == (-2, 2)
    assert ax.images[0].get_cmap().name == "RdBu_r"
    assert len(ax.collections) == 0
    assert head_score_heatmap(np.ones((1, 1)), "", limits=(0.0, 4.0)).axes[0].images[0].get_clim() == (0, 4)


def test_effects_by_layer_and_position():
    values = np.random.default_rng(0).normal(size=(3, T))
    ax, bar = effect_heatmap(values, range(3), TOKENS, title="patched", roles=ROLES, label="restored").axes
    np.testing.assert_array_equal(image(ax), values)
    largest = np.abs(values).max()
    assert ax.images[0].get_clim() == (-largest, largest)
    assert (ticks(ax.yaxis), ticks(ax.xaxis)) == (["0", "1", "2"], NAMES)
    assert [number for number in ticks(ax.xaxis, minor=True) if number] == [str(position) for position in range(T)]
    assert (ax.get_ylabel(), ax.get_xlabel(), bar.get_ylabel()) == ("layer", "position", "restored")
    assert bands(ax) == BANDS
    assert f"{values[1, 2]:.2f}" in texts(ax)
    # Without roles, columns are not positions: they have no numbers.
    plain = effect_heatmap(100 * np.abs(values), "abc", TOKENS, diverging=False).axes[0]
    assert plain.images[0].get_clim() == (0, 100 * largest)
    assert (bands(plain), [number for number in ticks(plain.xaxis, minor=True) if number]) == ([], [])
    assert f"{100 * abs(values[1, 2]):.3g}" in texts(plain)


def test_long_sequences_get_some_numbers_only():
    ax = effect_heatmap(np.ones((2, 60)), "ab", range(60), roles=["goal"] * 60, diverging=False).axes[0]
    assert ticks(ax.xaxis) == [str(position) for position in range(0, 60, 5)]
    assert not ax.texts
    assert bands(ax) == [(ROLE_COLOURS["goal"], 0, 59)]


# --------------------------------------------------------------------------------------------- invalid

INVALID = [
    (lambda: attention_grid(record(tokens=TOKENS[1:])), "tokens: must hold 6 texts"),
    (lambda: attention_grid(record(patterns=2 * MAPS.patterns)), "patterns: must lie between 0 and 1"),
    (lambda: attention_grid(MAPS, head="some"), "head: must be one of mean, all"),
    (lambda: attention_grid(MAPS, head=2), "head: must be an integer between 0 and 1"),
    (lambda: attention_grid(MAPS, scale="log"), "scale: must be one of linear, root"),
    (lambda: attention_grid(MAPS, columns=0), "columns: must be an integer at least 1"),
    (lambda: attention_grid(record(positions=np.arange(3))), "positions: must have shape (6,)"),
    (lambda: query_heatmap(MAPS, query=6), "query: must be an integer between 0 and 5"),
    (lambda: query_heatmap(MAPS, head="all"), "head: must be one of mean"),
    (lambda: query_heatmap(record(query=7)), "query: must be an integer between 0 and 5"),
    (lambda: head_score_heatmap(np.full((2, 2), np.nan), ""), "scores: must be finite"),
    (lambda: head_score_heatmap(np.ones((2, 2)), "", limits=(1.0, 1.0)), "limits: must increase"),
    (
        lambda: head_score_heatmap(np.ones((2, 2)), "", significant=np.ones((2, 1), bool)),
        "significant: must have shape (2, 2)",
    ),
    (lambda: effect_heatmap(np.ones((2, 3)), "ab", "ab"), "column_labels: must hold 3 labels"),
    (lambda: effect_heatmap(np.ones((2, 3)), "a", "abc"), "row_labels: must hold 2 labels"),
    (lambda: effect_heatmap(np.ones((2, 2)), "ab", "ab", roles=["goal"]), "roles: must hold 2 labels"),
]


@pytest.mark.parametrize(("call", "message"), INVALID, ids=[message for _, message in INVALID])
def test_what_does_not_fit(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()
