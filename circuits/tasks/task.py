"""A task: everything that models, the trainer and the probes need to know about the problems to train on.

A new task is one folder and one more member of ``TaskConfig``; nothing else changes. The folder has ``config.py``, a
frozen record whose ``graph`` is the name of the task, and ``task.py``, whose ``build`` turns the record into a
``Task``. Configs neither read files nor import jax; ``build`` reads and samples, and delays expensive work until it is
needed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from jaxtyping import Int

from circuits.tasks.blocksworld.config import BlocksworldConfig
from circuits.tasks.star.config import StarConfig
from circuits.tasks.tree.config import TreeConfig
from circuits.tasks.walks.config import DagConfig

if TYPE_CHECKING:  # importing these takes seconds, and configs must be quick to import
    import networkx as nx

    from circuits.tasks.walks.pairs import Observed

    Graph = nx.DiGraph
else:
    Graph = Observed = Any

TaskConfig = StarConfig | TreeConfig | DagConfig | BlocksworldConfig
TASKS: dict[str, type] = {kind.graph: kind for kind in get_args(TaskConfig)}
"""The config class of each task, by its ``graph``."""
Split = Literal["train", "test"]
Rows = Int[np.ndarray, "n T"]
GRAPH_FILE = "graph.txt"
"""A task with one graph saves it in a file of this name, next to the model."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """The accuracy of a model as a table of texts: a title, columns, and rows grouped in sections."""

    title: str
    columns: tuple[str, ...]
    sections: tuple[tuple[tuple[str, ...], ...], ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """A task that has been built. Compared by identity, so that it can be a static argument of jit.

    Args:
        config: the config it was built from.
        words: a description, such as "star graphs".
        format: how problems are written as tokens, a ``TokenFormat`` or a ``WalkFormat``: vocabulary and lengths.
        training_set: the training problems as rows of tokens, a prompt and then its answer. None: an endless stream.
        draw: ``draw(key, n)`` returns n fresh training problems; jittable. None unless the stream is endless.
        problems: ``problems(split, n)`` returns up to n problems of a split (None: a number that suits the task).
            "train" returns problems that were trained on, or for an endless stream fresh ones like them.
        judge: ``judge(row, answer)`` compares a generated answer with a problem, as arrays; jittable.
        metrics: ``metrics(judged, rows)`` summarises what ``judge`` returned for each row, as values for JSON by name.
        unique_answers: whether each problem has one correct answer, so that teacher-forced predictions can be scored.
        report: ``report(metrics, n)`` is a table of the metrics of n problems; ``title`` completes "n test ...".
        status: the task's own part of a status line, from means of ``metrics``.
        legend: an explanation of that part.
        dummy_token: replaces the answer in teacherless training, if the vocabulary has such a token.
        pad_token: fills rows after the end of an answer, if answers differ in length.
        files: the task's own files by name, which are saved next to each model.
        graph: the graph of all problems, if they share one.
        observed: the edges and paths of that graph that the training problems reveal.
    """

    config: TaskConfig
    words: str
    format: Any
    training_set: Callable[[], Rows] | None
    draw: Callable[[Any, int], Any] | None = None
    problems: Callable[[Split, int | None], Rows]
    judge: Callable[[Any, Any], Any]
    metrics: Callable[[Any, Rows], dict[str, Any]]
    unique_answers: bool
    report: Callable[[Mapping[str, Any], int], Report]
    status: Callable[[Mapping[str, Any]], str]
    legend: str
    dummy_token: int | None = None
    pad_token: int | None = None
    files: Mapping[str, str]
    graph: Graph | None = None
    observed: Callable[[], Observed] | None = None


def build_task(config: TaskConfig, folder: Path | None = None) -> Task:
    """Build a task: read its files and sample its graph.

    A config that names no files determines its task, so the same one is returned again: programs that were compiled for
    it can be reused.

    Args:
        config: one of the task configs.
        folder: folder of a run or a saved model, whose copies of the task's own files are used instead.

    Raises:
        ValueError: naming a field that does not fit the others, or a file that cannot be used.
    """
    return _build(config, folder) if folder is not None or _names_files(config) else _build_once(config)


def _build(config: TaskConfig, folder: Path | None = None) -> Task:
    package = type(config).__module__.rpartition(".")[0]
    return import_module(f"{package}.task").build(config, folder)


_build_once = lru_cache(maxsize=8)(_build)


def _names_files(record: Any) -> bool:
    """Return whether a field of a record, or of a record in it, is a path."""
    pairs = [(field, getattr(record, field.name)) for field in fields(record)]
    named = any("Path" in str(field.type) and value is not None for field, value in pairs)
    return named or any(is_dataclass(value) and _names_files(value) for _, value in pairs)
