"""What the tests of causal probes share: a small random model, and one set by hand whose circuit is known.

Oracles run one sequence at a time. Every model is compiled once, with all of its taps.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from circuits.probes.interventions.pairs import PlanningTwins, planning_twins
from circuits.tasks.star.graph import StarGraph
from circuits.tasks.token_format import TokenFormat
from circuits.transformer.model import Predictor
from circuits.transformer.taps import Taps
from tests.probes.planted import rows
from tests.transformer.models import random_model, small_config

FORMAT = TokenFormat(StarGraph(2, 3, 6), "pairs", "goal-start")
COPY = TokenFormat(StarGraph(2, 2, 5), "pairs", "goal-start")
"""Its answer is the goal, which stands in the prompt."""


@cache
def tiny_model(name: str = "gpt", **changes: Any) -> Predictor:
    sizes = {"layers": 2, "heads": 2, "width": 8, "prediction_heads": 2} | changes
    return random_model(small_config(name, vocab=FORMAT.vocab_size, positions=FORMAT.length, **sizes))


def some_twins(count: int = 5, first: int = 0) -> PlanningTwins:
    return jax.tree.map(lambda part: part[first : first + count], _twins(FORMAT, None))


def copy_twins(count: int, first: int = 0) -> PlanningTwins:
    return jax.tree.map(lambda part: part[first : first + count], _twins(COPY, 0))


@cache
def _twins(format: TokenFormat, token: int | None) -> PlanningTwins:
    twins = planning_twins(rows(format, 400, seed=3), format, jax.random.key(0), token)
    return jax.tree.map(np.asarray, twins)


def one(batch: Any, number: int) -> Any:
    return jax.tree.map(lambda part: part[number], batch)


@cache
def _program(model: Predictor) -> tuple[Callable, dict[bytes, tuple[np.ndarray, dict[str, np.ndarray]]]]:
    graph, state = nnx.split(model)
    return jax.jit(lambda ids: nnx.merge(graph, state)(ids, Taps(capture=["*"]))), {}


def run(model: Predictor, ids: Any) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Logits and every activation of an unchanged run on one sequence."""
    program, known = _program(model)
    ids = np.asarray(ids, np.int32)
    if ids.tobytes() not in known:
        known[ids.tobytes()] = jax.tree.map(np.asarray, program(ids))
    return known[ids.tobytes()]


def last(model: Predictor, ids: Any, head: int = 0) -> np.ndarray:
    """Logits at the last position of an unchanged run."""
    return run(model, ids)[0][head, -1]


@cache
def _edited(model: Predictor, site: str, count: int) -> Callable:
    graph, state = nnx.split(model)

    def logits(ids: jax.Array, chosen: jax.Array, values: jax.Array) -> jax.Array:
        edit = {f"blocks.{i}.{site}": lambda old, i=i: jnp.where(chosen[i], values[i], old) for i in range(count)}
        return nnx.merge(graph, state)(ids, Taps(edit=edit))[0]

    return jax.jit(logits)


def edited(model: Predictor, ids: Any, site: str, chosen: np.ndarray, values: np.ndarray, head: int = 0) -> np.ndarray:
    """Logits at the last position, with entries of an activation of each layer replaced: a program for each site."""
    return np.asarray(_edited(model, site, len(chosen))(np.asarray(ids, np.int32), chosen, values))[head, -1]


def layers(model: Predictor, ids: Any, site: str) -> np.ndarray:
    """An activation of every layer in an unchanged run."""
    return np.stack([run(model, ids)[1][f"blocks.{i}.{site}"] for i in range(model.config.layers)])


@cache
def copying_model(strength: float = 2.0) -> Predictor:
    """For ``COPY``: head (1, 0) looks from the prompt's end to the goal and copies it, and that decides the answer.

    Dimensions 0..8 of the stream name the token, 9..15 the position. All other heads and the MLPs read and write
    positions alone, so nothing but that head can depend on the goal. With ``strength`` 0 nothing does.
    """
    config = small_config(
        norm="rms", activation="relu", vocab=COPY.vocab_size, positions=COPY.length, layers=2, heads=2, width=16
    )
    model, rng = random_model(config), np.random.default_rng(0)
    body, positions, goal, query = model.transformer, slice(9, 16), 4, 5

    def put(parameter: Any, *entries: tuple[Any, Any]) -> None:
        new = np.zeros(parameter[...].shape)
        for where, value in entries:
            new[where] = value
        parameter[...] = jnp.asarray(new)

    put(body.tokens, ((range(9), range(9)), 1))
    put(body.positions, ((range(7), range(9, 16)), 1))
    put(model.heads.kernels, ((0, range(9), range(9)), 1))
    body.norm.scale[...] = jnp.ones(16)
    for layer, block in enumerate(body.blocks):
        block.norm_attn.scale[...] = block.norm_mlp.scale[...] = jnp.ones(16)
        noise = [((positions, slice(8 * h, 8 * h + 8)), 0.3 * rng.normal(size=(7, 8))) for h in range(2)]
        out = [((slice(8 * h, 8 * h + 8), positions), 0.05 * rng.normal(size=(8, 7))) for h in range(2)]
        own = layer == 1
        put(block.attn.query.kernel, *([((9 + query, 0), 3)] if own else noise[:1]), noise[1])
        put(block.attn.key.kernel, *([((9 + goal, 0), 3)] if own else noise[:1]), noise[1])
        put(block.attn.value.kernel, *([((range(8), range(8)), 1)] if own else noise[:1]), noise[1])
        put(block.attn.out.kernel, *([((range(8), range(8)), strength)] if own else out[:1]), out[1])
        put(block.mlp.into.kernel, (positions, 0.3 * rng.normal(size=(7, 64))))
        put(block.mlp.out.kernel, ((slice(None), positions), 0.05 * rng.normal(size=(64, 7))))
    return model
