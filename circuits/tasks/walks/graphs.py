"""Directed graphs on the nodes 0..N-1: random graphs, graph files, and the matrices of a graph.

Every graph is a ``networkx.DiGraph`` without self loops whose nodes are exactly range(N), N <= 2^14 (the matrices are
dense). Only the functions that say so need an acyclic graph (a DAG). Attributes of nodes and edges are ignored.
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


def read_graph(path: str | Path, nodes: int | None = None) -> nx.DiGraph:
    """Read a graph from an edge list or a GraphML file. A text that begins with "<" is GraphML.

    An edge list has one edge "u v" per line; blank lines and comments after a "#" are skipped. GraphML must be
    directed, with nodes named "0".."N-1". A GraphML file with a document type is refused: without one, a file cannot
    declare entities, so it can neither include other files nor expand to a huge text.

    Args:
        path: the file, in UTF-8.
        nodes: N. By default an edge list's header "# nodes: N" or its largest label determines N, and GraphML must
            list all nodes.

    Raises:
        ValueError: naming ``path`` or "line {number}", and the rule that is broken: no edge and no N, a duplicate
            edge, a self loop, a label out of range, a weight, a damaged file, or more than one graph; also if
            ``nodes`` is out of range.
        OSError: if the file cannot be read.

    Example:
        >>> from tempfile import mkdtemp
        >>> file = Path(mkdtemp()) / "graph.txt"
        >>> write_graph(file, graph_from_edges(4, [(0, 1), (1, 2)]))
        >>> len(read_graph(file))
        4
    """
    if nodes is not None:
        checks.integer("nodes", nodes, 1, MAX_NODES)
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"path: must be UTF-8 text, got {str(path)!r} ({error})") from error
    count, edges = _parse_graphml(text, nodes) if text.lstrip().startswith("<") else _parse_edge_list(text, nodes)
    checks.require(count > 0, "path", "must have an edge, or a header '# nodes: N'", str(path))
    try:
        return graph_from_edges(count, edges)
    except ValueError as error:
        raise ValueError(f"path: {error}, in {str(path)!r}") from error


def write_graph(path: str | Path, graph: nx.DiGraph) -> None:
    """Write a graph as an edge list with a header "# nodes: N", which preserves isolated nodes; see ``read_graph``.

    Raises:
        ValueError: if the graph is not a simple directed graph on range(N), see ``check_graph``.
        OSError: if the file cannot be written.
    """
    Path(path).write_text(format_graph(graph), encoding="ascii")


def format_graph(graph: nx.DiGraph) -> str:
    """Return the text that ``write_graph`` writes. Equal graphs have the same text, whatever the order of edges."""
    check_graph("graph", graph)
    lines = [f"# nodes: {len(graph)}", *(f"{u} {v}" for u, v in sorted(graph.edges))]
    return "\n".join(lines) + "\n"


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

    Raises:
        ValueError: see ``check_graph``.

    Example:
        >>> reachability(graph_from_edges(3, [(0, 1), (1, 2)]))[0].tolist()
        [False, True, True]
    """
    # One edge, then a path of any length: R = A (I + A + A^2 + ...).
    closure = (distances(graph) < len(graph)).astype(np.float32)
    return adjacency(graph).astype(np.float32) @ closure > 0


def _parse_edge_list(text: str, nodes: int | None) -> tuple[int, list[tuple[int, int]]]:
    edges: dict[tuple[int, int], int] = {}
    count = nodes or 0
    for number, line in enumerate(text.splitlines(), start=1):
        header = _HEADER.fullmatch(line.strip())
        if header is not None and nodes is None:
            count = max(count, int(header[1]))
        words = line.split("#")[0].split()
        if words:
            edge = _parse_edge(f"line {number}", words)
            first = edges.setdefault(edge, number)
            checks.require(first == number, f"line {number}", f"must not repeat the edge of line {first}", edge)
    largest = max((max(edge) for edge in edges), default=-1)
    return count or largest + 1, list(edges)


def _parse_edge(argument: str, words: list[str]) -> tuple[int, int]:
    rule = "must be an edge 'u v' of two labels, without a weight"
    checks.require(len(words) == 2, argument, rule, " ".join(words))
    for word in words:
        rule = "a label must be a whole number without sign or leading zero, below 10^9"
        checks.require(re.fullmatch(_LABEL, word) is not None, argument, rule, word)
    return int(words[0]), int(words[1])


def _parse_graphml(text: str, nodes: int | None) -> tuple[int, list[tuple[int, int]]]:
    # Only a document type can declare entities. The parser gets a str, so it ignores the encoding that the file
    # declares, and "<!DOCTYPE" cannot be hidden in another one.
    checks.require("<!DOCTYPE" not in text, "path", "must have no document type", "<!DOCTYPE")
    try:
        graphs = len(ElementTree.fromstring(text).findall(".//{*}graph"))
        graph = nx.parse_graphml(text, force_multigraph=True) if graphs == 1 else nx.DiGraph()
    except (ElementTree.ParseError, nx.NetworkXException, KeyError, AttributeError, ValueError) as error:
        raise ValueError(f"path: must be GraphML, got {type(error).__name__}: {error}") from error
    checks.require(graphs == 1, "path", "must have one graph", graphs)
    checks.require(graph.is_directed(), "path", "must have a directed graph", "edgedefault undirected")
    weighted = [(u, v) for u, v, data in graph.edges(data=True) if "weight" in data]
    checks.require(not weighted, "path", "edges must have no weight", weighted[:1])
    labels = {_parse_edge("path", [node, node])[0] for node in graph}
    count = len(labels) if nodes is None else nodes
    # Without ``nodes`` all labels must be listed; with it, none may be outside.
    wrong = sorted(labels - set(range(count))) if nodes else sorted(set(range(count)) - labels)
    rule = f"nodes must be named 0..{count - 1}, and one is {'outside' if nodes else 'missing'}"
    checks.require(not wrong, "path", rule, wrong[:1])
    return count, [(int(u), int(v)) for u, v in graph.edges()]
