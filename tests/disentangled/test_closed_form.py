"""Lemma 1: the closed form against the literal model, at depths 1 to 4 and on several star graphs."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from families import FAMILIES

from circuits.disentangled import literal
from circuits.disentangled.closed_form import by_label, forward
from circuits.disentangled.weights import Layer
from circuits.tasks.star.graph import StarGraph
from tests.cases import FAST_TO_COMPILE, PAPER, assert_close, example, prompt, weights_for


@partial(jax.jit, compiler_options=FAST_TO_COMPILE)
def _both(weights, tokens):
    return forward(weights, tokens), literal.forward(weights, tokens)


@pytest.mark.parametrize(
    ("spec", "depth"), [(StarGraph(2, 2, 3), 1), (FAMILIES[0], 2), (FAMILIES[1], 3), (StarGraph(2, 3, 6), 4)]
)
def test_closed_form_is_the_literal_model(spec, depth):
    for seed in range(4):
        tokens, _, _ = prompt(spec, seed)
        ours, truth = _both(weights_for(spec, seed, depth), tokens)
        assert_close(ours.outputs, truth.outputs, atol=1e-12)
        assert_close(ours.attention, truth.attention, atol=1e-12)
        assert max(float(jnp.max(jnp.abs(pattern - 1 / len(tokens)))) for pattern in truth.attention) > 1e-3


def test_naive_loops_agree():
    """A third way: sums over indices in plain Python."""
    tokens, _, _ = example()
    g = tokens.tolist()
    first, second = weights_for(PAPER, seed=1)

    def scores(layer: Layer) -> list[list[float]]:
        content, position = layer.content.tolist(), layer.position.tolist()
        return [[content[a][b] + position[i][j] for j, b in enumerate(g)] for i, a in enumerate(g)]

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
    assert_close(jax.jit(forward)((first, second), tokens).outputs[1], f1, atol=1e-12)


def test_rows_are_distributions_over_earlier_positions():
    tokens, _, _ = example()
    acts = jax.jit(forward)(weights_for(PAPER, seed=2, scale=3.0), tokens)
    for pattern, output in zip(acts.attention, acts.outputs, strict=True):
        assert_close(jnp.sum(pattern, axis=1), jnp.ones(10), atol=1e-14)
        assert not np.triu(pattern, 1).any()
        assert_close(jnp.sum(output), jnp.asarray(1.0), atol=1e-14)


def test_eager_jit_and_vmap_agree():
    tokens, _, _ = example()
    weights = weights_for(PAPER, seed=3)
    batch = jax.jit(jax.vmap(forward, in_axes=(None, 0)))(weights, jnp.stack([tokens, tokens[::-1]]))
    for index, row in enumerate((tokens, tokens[::-1])):
        assert_close(jax.tree.map(lambda leaf, i=index: leaf[i], batch), forward(weights, row), atol=1e-14)


def test_by_label_collects_mass():
    tokens = jnp.asarray([2, 0, 2], jnp.int32)
    assert_close(by_label(jnp.asarray([0.5, 0.2, 0.3]), tokens, 4), np.array([0.2, 0.0, 0.8, 0.0]), atol=0)


def test_float32_stays_near_float64():
    tokens, _, _ = example()
    weights = weights_for(PAPER, seed=4)
    single = jax.jit(forward)(jax.tree.map(lambda leaf: leaf.astype(jnp.float32), weights), tokens)
    assert single.outputs[0].dtype == jnp.float32
    double = jax.jit(forward)(weights, tokens)
    assert_close([np.asarray(o, np.float64) for o in single.outputs], list(double.outputs), atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: (w[0]._replace(content=w[0].content[:9]), w[1]), "content_1: must have shape"),
        (lambda w: (w[0], w[1]._replace(content=jnp.zeros((9, 9)))), "content_2: must have shape"),
        (lambda w: (w[0]._replace(position=jnp.zeros((12, 12))), w[1]), "position_1: must have shape"),
        (lambda w: (w[0]._replace(content=w[0].content.at[3, 4].set(jnp.nan)), w[1]), r"content_1: .* nan at \(3, 4\)"),
        (lambda w: (w[0], w[1]._replace(position=w[1].position.at[0, 1].set(jnp.inf))), "position_2: must be finite"),
        (lambda w: (w[0], Layer(*(leaf.astype(jnp.float32) for leaf in w[1]))), "content_2: must have the dtype"),
        (lambda w: (), "weights: must have at least one layer"),
    ],
)
@pytest.mark.parametrize("model", [forward, literal.forward])
def test_bad_weights_are_named(model, change, message):
    with pytest.raises(ValueError, match=message):
        model(change(weights_for(PAPER, seed=0)), example()[0])


@pytest.mark.parametrize("label", [-1, 10])
@pytest.mark.parametrize("model", [forward, literal.forward])
def test_labels_out_of_range_are_named(model, label):
    tokens, _, _ = example()
    with pytest.raises(ValueError, match=f"tokens: must be labels between 0 and 9, got {label} at position 4"):
        model(weights_for(PAPER, seed=0), tokens.at[4].set(label))
