"""What ``circuits probe adjacency`` compares with what, from its arguments and the checkpoint."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import networkx as nx
import numpy as np
from jaxtyping import Int
from tokenizers import Tokenizer

from circuits import checks
from circuits.cli.checkpoint import Opened
from circuits.probes.adjacency.gather import (
    JacobianInputs,
    Model,
    check_prediction_head,
    default_sources,
    gather_matrices,
)
from circuits.probes.adjacency.node_space import NamedMatrices
from circuits.probes.adjacency.references import Reference, absent_powers, graph_references
from circuits.tasks.task import Task
from circuits.tasks.walks.graphs import read_graph
from circuits.tasks.walks.pairs import Observed

MODELS = 39
"""Untrained models, if no number is asked for: the least p-value is 1/40."""


class Plan(NamedTuple):
    """The references, and how matrices are read from a model."""

    graph: nx.DiGraph
    given: tuple[Reference, ...]
    absent_powers: tuple[int, ...]
    """Powers that are zero, or equal in every row."""
    sources: tuple[str, ...]
    gather: Callable[[Model], NamedMatrices]
    untrained: int
    head: int
    """The prediction head whose logits are read, from 1."""
    labels: int | None
    """How many labels the model knows, of which the nodes are the first; None for language models."""


def made_plan(
    opened: Opened,
    *,
    graph: Path | None,
    node_tokens: Path | None,
    powers: int,
    sources: str,
    examples: int,
    untrained: int | None,
    head: int,
) -> Plan:
    """Raises ValueError naming the argument that does not fit the checkpoint."""
    checks.integer("examples", examples, min_value=1)
    count = untrained if untrained is not None else 0 if opened.task is None else MODELS
    checks.integer("untrained", count, min_value=0)
    checks.integer("powers", powers, min_value=1)
    words = tuple(word.strip() for word in sources.split(",")) if sources else default_sources(opened.model)
    check_prediction_head(opened.model, words, head, first=1)
    labels = _labels(opened.task) if opened.task is not None else None
    own, observed = _graph(opened, graph)
    with _of_file("graph", "must be a graph that fits the model", graph):
        _check_size(opened, len(own), labels)
        given = graph_references(own, powers, observed)
    nodes = _nodes(opened, node_tokens, len(own))
    read = _read(opened, examples) if "jacobian" in words else None
    gather: Callable[[Model], NamedMatrices] = lambda model: gather_matrices(model, nodes, words, read, head - 1)  # noqa: E731
    return Plan(own, given, absent_powers(given, powers), words, gather, count, head, labels)


def title(opened: Opened, plan: Plan) -> str:
    """The model, with what is particular about the plan."""
    parts = [opened.name]
    if plan.head > 1:
        parts.append(f"prediction head {plan.head}")
    if plan.labels is not None and len(plan.graph) < plan.labels:
        parts.append(f"graph of {len(plan.graph)} of its {plan.labels} labels")
    return ", ".join(parts)


@contextmanager
def _of_file(argument: str, rule: str, path: Path | None) -> Iterator[None]:
    """Errors of what the file of an argument holds name both."""
    try:
        yield
    except OSError as error:
        raise ValueError(f"{argument}: must be a file, got {str(path)!r} ({error.strerror})") from error
    except ValueError as error:
        if path is None:
            raise
        text = str(error).removeprefix("path: ").removeprefix(f"{argument}: ")
        raise ValueError(f"{argument}: {rule}, got {str(path)!r} ({text})") from error


def _graph(opened: Opened, path: Path | None) -> tuple[nx.DiGraph, Observed | None]:
    """That of the file, or of the training with what its lines show of it."""
    if path is not None:
        with _of_file("graph", "must hold an edge list or GraphML", path):
            return read_graph(path), None
    if opened.task is None or opened.task.graph is None or opened.task.observed is None:
        raise ValueError(f"graph: must be given for a model that was not trained on one graph, got {opened.name!r}")
    return opened.task.graph, opened.task.observed()


def _check_size(opened: Opened, count: int, labels: int | None) -> None:
    """Labels of walks are the nodes of one graph; other labels may be left over."""
    if opened.task is None or labels is None:
        return
    if opened.task.graph is not None:
        checks.require(count == labels, "graph", f"must have {labels} nodes, those of the walks of this model", count)
    checks.require(count <= labels, "graph", f"must have at most {labels} nodes, the labels of this model", count)


def _nodes(opened: Opened, path: Path | None, count: int) -> Int[np.ndarray, " N"]:
    """Ids of the nodes' tokens: their own numbers where the model was trained on labels."""
    if opened.task is not None:
        checks.require(
            path is None, "node_tokens", "must be left out for a model that was trained on labels", str(path)
        )
        return np.arange(count)
    if path is None:
        raise ValueError("node_tokens: must be given for a language model, to name the token of each node, got None")
    if opened.tokenizer is None:
        raise ValueError(f"node_tokens: must be left out for a model without a tokenizer, got {str(path)!r}")
    with _of_file("node_tokens", "must hold one token of the model a line, a line a node", path):
        return _token_ids(opened.tokenizer, path, count)


def _labels(task: Task) -> int:
    return len(task.graph) if task.graph is not None else task.format.family.labels


def _token_ids(tokenizer: Tokenizer, path: Path, count: int) -> Int[np.ndarray, " N"]:
    """One token a line; a line that is no token has to be encoded as one."""
    lines = path.read_text(encoding="utf-8").splitlines()
    checks.require(len(lines) == count, "lines", f"must be {count}, one a node of the graph", len(lines))
    found: list[int] = []
    for number, line in enumerate(lines, start=1):
        known = tokenizer.token_to_id(line)
        ids = [known] if known is not None else tokenizer.encode(line, add_special_tokens=False).ids
        checks.require(len(ids) == 1, f"line {number}", "must be one token", line)
        checks.require(ids[0] not in found, f"line {number}", "must be another token than the lines before it", line)
        found += ids
    return np.array(found)


def _read(opened: Opened, examples: int) -> JacobianInputs:
    """Test problems, read where the first step is predicted; of walks also the target is moved."""
    task, most = opened.task, opened.model.config.positions
    if task is None:
        raise ValueError(f"sources: must not hold jacobian for a language model, got {opened.name!r}")
    tokens = np.asarray(task.problems("test", examples), np.int32)[:, :most]
    checks.require(len(tokens) > 0, "sources", "must not hold jacobian for a task without test problems", len(tokens))
    if task.graph is None:
        place = task.format.prompt_length - 1
        return JacobianInputs(tokens, place, (place,))
    place = task.format.prompt_length  # the source once more: from here on nodes follow edges
    return JacobianInputs(tokens, place, (place, place - 1))
