"""The full model: against plain loops, finite differences, and the reduced model embedded in it."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from circuits.disentangled import closed_form, full
from circuits.disentangled.full import FullWeights, embed_reduced, forward, losses
from circuits.tasks.star.graph import StarGraph
from tests.cases import EXAMPLE, FAST_TO_COMPILE, PAPER, assert_close, example, prompt, weights_for

SHAPES = (20, 20), (40, 40), (80, 10), (80, 10)


def weights(seed: int) -> FullWeights:
    rng = np.random.default_rng(seed)
    return FullWeights(*(jnp.asarray(0.5 * rng.normal(size=shape)) for shape in SHAPES))


def naive(parameters: FullWeights, tokens: Sequence[int]) -> tuple[list, list, list]:
    """Definition 2 in plain numpy, query by query: streams, attention, logits of both heads."""
    labels = parameters.head_0.shape[1]
    stream = np.array([[float(k == g) for k in range(labels)] + [float(k == t) for k in range(len(tokens))]
                       for t, g in enumerate(tokens)])  # fmt: skip
    streams, attention = [stream], []
    for weight in (np.asarray(parameters.weight_1), np.asarray(parameters.weight_2)):
        s = np.zeros((len(tokens), len(tokens)))
        for i in range(len(tokens)):
            logits = [stream[i] @ weight @ stream[j] for j in range(i + 1)]
            s[i, : i + 1] = np.exp(logits) / np.sum(np.exp(logits))
        stream = np.array([np.concatenate([x, sum(s[i, j] * stream[j] for j in range(i + 1))])
                           for i, x in enumerate(stream)])  # fmt: skip
        streams.append(stream)
        attention.append(s)
    return streams, attention, [stream[-1] @ np.asarray(head) for head in (parameters.head_0, parameters.head_1)]


def test_forward_is_the_definition_in_loops():
    streams, attention, logits = naive(weights(0), EXAMPLE)
    acts = jax.jit(forward)(weights(0), example()[0])
    assert_close(list(acts.streams), streams, atol=1e-12)
    assert_close(list(acts.attention), attention, atol=1e-12)
    assert_close(list(acts.logits), logits, atol=1e-12)
    assert np.ptp(attention[1][-1]) > 0.05
    last = jax.jit(partial(forward, last_row_only=True))(weights(0), example()[0])
    assert_close(last.attention[1], attention[1][-1:], atol=1e-12)
    assert_close(last.streams[2], streams[2][-1:], atol=1e-12)
    assert_close(list(last.logits), logits, atol=1e-12)


@pytest.mark.parametrize("spec", [PAPER, StarGraph(2, 2, 4)])
def test_the_reduced_model_is_embedded_in_the_full_one(spec):
    """Same attention in every row, and f1 and f2 as the logits of V0 and V1."""

    @jax.jit
    def both(reduced, tokens):
        return forward(embed_reduced(reduced), tokens), closed_form.forward(reduced, tokens)

    for seed in range(4):
        ours, truth = both(weights_for(spec, seed), prompt(spec, seed)[0])
        assert_close(ours.attention, truth.attention, atol=1e-12)
        assert_close(ours.logits, truth.outputs[::-1], atol=1e-12)


def test_losses_are_cross_entropies_of_the_three_predictions():
    tokens, y1, y2 = prompt(PAPER, seed=5)
    parameters = weights(5)
    first, second = naive(parameters, tokens.tolist())[2]
    replay = naive(parameters, [*tokens.tolist()[:-1], int(y1)])[2][0]
    truth = [-(z[y] - np.log(np.exp(z).sum())) for z, y in ((first, y1), (replay, y2), (second, y2))]
    assert_close(list(jax.jit(losses)(parameters, tokens, y1, y2)), truth, atol=1e-12)
    assert len({round(float(loss), 3) for loss in truth}) == 3


def test_gradients_by_finite_differences():
    """Central differences of each loss along every 29th of the 3,600 entries, and along a random direction."""
    parameters, step = weights(7), 1e-5
    flat, rebuild = ravel_pytree(parameters)

    def parts(entries: jax.Array) -> jax.Array:
        return jnp.stack(losses(rebuild(entries), *example()))

    mixed = np.random.default_rng(0).normal(size=(1, len(flat))) / np.sqrt(len(flat))
    directions = jnp.asarray(np.concatenate([np.eye(len(flat))[::29], mixed]))
    nudged = jax.jit(jax.vmap(lambda d: (parts(flat + step * d) - parts(flat - step * d)) / (2 * step)))
    slopes = nudged(directions)
    gradients = jax.jit(jax.jacrev(parts), compiler_options=FAST_TO_COMPILE)(flat)
    assert_close(directions @ gradients.T, slopes, atol=1e-9)
    assert float(jnp.min(jnp.max(jnp.abs(slopes), axis=0))) > 0.05


def test_random_has_the_scale_the_dtype_and_the_shapes_asked_for():
    drawn = jax.jit(lambda key: full.random(key, 10, 10, 0.01, jnp.float32))(jax.random.key(0))
    assert tuple(leaf.shape for leaf in drawn) == SHAPES
    assert {leaf.dtype for leaf in drawn} == {jnp.dtype("float32")}
    assert abs(float(np.std(np.concatenate([np.ravel(leaf) for leaf in drawn]))) / 0.01 - 1) < 0.05
    assert jax.eval_shape(forward, drawn, example()[0]).logits[0].dtype == jnp.float32


def test_depth_other_than_two_is_an_error():
    with pytest.raises(ValueError, match="weights: must have 2 layers"):
        embed_reduced(weights_for(PAPER, seed=0, depth=3))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w._replace(weight_1=w.weight_1[:19]), "weight_1: must have shape"),
        (lambda w: w._replace(weight_2=w.weight_1), "weight_2: must have shape"),
        (lambda w: w._replace(head_1=w.head_1[:40]), "head_1: must have shape"),
        (lambda w: w._replace(head_0=w.head_0.at[3, 4].set(jnp.nan)), r"head_0: must be finite, got nan at \(3, 4\)"),
        (lambda w: w._replace(head_0=w.head_0.astype(jnp.float32)), "head_0: must have the dtype of weight_1, float64"),
    ],
)
def test_bad_weights_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        forward(change(weights(0)), example()[0])


@pytest.mark.parametrize(("index", "name"), [(0, "tokens"), (1, "y1"), (2, "y2")])
def test_labels_out_of_range_are_named(index, name):
    arguments = list(example())
    arguments[index] = arguments[index].at[...].set(10)
    with pytest.raises(ValueError, match=f"{name}: must be a label between 0 and 9"):
        losses(weights(0), *arguments)
