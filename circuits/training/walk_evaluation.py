"""How well a model walks: greedy answers judged by the graph, where every valid walk counts, not the one trained on."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from circuits.one_layer.module import OneLayer
from circuits.tasks.walks.answers import is_valid_walk
from circuits.tasks.walks.format import WalkFormat
from circuits.tasks.walks.pairs import MAX_DEGREE
from circuits.training.walk_data import Groups
from circuits.transformer.generate import greedy
from circuits.transformer.model import Predictor

CHUNK = 512
"""Pairs answered at once, which bounds the memory."""


class Judged(NamedTuple):
    """Of the answer to each pair.

    ``valid``: it is a walk from source to target, and ends there. ``steps``: its steps from node to node, up to the
    first token that is no node. ``edges``: those that are edges of the graph. ``ahead``: those of them after which the
    target is reached or can be.
    """

    valid: Bool[Array, " n"]
    steps: Int[Array, " n"]
    edges: Int[Array, " n"]
    ahead: Int[Array, " n"]


@partial(jax.jit, static_argnames="form")
def judged(
    model: Predictor | OneLayer,
    form: WalkFormat,
    adjacency: Bool[Array, "N N"],
    reachability: Bool[Array, "N N"],
    rows: Int[Array, "n T"],
) -> Judged:
    """What is to be said of the model's answers to the pairs that rows begin with; the rest of a row is not read."""

    def one(row: Int[Array, " T"]) -> Judged:
        prompt = row[: form.prompt_length]
        answer = greedy(model, prompt, form.answer_length)
        steps = _steps(form, adjacency, reachability, prompt[1], answer)
        return Judged(is_valid_walk(adjacency, form, prompt, answer), *steps)

    return jax.lax.map(one, rows.astype(jnp.int32), batch_size=min(CHUNK, rows.shape[0]))


def figures(found: Judged, groups: Groups, rows: Int[np.ndarray, "n T"]) -> dict[str, Any]:
    """Shares of pairs with a valid answer, in all and in groups, and of single steps; plain values for JSON.

    ``exact``: of all. ``by_degree``: entry d of pairs of degree d, the last d or more; ``degree_pairs`` says how many
    there are. ``by_hop`` and ``hop_pairs``: entry h - 1 of pairs at distance h. ``steps``: steps along edges among all
    steps. ``steps_ahead``: those that keep the target in reach among steps along edges. None where there is nothing.
    """
    valid, steps, edges, ahead = (np.asarray(part) for part in found)
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


def optimal_figures(found: Judged, groups: Groups, rows: Int[np.ndarray, "n T"]) -> dict[str, Any]:
    """``optimal``: the share of pairs whose answer is valid and has as few edges as any walk; a value for JSON."""
    valid, steps, *_ = (np.asarray(part) for part in found)
    return {"optimal": float((valid & (steps == groups.hops[tuple(rows[:, :2].T)])).mean())}


def _share(part: Any, whole: Any) -> float | None:
    return float(part) / float(whole) if whole else None


def _steps(
    form: WalkFormat,
    adjacency: Bool[Array, "N N"],
    reachability: Bool[Array, "N N"],
    target: Int[Array, ""],
    answer: Int[Array, " A"],
) -> tuple[Int[Array, ""], Int[Array, ""], Int[Array, ""]]:
    nodes = jnp.cumprod(answer < form.nodes) == 1  # up to the first token that is no node
    u, v = (jnp.minimum(part, form.nodes - 1) for part in (answer[:-1], answer[1:]))
    taken = nodes[1:]
    along = taken & adjacency[u, v]
    ahead = along & (reachability[v, target] | (v == target))
    steps, edges, kept = (jnp.sum(part, dtype=jnp.int32) for part in (taken, along, ahead))
    return steps, edges, kept
