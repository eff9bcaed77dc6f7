"""Scores of attention, against loops over positions, and on circuits that were planted."""

from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from circuits.probes.attention.scores import READS_LABELS, CircuitScores, attention_scores
from circuits.probes.layout import problem_layout, query_position
from circuits.probes.patterns import attention_patterns
from circuits.tasks import BinaryTree, StarGraph, TokenFormat
from tests.cases import assert_close
from tests.probes.naive_layout import Naive, naive_layout, naive_scores, random_pattern
from tests.probes.planted import PAIRS, PLANTED, QUERY, STAR, backward_walk, corollary_patterns, rows, walker

CASES = [
    (TokenFormat(StarGraph(2, 4, 9), "pairs", "goal-start"), None),
    (TokenFormat(StarGraph(2, 4, 8), "pairs", "start-goal"), 2),
    (TokenFormat(StarGraph(3, 3, 9), "text", "start-goal"), None),
    (TokenFormat(StarGraph(3, 4, 12), "text", "goal-start"), 3),
    (TokenFormat(BinaryTree(3, 9), "pairs", "goal-start"), 1),
    (TokenFormat(BinaryTree(4, 15), "text", "start-goal"), 0),
]
EVEN = (1, 2)
"""The layer and head that attend evenly, in tests of random patterns."""


@partial(jax.jit, static_argnums=(0, 1))
def scored(format: TokenFormat, query: int, ids: jax.Array, patterns: jax.Array) -> CircuitScores:
    """The scores of a batch of problems, each with its patterns."""
    return jax.vmap(lambda row, one: attention_scores(one, problem_layout(row, format, query)))(ids, patterns)


@pytest.mark.parametrize(("format", "token"), CASES)
def test_scores_are_what_their_definition_says(format, token):
    query, count = query_position(format, token), 8
    ids, rng = rows(format, count), np.random.default_rng(1)
    patterns = random_pattern(rng, count, 2, 3, query + 1)
    patterns[:, *EVEN] = np.tril(np.ones((query + 1, query + 1))) / np.arange(1, query + 2)[:, None]
    found = jax.tree.map(np.asarray, scored(format, query, ids, jnp.asarray(patterns)))
    for i, row in enumerate(ids.tolist()):
        at = naive_layout(format, row, query)
        for layer, head in np.ndindex(2, 3):
            ours = {name: values[i, layer, head] for name, values in found._asdict().items()}
            truth = naive_scores(patterns[i, layer, head], at)
            assert_same(ours, truth if (layer, head) != EVEN else even_scores(format, at), 1e-13)
            assert all(np.all((values >= 0) & (values <= 1 + 1e-12) | np.isnan(values)) for values in ours.values())
    assert_sums_to_one(format, found, patterns)


def assert_sums_to_one(format: TokenFormat, found: CircuitScores, patterns: np.ndarray) -> None:
    """Attention to the path's edges, to those off it (a mean) and to the rest is all of the query position's row."""
    nodes, width = format.family.nodes, 3 if format.style == "text" else 2
    if isinstance(format.family, StarGraph):
        others = np.full(nodes - 1, format.family.paths - 1)
    else:
        others = 2 ** np.arange(nodes - 1, 0, -1) - 1  # at each depth, from the leaves to the root
    edges = width * format.family.edge_count
    row = patterns[:, :, :, -1]
    rest = row[..., edges:].sum(axis=-1) + (row[..., 2:edges:3].sum(axis=-1) if width == 3 else 0)
    off = (found.distractor_attention * others).sum(axis=-1)
    assert_close(found.backward_trace.sum(axis=-1) + off + rest, np.ones(rest.shape), atol=1e-12)


def assert_same(ours: dict, truth: dict, atol: float) -> None:
    assert set(ours) == set(truth)
    for name, values in ours.items():
        wanted = np.asarray(truth[name])
        assert np.array_equal(np.isnan(values), np.isnan(wanted)), name
        assert_close({name: np.nan_to_num(values)}, {name: np.nan_to_num(wanted)}, atol=atol)


def even_scores(format: TokenFormat, at: Naive) -> dict[str, Any]:
    """The scores of even attention, where position t gives 1 / (t + 1) to each position up to t."""
    count, hops = at.query + 1, len(at.path) - 1
    starts = sum(u == at.path[0] for u, _ in at.edges) + 1  # and once in the query
    starts += format.style == "text" and at.query >= format.prompt_length  # and first in the answer
    is_node = np.asarray(at.roles) != "symbol"
    ids = np.asarray(at.tokens)
    earlier = np.asarray([np.sum((ids[:t] == ids[t]) & is_node[:t]) for t in range(count)]) * is_node
    elsewhere = []
    for parent, node in zip(at.parents, at.path[1:], strict=True):
        readers = [t for t in range(parent + 2, at.query) if ids[t] == node and is_node[t]]
        elsewhere.append(np.mean([2 / (t + 1) for t in readers]) if readers else np.nan)
    both = np.full(hops, 2 / count)
    return {
        "goal": 2 / count,
        "start": starts / count,
        "goal_in_query": 1 / count,
        "start_in_query": 1 / count,
        "predecessor": np.mean([1 / (t + 2) for t in at.listed_parents]),
        "content_match": np.sum(earlier / np.arange(1, count + 1)) / np.sum(earlier > 0),
        "backward_trace": both,
        "distractor_attention": both,
        "edge_attention_elsewhere": np.asarray(elsewhere)[::-1],
    }


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
    assert np.all(second.backward_trace[:, 0] >= 0.99)
    first_elsewhere = (first.start, first.backward_trace, first.distractor_attention)
    for elsewhere in (*first_elsewhere, second.backward_trace[:, 1], second.distractor_attention):
        assert np.all(elsewhere <= 0.01)
    assert np.all(second.goal_in_query <= 0.01)


@cache
def walked() -> tuple[np.ndarray, np.ndarray, CircuitScores]:
    """Problems, and patterns and scores of the planted transformer on them."""
    ids, (graph, state) = rows(STAR, 24), nnx.split(walker())
    read = jax.jit(jax.vmap(lambda row: attention_patterns(nnx.merge(graph, state), row)))
    patterns = read(ids[:, : QUERY + 1])
    return ids, np.asarray(patterns), jax.tree.map(np.asarray, scored(STAR, QUERY, ids, patterns))


def test_planted_heads_score_one():
    _, _, found = walked()
    for name, heads in PLANTED.items():
        for head in heads:
            shared = name == "distractor_attention" and head[:2] != (4, 0)  # between two first edges
            assert np.nanmin(getattr(found, name)[:, *head]) >= (0.49 if shared else 0.99), (name, head)


def test_heads_without_weights_score_as_even_attention():
    ids, _, found = walked()
    for i, row in enumerate(ids.tolist()):
        truth = even_scores(STAR, naive_layout(STAR, row, QUERY))
        for layer, head in np.ndindex(5, 2):
            if (layer, head) not in backward_walk():
                assert_same({name: values[i, layer, head] for name, values in found._asdict().items()}, truth, 1e-6)


def test_a_head_that_follows_every_first_edge_has_as_much_distractor_attention():
    _, _, found = walked()
    half, zero = np.full(24, 0.5, np.float32), np.zeros((24, 3), np.float32)
    assert_close(found.backward_trace[:, 3, 1, 2], half, atol=1e-3)
    assert_close(found.distractor_attention[:, 3, 1, 2], half, atol=1e-3)
    assert_close(found.backward_trace[:, 4, 0], zero, atol=1e-3)
    assert np.all(found.distractor_attention[:, 4, 0, 2] >= 0.99)


def test_another_problem_takes_the_backward_trace_away():
    ids, patterns, found = walked()
    shuffled = scored(STAR, QUERY, np.roll(ids, 1, axis=0), jnp.asarray(patterns))
    assert np.mean(found.backward_trace[:, 2, 0, 0]) >= 0.99
    assert np.mean(np.asarray(shuffled.backward_trace)[:, 2, 0, 0]) <= 0.5
    # What reads no labels stays the same.
    for name in set(CircuitScores._fields) - set(READS_LABELS) - {"goal", "start"}:
        assert_close(getattr(shuffled, name), getattr(found, name), atol=1e-6)


def test_patterns_have_to_be_over_the_positions_of_the_layout():
    with pytest.raises(ValueError, match=r"^patterns: must be \[L, H, 11, 11\]"):
        attention_scores(jnp.zeros((1, 1, 10, 10)), problem_layout(rows(PAIRS, 1)[0], PAIRS, 10))
