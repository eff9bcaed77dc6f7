"""What a model gets right: its generated answers, and each token given the true ones before it."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from circuits.one_layer.module import OneLayer
from circuits.tasks.planning import mean
from circuits.tasks.task import Rows, Task
from circuits.training.shapes import hide_answer
from circuits.transformer.generate import greedy
from circuits.transformer.model import Predictor
from circuits.transformer.objectives import parallel_targets

CHUNK = 256
"""Problems answered at once, which bounds the memory."""


class Answers(NamedTuple):
    """What a model does with each of n problems. A = tokens of an answer, k = prediction heads.

    ``judged``: what the task says of the greedy answer. Where each problem has one right answer, also ``forced``:
    each token of the answer is predicted given the true ones before it; and ``ahead``: head m predicts token m of the
    answer, m = 0..k-1, from the prompt alone.
    """

    judged: Any
    forced: Bool[Array, "*n A"] | None
    ahead: Bool[Array, "*n k"] | None


@partial(jax.jit, static_argnames=("task", "teacherless"))
def answers(model: Predictor | OneLayer, task: Task, rows: Int[Array, "n T"], teacherless: bool = False) -> Answers:
    """Answer the problems that rows begin with.

    A teacherless model answers as it was trained: in one pass over the prompt and dummies.
    """
    answer = partial(_answer, model, task, teacherless)
    return jax.lax.map(answer, rows.astype(jnp.int32), batch_size=min(CHUNK, rows.shape[0]))


def figures(task: Task, found: Answers, rows: Rows) -> dict[str, Any]:
    """Return the shares of right answers, as values for JSON by name."""
    shares = {
        name: mean(jax.device_get(flags))
        for name, flags in found._asdict().items()
        if name != "judged"
        if flags is not None
    }
    return task.figures(jax.device_get(found.judged), rows) | shares


def score(model: Any, task: Task, rows: Rows, teacherless: bool = False) -> dict[str, Any]:
    """Return how often a model is right, as values for JSON by name.

    Args:
        model: a ``Predictor``, or a ``OneLayer`` for walks.
        task: what the model was trained on.
        rows: problems with their answers, [n, T], such as ``task.problems("test", 256)``.
        teacherless: the model was trained without the true answer as its input.
    """
    return figures(task, answers(model, task, jnp.asarray(rows, jnp.int32), teacherless), rows)


def _answer(model: Any, task: Task, teacherless: bool, tokens: Int[Array, " T"]) -> Answers:
    start, length = task.format.prompt_length, task.format.answer_length
    if not task.unique_answers:
        return Answers(task.judge(tokens, greedy(model, tokens[:start], length)), None, None)
    inputs = hide_answer(task, tokens) if teacherless else tokens
    best = jnp.argmax(model(inputs[:-1])[:, start - 1 :], axis=-1).astype(jnp.int32)
    answer = best[0] if teacherless else greedy(model, tokens[:start], length)
    targets = parallel_targets(tokens, best.shape[0], start - 1).tokens
    return Answers(task.judge(tokens, answer), best[0] == tokens[start:], best[:, 0] == targets[:, 0])
