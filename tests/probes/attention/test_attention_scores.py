"""Scores of attention, against loops over positions, and on circuits that were planted."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from circuits.probes.attention.scores import READS_CONTENT, CircuitScores, attention_scores
from circuits.probes.layout import problem_layout, query_position
from circuits.probes.patterns import attention_patterns
from circuits.tasks import BinaryTree, StarGraph, TokenFormat
from tests.cases import assert_close
from tests.probes.naive_layout import Naive, naive_layout, naive_scores, random_pattern
from tests.probes.planted import PAIRS, QUERY, SEEN, STAR, backward_walk, corollary_patterns, rows, walker

CASES = [
    (TokenFormat(StarGraph(2, 4, 9), "pairs", "goal-start"), None),
    (TokenFormat(StarGraph(2, 3, 8), "pairs", "start-goal"), None),
    (TokenFormat(StarGraph(2, 4, 8), "pairs", "start-goal"), 2),
    (TokenFormat(StarGraph(3, 3, 9), "text", "start-goal"), None),
    (TokenFormat(StarGraph(3, 4, 12), "text", "goal-start"), 3),
    (TokenFormat(BinaryTree(3, 9), "pairs", "goal-start"), 1),
    (TokenFormat(BinaryTree(3, 8), "text", "goal-start"), None),
    (TokenFormat(BinaryTree(4, 15), "text", "start-goal"), 0),
]
EVEN = (1, 2)
"""The layer and head that attend evenly, in tests of random patterns."""


@functools.partial(jax.jit, static_argnums=(0, 1))
def scored(format: TokenFormat, query: int, ids: jax.Array, patterns: jax.Array) -> CircuitScores:
    """Of a batch of problems, each with its patterns."""
    return jax.vmap(lambda row, pattern: attention_scores(pattern, problem_layout(format, row, query)))(ids, patterns)


@pytest.mark.parametrize(("format", "answer"), CASES)
def test_scores_are_what_is_said_of_them(format, answer):
    query, count = query_position(format, answer), 8
    ids, rng = rows(format, count), np.random.default_rng(1)
    patterns = random_pattern(rng, count, 2, 3, query + 1)
    evenly = np.tril(np.ones((query + 1, query + 1))) / np.arange(1, query + 2)[:, None]
    patterns[:, *EVEN] = evenly
    found = scored(format, query, ids, jnp.asarray(patterns))
    for i, row in enumerate(ids.tolist()):
        at = naive_layout(format, row, query)
        for layer, head in np.ndindex(2, 3):
            ours = {name: np.asarray(values)[i, layer, head] for name, values in found._asdict().items()}
            truth = naive_scores(patterns[i, layer, head], at)
            assert_same(ours, truth if (layer, head) != EVEN else analytic(format, at), 1e-13)
            assert all(np.all((values >= 0) & (values <= 1 + 1e-12) | np.isnan(values)) for values in ours.values())


def assert_same(ours: dict, truth: dict, atol: float) -> None:
    assert set(ours) == set(truth)
    for name, values in ours.items():
        wanted = np.asarray(truth[name])
        assert np.array_equal(np.isnan(values), np.isnan(wanted)), name
        assert_close({name: np.nan_to_num(values)}, {name: np.nan_to_num(wanted)}, atol=atol)


def analytic(format: TokenFormat, at: Naive) -> dict[str, Any]:
    """Of even attention, where position t gives 1 / (t + 1) to each it sees."""
    places, hops = at.query + 1, len(at.path) - 1
    starts = sum(u == at.path[0] for u, _ in at.edges) + 1  # and once in the query
    starts += format.style == "text" and at.query >= format.prompt_length  # and first in the answer
    is_node = np.asarray(at.roles) != "symbol"
    ids = np.asarray(at.tokens)
    earlier = np.asarray([np.sum((ids[:t] == ids[t]) & is_node[:t]) for t in range(places)]) * is_node
    link = []
    for tail, node in zip(at.tails, at.path[1:], strict=True):
        readers = [t for t in range(tail + 2, at.query) if ids[t] == node and is_node[t]]
        link.append(np.mean([2 / (t + 1) for t in readers]) if readers else np.nan)
    both = np.full(hops, 2 / places)
    return {
        "goal": 2 / places,
        "start": starts / places,
        "goal_in_query": 1 / places,
        "start_in_query": 1 / places,
        "predecessor": np.mean([1 / (t + 2) for t in at.listed]),
        "content_match": np.sum(earlier / np.arange(1, places + 1)) / np.sum(earlier > 0),
        "trace": both,
        "astray": both,
        "link": np.asarray(link)[::-1],
    }


@pytest.mark.parametrize(("format", "answer"), [CASES[0], CASES[6]])
def test_masses_of_everything_that_is_there_add_up_to_one(format, answer):
    """Trace is the edges of the path, astray is a mean over the others: with the rest of the row, that is all of it."""
    query, count = query_position(format, answer), 6
    ids = rows(format, count, seed=2)
    patterns = random_pattern(np.random.default_rng(2), count, 1, 1, query + 1)
    found = scored(format, query, ids, jnp.asarray(patterns))
    step, nodes = 3 if format.style == "text" else 2, format.family.nodes
    for i in range(count):
        row = patterns[i, 0, 0, query]
        if isinstance(format.family, StarGraph):
            others = np.full(nodes - 1, format.family.paths - 1)
        else:
            others = 2 ** np.arange(nodes - 1, 0, -1) - 1  # at each level but one, from the leaves to the root
        on, off = np.asarray(found.trace)[i, 0, 0].sum(), (np.asarray(found.astray)[i, 0, 0] * others).sum()
        edges = step * format.family.edge_count
        rest = row[edges:].sum() + (row[2:edges:3].sum() if step == 3 else 0)
        assert on + off + rest == pytest.approx(1, abs=1e-12)


def test_corollary_1_scores_as_the_circuit():
    ids = jnp.asarray(rows(PAIRS, 20))
    patterns = jax.jit(jax.vmap(lambda row: corollary_patterns(row, 60.0)))(ids)
    found = scored(PAIRS, query_position(PAIRS), ids, patterns)
    first, second = (
        jax.tree.map(lambda values, layer=layer: np.asarray(values)[:, layer, 0], found) for layer in (0, 1)
    )
    assert np.all(first.predecessor >= 0.99)
    assert np.all(first.goal_in_query >= 0.99)
    assert np.all(second.goal >= 0.99)
    assert np.all(second.trace[:, 0] >= 0.99)
    for elsewhere in (first.start, first.trace, first.astray, second.trace[:, 1], second.astray):
        assert np.all(elsewhere <= 0.01)
    assert np.all(second.goal_in_query <= 0.01)


@pytest.fixture(scope="module")
def walked() -> tuple[np.ndarray, np.ndarray, CircuitScores]:
    """Problems, and patterns and scores of the planted transformer on them."""
    ids, model = rows(STAR, 24), walker()
    patterns = jax.jit(jax.vmap(lambda row: attention_patterns(model, row)))(ids[:, : QUERY + 1])
    return ids, np.asarray(patterns), scored(STAR, QUERY, ids, patterns)


def test_planted_heads_score_one(walked):
    _, _, found = walked
    for name, places in SEEN.items():
        for place in places:
            values = np.asarray(getattr(found, name))[:, *place]
            shared = name == "astray" and place[:2] != (4, 0)  # between two first edges
            assert np.nanmin(values) >= (0.49 if shared else 0.99), (name, place)


def test_heads_without_weights_score_as_even_attention(walked):
    ids, _, found = walked
    for i, row in enumerate(ids.tolist()):
        truth = analytic(STAR, naive_layout(STAR, row, QUERY))
        for layer, head in np.ndindex(5, 2):
            if (layer, head) not in backward_walk():
                ours = {name: np.asarray(values)[i, layer, head] for name, values in found._asdict().items()}
                assert_same(ours, truth, 1e-6)


def test_a_head_that_follows_every_first_edge_is_in_trace_and_astray_alike(walked):
    _, _, found = walked
    follower, other = (np.asarray(found.trace)[:, *place] for place in ((3, 1), (4, 0)))
    assert_close(follower[:, 2], np.full(24, 0.5, np.float32), atol=1e-3)
    assert_close(np.asarray(found.astray)[:, 3, 1, 2], np.full(24, 0.5, np.float32), atol=1e-3)
    assert_close(other, np.zeros((24, 3), np.float32), atol=1e-3)
    assert np.all(np.asarray(found.astray)[:, 4, 0, 2] >= 0.99)


def test_another_problem_takes_the_trace_away(walked):
    ids, patterns, found = walked
    shuffled = scored(STAR, QUERY, np.roll(ids, 1, axis=0), jnp.asarray(patterns))
    assert np.mean(np.asarray(found.trace)[:, 2, 0, 0]) >= 0.99
    assert np.mean(np.asarray(shuffled.trace)[:, 2, 0, 0]) <= 0.5
    # What reads no labels stays as it is.
    for name in set(CircuitScores._fields) - set(READS_CONTENT) - {"goal", "start"}:
        assert_close(getattr(shuffled, name), getattr(found, name), atol=1e-6)


def test_patterns_have_to_be_over_the_positions_of_the_layout():
    ids = jnp.asarray(rows(PAIRS, 1)[0])
    at = jax.jit(lambda row: problem_layout(PAIRS, row, 10))(ids)
    with pytest.raises(ValueError, match=r"^patterns: must be \[L, H, 11, 11\], got \(1, 1, 10, 10\)$"):
        attention_scores(jnp.zeros((1, 1, 10, 10)), at)
