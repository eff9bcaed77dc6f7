"""Random walks between two nodes of a graph, each within the length of a format and without a repeated node."""

import networkx as nx
import numpy as np
from jaxtyping import Bool, Int

from circuits import checks
from circuits.tasks.walks.format import PROMPT_LENGTH, WalkFormat
from circuits.tasks.walks.graphs import adjacency, distances


def random_walks(
    format: WalkFormat, graph: nx.DiGraph, pairs: Int[np.ndarray, "n 2"], seed: int, *, shortest: bool = False
) -> Int[np.ndarray, "n T"]:
    """Return one random walk for each pair (source, target), as token ids.

    Each step is uniform over the successors from which the target is reachable within the remaining steps, and the walk
    stops when it first reaches the target. On a DAG whose longest path fits the format, these are all successors from
    which the target is reachable. On a graph with cycles a walk may return to a node; its loops are then erased in the
    order in which they close, so that no node is repeated.

    Args:
        format: the ids; a walk has at most ``longest`` - 1 steps.
        graph: the graph, with or without cycles.
        pairs: source and target of each walk: different nodes, with a path between them.
        seed: at least 0; the same seed gives the same walks, and the walks of one call are independent.
        shortest: allow only as many steps as a shortest path has, so that every step comes nearer to the target.

    Returns:
        The ids, int32.

    Raises:
        ValueError: if ``format`` has another N than the graph or is too short for a shortest path, ``seed`` is
            negative, or ``pairs`` or ``graph`` is invalid (see ``hops``, ``check_graph``).

    Example:
        >>> from circuits.tasks import graph_from_edges
        >>> graph = graph_from_edges(4, [(0, 1), (1, 2), (2, 3), (0, 2)])
        >>> random_walks(WalkFormat(4, 4), graph, np.array([[0, 3]]), seed=0, shortest=True).tolist()
        [[0, 3, 0, 2, 3, 4, 5]]
    """
    checks.integer("seed", seed, 0)
    rule = f"must have N = {len(graph)} nodes, as the graph"
    checks.require(format.nodes == len(graph), "format", rule, format.nodes)
    needed = hops(graph, pairs)
    longest = int(needed.max(initial=0)) + 1
    rule = f"longest must be at least {longest}, the nodes of a shortest path"
    checks.require(format.longest >= longest, "format", rule, format.longest)
    max_steps = needed if shortest else np.full_like(needed, format.longest - 1)
    walks = _random_walks(format, graph, pairs, max_steps, np.random.default_rng(seed))
    if len(walks) and not nx.is_directed_acyclic_graph(graph):
        walks = np.stack([_erase_loops(format, walk) for walk in walks])
    rows = np.full((len(pairs), format.length), format.pad_token, dtype=np.int32)
    rows[:, :PROMPT_LENGTH], rows[:, PROMPT_LENGTH:-1] = pairs, walks
    rows[np.arange(len(pairs)), PROMPT_LENGTH + (walks < format.nodes).sum(axis=1)] = format.end_token
    return rows


def hops(graph: nx.DiGraph, pairs: Int[np.ndarray, "n 2"]) -> Int[np.ndarray, " n"]:
    """Return the number of edges of a shortest path of each pair; int32.

    Args:
        graph: a directed graph on range(N).
        pairs: source and target of each path, two different nodes.

    Raises:
        ValueError: if a node is out of range, or a pair has two equal nodes or no path.

    Example:
        >>> from circuits.tasks import graph_from_edges
        >>> hops(graph_from_edges(3, [(0, 1), (1, 2)]), np.array([[0, 2], [1, 2]])).tolist()
        [2, 1]
    """
    count = len(graph)
    outside = pairs[((pairs < 0) | (pairs >= count)).any(axis=1)]
    checks.require(len(outside) == 0, "pairs", f"each node must be below N = {count}", outside[:1].tolist())
    result = distances(graph)[pairs[:, 0], pairs[:, 1]]
    bad = pairs[(result == 0) | (result == count)]
    rule = "must be two different nodes, with a path from the first to the second"
    checks.require(len(bad) == 0, "pairs", rule, bad[:1].tolist())
    return result


def _random_walks(
    format: WalkFormat,
    graph: nx.DiGraph,
    pairs: Int[np.ndarray, "n 2"],
    max_steps: Int[np.ndarray, " n"],
    rng: np.random.Generator,
) -> Int[np.ndarray, "n longest"]:
    successors, exists = _padded_successors(graph)
    to_target = distances(graph)
    # A walk has fewer edges than ``longest``, so this distance puts an unreachable target out of reach at every step.
    to_target = np.where(to_target < len(graph), to_target, format.longest)
    walks = np.full((len(pairs), format.longest), format.pad_token, dtype=np.int32)
    walks[:, 0] = pairs[:, 0]
    moving = np.arange(len(pairs))
    for step in range(1, format.longest):
        if not len(moving):
            break
        node, target = walks[moving, step - 1], pairs[moving, 1]
        in_reach = to_target[successors[node], target[:, None]] <= (max_steps[moving] - step)[:, None]
        # The position of the largest of independent uniform numbers is uniform over the allowed successors.
        keys = np.where(exists[node] & in_reach, rng.random(successors[node].shape), -1.0)
        walks[moving, step] = successors[node, keys.argmax(axis=1)]
        moving = moving[walks[moving, step] != target]
    return walks


def _padded_successors(graph: nx.DiGraph) -> tuple[Int[np.ndarray, "N width"], Bool[np.ndarray, "N width"]]:
    """Return the sorted successors of each node, padded to the largest out-degree, and which are not padding."""
    edges = adjacency(graph)
    width = edges.sum(axis=1).max()
    order = np.argsort(~edges, axis=1, kind="stable")[:, :width]
    return order, np.take_along_axis(edges, order, axis=1)


def _erase_loops(format: WalkFormat, walk: Int[np.ndarray, " longest"]) -> Int[np.ndarray, " longest"]:
    path: list[int] = []
    for node in walk[walk < format.nodes].tolist():
        if node in path:
            del path[path.index(node) :]
        path.append(node)
    return np.asarray([*path, *[format.pad_token] * (format.longest - len(path))], dtype=np.int32)
