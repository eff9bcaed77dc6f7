"""Directed graphs on the nodes 0..N-1: random ones, files of them, and their matrices.

Every graph here is a ``networkx.DiGraph`` whose nodes are exactly range(N), N <= 2^14 (the matrices are dense),
without self loops. Acyclic graphs (DAGs) are asked for by name. Attributes of nodes and edges are not read.
"""

import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import networkx as nx
import numpy as np
from jaxtyping import Bool, Int

from circuits import checks

MAX_NODES = 2**14

_LABEL = "(?:0|[1-9][0-9]{0,8})"
_HEADER = re.compile(f"#[ \t]*nodes:[ \t]*({_LABEL})[ \t]*")


def random_dag(nodes: int, probability: float | int, seed: int) -> nx.DiGraph:
    """A DAG in which each edge u -> v, u < v, is there with this probability, independently of the others.

    The same arguments give the same graph. ``nodes`` in {1..2^14}, ``probability`` in [0, 1], ``seed`` >= 0.

    Raises ValueError naming the argument that is out of range. Source: arXiv:2405.09220 (ALPINE).
    """
    checks.integer("nodes", nodes, 1, MAX_NODES)
    checks.require(0 <= probability <= 1, "probability", "must lie in [0, 1]", probability)
    checks.integer("seed", seed, 0)
    # Not the fast generator, which divides by log(1 - probability): it is 0 where the probability is tiny.
    drawn = nx.gnp_random_graph(nodes, probability, seed=seed)
    return graph_from_edges(nodes, [(min(edge), max(edge)) for edge in drawn.edges])


def graph_from_edges(nodes: int, edges: list[tuple[int, int]]) -> nx.DiGraph:
    """The graph on range(``nodes``) with these edges, in sorted order.

    Raises ValueError naming ``nodes``, or ``edges`` for a label that is no node, a self loop or an edge twice.
    """
    checks.integer("nodes", nodes, 1, MAX_NODES)
    for edge in edges:
        checks.require(all(0 <= node < nodes for node in edge), "edges", f"labels must be below N = {nodes}", edge)
        checks.require(edge[0] != edge[1], "edges", "must hold no self loop", edge)
    ordered = sorted(edges)
    repeated = [edge for edge, after in pairwise(ordered) if edge == after]
    checks.require(not repeated, "edges", "must hold no edge twice", repeated[:1])
    graph = nx.DiGraph()
    graph.add_nodes_from(range(nodes))
    graph.add_edges_from(ordered)
    return graph


def read_graph(path: str | Path, nodes: int | None = None) -> nx.DiGraph:
    """Read a graph from an edge list or from GraphML; a text that begins with "<" is GraphML.

    An edge list has an edge "u v" a line; blank lines and what follows a "#" are skipped. N is ``nodes`` where
    given, or that of a line "# nodes: N", or else one more than the largest label. In GraphML the nodes are
    named "0".."N-1", all of them listed unless ``nodes`` is given; ``edgedefault`` is "directed". A document
    type, and with it every entity, is refused, so a file can name no other file and cannot grow as it is read.

    Raises ValueError naming ``path``, or "line {number}", and what breaks the rule: no edge and no N, an edge
    twice, a self loop, a label not below N or no number, a weight, no UTF-8, XML or GraphML that is damaged,
    undirected, or more than one graph; ``nodes`` out of range. OSError from the file.
    """
    if nodes is not None:
        checks.integer("nodes", nodes, 1, MAX_NODES)
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"path: must hold UTF-8 text, got {str(path)!r} ({error})") from error
    count, edges = _graphml(text, nodes) if text.lstrip().startswith("<") else _edge_list(text, nodes)
    rule = "must hold an edge, or a header '# nodes: N'"
    checks.require(count > 0, "path", rule, str(path))
    try:
        return graph_from_edges(count, edges)
    except ValueError as error:
        raise ValueError(f"path: {error}, in {str(path)!r}") from error


def write_graph(path: str | Path, graph: nx.DiGraph) -> None:
    """Write an edge list, with a header "# nodes: N" that keeps isolated nodes.

    Raises ValueError when the nodes are not range(N) (see ``check_graph``), and OSError from the file.
    """
    Path(path).write_text(format_graph(graph), encoding="ascii")


def format_graph(graph: nx.DiGraph) -> str:
    """What ``write_graph`` writes: the same text for equal graphs, whatever their edges' order. Raises as it does."""
    check_graph("graph", graph)
    lines = [f"# nodes: {len(graph)}", *(f"{u} {v}" for u, v in sorted(graph.edges))]
    return "\n".join(lines) + "\n"


def check_graph(argument: str, graph: nx.Graph) -> None:
    """Raise ValueError naming ``argument`` unless it is a simple directed graph on range(N), 1 <= N <= 2^14."""
    simple = graph.is_directed() and not graph.is_multigraph()
    checks.require(simple, argument, "must be a networkx.DiGraph", type(graph).__name__)
    count = len(graph)
    checks.integer(f"nodes of {argument}", count, 1, MAX_NODES)
    unknown = [node for node in graph if not (isinstance(node, int) and 0 <= node < count)]
    checks.require(not unknown, argument, f"nodes must be the integers of range({count})", unknown[:1])
    loops = list(nx.selfloop_edges(graph))
    checks.require(not loops, argument, "must hold no self loop", loops[:1])


def check_dag(argument: str, graph: nx.Graph) -> None:
    """Raise ValueError naming ``argument``, and a cycle, unless it is a graph as above without cycles."""
    check_graph(argument, graph)
    if not nx.is_directed_acyclic_graph(graph):
        cycle = [u for u, *_ in nx.find_cycle(graph)]
        raise ValueError(f"{argument}: must have no cycle, got {[*cycle, cycle[0]]}")


def adjacency(graph: nx.DiGraph) -> Bool[np.ndarray, "N N"]:
    """A[u, v]: there is an edge u -> v.

    Raises ValueError naming ``graph`` (see ``check_graph``).
    """
    check_graph("graph", graph)
    found = np.zeros((len(graph), len(graph)), dtype=bool)
    for u, v in graph.edges:
        found[u, v] = True
    return found


def distances(graph: nx.DiGraph) -> Int[np.ndarray, "N N"]:
    """The number of edges of a shortest path from u to v; 0 for u = v, and N where there is no path. int32.

    Raises ValueError naming ``graph`` (see ``check_graph``).
    """
    check_graph("graph", graph)
    found = np.full((len(graph), len(graph)), len(graph), dtype=np.int32)
    for u, lengths in nx.all_pairs_shortest_path_length(graph):
        found[u, list(lengths)] = list(lengths.values())
    return found


def reachability(graph: nx.DiGraph) -> Bool[np.ndarray, "N N"]:
    """R[u, v]: there is a path of at least one edge from u to v; so R[u, u] only where u is on a cycle.

    Raises ValueError naming ``graph`` (see ``check_graph``).
    """
    # An edge, and then a path that may have none: R = A (I + A + A^2 + ...).
    closed = (distances(graph) < len(graph)).astype(np.float32)
    return adjacency(graph).astype(np.float32) @ closed > 0


def _edge_list(text: str, nodes: int | None) -> tuple[int, list[tuple[int, int]]]:
    edges: dict[tuple[int, int], int] = {}
    count = nodes or 0
    for number, line in enumerate(text.splitlines(), start=1):
        header = _HEADER.fullmatch(line.strip())
        if header is not None and nodes is None:
            count = max(count, int(header[1]))
        words = line.split("#")[0].split()
        if words:
            edge = _edge(f"line {number}", words)
            first = edges.setdefault(edge, number)
            checks.require(first == number, f"line {number}", f"must hold no edge twice, line {first} has it", edge)
    largest = max((max(edge) for edge in edges), default=-1)
    return count or largest + 1, list(edges)


def _edge(where: str, words: list[str]) -> tuple[int, int]:
    rule = "must be an edge 'u v' of two labels, without a weight"
    checks.require(len(words) == 2, where, rule, " ".join(words))
    for word in words:
        rule = "a label must be a whole number without sign or leading zero, below 10^9"
        checks.require(re.fullmatch(_LABEL, word) is not None, where, rule, word)
    return int(words[0]), int(words[1])


def _graphml(text: str, nodes: int | None) -> tuple[int, list[tuple[int, int]]]:
    # Entities can be declared in a document type alone. A parser that is given text ignores the encoding that
    # the text declares, so the words cannot hide in another one.
    checks.require("<!DOCTYPE" not in text, "path", "must hold no document type", "<!DOCTYPE")
    try:
        graphs = len(ElementTree.fromstring(text).findall(".//{*}graph"))
        graph = nx.parse_graphml(text, force_multigraph=True) if graphs == 1 else nx.DiGraph()
    except (ElementTree.ParseError, nx.NetworkXException, KeyError, AttributeError, ValueError) as error:
        raise ValueError(f"path: must hold GraphML, got {type(error).__name__}: {error}") from error
    checks.require(graphs == 1, "path", "must hold one graph", graphs)
    checks.require(graph.is_directed(), "path", "must hold a directed graph", "edgedefault undirected")
    weighted = [(u, v) for u, v, data in graph.edges(data=True) if "weight" in data]
    checks.require(not weighted, "path", "edges must have no weight", weighted[:1])
    labels = {_edge("path", [node, node])[0] for node in graph}
    count = len(labels) if nodes is None else nodes
    odd = sorted(labels - set(range(count))) if nodes else sorted(set(range(count)) - labels)
    rule = f"nodes must be named 0..{count - 1}, and one is {'another' if nodes else 'missing'}"
    checks.require(not odd, "path", rule, odd[:1])
    return count, [(int(u), int(v)) for u, v in graph.edges()]
