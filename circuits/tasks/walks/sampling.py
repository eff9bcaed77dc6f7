"""Random walks between two nodes of a graph, each within the length of a format and without a node twice."""

import networkx as nx
import numpy as np
from jaxtyping import Bool, Int

from circuits import checks
from circuits.tasks.walks.format import PROMPT_LENGTH, WalkFormat
from circuits.tasks.walks.graphs import adjacency, distances


def random_walks(
    form: WalkFormat, graph: nx.DiGraph, pairs: Int[np.ndarray, "n 2"], seed: int, *, shortest: bool = False
) -> Int[np.ndarray, "n T"]:
    """One random walk for each pair (source, target), as ids of its line; int32.

    Each step is uniform over the successors from which the target can be reached within the steps left, and
    the walk stops when it first meets the target. There are longest - 1 steps; with ``shortest`` only as many
    as a shortest path has, so that every step leads nearer. On a DAG whose longest path fits, the successors
    are all that can still reach the target. On a graph with cycles the walk may come back to a node; its loops
    are then erased in the order in which they close, so that no node stands twice. The same seed gives the same
    walks, and the walks of one call are independent.

    Raises ValueError naming ``form`` when it is of another N or too short for the shortest path of a pair;
    ``seed`` below 0; ``pairs`` (see ``hops``) or ``graph`` (see ``check_graph``).
    """
    checks.integer("seed", seed, 0)
    checks.require(form.nodes == len(graph), "form", f"must have N = {len(graph)} nodes, as the graph", form.nodes)
    needed = hops(graph, pairs)
    longest = int(needed.max(initial=0)) + 1
    rule = f"longest must be at least {longest}, the nodes of a shortest path"
    checks.require(form.longest >= longest, "form", rule, form.longest)
    steps = needed if shortest else np.full_like(needed, form.longest - 1)
    walks = _walks(form, graph, pairs, steps, np.random.default_rng(seed))
    if not nx.is_directed_acyclic_graph(graph):
        walks = np.stack([_without_loops(form, walk) for walk in walks]) if len(walks) else walks
    rows = np.full((len(pairs), form.length), form.pad_token, dtype=np.int32)
    rows[:, :PROMPT_LENGTH], rows[:, PROMPT_LENGTH:-1] = pairs, walks
    rows[np.arange(len(pairs)), PROMPT_LENGTH + (walks < form.nodes).sum(axis=1)] = form.end_token
    return rows


def hops(graph: nx.DiGraph, pairs: Int[np.ndarray, "n 2"]) -> Int[np.ndarray, " n"]:
    """The number of edges of a shortest path of each pair; int32.

    Raises ValueError naming ``pairs`` for a label out of range, two equal ends, or a pair without path.
    """
    count = len(graph)
    outside = pairs[((pairs < 0) | (pairs >= count)).any(axis=1)]
    checks.require(len(outside) == 0, "pairs", f"each node must be below N = {count}", outside[:1].tolist())
    found = distances(graph)[pairs[:, 0], pairs[:, 1]]
    bad = pairs[(found == 0) | (found == count)]
    rule = "must be of two different nodes, with a path from the first to the second"
    checks.require(len(bad) == 0, "pairs", rule, bad[:1].tolist())
    return found


def _walks(
    form: WalkFormat,
    graph: nx.DiGraph,
    pairs: Int[np.ndarray, "n 2"],
    steps: Int[np.ndarray, " n"],
    rng: np.random.Generator,
) -> Int[np.ndarray, "n longest"]:
    after, there = _successors(graph)
    apart = distances(graph)
    # A walk has fewer edges than ``longest``, so what has no path is out of reach at every step.
    apart = np.where(apart < len(graph), apart, form.longest)
    walks = np.full((len(pairs), form.longest), form.pad_token, dtype=np.int32)
    walks[:, 0] = pairs[:, 0]
    moving = np.arange(len(pairs))
    for place in range(1, form.longest):
        if not len(moving):
            break
        here, target = walks[moving, place - 1], pairs[moving, 1]
        in_reach = apart[after[here], target[:, None]] <= (steps[moving] - place)[:, None]
        # The largest of independent uniform numbers is uniform over the places that take part.
        keys = np.where(there[here] & in_reach, rng.random(after[here].shape), -1.0)
        walks[moving, place] = after[here, keys.argmax(axis=1)]
        moving = moving[walks[moving, place] != target]
    return walks


def _successors(graph: nx.DiGraph) -> tuple[Int[np.ndarray, "N D"], Bool[np.ndarray, "N D"]]:
    """The successors of each node, sorted and padded to the largest number of them, and which are no padding."""
    edges = adjacency(graph)
    width = edges.sum(axis=1).max()
    order = np.argsort(~edges, axis=1, kind="stable")[:, :width]
    return order, np.take_along_axis(edges, order, axis=1)


def _without_loops(form: WalkFormat, walk: Int[np.ndarray, " longest"]) -> Int[np.ndarray, " longest"]:
    kept: list[int] = []
    for node in walk[walk < form.nodes].tolist():
        if node in kept:
            del kept[kept.index(node) :]
        kept.append(node)
    return np.asarray([*kept, *[form.pad_token] * (form.longest - len(kept))], dtype=np.int32)
