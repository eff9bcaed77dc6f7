"""The lines of a task of walks, and what its training lines show of the graph: pure functions of the task."""

from functools import lru_cache
from typing import NamedTuple

import networkx as nx
import numpy as np
from jaxtyping import Bool, Int

from circuits import checks
from circuits.tasks.blocksworld.plans import training_plans
from circuits.tasks.walks.format import WalkFormat
from circuits.tasks.walks.graphs import adjacency, distances, reachability
from circuits.tasks.walks.pairs import Observed, Pairs, degrees, held_out_walks, observe, split_pairs, training_walks
from circuits.training.task_config import TaskConfig
from circuits.training.walk_graph import blocks_world

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
    """How much of the way was observed, see ``circuits.tasks.walks.pairs.degrees``."""
    hops: Int[np.ndarray, "N N"]
    """Edges of a shortest path."""


def walks_of(task: TaskConfig) -> Walks:
    """All that is trained and tested on. Raises ValueError for a task of other problems, and what ``split_pairs`` does.

    A task with a file is about the file as it is now.
    """
    return _made(task, task.walk_graph)


@lru_cache(maxsize=4)
def _made(task: TaskConfig, graph: nx.DiGraph) -> Walks:
    form, chosen = task.walk_format, task.walks
    pairs = split_pairs(graph, chosen.train_share, chosen.split_seed)
    train = _training_lines(task, graph, pairs)
    order = np.random.default_rng(ORDER_SEED)
    test = held_out_walks(form, graph, pairs, chosen.walk_seed)
    seen = held_out_walks(form, graph, Pairs(pairs.train, pairs.train), chosen.walk_seed)
    test, seen = (rows[order.permutation(len(rows))] for rows in (test, seen))
    return Walks(graph, form, pairs, train, test, seen, observe(form, train))


def _training_lines(task: TaskConfig, graph: nx.DiGraph, pairs: Pairs) -> Int[np.ndarray, "n T"]:
    form, chosen = task.walk_format, task.walks
    if task.graph != "blocksworld":
        return training_walks(form, graph, pairs, chosen.paths_a_pair, chosen.walk_seed)
    world = blocks_world(chosen.blocks)
    return training_plans(form, world, pairs, chosen.paths_a_pair, chosen.optimal_share, chosen.walk_seed)


def groups_of(task: TaskConfig) -> Groups:
    """The matrices of a task of walks, by which its answers are judged."""
    return _grouped(task, task.walk_graph)


@lru_cache(maxsize=4)
def _grouped(task: TaskConfig, graph: nx.DiGraph) -> Groups:
    walks = _made(task, graph)
    reached, apart = reachability(walks.graph), distances(walks.graph)
    known = np.argwhere(reached & ~np.eye(len(reached), dtype=bool))
    degree = np.zeros_like(apart)
    degree[tuple(known.T)] = degrees(walks.graph, walks.observed, known)
    return Groups(adjacency(walks.graph), reached, degree, apart)


def pair_lines(task: TaskConfig, split: str) -> Int[np.ndarray, "n T"]:
    """A line for each pair of a split, in random order."""
    checks.choice("split", split, ("train", "test"))
    walks = walks_of(task)
    return walks.test if split == "test" else walks.train_sample
