"""Metrics: their values on the constructed circuit, and against loops over Python lists on random models."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from circuits.disentangled import closed_form, full
from circuits.disentangled.circuit import circuit, context_positions
from circuits.disentangled.full import FullWeights
from circuits.disentangled.losses import losses
from circuits.disentangled.metrics import Metrics, measure
from circuits.disentangled.mix import OBJECTIVES
from circuits.disentangled.models import full_model, prompts, read_reduced, reduced_model
from circuits.tasks.star.graph import StarGraph
from tests.cases import assert_close, example

COUNT = 64


def measured(model, params, batch) -> list[Metrics]:
    def one(*prompt):
        return measure(partial(model.read, params), model.losses(params, *prompt), *prompt)

    together = jax.jit(jax.vmap(one))(*batch)
    return [jax.tree.map(lambda leaf, i=i: float(leaf[i]), together) for i in range(len(batch[0]))]


@jax.jit
def seen(params, tokens) -> tuple:
    """S1, S2[T], and the distributions of the first and the second head, by the models themselves."""
    if isinstance(params, FullWeights):
        acts = full.forward(params, tokens)
        return acts.attention[0], acts.attention[1][-1], *(jnp.exp(z) / jnp.sum(jnp.exp(z)) for z in acts.logits)
    acts = closed_form.forward(params, tokens)
    return acts.attention[0], acts.attention[1][-1], acts.outputs[1], acts.outputs[0]


def naive(params, tokens, v: int, end: int) -> Metrics:
    """The definitions of ``Metrics`` in loops, one prompt at a time."""
    g = [int(token) for token in tokens]
    replayed = [*g[:-1], v]
    prompt, replay = (
        [np.asarray(part).tolist() for part in seen(params, jnp.asarray(context, jnp.int32))]
        for context in (g, replayed)
    )
    s1, s2, f1, f2 = prompt
    t_v, t_end = context_positions(g, end)
    last = len(g) - 1
    others = [g[t + 1] for t in range(0, last - 1, 2) if g[t] == g[last] and g[t + 1] != v]

    def best(output: list[float]) -> int:
        return max(range(len(output)), key=output.__getitem__)

    first, second = best(f1), best(replay[2])
    # Greedy decoding, in earnest: what was predicted goes into the context.
    written = best(np.asarray(seen(params, jnp.asarray([*g[:-1], first], jnp.int32))[2]).tolist())
    return Metrics(
        plan=-np.log(f1[v]),
        replay=-np.log(replay[2][end]),
        goal=-np.log(f2[end]),
        first_accuracy=float(first == v),
        first_probability=f1[v],
        branch_accuracy=float(all(f1[v] > f1[u] for u in others)),
        replay_accuracy=float(second == end),
        path_accuracy=float([first, written] == [v, end]),
        second_accuracy=float(best(f2) == end),
        predecessor_last=s1[last][last - 1],
        predecessor_end=s1[t_end][t_v],
        predecessor_mean=sum(s1[t][t - 1] for t in range(1, last + 1)) / last,
        content_match=s2[t_end],
        self_match=s2[last - 1],
        replay_predecessor=replay[0][last][last - 1],
        replay_match=replay[1][t_end],
    )


@pytest.mark.parametrize(("name", "paths", "scale"), [("full", 2, 1.0), ("reduced", 3, 2.0)])
def test_against_loops(name, paths, scale):
    graphs = StarGraph(paths, 3, 10)
    model = (full_model if name == "full" else reduced_model)(graphs, OBJECTIVES["mtp"], scale)
    params = model.initial(jax.random.key(2))
    batch = prompts(graphs, jax.random.key(3), COUNT)
    ours = measured(model, params, batch)
    rows = zip(ours, np.asarray(batch[0]), *(np.asarray(y).tolist() for y in batch[1:]), strict=True)
    for found, tokens, v, end in rows:
        assert_close(found, naive(params, tokens, v, end), atol=1e-5, rtol=1e-5)
    for metric in ("first_accuracy", "branch_accuracy", "replay_accuracy", "second_accuracy"):
        assert 0 < sum(getattr(found, metric) for found in ours) < COUNT, f"{metric} is the same everywhere"


def test_the_circuit_is_recognised():
    """Corollary 1 at gamma = 20: predecessor and content match 1, v right; and, as Corollary 2 says, L1b wrong."""
    weights = circuit(20.0, 10, 10)
    for prompt in zip(*prompts(StarGraph(2, 3, 10), jax.random.key(0), 8), strict=True):
        found = _circuit_metrics(weights, *prompt)
        one = ("first_accuracy", "first_probability", "branch_accuracy", "second_accuracy")
        attention = ("predecessor_last", "predecessor_end", "predecessor_mean", "content_match", "replay_predecessor")
        for name in (*one, *attention, "replay_match"):
            assert_close(getattr(found, name), 1.0, atol=1e-6)
        for name in ("plan", "goal", "self_match", "replay_accuracy", "path_accuracy"):
            assert_close(getattr(found, name), 0.0, atol=1e-6)
        assert float(found.replay) > 15


@jax.jit
def _circuit_metrics(weights, *prompt):
    return measure(partial(read_reduced, weights), losses(weights, *prompt), *prompt)


def test_nothing_learned_is_chance():
    """With all weights 0 attention is uniform over the past, and ties make nothing right."""
    found = _circuit_metrics(jax.tree.map(jnp.zeros_like, circuit(1.0, 10, 10)), *example())
    assert_close(found.predecessor_last, 0.1, atol=1e-12)
    assert_close(found.predecessor_mean, float(np.mean([1 / (t + 1) for t in range(1, 10)])), atol=1e-12)
    assert_close((found.content_match, found.self_match), (0.1, 0.1), atol=1e-12)
    assert_close(found.goal, -np.log(2 / 10), atol=1e-12)
