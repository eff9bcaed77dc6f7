"""The inputs of ``circuits probe adjacency``: graph, references and matrices, from options and checkpoint."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import networkx as nx
import numpy as np
from jaxtyping import Int
from tokenizers import Tokenizer

from circuits import checks
from circuits.cli.probe import AdjacencyOptions
from circuits.models import LoadedModel, held_out_problems
from circuits.probes import NamedMatrices, Reference, graph_references
from circuits.probes.adjacency.find import min_draws
from circuits.probes.adjacency.gather import (
    JacobianInputs,
    Model,
    check_prediction_head,
    default_sources,
    gather_matrices,
)
from circuits.probes.adjacency.references import absent_powers
from circuits.tasks.task import Task
from circuits.tasks.walks.graph_files import read_graph
from circuits.tasks.walks.pairs import Observed

UNTRAINED = 39
"""The default number of untrained models: the smallest p-value is 1/40."""


class Plan(NamedTuple):
    """The references, and how to gather matrices from a model."""

    graph: nx.DiGraph
    references: tuple[Reference, ...]
    absent: tuple[int, ...]
    """Powers that are constant within every row."""
    sources: tuple[str, ...]
    gather: Callable[[Model], NamedMatrices]
    untrained: int
    head: int
    """The prediction head whose logits are read."""
    labels: int | None
    """The number of labels of the model, of which the nodes are the first; None for language models."""


def make_plan(opened: LoadedModel, options: AdjacencyOptions) -> Plan:
    """Return the plan for a checkpoint. Raises ValueError naming an option that does not fit the checkpoint."""
    checks.integer("examples", options.examples, min_value=1)
    default = 0 if opened.task is None else UNTRAINED
    untrained = default if options.untrained is None else options.untrained
    smallest = min_draws(options.level)
    checks.integer("draws", options.draws, min_value=max(smallest, 2))
    rule = f"must be 0, or at least {smallest} at this level"
    checks.require(untrained == 0 or untrained >= smallest, "untrained", rule, untrained)
    checks.integer("powers", options.powers, min_value=1)
    words = tuple(word.strip() for word in options.sources.split(","))
    sources = words if options.sources else default_sources(opened.model)
    check_prediction_head(opened.model, sources, options.head)
    labels = _labels(opened.task) if opened.task is not None else None
    graph, observed = _graph(opened, options.graph)
    with _naming_file("graph", "must be a graph that fits the model", options.graph):
        _check_size(opened, len(graph), labels)
        references = graph_references(graph, options.powers, observed)
    nodes = _nodes(opened, options.node_tokens, len(graph))
    inputs = _jacobian_inputs(opened, options.examples) if "jacobian" in sources else None

    def gather(model: Model) -> NamedMatrices:
        return gather_matrices(model, nodes, sources, inputs, options.head)

    absent = absent_powers(references, options.powers)
    return Plan(graph, references, absent, sources, gather, untrained, options.head, labels)


def title_of(opened: LoadedModel, plan: Plan) -> str:
    """Return the name of the model, with its prediction head and graph unless they are the default."""
    parts = [opened.name]
    if plan.head > 0:
        parts.append(f"prediction head {plan.head}")
    if plan.labels is not None and len(plan.graph) < plan.labels:
        parts.append(f"graph of {len(plan.graph)} of its {plan.labels} labels")
    return ", ".join(parts)


@contextmanager
def _naming_file(option: str, rule: str, path: Path | None) -> Iterator[None]:
    """Add the option and the path to errors about the content of a file."""
    try:
        yield
    except OSError as error:
        raise ValueError(f"{option}: must be a file, got {str(path)!r} ({error.strerror})") from error
    except ValueError as error:
        if path is None:
            raise
        text = str(error).removeprefix("path: ").removeprefix(f"{option}: ")
        raise ValueError(f"{option}: {rule}, got {str(path)!r} ({text})") from error


def _graph(opened: LoadedModel, path: Path | None) -> tuple[nx.DiGraph, Observed | None]:
    """Return the graph of the file, or else that of the training with the part observed in the training data."""
    if path is not None:
        with _naming_file("graph", "must hold an edge list or GraphML", path):
            return read_graph(path), None
    if opened.task is None or opened.task.graph is None or opened.task.observed is None:
        raise ValueError(f"graph: must be given for a model that was not trained on one graph, got {opened.name!r}")
    return opened.task.graph, opened.task.observed()


def _check_size(opened: LoadedModel, count: int, labels: int | None) -> None:
    """Check that the nodes are the labels of a model of walks, or the first labels of any other model."""
    if opened.task is None or labels is None:
        return
    if opened.task.graph is not None:
        checks.require(count == labels, "graph", f"must have {labels} nodes, those of the walks of this model", count)
    checks.require(count <= labels, "graph", f"must have at most {labels} nodes, the labels of this model", count)


def _nodes(opened: LoadedModel, path: Path | None, count: int) -> Int[np.ndarray, " N"]:
    """Return the token id of each node: its own number if the model was trained on labels."""
    if opened.task is not None:
        rule = "must be left out for a model that was trained on labels"
        checks.require(path is None, "node_tokens", rule, str(path))
        return np.arange(count)
    if path is None:
        raise ValueError("node_tokens: must be given for a language model, got None")
    if opened.tokenizer is None:
        raise ValueError(f"node_tokens: must be left out for a model without a tokenizer, got {str(path)!r}")
    with _naming_file("node_tokens", "must hold one token of the model on each line, a line for each node", path):
        return _token_ids(opened.tokenizer, path, count)


def _labels(task: Task) -> int:
    return len(task.graph) if task.graph is not None else task.format.family.labels


def _token_ids(tokenizer: Tokenizer, path: Path, count: int) -> Int[np.ndarray, " N"]:
    """Return the token id of each line; a line that is not in the vocabulary must be encoded as one token."""
    lines = path.read_text(encoding="utf-8").splitlines()
    checks.require(len(lines) == count, "lines", f"must be {count}, one for each node of the graph", len(lines))
    chosen: list[int] = []
    for number, line in enumerate(lines, start=1):
        known = tokenizer.token_to_id(line)
        ids = [known] if known is not None else tokenizer.encode(line, add_special_tokens=False).ids
        checks.require(len(ids) == 1, f"line {number}", "must be one token", line)
        checks.require(ids[0] not in chosen, f"line {number}", "must be another token than the lines before it", line)
        chosen += ids
    return np.array(chosen)


def _jacobian_inputs(opened: LoadedModel, examples: int) -> JacobianInputs:
    """Return test problems and the positions of Jacobians: that of the first step, and for walks also of the target."""
    task = opened.task
    if task is None:
        raise ValueError(f"sources: must not hold jacobian for a language model, got {opened.name!r}")
    tokens = held_out_problems(opened, examples)[:, : opened.model.config.positions]
    checks.require(len(tokens) > 0, "sources", "must not hold jacobian for a task without test problems", len(tokens))
    if task.graph is None:
        position = task.format.prompt_length - 1
        return JacobianInputs(tokens, position, (position,))
    position = task.format.prompt_length  # the source is repeated here, and the walk starts
    return JacobianInputs(tokens, position, (position, position - 1))
