"""The lines of a task of walks, and what its training lines show of the graph: pure functions of the task."""

from functools import cache, lru_cache
from typing import NamedTuple

import networkx as nx
import numpy as np
from jaxtyping import Bool, Int

from circuits import require
from circuits.tasks.graphs import adjacency, distances, reachability
from circuits.tasks.walk_format import WalkFormat, walk_tokens
from circuits.tasks.walks import Observed, Pairs, degrees, observed, split_pairs, test_walks, training_walks
from circuits.transformer.training.task_config import TaskConfig

ORDER_SEED = 2**31 - 1
"""Of the order of test pairs, the same for every task."""


class Walks(NamedTuple):
    """A task of walks, made."""

    graph: nx.DiGraph
    form: WalkFormat
    pairs: Pairs
    train: Int[np.ndarray, "n T"]
    """The lines that are trained on."""
    test: Int[np.ndarray, "m T"]
    """A line for each test pair, in random order, so that the first of them are a fair sample."""
    train_sample: Int[np.ndarray, "p T"]
    """A line for each training pair, likewise."""
    observed: Observed


class Groups(NamedTuple):
    """Of every pair of nodes, by [source, target]; meant where the target can be reached."""

    adjacency: Bool[np.ndarray, "N N"]
    reachability: Bool[np.ndarray, "N N"]
    degree: Int[np.ndarray, "N N"]
    """How much of the way was observed, see ``circuits.tasks.walks.degrees``."""
    hops: Int[np.ndarray, "N N"]
    """Edges of a shortest path."""


@lru_cache(maxsize=4)
def walks_of(task: TaskConfig) -> Walks:
    """All that is trained and tested on. Raises ValueError for a task of other problems, and what ``split_pairs`` does.

    A task with a file is made once in a process, whatever becomes of the file.
    """
    graph, form, chosen = task.walk_graph, task.walk_format, task.walks
    pairs = split_pairs(graph, chosen.train_share, chosen.split_seed)
    train = training_walks(form, graph, pairs, chosen.paths_a_pair, chosen.walk_seed)
    if task.graph == "blocksworld":
        train = with_shortest(form, graph, train, chosen.optimal_share, chosen.walk_seed)
    order = np.random.default_rng(ORDER_SEED)
    test = test_walks(form, graph, pairs, chosen.walk_seed)
    seen = test_walks(form, graph, Pairs(pairs.train, pairs.train), chosen.walk_seed)
    test, seen = (rows[order.permutation(len(rows))] for rows in (test, seen))
    return Walks(graph, form, pairs, train, test, seen, observed(form, train))


def with_shortest(
    form: WalkFormat, graph: nx.DiGraph, rows: Int[np.ndarray, "n T"], share: float | int, seed: int
) -> Int[np.ndarray, "n T"]:
    """The lines, of which each is with probability ``share`` replaced by a shortest walk between its ends.

    Of the shortest ones it is a uniform draw.
    """
    random, found = np.random.default_rng([seed, 1]), rows.copy()
    shortest = cache(lambda s, t: list(nx.all_shortest_paths(graph, s, t)))
    for place in np.flatnonzero(random.random(len(rows)) < share):
        source, target = rows[place, :2].tolist()
        walks = shortest(source, target)
        found[place] = walk_tokens(form, walks[random.integers(len(walks))])
    return found


@lru_cache(maxsize=4)
def groups_of(task: TaskConfig) -> Groups:
    """The matrices of a task of walks, by which its answers are judged."""
    walks = walks_of(task)
    reached, apart = reachability(walks.graph), distances(walks.graph)
    known = np.argwhere(reached & ~np.eye(len(reached), dtype=bool))
    degree = np.zeros_like(apart)
    degree[tuple(known.T)] = degrees(walks.graph, walks.observed, known)
    return Groups(adjacency(walks.graph), reached, degree, apart)


def pair_lines(task: TaskConfig, split: str) -> Int[np.ndarray, "n T"]:
    """A line for each pair of a split, in random order."""
    require.choice("split", split, ("train", "test"))
    walks = walks_of(task)
    return walks.test if split == "test" else walks.train_sample
