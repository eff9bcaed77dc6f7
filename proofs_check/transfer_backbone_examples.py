"""Examples of what the second step teaches the backbone: a graph of five nodes, a fork, and a random graph."""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Bool

from circuits.one_layer.counts import counts
from circuits.one_layer.decoding import follow
from circuits.one_layer.parameters import Options, Parameters, zeros
from circuits.one_layer.training import train_full_batch
from circuits.tasks.graphs import adjacency, graph_of, reachability
from circuits.tasks.walk_format import walk_format, walk_tokens
from proofs_check import transfer_training as training
from proofs_check.evidence import Evidence, at_most
from proofs_check.transfer_second_step import matrix_of, second_gradient

SEEN = (0, 1, 2, 3)
"""A path that is seen."""
SMALL = ((0, 1), (1, 2), (2, 3), (4, 2))
"""The smallest graph with an effect: 4 -> 2 is an edge, and 4 never was on a path to 3."""
FORK = ((0, 1), (1, 2), (2, 3), (5, 2), (6, 4), (6, 5))
"""The same with 5 in place of 4, a dead end 4, and a node 6 that leads to both."""
FORK_STEPS = 300
ADAM = optax.adam(0.05)


class Raised(NamedTuple):
    """On a random graph, by [row, k]: which entries (c) raises, of nodes with a successor seen two places on."""

    value: Bool[np.ndarray, "N N"]
    content: Bool[np.ndarray, "N N"]
    next: Bool[np.ndarray, "N N"]
    """k was seen next on a line with this target."""


@cache
def raised() -> Raised:
    data = training.walks(0)
    edges, nodes = adjacency(data.graph), training.NODES
    seen = np.zeros((3, nodes + 2, nodes + 2), int)
    path, targets = data.lines[:, 2:], np.broadcast_to(data.lines[:, 1:2], data.lines[:, 2:].shape)
    np.add.at(seen[0], (targets[:, 2:], path[:, 2:]), 1)
    np.add.at(seen[1], (path[:, :-2], path[:, 2:]), 1)
    np.add.at(seen[2], (targets[:, 1:], path[:, 1:]), 1)
    two, after, following = seen[:, :nodes, :nodes]
    to = edges.T.astype(int)
    return Raised(two @ to > 0, after @ to > 0, following > 0)


def random_graph() -> Evidence:
    """(d) on a random graph of 100 nodes."""
    reach, found = reachability(training.walks(0).graph), raised()
    false = int(np.sum(found.value & ~reach.T & ~np.eye(training.NODES, dtype=bool)))
    quantity = "100 nodes: entries of W^V that (c) raises though the target is out of reach"
    return at_most("exhaustive", quantity, false, 0, int(found.value.sum()))


def example() -> str:
    graph, flat = graph_of(5, list(SMALL)), np.zeros((7, 7))
    found = float(second_gradient(graph, [SEEN], flat, flat).value[3, 4])
    data, many = training.walks(0), raised()
    unseen, bare = reachability(data.graph).T & ~many.next, ~adjacency(data.graph)
    return (
        f"Edges {_arrows(SMALL)}, seen: the path 0 1 2 3, lambda = 1, all weights 0 (7 tokens, padding counted): "
        f"dL_2/dW^V[3, 4] = {found:.4f} = 3/7 - 1, while dL_1/dW^V[3, 4] = 4/7. Edges {_arrows(FORK)}, seen: the same "
        f"path and each edge, {FORK_STEPS} steps of Adam, W^T held at A: the pair (6, 3) is answered {_fork(0.0)} by "
        f"next-token prediction and {_fork(1.0)} with the second step; {_fork(1.0, held=False)} if W^T is let go. "
        f"100 nodes: (c) raises {int((many.value & unseen).sum()):,} of the {int(unseen.sum()):,} entries of W^V whose "
        f"node reaches the target but was never seen next on the way, and none whose node does not. The price is in "
        f"W^M: it raises {np.mean(many.content[bare]):.0%} of the entries without an edge too: nodes that share a "
        f"successor with a successor, which the next-token loss has to push down."
    )


def _arrows(edges: Sequence[tuple[int, int]]) -> str:
    return ", ".join(f"{u} -> {v}" for u, v in edges)


def _labels(parameters: Parameters) -> Any:
    """W^T is held."""
    held = {field: "held" if field == "transfers" else "free" for field in Parameters._fields}
    return jax.tree_util.tree_map_with_path(lambda path, _: held[path[0].name], parameters)


HELD = optax.multi_transform({"free": ADAM, "held": optax.set_to_zero()}, _labels)


def _fork(second: float, held: bool = True) -> str:
    """The greedy answer to (6, 3) on the graph with a fork, after training with this weight of the second step."""
    graph = graph_of(7, list(FORK))
    form = walk_format(graph)
    lines = np.stack([walk_tokens(form, path) for path in (*FORK, SEEN)])
    data = counts(lines, form.vocab_size, 2, form.pad_token, injection=False)
    matrix = jnp.asarray(matrix_of(adjacency(graph), form.vocab_size), jnp.float64)[None]
    start = zeros(form.vocab_size, 2)._replace(transfers=matrix)
    done = train_full_batch(data, start, Options(), (1.0, second), FORK_STEPS, HELD if held else ADAM).parameters
    path = [6, *np.asarray(follow(done.content, done.value[3], 6, form.answer_length)).tolist()]
    return " ".join(map(str, path[: path.index(form.end_token)]))
