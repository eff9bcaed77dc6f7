import re

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuits.tasks import (
    adjacency,
    distances,
    graph_from_edges,
    random_dag,
    reachability,
    read_graph,
    write_graph,
)
from circuits.tasks.walks.graphs import check_dag, check_graph
from tests.tasks.walks import naive_walks

OPEN = '<graphml xmlns="http://graphml.graphdrawing.org/xmlns">'
NODES = '<node id="0"/><node id="1"/><node id="2"/>'
EDGE = '<edge source="0" target="1"/>'


def graphml(inside: str = NODES + EDGE, before: str = "", kind: str = "directed") -> str:
    return f'{OPEN}{before}<graph edgedefault="{kind}">{inside}</graph></graphml>'


def key(kind: str, name: str = "weight", default: str = "") -> str:
    return f'<key id="d" for="edge" attr.name="{name}" attr.type="{kind}">{default}</key>'


def read(tmp_path, text: str | bytes, nodes: int | None = None) -> nx.DiGraph:
    path = tmp_path / "graph"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_graph(path, nodes)


def random_matrix(nodes: int, density: float, seed: int) -> np.ndarray:
    matrix = np.random.default_rng(seed).random((nodes, nodes)) < density
    np.fill_diagonal(matrix, False)
    return matrix


@settings(max_examples=40)
@given(st.integers(1, 9), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_matrices_of_any_graph_are_those_of_its_powers(nodes, density, seed):
    matrix = random_matrix(nodes, density, seed)
    edges = [(int(u), int(v)) for u, v in np.argwhere(matrix)]
    np.random.default_rng(seed).shuffle(edges)
    graph = graph_from_edges(nodes, edges)
    assert list(graph) == list(range(nodes))
    np.testing.assert_array_equal(adjacency(graph), matrix)
    np.testing.assert_array_equal(reachability(graph), naive_walks.reach(matrix))
    expected = [[naive_walks.distance(matrix, u, v) for v in range(nodes)] for u in range(nodes)]
    np.testing.assert_array_equal(distances(graph), [[nodes if d is None else d for d in row] for row in expected])
    assert distances(graph).dtype == np.int32


def test_matrices_do_not_depend_on_the_order_of_the_nodes():
    graph = nx.DiGraph()
    graph.add_nodes_from([2, 0, 1])
    graph.add_edge(2, 0, weight=0.0)
    assert np.argwhere(adjacency(graph)).tolist() == [[2, 0]]
    assert np.argwhere(reachability(graph)).tolist() == [[2, 0]]


def test_a_node_reaches_itself_on_a_cycle_alone():
    assert reachability(graph_from_edges(3, [(0, 1), (1, 0), (1, 2)])).tolist() == [[True] * 3, [True] * 3, [False] * 3]


@pytest.mark.parametrize("nodes", [1, 2, 30])
def test_a_random_dag_at_the_ends_of_the_range(nodes):
    assert adjacency(random_dag(nodes, 0, 3)).sum() == 0
    np.testing.assert_array_equal(adjacency(random_dag(nodes, 1, 3)), np.triu(np.ones((nodes, nodes)), k=1) > 0)


def test_a_random_dag_has_each_edge_with_its_probability():
    drawn = np.stack([adjacency(random_dag(12, 0.3, seed)) for seed in range(200)])
    assert not np.tril(drawn).any()
    shares = drawn.mean(axis=0)[np.triu_indices(12, k=1)]
    # Each share has the standard deviation 0.032; 4.5 of them bound all 66. Their mean has 0.0040.
    assert abs(shares - 0.3).max() < 0.146
    assert abs(shares.mean() - 0.3) < 0.018
    numbers = drawn.sum(axis=(1, 2))
    # Independent edges: a binomial variance 13.9, which 200 draws show with a standard deviation of 1.4.
    assert abs(numbers.var() - 66 * 0.3 * 0.7) < 6.3


def test_a_random_dag_is_that_of_its_seed():
    assert random_dag(40, 0.2, 7).edges == random_dag(40, 0.2, 7).edges
    assert random_dag(40, 0.2, 7).edges != random_dag(40, 0.2, 8).edges


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 0.1, 0), "nodes: must be an integer between 1 and 16384, got 0"),
        ((16385, 0.1, 0), "nodes: must be an integer between 1 and 16384, got 16385"),
        ((5, 1.5, 0), "probability: must be in [0, 1], got 1.5"),
        ((5, -0.1, 0), "probability: must be in [0, 1], got -0.1"),
        ((5, float("nan"), 0), "probability: must be in [0, 1], got nan"),
        ((5, 0.1, -1), "seed: must be an integer at least 0, got -1"),
    ],
)
def test_a_random_dag_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        random_dag(*arguments)


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([(0, 3)], "edges: labels must be below N = 3, got (0, 3)"),
        ([(-1, 0)], "edges: labels must be below N = 3, got (-1, 0)"),
        ([(1, 1)], "edges: must have no self loop, got (1, 1)"),
        ([(0, 1), (1, 2), (0, 1)], "edges: must have no duplicate edge, got [(0, 1)]"),
    ],
)
def test_edges_that_do_not_form_a_graph(edges, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        graph_from_edges(3, edges)


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (nx.Graph([(0, 1)]), "it: must be a networkx.DiGraph, got 'Graph'"),
        (nx.MultiDiGraph([(0, 1)]), "it: must be a networkx.DiGraph, got 'MultiDiGraph'"),
        (nx.DiGraph(), "nodes of it: must be an integer between 1 and 16384, got 0"),
        (nx.DiGraph([(0, 2)]), "it: nodes must be the integers of range(2), got [2]"),
        (nx.DiGraph([("0", "1")]), "it: nodes must be the integers of range(2), got ['0']"),
        (nx.DiGraph([(0, 1), (1, 1)]), "it: must have no self loop, got [(1, 1)]"),
    ],
)
def test_another_graph_is_refused(graph, message):
    for check in (check_graph, check_dag):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            check("it", graph)


def test_a_cycle_is_named():
    graph = graph_from_edges(5, [(0, 1), (1, 3), (3, 2), (2, 1), (3, 4)])
    check_graph("graph", graph)
    with pytest.raises(ValueError, match=r"^graph: must have no cycle, got \[1, 3, 2, 1\]$"):
        check_dag("graph", graph)
    graph.remove_edge(2, 1)
    check_dag("graph", graph)


@settings(max_examples=25)
@given(st.integers(1, 12), st.floats(0, 1), st.integers(0, 2**32 - 1), st.booleans())
def test_a_graph_is_read_back(tmp_path_factory, nodes, density, seed, xml):
    matrix = random_matrix(nodes, density, seed)
    graph = graph_from_edges(nodes, [(int(u), int(v)) for u, v in np.argwhere(matrix)])
    path = tmp_path_factory.mktemp("graphs") / "graph"
    (nx.write_graphml if xml else lambda graph, path: write_graph(path, graph))(graph, path)
    again = read_graph(path)
    assert list(again) == list(range(nodes))
    assert again.edges == graph.edges


@pytest.mark.parametrize(
    ("text", "nodes", "count", "edges"),
    [
        ("0 1\n1 2", None, 3, [(0, 1), (1, 2)]),
        ("\ufeff0 1\r\n\r\n2\t1 # no comment\n# 3 4\n", None, 3, [(0, 1), (2, 1)]),
        ("# nodes: 7\n0 1\n", None, 7, [(0, 1)]),
        ("#nodes:3", None, 3, []),
        ("# nodes: 7\n0 1\n", 9, 9, [(0, 1)]),
        ("# nodes: 7\n0 1\n", 5, 5, [(0, 1)]),
        ("", 2, 2, []),
        ("4 0", None, 5, [(4, 0)]),
        ("1 0\n0 1", None, 2, [(0, 1), (1, 0)]),
        (graphml(), None, 3, [(0, 1)]),
        (graphml(), 5, 5, [(0, 1)]),
        ("\n " + graphml('<node id="0"/>'), None, 1, []),
        ('<?xml version="1.0" encoding="ISO-8859-1"?>' + graphml(), None, 3, [(0, 1)]),
        (graphml().replace(OPEN, "<graphml>"), None, 3, [(0, 1)]),
        (
            graphml(NODES + '<edge id="7" source="2" target="1"><data key="d">x</data></edge>', key("string", "hue")),
            None,
            3,
            [(2, 1)],
        ),
    ],
)
def test_files_by_hand(tmp_path, text, nodes, count, edges):
    graph = read(tmp_path, text, nodes)
    assert list(graph) == list(range(count))
    assert sorted(graph.edges) == edges
    assert not any(data for *_, data in graph.edges(data=True))


WEIGHTED = NODES + '<edge source="0" target="1"><data key="d">2.0</data></edge>'
BOMB = '<!DOCTYPE a [<!ENTITY b "bbbbbbbb"><!ENTITY c "&b;&b;&b;&b;"><!ENTITY d "&c;&c;&c;&c;">]>'
EXTERNAL = '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]>'


@pytest.mark.parametrize(
    ("text", "nodes", "message"),
    [
        ("", None, "path: must have an edge, or a header '# nodes: N'"),
        ("# nothing\n\n", None, "path: must have an edge, or a header '# nodes: N'"),
        ("0 1\n1 2\n0 1\n", None, "line 3: must not repeat the edge of line 1, got (0, 1)"),
        ("0 1\n2 2\n", None, "path: edges: must have no self loop, got (2, 2)"),
        ("0 1 0.5", None, "line 1: must be an edge 'u v'"),
        ("0 1\n\n2", None, "line 3: must be an edge 'u v'"),
        ("0,1", None, "line 1: must be an edge 'u v'"),
        ("0 x", None, "line 1: a label must be a whole number"),
        ("0 -1", None, "got '-1'"),
        ("0 01", None, "got '01'"),
        ("0 ٣", None, "got '٣'"),
        ("0 1000000000", None, "got '1000000000'"),
        ("0 16384", None, "path: nodes: must be an integer between 1 and 16384, got 16385"),
        ("# nodes: 2\n0 2", None, "path: edges: labels must be below N = 2, got (0, 2)"),
        ("0 2", 2, "path: edges: labels must be below N = 2, got (0, 2)"),
        ("0 1", 0, "nodes: must be an integer between 1 and 16384, got 0"),
        (b"0 1\n\xff", None, "path: must be UTF-8 text"),
        (graphml(NODES + EDGE + EDGE), None, "path: edges: must have no duplicate edge, got [(0, 1)]"),
        (graphml(NODES + EDGE.replace("0", "1")), None, "path: edges: must have no self loop, got (1, 1)"),
        (graphml(NODES.replace("1", "3")), None, "path: nodes must be named 0..2, and one is missing, got [1]"),
        (graphml(NODES), 2, "path: nodes must be named 0..1, and one is out of range, got [2]"),
        (graphml(NODES.replace("1", "n1")), None, "path: a label must be a whole number"),
        (graphml("<node/>"), None, "got 'None'"),
        (graphml(""), None, "path: must have an edge"),
        (graphml(kind="undirected"), None, "path: must have a directed graph"),
        (graphml(NODES + '<edge source="0" target="1" directed="false"/>'), None, "path: must be GraphML, got Netw"),
        (graphml(NODES + "<hyperedge/>"), None, "path: must be GraphML, got NetworkXError"),
        (graphml(WEIGHTED, key("double")), None, "path: edges must have no weight, got [('0', '1')]"),
        (graphml(WEIGHTED.replace("2.0", "x"), key("double")), None, "path: must be GraphML, got ValueError"),
        (graphml(WEIGHTED), None, "path: must be GraphML, got NetworkXError: Bad GraphML data: no key d"),
        (graphml(before=key("strange")), None, "path: must be GraphML, got KeyError"),
        (graphml(before=key("boolean", "hue", "<default/>")), None, "path: must be GraphML, got AttributeError"),
        (graphml(before='<graph edgedefault="directed"/>'), None, "path: must have one graph, got 2"),
        (graphml(NODES + f'<node id="3"><graph>{NODES}</graph></node>'), None, "path: must have one graph, got 2"),
        (OPEN + "</graphml>", None, "path: must have one graph, got 0"),
        (graphml()[:-4], None, "path: must be GraphML, got ParseError: unclosed token"),
        ("<", None, "path: must be GraphML, got ParseError"),
        (graphml().replace(">", "&x;>", 1), None, "path: must be GraphML, got ParseError"),
        (graphml(NODES + "&b;"), None, "path: must be GraphML, got ParseError: undefined entity"),
        (BOMB + graphml(NODES + "&d;"), None, "path: must have no document type"),
        (EXTERNAL + graphml(), None, "path: must have no document type"),
        ((BOMB + graphml()).encode("utf-16"), None, "path: must be UTF-8 text"),
    ],
)
def test_a_bad_file_is_refused(tmp_path, text, nodes, message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        read(tmp_path, text, nodes)
    assert str(caught.value).startswith(("path: ", "line ", "nodes: "))


def test_a_document_type_cannot_hide_in_an_encoding_that_the_text_declares(tmp_path):
    hidden = (BOMB + graphml()).encode("utf-7").replace(b"<", b"+ADw-")
    assert b"<!DOCTYPE" not in hidden
    with pytest.raises(ValueError, match=r"^path: must be GraphML, got ParseError"):
        read(tmp_path, b'<?xml version="1.0" encoding="utf-7"?>' + hidden)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(OSError, match="nothing"):
        read_graph(tmp_path / "nothing")
