"""Graph files: edge lists and GraphML."""

import re
from pathlib import Path
from xml.etree import ElementTree

import networkx as nx

from circuits import checks
from circuits.tasks.walks.graphs import MAX_NODES, check_graph, graph_from_edges

_LABEL = "(?:0|[1-9][0-9]{0,8})"
_HEADER = re.compile(f"#[ \t]*nodes:[ \t]*({_LABEL})[ \t]*")


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

    Args:
        path: the file to write.
        graph: a directed graph on range(N).

    Raises:
        ValueError: if the graph is not a simple directed graph on range(N).
        OSError: if the file cannot be written.

    Example:
        >>> from tempfile import mkdtemp
        >>> file = Path(mkdtemp()) / "graph.txt"
        >>> write_graph(file, graph_from_edges(3, [(0, 1)]))
        >>> file.read_text()
        '# nodes: 3\\n0 1\\n'
    """
    Path(path).write_text(format_graph(graph), encoding="ascii")


def format_graph(graph: nx.DiGraph) -> str:
    """Return the text that ``write_graph`` writes. It does not depend on the order of the edges."""
    check_graph("graph", graph)
    lines = [f"# nodes: {len(graph)}", *(f"{u} {v}" for u, v in sorted(graph.edges))]
    return "\n".join(lines) + "\n"


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
    # Without ``nodes`` all labels must be listed; with it, none may be out of range.
    wrong = sorted(labels - set(range(count))) if nodes else sorted(set(range(count)) - labels)
    rule = f"nodes must be named 0..{count - 1}, and one is {'out of range' if nodes else 'missing'}"
    checks.require(not wrong, "path", rule, wrong[:1])
    return count, [(int(u), int(v)) for u, v in graph.edges()]
