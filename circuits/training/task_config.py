"""What a model is trained on: planning problems, or walks in one graph. Frozen records, checked when they are made."""

from collections.abc import Iterable
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

import networkx as nx

from circuits import checks
from circuits.tasks.star.graph import StarGraph
from circuits.tasks.token_format import TokenFormat
from circuits.tasks.tree.graph import BinaryTree
from circuits.tasks.walks.format import WalkFormat
from circuits.training import walk_graph

MOST_SEED = 2**31 - 1
"""Random keys are made from 31 bits on every platform."""
Graph = Literal["star", "tree", "dag", "blocksworld"]
WALKS = ("dag", "blocksworld")
"""Graphs of which there is one, and whose problems are walks from one node to another."""
WORDS = {
    "star": "star graphs",
    "tree": "binary trees",
    "dag": "walks in one directed acyclic graph",
    "blocksworld": "plans of Blocksworld",
}
"""What a model was trained on, in words."""
PROBLEMS_ALONE = ("paths", "nodes", "style", "query", "examples", "data_seed", "one_in", "data", "test_data")
"""Fields that a task of walks does not use."""


@dataclass(frozen=True, kw_only=True)
class WalksConfig:
    """One graph, and which walks in it are trained on; "dag" and "blocksworld" tasks alone use it.

    Every seed of a run, and every run with the same record, has the same graph, split and lines.

    Args:
        edge_probability: of an edge u -> v of the random graph, u < v.
        graph_seed: of the random graph.
        file: an edge list or a GraphML file, in place of the random graph.
        blocks: of Blocksworld, whose graph has a node for every state.
        train_share: of the pairs that are reachable and joined by no edge, those that are trained on.
        split_seed: which pairs those are.
        paths_a_pair: random walks of each pair that is trained on.
        walk_seed: which walks those are.
        optimal_share: of the ``paths_a_pair`` plans of each pair of Blocksworld, those that are shortest, rounded; at
            least one is. The others are longer where there is a longer one. See ``training_plans``.
    """

    edge_probability: float = 0.1
    graph_seed: int = 0
    file: Path | None = None
    blocks: int = 4
    train_share: float = 0.1
    split_seed: int = 0
    paths_a_pair: int = 20
    walk_seed: int = 0
    optimal_share: float = 1.0

    def __post_init__(self) -> None:
        for name in ("edge_probability", "train_share", "optimal_share"):
            checks.require(0 <= getattr(self, name) <= 1, name, "must be in [0, 1]", getattr(self, name))
        for name in ("graph_seed", "split_seed", "walk_seed"):
            checks.integer(name, getattr(self, name), min_value=0, max_value=MOST_SEED)
        checks.integer("paths_a_pair", self.paths_a_pair, min_value=1)
        checks.integer("blocks", self.blocks, min_value=2)


@dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """The graphs, how they are written, and how many of them there are.

    Train and test problems of stars and trees never share a graph: a hash of the graph decides which it is. A task of
    walks has one graph; there train and test share no pair of source and target.

    Args:
        graph: star graphs, complete binary trees, or walks: in a directed acyclic graph, or in that of Blocksworld.
        paths: paths of a star; a tree does not use it.
        nodes: nodes of a path, the start counted.
        labels: node labels, N; the nodes of a random directed acyclic graph.
        style: "text" as in Appendix E.3, with separators; "pairs" as in Section 5.1, without.
        query: the order of the two ends in the prompt.
        examples: training problems in all, the same in every epoch. 0: an endless stream, each problem drawn afresh.
        data_seed: which ``examples`` problems.
        one_in: one graph in so many is a test graph.
        data: a file of training problems in the public format, in place of drawn ones; star graphs or trees as above.
        test_data: a file of test problems, needed with ``data``; no graph may be in both.
        walks: the one graph of a task of walks, and which walks are trained on. Such a task uses of the fields above
            the graph alone, and the labels where the graph is random.
    """

    graph: Graph = "star"
    paths: int = 2
    nodes: int = 5
    labels: int = 20
    style: Literal["text", "pairs"] = "text"
    query: Literal["start-goal", "goal-start"] = "start-goal"
    examples: int = 0
    data_seed: int = 0
    one_in: int = 64
    data: Path | None = None
    test_data: Path | None = None
    walks: WalksConfig = field(default_factory=WalksConfig)

    def __post_init__(self) -> None:
        checks.choice("graph", self.graph, get_args(Graph))
        checks.integer("examples", self.examples, min_value=0)
        checks.integer("data_seed", self.data_seed, min_value=0, max_value=MOST_SEED)
        checks.integer("one_in", self.one_in, min_value=2, max_value=MOST_SEED)
        both = (self.data is None) == (self.test_data is None)
        checks.require(both, "test_data", "must be given with data, and only then", self.test_data)
        drawn = self.data is None or self.examples == 0
        checks.require(drawn, "examples", "must be 0 with a data file, all of which is used", self.examples)
        _check_unused(self)
        _ = self.format

    @property
    def is_walks(self) -> bool:
        """Whether the problems are walks in one graph."""
        return self.graph in WALKS

    @property
    def words(self) -> str:
        """What is trained on, in words."""
        return WORDS[self.graph]

    @property
    def format(self) -> Any:
        """How problems are written: ``problem_format``, or ``walk_format`` for walks."""
        return self.walk_format if self.is_walks else self.problem_format

    @property
    def problem_format(self) -> TokenFormat:
        """The family of star graphs or trees. Raises ValueError for walks."""
        checks.require(not self.is_walks, "task.graph", "must be star or tree", self.graph)
        if self.graph == "star":
            return TokenFormat(StarGraph(self.paths, self.nodes, self.labels), self.style, self.query)
        return TokenFormat(BinaryTree(self.nodes, self.labels), self.style, self.query)

    @property
    def walk_format(self) -> WalkFormat:
        """How walks are written. Raises ValueError for star graphs and trees."""
        if self.graph == "blocksworld":
            return walk_graph.blocks_format(self.walks.blocks)
        return walk_graph.dag_format(self.walk_graph)

    @property
    def walk_graph(self) -> nx.DiGraph:
        """The one graph of a task of walks; nobody may change it. Raises ValueError for star graphs and trees."""
        checks.require(self.is_walks, "task.graph", f"must be one of {', '.join(WALKS)}", self.graph)
        walks = self.walks
        if self.graph == "blocksworld":
            return walk_graph.blocks_world(walks.blocks).graph
        if walks.file is not None:
            return walk_graph.file_graph(walks.file)
        return walk_graph.random_graph(self.labels, walks.edge_probability, walks.graph_seed)


def check_unused(record: Any, names: Iterable[str], when: str, within: str = "") -> None:
    """Raise ValueError naming a field that is not at its default though nothing uses it."""
    known = {each.name: each for each in fields(record)}
    for name in names:
        value, default = getattr(record, name), _default(known[name])
        checks.require(value == default, within + name, f"must be left at {default!r} {when}", value)


def _check_unused(task: TaskConfig) -> None:
    of_walks, random = "walks.", ("edge_probability", "graph_seed")
    if not task.is_walks:
        names = [each.name for each in fields(task.walks)]
        check_unused(task.walks, names, f"for {task.words}, which are no walks in one graph", of_walks)
        return
    check_unused(task, PROBLEMS_ALONE, f"for {task.words}")
    if task.graph == "blocksworld":
        check_unused(task, ("labels",), "for Blocksworld, whose blocks give the nodes")
        check_unused(task.walks, (*random, "file"), "for Blocksworld", of_walks)
        return
    check_unused(task.walks, ("blocks", "optimal_share"), "but for Blocksworld", of_walks)
    if task.walks.file is not None:
        check_unused(task, ("labels",), "with a file, whose graph gives the nodes")
        check_unused(task.walks, random, "with a file, which gives the graph", of_walks)


def _default(of: Field[Any]) -> Any:
    return of.default if of.default_factory is MISSING else of.default_factory()
