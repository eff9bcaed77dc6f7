"""Training and test walks in a graph, and what the training walks show of it.

On a graph with cycles as on a DAG: pairs are of two different nodes, and no walk visits a node twice.
Source: arXiv:2405.09220 (ALPINE) and arXiv:2509.23186.
"""

from typing import NamedTuple

import networkx as nx
import numpy as np
from jaxtyping import Bool, Int

from circuits import checks
from circuits.tasks.walks.format import PROMPT_LENGTH, WalkFormat
from circuits.tasks.walks.graphs import adjacency, distances
from circuits.tasks.walks.sampling import hops, random_walks

__all__ = ["Observed", "Pairs", "degrees", "hops", "observed", "split_pairs", "test_walks", "training_walks"]

MAX_DEGREE = 3
"""Degrees of this and more are one class."""


class Pairs(NamedTuple):
    """Ordered pairs (source, target) of different nodes, sorted; int32."""

    train: Int[np.ndarray, "n 2"]
    test: Int[np.ndarray, "m 2"]


class Observed(NamedTuple):
    """What training walks show of a graph, in the place of ``adjacency`` and ``reachability``."""

    adjacency: Bool[np.ndarray, "N N"]
    """[u, v]: some walk takes the edge u -> v."""
    reachability: Bool[np.ndarray, "N N"]
    """[u, t]: some walk to the target t visits u after its first place; t itself is visited by each walk to t."""


def split_pairs(graph: nx.DiGraph, share: float | int, seed: int) -> Pairs:
    """Split the reachable pairs of a graph: those joined by an edge, and a share of the others, are for training.

    Of n pairs that are reachable but joined by no edge, round(share n) are drawn for training, uniformly; the
    rest is for tests. So each target has a training pair: the last edge of a path to it. ``share`` in [0, 1].

    Raises ValueError naming ``graph`` when it has no edge, or no reachable pair but its edges; ``share`` when it
    is out of range or leaves no pair for tests.
    """
    checks.require(0 <= share <= 1, "share", "must lie in [0, 1]", share)
    checks.integer("seed", seed, 0)
    apart = distances(graph)
    direct, others = np.argwhere(apart == 1), np.argwhere((apart > 1) & (apart < len(graph)))
    checks.require(len(direct) > 0, "graph", "must have at least one edge", 0)
    rule = "must have a pair that is reachable, but by no edge, for the tests"
    checks.require(len(others) > 0, "graph", rule, 0)
    count = round(share * len(others))
    rule = f"must leave at least one of {len(others)} pairs for the tests"
    checks.require(count < len(others), "share", rule, share)
    drawn = np.zeros(len(others), dtype=bool)
    drawn[np.random.default_rng(seed).permutation(len(others))[:count]] = True
    train = np.concatenate([direct, others[drawn]])
    ordered = train[np.lexsort(train.T[::-1])]
    return Pairs(ordered.astype(np.int32), others[~drawn].astype(np.int32))


def training_walks(
    form: WalkFormat, graph: nx.DiGraph, pairs: Pairs, paths_a_pair: int, seed: int
) -> Int[np.ndarray, "n T"]:
    """The lines of training: each edge alone, once, then ``paths_a_pair`` >= 0 walks for each training pair.

    Walks are independent draws of ``random_walks``, so one may come twice. Lines are in the order of the edges
    and then of the pairs, not shuffled; int32 ids.

    Raises ValueError naming ``paths_a_pair``, ``seed``, ``form`` or ``pairs`` (see ``random_walks``).
    """
    checks.integer("paths_a_pair", paths_a_pair, 0)
    edges = np.argwhere(adjacency(graph)).astype(np.int32)
    asked = np.concatenate([edges, np.repeat(pairs.train, paths_a_pair, axis=0)])
    rows = random_walks(form, graph, asked, seed)
    # The walk of an edge's line is the edge, whatever was drawn for it.
    rows[: len(edges)] = form.pad_token
    rows[: len(edges), :PROMPT_LENGTH] = rows[: len(edges), PROMPT_LENGTH : PROMPT_LENGTH + 2] = edges
    rows[: len(edges), PROMPT_LENGTH + 2] = form.end_token
    return rows


def held_out_walks(form: WalkFormat, graph: nx.DiGraph, pairs: Pairs, seed: int) -> Int[np.ndarray, "m T"]:
    """One line for each test pair, a draw of ``random_walks``; int32 ids.

    Raises ValueError naming ``seed``, ``form`` or ``pairs`` (see ``random_walks``).
    """
    return random_walks(form, graph, pairs.test, seed)


def observe(form: WalkFormat, rows: Int[np.ndarray, "n T"]) -> Observed:
    """The edges and the reachability that lines of walks show.

    ALPINE's A_obs, and its R_obs with the indices swapped, so that it compares with ``reachability``. The source
    of a line counts in the prompt and not in the walk: the line alone does not show that it reaches the target.
    Unlike in ``reachability``, [t, t] holds for each target t.

    Raises ValueError naming ``rows`` for another length or an id out of range.
    """
    checks.require(rows.shape[1] == form.length, "rows", f"must have length {form.length}", rows.shape)
    outside = rows[(rows < 0) | (rows >= form.vocab_size)]
    checks.require(outside.size == 0, "rows", f"ids must be below {form.vocab_size}", outside[:1].tolist())
    walk = rows[:, PROMPT_LENGTH:]
    edges, reached = np.zeros((2, form.vocab_size, form.vocab_size), dtype=bool)
    edges[walk[:, :-1], walk[:, 1:]] = True
    reached[walk[:, 1:], rows[:, 1:PROMPT_LENGTH]] = True
    return Observed(edges[: form.nodes, : form.nodes], reached[: form.nodes, : form.nodes])


def degrees(graph: nx.DiGraph, observe: Observed, pairs: Int[np.ndarray, "n 2"]) -> Int[np.ndarray, " n"]:
    """How far a pair (s, t) is from what was observed: the least distance from s to a node u with R_obs[u, t].

    0 when R_obs[s, t] itself; 3 stands for 3 or more, and for a target to which no training walk leads. int32.

    Raises ValueError naming ``observed`` when it is of another graph's size, or ``pairs`` (see ``hops``).
    """
    count = len(graph)
    checks.shape("observed.reachability", observe.reachability, (count, count))
    hops(graph, pairs)
    apart, known = distances(graph), observe.reachability.astype(np.float32)
    # [s, t] of D_k R_obs, where D_k[s, u] is 1 for u within k edges of s: how many such u have R_obs[u, t].
    # Out of reach is N > k, but for N = 2, where both nodes of a pair are in reach.
    within = [(apart <= k).astype(np.float32) @ known > 0 for k in range(MAX_DEGREE)]
    found = MAX_DEGREE - np.stack(within).astype(np.int32).sum(axis=0)
    return found[pairs[:, 0], pairs[:, 1]]
