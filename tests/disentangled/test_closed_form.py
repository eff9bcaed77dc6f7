"""Lemma 1: the closed form against the literal model, at depths 1 to 4 and on any star graph."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from families import FAMILIES
from hypothesis import given, settings

from circuits.disentangled import literal
from circuits.disentangled.closed_form import by_label, forward
from circuits.disentangled.weights import Layer
from circuits.tasks.star.graph import StarGraph, encode_prompt
from tests.cases import PAPER, assert_close, example, first_sample, seeds, weights_for


@pytest.mark.parametrize(("spec", "depth"), [(StarGraph(2, 2, 3), 1), *zip(FAMILIES, (2, 3, 4), strict=True)])
@settings(max_examples=4)
@given(seed=seeds)
def test_closed_form_is_the_literal_model(spec, depth, seed):
    tokens = encode_prompt(first_sample(spec, seed))
    weights = weights_for(spec, seed, depth)
    ours, truth = _both(weights, tokens)
    assert_close(ours.outputs, truth.outputs, atol=1e-12)
    assert_close(ours.attention, truth.attention, atol=1e-12)
    assert max(float(jnp.max(jnp.abs(pattern - 1 / len(tokens)))) for pattern in truth.attention) > 1e-3


@jax.jit
def _both(weights, tokens):
    return forward(weights, tokens), literal.forward(weights, tokens)


def test_naive_loops_agree():
    """A third route: sums over indices in plain Python."""
    tokens, _, _ = example()
    g = [int(token) for token in tokens]
    first, second = weights_for(PAPER, seed=1)

    def scores(layer: Layer) -> list[list[float]]:
        return [[float(layer.content[a, b] + layer.position[i, j]) for j, b in enumerate(g)] for i, a in enumerate(g)]

    def normalised(logits: list[list[float]]) -> list[list[float]]:
        rows = []
        for i, row in enumerate(logits):
            weights = [np.exp(value) if j <= i else 0.0 for j, value in enumerate(row)]
            rows.append([weight / sum(weights) for weight in weights])
        return rows

    s1 = normalised(scores(first))
    a2 = scores(second)
    s2 = normalised([[sum(s1[i][k] * a2[k][j] for k in range(10)) for j in range(10)] for i in range(10)])
    f1 = np.zeros(10)
    for j in range(10):
        for k in range(10):
            f1[g[k]] += s2[9][j] * s1[j][k]
    assert_close(forward((first, second), tokens).outputs[1], f1, atol=1e-12)


def test_rows_are_distributions_over_the_past():
    tokens, _, _ = example()
    acts = forward(weights_for(PAPER, seed=2, depth=3, scale=3.0), tokens)
    for pattern, output in zip(acts.attention, acts.outputs, strict=True):
        assert_close(jnp.sum(pattern, axis=1), jnp.ones(10), atol=1e-14)
        assert float(jnp.max(jnp.abs(jnp.triu(pattern, 1)))) == 0.0
        assert_close(jnp.sum(output), jnp.asarray(1.0), atol=1e-14)


def test_eager_jit_and_vmap_agree():
    tokens, _, _ = example()
    batch = jnp.stack([tokens, tokens[::-1]])
    weights = weights_for(PAPER, seed=3)
    eager = [forward(weights, row) for row in batch]
    together = jax.jit(jax.vmap(forward, in_axes=(None, 0)))(weights, batch)
    assert_close(together, jax.tree.map(lambda *rows: jnp.stack(rows), *eager), atol=1e-14)


def test_by_label_collects_mass():
    tokens = jnp.asarray([2, 0, 2], jnp.int32)
    assert_close(by_label(jnp.asarray([0.5, 0.2, 0.3]), tokens, 4), np.array([0.2, 0.0, 0.8, 0.0]), atol=0)


def test_float32_stays_near_float64():
    tokens, _, _ = example()
    weights = weights_for(PAPER, seed=4, depth=3)
    single = forward(jax.tree.map(lambda leaf: leaf.astype(jnp.float32), weights), tokens)
    assert single.outputs[0].dtype == jnp.float32
    assert_close([np.asarray(o, np.float64) for o in single.outputs], list(forward(weights, tokens).outputs), atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: (w[0]._replace(content=w[0].content[:9]), w[1]), r"content_1: must have shape"),
        (
            lambda w: (w[0], w[1]._replace(content=jnp.zeros((9, 9)))),
            r"content_2: must have shape \(10, 10\), got \(9, 9\)",
        ),
        (lambda w: (w[0]._replace(position=jnp.zeros((12, 12))), w[1]), r"position_1: must have shape \(10, 10\), got"),
        (lambda w: (w[0]._replace(content=w[0].content.at[3, 4].set(jnp.nan)), w[1]), r"content_1: .* nan at \(3, 4\)"),
        (lambda w: (w[0], w[1]._replace(position=w[1].position.at[0, 1].set(jnp.inf))), r"position_2: must be finite"),
        (lambda w: (w[0], Layer(*(leaf.astype(jnp.float32) for leaf in w[1]))), r"content_2: must have the dtype"),
        (lambda w: (), r"weights: must have at least one layer, got 0"),
    ],
)
@pytest.mark.parametrize("model", [forward, literal.forward])
def test_bad_weights_are_named(model, change, message):
    tokens, _, _ = example()
    with pytest.raises(ValueError, match=message):
        model(change(weights_for(PAPER, seed=0)), tokens)


@pytest.mark.parametrize("label", [-1, 10])
@pytest.mark.parametrize("model", [forward, literal.forward])
def test_labels_out_of_range_are_named(model, label):
    tokens, _, _ = example()
    with pytest.raises(ValueError, match=rf"tokens: must be labels between 0 and 9, got {label} at position 4"):
        model(weights_for(PAPER, seed=0), tokens.at[4].set(label))
