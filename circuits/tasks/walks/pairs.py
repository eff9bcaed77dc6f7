"""Training and test walks in a graph, and what the training walks reveal of it (arXiv:2405.09220, arXiv:2509.23186).

The graph may have cycles. A pair consists of two different nodes, and no walk visits a node twice.
"""

from typing import NamedTuple

import networkx as nx
import numpy as np
from jaxtyping import Bool, Int

from circuits import checks, display
from circuits.tasks.walks.format import PROMPT_LENGTH, WalkFormat
from circuits.tasks.walks.graphs import adjacency, distances
from circuits.tasks.walks.sampling import hops, random_walks

MAX_DEGREE = 3
"""Larger degrees count as this one."""


class Pairs(NamedTuple):
    """Ordered pairs (source, target) of different nodes for training and for tests, sorted; int32."""

    train: Int[np.ndarray, "n 2"]
    test: Int[np.ndarray, "pairs 2"]

    _repr_html_ = display.html


class Observed(NamedTuple):
    """What training walks reveal of a graph: observed counterparts of ``adjacency`` and ``reachability``."""

    adjacency: Bool[np.ndarray, "N N"]
    """[u, v]: some walk takes the edge u -> v."""
    reachability: Bool[np.ndarray, "N N"]
    """[u, t]: some walk to the target t visits u after its first node. Every target t has [t, t]."""

    _repr_html_ = display.html


def split_pairs(graph: nx.DiGraph, train_share: float | int, seed: int) -> Pairs:
    """Split the reachable pairs of a graph into training and test pairs.

    All pairs joined by an edge are training pairs, and so is a random share of the other reachable pairs. Every target
    therefore has a training pair: the last edge of a path to it.

    Args:
        graph: the graph.
        train_share: the share of reachable pairs without an edge that are training pairs, in [0, 1]; their number is
            rounded.
        seed: at least 0.

    Raises:
        ValueError: if the graph has no edge or no other reachable pair, or ``train_share`` is out of range or leaves no
            test pair.

    Example:
        >>> from circuits.tasks import graph_from_edges
        >>> split_pairs(graph_from_edges(3, [(0, 1), (1, 2)]), train_share=0.1, seed=0).test.tolist()
        [[0, 2]]
    """
    checks.require(0 <= train_share <= 1, "train_share", "must be in [0, 1]", train_share)
    checks.integer("seed", seed, 0)
    lengths = distances(graph)
    direct, others = np.argwhere(lengths == 1), np.argwhere((lengths > 1) & (lengths < len(graph)))
    checks.require(len(direct) > 0, "graph", "must have at least one edge", 0)
    rule = "must have a reachable pair without an edge, for the tests"
    checks.require(len(others) > 0, "graph", rule, 0)
    count = round(train_share * len(others))
    rule = f"must leave at least one of {len(others)} pairs for the tests"
    checks.require(count < len(others), "train_share", rule, train_share)
    chosen = np.zeros(len(others), dtype=bool)
    chosen[np.random.default_rng(seed).permutation(len(others))[:count]] = True
    train = np.concatenate([direct, others[chosen]])
    ordered = train[np.lexsort(train.T[::-1])]
    return Pairs(ordered.astype(np.int32), others[~chosen].astype(np.int32))


def training_walks(
    format: WalkFormat, graph: nx.DiGraph, pairs: Pairs, paths_per_pair: int, seed: int
) -> Int[np.ndarray, "n T"]:
    """Return the training lines: each edge once as a walk of its own, then random walks for each training pair.

    Walks are independent draws of ``random_walks``, so a walk can occur twice. Lines are sorted by edge, then by pair,
    not shuffled.

    Args:
        format: the ids.
        graph: the graph.
        pairs: the split of ``split_pairs``; only its training pairs are used.
        paths_per_pair: the number of walks for each training pair, at least 0.
        seed: at least 0.

    Returns:
        The ids, int32.

    Raises:
        ValueError: if ``paths_per_pair`` or another argument is out of range, see ``random_walks``.

    Example:
        >>> from circuits.tasks import graph_from_edges
        >>> graph = graph_from_edges(3, [(0, 1), (1, 2)])
        >>> training_walks(WalkFormat(3, 3), graph, split_pairs(graph, 0, 0), paths_per_pair=2, seed=0).shape
        (6, 6)
    """
    checks.integer("paths_per_pair", paths_per_pair, 0)
    edges = np.argwhere(adjacency(graph)).astype(np.int32)
    ends = np.concatenate([edges, np.repeat(pairs.train, paths_per_pair, axis=0)])
    rows = random_walks(format, graph, ends, seed)
    # The walk in the line of an edge is the edge itself, and not the walk that was drawn.
    rows[: len(edges)] = format.pad_token
    rows[: len(edges), :PROMPT_LENGTH] = rows[: len(edges), PROMPT_LENGTH : PROMPT_LENGTH + 2] = edges
    rows[: len(edges), PROMPT_LENGTH + 2] = format.end_token
    return rows


def held_out_walks(format: WalkFormat, graph: nx.DiGraph, pairs: Pairs, seed: int) -> Int[np.ndarray, "pairs T"]:
    """Return one random walk for each test pair, as token ids; see ``random_walks``.

    Args:
        format: the ids.
        graph: the graph.
        pairs: the split of ``split_pairs``; only its test pairs are used.
        seed: at least 0.

    Raises:
        ValueError: if an argument is out of range, see ``random_walks``.

    Example:
        >>> from circuits.tasks import graph_from_edges
        >>> graph = graph_from_edges(3, [(0, 1), (1, 2)])
        >>> held_out_walks(WalkFormat(3, 3), graph, split_pairs(graph, 0, 0), seed=0).tolist()
        [[0, 2, 0, 1, 2, 3]]
    """
    return random_walks(format, graph, pairs.test, seed)


def observe(format: WalkFormat, rows: Int[np.ndarray, "n T"]) -> Observed:
    """Return the edges and the reachability that walks reveal: A_obs and R_obs of arXiv:2405.09220.

    The indices of R_obs are swapped here, to match ``reachability``. Following the paper, the first node of a walk does
    not count: a walk from s to t gives no entry [s, t]. Unlike in ``reachability``, each target t has [t, t].

    Args:
        format: the ids.
        rows: training lines.

    Raises:
        ValueError: if rows have another length, or an id is out of range.

    Example:
        >>> seen = observe(WalkFormat(4, 3), np.array([[0, 3, 0, 1, 3, 4]]))
        >>> np.argwhere(seen.adjacency).tolist(), np.argwhere(seen.reachability).tolist()
        ([[0, 1], [1, 3]], [[1, 3], [3, 3]])
    """
    checks.require(rows.shape[1] == format.length, "rows", f"must have length {format.length}", rows.shape)
    outside = rows[(rows < 0) | (rows >= format.vocab_size)]
    checks.require(outside.size == 0, "rows", f"ids must be below {format.vocab_size}", outside[:1].tolist())
    walk = rows[:, PROMPT_LENGTH:]
    edges, reached = np.zeros((2, format.vocab_size, format.vocab_size), dtype=bool)
    edges[walk[:, :-1], walk[:, 1:]] = True
    reached[walk[:, 1:], rows[:, 1:PROMPT_LENGTH]] = True
    return Observed(edges[: format.nodes, : format.nodes], reached[: format.nodes, : format.nodes])


def degrees(graph: nx.DiGraph, observed: Observed, pairs: Int[np.ndarray, "n 2"]) -> Int[np.ndarray, " n"]:
    """Return the degree of each pair: how far it is from the training walks (arXiv:2509.23186).

    The degree of (s, t) is the smallest distance from s to a node u with observed reachability [u, t], so 0 if s itself
    has it. A degree of 3 means 3 or more, or that no training walk leads to t.

    Args:
        graph: the graph.
        observed: what the training walks reveal.
        pairs: different nodes, with a path from the first to the second.

    Returns:
        Degrees 0 to 3, int32.

    Raises:
        ValueError: if ``observed`` belongs to a graph of another size, or ``pairs`` is invalid (see ``hops``).

    Example:
        >>> from circuits.tasks import graph_from_edges
        >>> observed = observe(WalkFormat(3, 3), np.array([[1, 2, 1, 2, 3, 4]]))
        >>> degrees(graph_from_edges(3, [(0, 1), (1, 2)]), observed, np.array([[1, 2], [0, 2]])).tolist()
        [1, 2]
    """
    count = len(graph)
    checks.shape("observed.reachability", observed.reachability, (count, count))
    hops(graph, pairs)
    lengths, known = distances(graph), observed.reachability.astype(np.float32)
    # With D_k[s, u] = 1 for u within k edges of s, entry [s, t] of D_k R_obs counts the nodes u with R_obs[u, t].
    # Distance N means unreachable, and N > k except for N = 2, where both nodes of a pair are reachable anyway.
    within = [(lengths <= k).astype(np.float32) @ known > 0 for k in range(MAX_DEGREE)]
    result = MAX_DEGREE - np.stack(within).astype(np.int32).sum(axis=0)
    return result[pairs[:, 0], pairs[:, 1]]
