"""Whether an answer is a walk from the source to the target of its prompt, and where it first goes wrong."""

from collections.abc import Sequence
from typing import Literal

import jax.numpy as jnp
import networkx as nx
import numpy as np
from jax import Array
from jaxtyping import Bool, Int

from circuits import checks
from circuits.tasks.walks.format import PROMPT_LENGTH, WalkFormat
from circuits.tasks.walks.graphs import adjacency
from circuits.typing import AnyArray, Label

WalkOutcome = Literal["valid", "wrong start", "no such edge", "node twice", "wrong end", "no end"]


def check_walk(
    graph: nx.DiGraph | Bool[np.ndarray, "N N"],
    source: Label | np.integer,
    target: Label | np.integer,
    answer_ids: Sequence[int] | Int[AnyArray, " A"],
    form: WalkFormat,
) -> WalkOutcome:
    """Read an answer up to its end token, and name what first goes wrong, in the order of reading.

    "wrong start": the first id is not the source. "no such edge": an id before the end is no node, or no edge
    leads to it from the one before. "node twice": the walk comes back to a node, which ``check_plan`` refuses too,
    and which no walk in a DAG can. "wrong end": the end comes after another node than the target. "no end": there
    is no end token. Else "valid": what follows the end does not count, and any walk will do, however long. The
    graph may be given by its adjacency.

    Raises ValueError naming ``form`` when it is of another N than the graph, or ``source`` or ``target`` when it
    is no node; never for a wrong answer.
    """
    edges = adjacency(graph) if isinstance(graph, nx.DiGraph) else graph
    checks.require(len(edges) == form.nodes, "form", f"must have N = {len(edges)} nodes, as the graph", form.nodes)
    ends = {"source": np.asarray(source).tolist(), "target": np.asarray(target).tolist()}
    for name, node in ends.items():
        checks.integer(name, node, 0, form.nodes - 1)
    here, visited = None, set[int]()
    for token in np.asarray(answer_ids, dtype=np.int64).tolist():
        if here is None and token != ends["source"]:
            return "wrong start"
        if token == form.end_token:
            return "valid" if here == ends["target"] else "wrong end"
        if here is not None and not (0 <= token < form.nodes and edges[here, token]):
            return "no such edge"
        if token in visited:
            return "node twice"
        here = token
        visited.add(token)
    return "no end" if here is not None else "wrong start"


def is_valid_walk(
    adjacency: Bool[AnyArray, "N N"], form: WalkFormat, prompt: Int[AnyArray, " 2"], answer: Int[AnyArray, " A"]
) -> Bool[Array, ""]:
    """Whether ``check_walk`` finds the answer of at least one id valid; ``prompt`` is (source, target).

    So no node may stand twice before the end, as in ``check_plan``.

    Jittable with ``form`` static; vmap for a batch.

    Raises ValueError naming ``form`` or ``answer`` for a shape that does not fit.
    """
    count = adjacency.shape[0]
    checks.require(count == form.nodes, "form", f"must have N = {count} nodes, as the adjacency", form.nodes)
    checks.require(answer.shape[0] > 0, "answer", "must have at least one id", answer.shape)
    prompt, answer, edges = jnp.asarray(prompt), jnp.asarray(answer), jnp.asarray(adjacency)
    ended = jnp.cumsum(answer == form.end_token) > 0
    node = (answer >= 0) & (answer < count)
    # An id that is no node would index out of the matrix; it is refused as such, whatever stands at 0.
    inside = jnp.where(node, answer, 0)
    steps = node[1:] & edges[inside[:-1], inside[1:]]
    last = answer[jnp.argmax(ended) - 1]
    starts = node[0] & (answer[0] == prompt[0])
    twice = jnp.triu(answer[:, None] == answer, 1) & ~ended  # [i, j]: i < j, and j is before the end
    walks = jnp.all(steps | ended[1:]) & ~jnp.any(twice)
    return starts & walks & ended[-1] & (last == prompt[PROMPT_LENGTH - 1])
