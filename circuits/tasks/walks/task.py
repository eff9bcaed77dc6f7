"""Walks in one graph as a task: which lines are trained on, and how generated walks are scored by the graph."""

from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import networkx as nx
import numpy as np
from jaxtyping import Array, Bool, Int

from circuits import checks
from circuits.tasks.intervals import percent, with_interval
from circuits.tasks.task import GRAPH_FILE, Report, Rows, Split, Task
from circuits.tasks.walks.answers import is_valid_walk
from circuits.tasks.walks.config import DagConfig, WalksConfig
from circuits.tasks.walks.format import WalkFormat, walk_format
from circuits.tasks.walks.graph_files import format_graph, read_graph
from circuits.tasks.walks.graphs import adjacency, check_dag, distances, random_dag, reachability
from circuits.tasks.walks.pairs import (
    MAX_DEGREE,
    Observed,
    Pairs,
    degrees,
    held_out_walks,
    observe,
    split_pairs,
    training_walks,
)

ORDER_SEED = 2**31 - 1
"""Seed of the order of test pairs, the same for every task."""


class Lines(NamedTuple):
    """Lines of walks. Those of pairs are in random order, so that the first of them are a fair sample."""

    train: Int[np.ndarray, "n T"]
    """The lines that are trained on."""
    test_pairs: Int[np.ndarray, "test T"]
    """One line for each test pair."""
    train_pairs: Int[np.ndarray, "train T"]
    """One line for each training pair."""


class Groups(NamedTuple):
    """Properties of every pair of nodes, by [source, target]; only defined if the target is reachable."""

    adjacency: Bool[np.ndarray, "N N"]
    reachability: Bool[np.ndarray, "N N"]
    degree: Int[np.ndarray, "N N"]
    """How far the pair is from the training walks, see ``circuits.tasks.walks.pairs.degrees``."""
    hops: Int[np.ndarray, "N N"]
    """Edges of a shortest path."""


class Judged(NamedTuple):
    """Facts about the answer to one pair.

    ``valid``: whether it is a walk that ends at the target. ``steps``: number of steps from node to node before the
    first token that is not a node. ``edges``: number of these that are edges of the graph. ``ahead``: number of these
    edges after which the target is reached or still reachable.
    """

    valid: Bool[Array, "*n"]
    steps: Int[Array, "*n"]
    edges: Int[Array, "*n"]
    ahead: Int[Array, "*n"]


def build(config: DagConfig, folder: Path | None = None) -> Task:
    """Build the task, in the graph of the folder, of the config's file, or a random one."""
    graph = nx.freeze(_graph(config, folder))

    def lines(format: WalkFormat, graph: nx.DiGraph, pairs: Pairs) -> Rows:
        return training_walks(format, graph, pairs, config.walks.paths_a_pair, config.walks.walk_seed)

    return walks_task(config, config.walks, "walks in one directed acyclic graph", walk_format(graph), graph, lines)


def walks_task(
    config: Any,
    walks: WalksConfig,
    words: str,
    format: WalkFormat,
    graph: nx.DiGraph,
    training_lines: Callable[[WalkFormat, nx.DiGraph, Pairs], Rows],
    *,
    plans: bool = False,
) -> Task:
    """Return the task of walks in a graph. With ``plans``, the share of shortest walks is also measured.

    Raises ValueError as ``split_pairs`` does.
    """
    pairs = split_pairs(graph, walks.train_share, walks.split_seed)

    @cache
    def lines() -> Lines:
        order = np.random.default_rng(ORDER_SEED)
        test = held_out_walks(format, graph, pairs, walks.walk_seed)
        train = held_out_walks(format, graph, Pairs(pairs.train, pairs.train), walks.walk_seed)
        test, train = (rows[order.permutation(len(rows))] for rows in (test, train))
        return Lines(training_lines(format, graph, pairs), test, train)

    @cache
    def observed() -> Observed:
        return observe(format, lines().train)

    @cache
    def groups() -> Groups:
        return groups_of(graph, observed())

    def problems(split: Split, count: int | None = None) -> Rows:
        checks.choice("split", split, ("train", "test"))
        return (lines().test_pairs if split == "test" else lines().train_pairs)[:count]

    def metrics(judged: Judged, rows: Rows) -> dict[str, Any]:
        return walk_metrics(judged, groups(), rows) | (optimal(judged, groups(), rows) if plans else {})

    return Task(
        config=config,
        words=words,
        format=format,
        training_set=lambda: lines().train,
        problems=problems,
        judge=lambda row, answer: judge(format, groups(), row, answer),
        metrics=metrics,
        unique_answers=False,
        report=partial(walk_report, words),
        status=_by_degree,
        legend="by degree: the same for pairs at distance 0, 1, 2, and 3 or more from the training walks",
        pad_token=format.pad_token,
        files={GRAPH_FILE: format_graph(graph)},
        graph=graph,
        observed=observed,
    )


def groups_of(graph: nx.DiGraph, observed: Observed) -> Groups:
    """Return the properties of all pairs of nodes by which answers are judged."""
    reachable, hops = reachability(graph), distances(graph)
    pairs = np.argwhere(reachable & ~np.eye(len(reachable), dtype=bool))
    degree = np.zeros_like(hops)
    degree[tuple(pairs.T)] = degrees(graph, observed, pairs)
    return Groups(adjacency(graph), reachable, degree, hops)


def judge(format: WalkFormat, groups: Groups, row: Int[Array, " T"], answer: Int[Array, " A"]) -> Judged:
    """Judge the answer to the pair at the beginning of a row; the rest of the row is ignored. Jittable."""
    edges, reachable = jnp.asarray(groups.adjacency), jnp.asarray(groups.reachability)
    prompt = row[: format.prompt_length]
    target = prompt[1]
    nodes = jnp.cumprod(answer < format.nodes) == 1  # before the first token that is not a node
    u, v = (jnp.minimum(part, format.nodes - 1) for part in (answer[:-1], answer[1:]))
    taken = nodes[1:]
    along = taken & edges[u, v]
    ahead = along & (reachable[v, target] | (v == target))
    counts = (jnp.sum(part, dtype=jnp.int32) for part in (taken, along, ahead))
    return Judged(is_valid_walk(edges, format, prompt, answer), *counts)


def walk_metrics(judged: Judged, groups: Groups, rows: Rows) -> dict[str, Any]:
    """Return the shares of valid answers and of correct steps, as values for JSON; None for an empty group.

    ``exact``: share of all pairs with a valid answer. ``by_degree``: the same for pairs of each degree, where the last
    entry includes higher degrees; ``degree_pairs``: how many pairs these are. ``by_hop`` and ``hop_pairs``: the same
    for pairs at distance 1, 2, .... ``steps``: share of all steps that follow an edge. ``steps_ahead``: share of these
    after which the target is reached or still reachable.
    """
    valid, steps, edges, ahead = (np.asarray(part) for part in judged)
    ends = tuple(rows[:, :2].T)
    degree, hop = groups.degree[ends], groups.hops[ends]
    farthest = int(groups.hops[groups.reachability].max())
    by_degree = [valid[degree == d] for d in range(MAX_DEGREE + 1)]
    by_hop = [valid[hop == h] for h in range(1, farthest + 1)]
    return {
        "exact": float(valid.mean()),
        "by_degree": [_share(part.sum(), part.size) for part in by_degree],
        "degree_pairs": [part.size for part in by_degree],
        "by_hop": [_share(part.sum(), part.size) for part in by_hop],
        "hop_pairs": [part.size for part in by_hop],
        "steps": _share(edges.sum(), steps.sum()),
        "steps_ahead": _share(ahead.sum(), edges.sum()),
    }


def optimal(judged: Judged, groups: Groups, rows: Rows) -> dict[str, Any]:
    """Return the share of pairs whose answer is a shortest walk, as a value for JSON."""
    valid, steps = np.asarray(judged.valid), np.asarray(judged.steps)
    return {"optimal": float((valid & (steps == groups.hops[tuple(rows[:, :2].T)])).mean())}


def walk_report(words: str, metrics: Mapping[str, Any], count: int) -> Report:
    """Return a table of the shares of valid walks, by degree, by distance and in total, and of correct steps.

    For plans, also the share of shortest plans.
    """
    degrees = [f"degree {degree}" for degree in range(len(metrics["by_degree"]))]
    degrees[-1] += " or more"
    hops = [f"distance {hop}" for hop in range(1, len(metrics["by_hop"]) + 1)]
    every = {"all": metrics["exact"]}
    every |= {"all, with the fewest moves": metrics["optimal"]} if "optimal" in metrics else {}
    groups = (
        zip(degrees, metrics["by_degree"], metrics["degree_pairs"], strict=True),
        zip(hops, metrics["by_hop"], metrics["hop_pairs"], strict=True),
        ((name, share, count) for name, share in every.items()),
    )
    sections = [
        tuple((name, str(pairs), *with_interval(share, pairs)) for name, share, pairs in group if share is not None)
        for group in groups
    ]
    steps = {"steps along edges": "steps", "of these, towards the target": "steps_ahead"}
    sections.append(tuple((name, "", percent(metrics[key]), "") for name, key in steps.items()))
    columns = "", "pairs", "valid walks", "95% interval"
    return Report(title=f"pairs of {words}", columns=columns, sections=tuple(sections))


def _graph(config: DagConfig, folder: Path | None) -> nx.DiGraph:
    walks = config.walks
    path = walks.file if folder is None else folder / GRAPH_FILE
    if path is None:
        return random_dag(config.labels, walks.edge_probability, walks.graph_seed)
    try:
        graph = read_graph(path)
        check_dag("graph", graph)
    except (OSError, ValueError) as error:
        raise ValueError(f"task.walks.file: must hold an acyclic graph, got {str(path)!r} ({error})") from error
    return graph


def _by_degree(means: Mapping[str, Any]) -> str:
    shares = ["-" if share is None else f"{100 * share:.0f}" for share in means["by_degree"]]
    return f"by degree {'/'.join(shares)}%"


def _share(part: Any, whole: Any) -> float | None:
    return float(part) / float(whole) if whole else None
