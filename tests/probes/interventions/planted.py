"""What the tests of causal probes share: a small random model, and one set by hand whose circuit is known."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from circuits.probes.interventions.pairs import PlanningTwins, planning_twins
from circuits.tasks.problem import Problem
from circuits.tasks.sampling import sample
from circuits.tasks.star.graph import StarGraph
from circuits.tasks.token_format import TokenFormat, encode_problem
from circuits.transformer.model import Predictor
from circuits.transformer.taps import Taps
from tests.transformer.models import drawn, shape

FORM = TokenFormat(StarGraph(2, 3, 6), "pairs", "goal-start")
COPY = TokenFormat(StarGraph(2, 2, 5), "pairs", "goal-start")
"""Its answer is the goal, which stands in the prompt."""


def random_model(name: str = "gpt", form: TokenFormat = FORM, **changes: Any) -> Predictor:
    sizes = {"layers": 2, "heads": 2, "width": 8, "prediction_heads": 2} | changes
    return drawn(shape(name, vocab=form.vocab_size, positions=form.length, **sizes))


def some_twins(count: int = 5, form: TokenFormat = FORM, answer: int | None = None, seed: int = 3) -> PlanningTwins:
    return planning_twins(form, some_problems(count, form, seed), jax.random.key(0), answer)


def some_problems(count: int, form: TokenFormat = FORM, seed: int = 3) -> jax.Array:
    """Ids with answers."""
    drawn = jax.tree.map(np.asarray, sample(form.family, jax.random.key(seed), count))
    return jnp.asarray(np.stack([encode_problem(form, Problem(*parts)) for parts in zip(*drawn, strict=True)]))


def one(batch: Any, number: int) -> Any:
    return jax.tree.map(lambda part: part[number], batch)


def outcome(model: Predictor, ids: Any, edit: dict | None = None, head: int = 0) -> np.ndarray:
    """Logits at the last position, one edit at a time."""
    logits, _ = model(jnp.asarray(ids), Taps(edit=edit or {}))
    return np.asarray(logits[head, -1])


def capture(model: Predictor, ids: Any, name: str) -> jax.Array:
    return model(jnp.asarray(ids), Taps(capture=[name]))[1][name]


def copying_model(strength: float = 2.0) -> Predictor:
    """For ``COPY``: head (1, 0) looks from the prompt's end to the goal and copies it, and that decides the answer.

    Dimensions 0..8 of the stream name the token, 9..15 the position. All other heads and the MLPs read and write
    positions alone, so nothing but that head can depend on the goal. With ``strength`` 0 nothing does.
    """
    config = shape(
        norm="rms", activation="relu", vocab=COPY.vocab_size, positions=COPY.length, layers=2, heads=2, width=16
    )
    model, rng = drawn(config), np.random.default_rng(0)
    body, places, goal, query = model.transformer, slice(9, 16), 4, 5

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
        noise = [((places, slice(8 * h, 8 * h + 8)), 0.3 * rng.normal(size=(7, 8))) for h in range(2)]
        out = [((slice(8 * h, 8 * h + 8), places), 0.05 * rng.normal(size=(8, 7))) for h in range(2)]
        own = layer == 1
        put(block.attn.query.kernel, *([((9 + query, 0), 3)] if own else noise[:1]), noise[1])
        put(block.attn.key.kernel, *([((9 + goal, 0), 3)] if own else noise[:1]), noise[1])
        put(block.attn.value.kernel, *([((range(8), range(8)), 1)] if own else noise[:1]), noise[1])
        put(block.attn.out.kernel, *([((range(8), range(8)), strength)] if own else out[:1]), out[1])
        put(block.mlp.into.kernel, (places, 0.3 * rng.normal(size=(7, 64))))
        put(block.mlp.out.kernel, ((slice(None), places), 0.05 * rng.normal(size=(64, 7))))
    return model
