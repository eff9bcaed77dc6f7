"""Check whether an answer is a walk from the source to the target of its prompt."""

from collections.abc import Sequence
from typing import Literal

import jax.numpy as jnp
import networkx as nx
import numpy as np
from jax import Array
from jaxtyping import Bool, Int

from circuits import checks
from circuits.tasks.walks.format import WalkFormat
from circuits.tasks.walks.graphs import adjacency
from circuits.typing import AnyArray, Label

WalkOutcome = Literal["valid", "wrong start", "no such edge", "repeated node", "wrong end", "no end"]


def check_walk(
    graph: nx.DiGraph | Bool[np.ndarray, "N N"],
    source: Label | np.integer,
    target: Label | np.integer,
    answer_ids: Sequence[int] | Int[AnyArray, " A"],
    format: WalkFormat,
) -> WalkOutcome:
    """Read an answer up to its end token, and return its first error, or "valid".

    Args:
        graph: a graph, or its adjacency matrix.
        source: the first node of the prompt.
        target: the second node of the prompt.
        answer_ids: the token ids after the prompt.
        format: the ids; its N must be that of the graph.

    Returns:
        "wrong start": the first id is not the source. "no such edge": an id before the end token is not a node, or no
        edge leads to it from the previous node. "repeated node": the walk returns to a node. "wrong end": the node
        before the end token is not the target. "no end": there is no end token. "valid": a walk of any length from
        source to target. Ids after the end token are ignored.

    Raises:
        ValueError: if ``format`` has another N than the graph, or ``source`` or ``target`` is not a node; never for a
            wrong answer.

    Example:
        >>> from circuits.tasks import graph_from_edges
        >>> graph, format = graph_from_edges(3, [(0, 1), (1, 2)]), WalkFormat(3, 3)
        >>> check_walk(graph, 0, 2, [0, 1, 2, 3], format), check_walk(graph, 0, 2, [0, 2, 3], format)
        ('valid', 'no such edge')
    """
    edges = adjacency(graph) if isinstance(graph, nx.DiGraph) else graph
    rule = f"must have N = {len(edges)} nodes, as the graph"
    checks.require(len(edges) == format.nodes, "format", rule, format.nodes)
    ends = {"source": np.asarray(source).tolist(), "target": np.asarray(target).tolist()}
    for name, node in ends.items():
        checks.integer(name, node, 0, format.nodes - 1)
    walk: list[int] = []
    for token in np.asarray(answer_ids, dtype=np.int64).tolist():
        if not walk and token != ends["source"]:
            return "wrong start"
        if token == format.end_token:
            return "valid" if walk[-1] == ends["target"] else "wrong end"
        if walk and not (0 <= token < format.nodes and edges[walk[-1], token]):
            return "no such edge"
        if token in walk:
            return "repeated node"
        walk.append(token)
    return "no end" if walk else "wrong start"


def is_valid_walk(
    adjacency: Bool[AnyArray, "N N"], format: WalkFormat, prompt: Int[AnyArray, " 2"], answer: Int[AnyArray, " A"]
) -> Bool[Array, ""]:
    """Return whether ``check_walk`` says "valid". Jittable with ``format`` static; vmap over a batch.

    Args:
        adjacency: the adjacency matrix of the graph.
        format: the ids; its N must be that of the graph.
        prompt: source and target.
        answer: at least one token id after the prompt.

    Raises:
        ValueError: if ``format`` or ``answer`` has a size that does not fit.

    Example:
        >>> edges = jnp.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]], bool)
        >>> bool(is_valid_walk(edges, WalkFormat(3, 3), jnp.array([0, 2]), jnp.array([0, 1, 2, 3])))
        True
    """
    count = adjacency.shape[0]
    checks.require(count == format.nodes, "format", f"must have N = {count} nodes, as the adjacency", format.nodes)
    checks.require(answer.shape[0] > 0, "answer", "must have at least one id", answer.shape)
    prompt, answer, edges = jnp.asarray(prompt), jnp.asarray(answer), jnp.asarray(adjacency)
    ended = jnp.cumsum(answer == format.end_token) > 0
    is_node = (answer >= 0) & (answer < count)
    # An id that is not a node would be clamped as an index. The value at index 0 is read instead, and then ignored.
    nodes = jnp.where(is_node, answer, 0)
    steps = is_node[1:] & edges[nodes[:-1], nodes[1:]]
    last = answer[jnp.argmax(ended) - 1]
    starts = is_node[0] & (answer[0] == prompt[0])
    twice = jnp.triu(answer[:, None] == answer[None], 1) & ~ended[None]  # [i, j]: i < j, and j is before the end
    is_walk = jnp.all(steps | ended[1:]) & ~jnp.any(twice)
    return starts & is_walk & ended[-1] & (last == prompt[1])
