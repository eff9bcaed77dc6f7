"""Directed graphs on the nodes 0..N-1: random graphs, and the matrices of a graph.

Every graph is a ``networkx.DiGraph`` without self loops whose nodes are exactly range(N), N <= 2^14 (the matrices are
dense). It may have cycles, except where a function asks for a DAG. Attributes of nodes and edges are ignored.
"""

from itertools import pairwise

import networkx as nx
import numpy as np
from jaxtyping import Bool, Int

from circuits import checks

MAX_NODES = 2**14


def random_dag(nodes: int, probability: float | int, seed: int) -> nx.DiGraph:
    """Return a random DAG in which each edge u -> v, u < v, is present independently (arXiv:2405.09220).

    Args:
        nodes: N, 1 to 2^14.
        probability: the probability of each edge.
        seed: at least 0; the same arguments give the same graph.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> random_dag(4, 1.0, seed=0).number_of_edges()
        6
    """
    checks.integer("nodes", nodes, 1, MAX_NODES)
    checks.require(0 <= probability <= 1, "probability", "must be in [0, 1]", probability)
    checks.integer("seed", seed, 0)
    # Not networkx's fast generator: it divides by log(1 - probability), which is 0 for a tiny probability.
    undirected = nx.gnp_random_graph(nodes, probability, seed=seed)
    return graph_from_edges(nodes, [(min(edge), max(edge)) for edge in undirected.edges])


def graph_from_edges(nodes: int, edges: list[tuple[int, int]]) -> nx.DiGraph:
    """Return the graph on range(``nodes``) with these edges, sorted.

    Args:
        nodes: N, 1 to 2^14.
        edges: directed edges (u, v).

    Raises:
        ValueError: if ``nodes`` is out of range, or an edge has a label that is not a node, is a self loop, or is
            listed twice.

    Example:
        >>> list(graph_from_edges(3, [(1, 2), (0, 1)]).edges)
        [(0, 1), (1, 2)]
    """
    checks.integer("nodes", nodes, 1, MAX_NODES)
    for edge in edges:
        checks.require(all(0 <= node < nodes for node in edge), "edges", f"labels must be below N = {nodes}", edge)
        checks.require(edge[0] != edge[1], "edges", "must have no self loop", edge)
    ordered = sorted(edges)
    repeated = [edge for edge, after in pairwise(ordered) if edge == after]
    checks.require(not repeated, "edges", "must have no duplicate edge", repeated[:1])
    graph = nx.DiGraph()
    graph.add_nodes_from(range(nodes))
    graph.add_edges_from(ordered)
    return graph


def check_graph(argument: str, graph: nx.Graph) -> None:
    """Raise ValueError naming ``argument`` unless this is a simple directed graph on range(N), 1 <= N <= 2^14.

    Example:
        >>> check_graph("graph", nx.DiGraph([(0, 2)]))
        Traceback (most recent call last):
        ValueError: graph: nodes must be the integers of range(2), got [2]
    """
    simple = graph.is_directed() and not graph.is_multigraph()
    checks.require(simple, argument, "must be a networkx.DiGraph", type(graph).__name__)
    count = len(graph)
    checks.integer(f"nodes of {argument}", count, 1, MAX_NODES)
    unknown = [node for node in graph if not (isinstance(node, int) and 0 <= node < count)]
    checks.require(not unknown, argument, f"nodes must be the integers of range({count})", unknown[:1])
    loops = list(nx.selfloop_edges(graph))
    checks.require(not loops, argument, "must have no self loop", loops[:1])


def check_dag(argument: str, graph: nx.Graph) -> None:
    """Raise ValueError naming ``argument`` unless ``check_graph`` accepts the graph and it has no cycle.

    Example:
        >>> check_dag("graph", graph_from_edges(2, [(0, 1), (1, 0)]))
        Traceback (most recent call last):
        ValueError: graph: must have no cycle, got [0, 1, 0]
    """
    check_graph(argument, graph)
    if not nx.is_directed_acyclic_graph(graph):
        cycle = [u for u, *_ in nx.find_cycle(graph)]
        raise ValueError(f"{argument}: must have no cycle, got {[*cycle, cycle[0]]}")


def adjacency(graph: nx.DiGraph) -> Bool[np.ndarray, "N N"]:
    """Return the adjacency matrix A: A[u, v] says whether there is an edge u -> v.

    Args:
        graph: a directed graph on range(N).

    Raises:
        ValueError: see ``check_graph``.

    Example:
        >>> adjacency(graph_from_edges(2, [(0, 1)])).tolist()
        [[False, True], [False, False]]
    """
    check_graph("graph", graph)
    result = np.zeros((len(graph), len(graph)), dtype=bool)
    for u, v in graph.edges:
        result[u, v] = True
    return result


def distances(graph: nx.DiGraph) -> Int[np.ndarray, "N N"]:
    """Return the number of edges of a shortest path from u to v: 0 for u = v, and N if there is no path. int32.

    Args:
        graph: a directed graph on range(N).

    Raises:
        ValueError: see ``check_graph``.

    Example:
        >>> distances(graph_from_edges(3, [(0, 1), (1, 2)])).tolist()
        [[0, 1, 2], [3, 0, 1], [3, 3, 0]]
    """
    check_graph("graph", graph)
    result = np.full((len(graph), len(graph)), len(graph), dtype=np.int32)
    for u, lengths in nx.all_pairs_shortest_path_length(graph):
        result[u, list(lengths)] = list(lengths.values())
    return result


def reachability(graph: nx.DiGraph) -> Bool[np.ndarray, "N N"]:
    """Return the reachability matrix R: R[u, v] says whether a path of at least one edge leads from u to v.

    So R[u, u] holds only for a node u on a cycle.

    Args:
        graph: a directed graph on range(N).

    Raises:
        ValueError: see ``check_graph``.

    Example:
        >>> reachability(graph_from_edges(3, [(0, 1), (1, 2)]))[0].tolist()
        [False, True, True]
    """
    # One edge, then a path of any length: R = A (I + A + A^2 + ...).
    closure = (distances(graph) < len(graph)).astype(np.float32)
    return adjacency(graph).astype(np.float32) @ closure > 0
