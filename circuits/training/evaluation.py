"""The accuracy of a model, in greedy decoding and under teacher forcing."""

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
    """The answers of a model to n problems.

    ``judged``: the task's judgement of the greedy answer. If each problem has one correct answer, also ``forced``:
    whether each token of the answer is predicted correctly given the true tokens before it; and ``ahead``: whether
    prediction head m = 0..k-1 predicts token m of the answer correctly from the prompt alone.
    """

    judged: Any
    forced: Bool[Array, "*n A"] | None
    ahead: Bool[Array, "*n k"] | None


@partial(jax.jit, static_argnames=("task", "teacherless"))
def answers(model: Predictor | OneLayer, task: Task, rows: Int[Array, "n T"], teacherless: bool = False) -> Answers:
    """Answer the problems at the beginning of rows.

    A teacherless model answers as it was trained: in one pass over the prompt and dummy tokens.
    """
    answer = partial(_answer, model, task, teacherless)
    return jax.lax.map(answer, rows.astype(jnp.int32), batch_size=min(CHUNK, rows.shape[0]))


def metrics(task: Task, answered: Answers, rows: Rows) -> dict[str, Any]:
    """Return the shares of correct answers and tokens, as values for JSON by name."""
    judged, *forced_and_ahead = jax.device_get(answered)
    flags = zip(("forced", "ahead"), forced_and_ahead, strict=True)
    return task.metrics(judged, rows) | {name: mean(part) for name, part in flags if part is not None}


def score(model: Any, task: Task, rows: Rows, teacherless: bool = False) -> dict[str, Any]:
    """Return the accuracy of a model on problems of its task, as shares by name.

    Args:
        model: a ``Predictor``, or a ``OneLayer`` for walks.
        task: the task of the problems.
        rows: problems with their answers, [n, T], such as ``task.problems("test", 256)``.
        teacherless: whether the model was trained without the true answer as its input.
    """
    return metrics(task, answers(model, task, jnp.asarray(rows, jnp.int32), teacherless), rows)


def _answer(model: Any, task: Task, teacherless: bool, tokens: Int[Array, " T"]) -> Answers:
    start, length = task.format.prompt_length, task.format.answer_length
    if not task.unique_answers:
        return Answers(task.judge(tokens, greedy(model, tokens[:start], length)), None, None)
    inputs = hide_answer(task, tokens) if teacherless else tokens
    best = jnp.argmax(model(inputs[:-1])[:, start - 1 :], axis=-1).astype(jnp.int32)
    answer = best[0] if teacherless else greedy(model, tokens[:start], length)
    targets = parallel_targets(tokens, best.shape[0], start - 1).tokens
    return Answers(task.judge(tokens, answer), best[0] == tokens[start:], best[:, 0] == targets[:, 0])
