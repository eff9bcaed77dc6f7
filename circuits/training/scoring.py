"""How a task's answers are judged: a part that is compiled with the model, and figures made of what it gives."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from circuits.training.evaluation import Accuracy, accuracy
from circuits.training.task_config import TaskConfig
from circuits.training.walk_data import groups_of
from circuits.training.walk_evaluation import figures as walk_figures
from circuits.training.walk_evaluation import judged, optimal_figures


class Scoring(NamedTuple):
    """``judge``: from a model and rows of tokens to arrays, jittable. ``figures``: from one model's arrays, on the
    host, and the rows to values for JSON by name."""

    judge: Callable[[Any, Int[Array, "n T"]], Any]
    figures: Callable[[Any, Int[np.ndarray, "n T"]], dict[str, Any]]


def scoring(task: TaskConfig, teacherless: bool) -> Scoring:
    """How a model of this task is judged."""
    if not task.is_walks:
        form = task.problem_format
        return Scoring(lambda model, rows: accuracy(model, form, rows, teacherless), _accuracy_figures)
    groups, form = groups_of(task), task.walk_format

    def judge(model: Any, rows: Int[Array, "n T"]) -> Any:
        return judged(model, form, jnp.asarray(groups.adjacency), jnp.asarray(groups.reachability), rows)

    def figures(found: Any, rows: Int[np.ndarray, "n T"]) -> dict[str, Any]:
        plans = optimal_figures(found, groups, rows) if task.graph == "blocksworld" else {}
        return walk_figures(found, groups, rows) | plans

    return Scoring(judge, figures)


def score(scored: Scoring, model: Any, rows: Int[np.ndarray, "n T"]) -> dict[str, Any]:
    """The figures of a model's answers to rows."""
    return scored.figures(jax.device_get(scored.judge(model, jnp.asarray(rows, jnp.int32))), rows)


def _accuracy_figures(found: Accuracy, rows: Int[np.ndarray, "n T"]) -> dict[str, Any]:
    return {name: np.asarray(value, np.float64).tolist() for name, value in found._asdict().items()}
