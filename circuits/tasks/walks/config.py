"""The config of walks in one directed acyclic graph, and the fields that it shares with that of Blocksworld."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from circuits import checks
from circuits.tasks.config import MAX_SEED, check_unused


@dataclass(frozen=True, kw_only=True)
class WalksConfig:
    """Which walks in one graph to train on.

    Every seed of a run, and every run with the same record, has the same graph, split and lines.

    Args:
        train_share: fraction of training pairs among the reachable pairs that are not joined by an edge.
        split_seed: seed of the split into training and test pairs.
        paths_a_pair: number of random walks for each training pair.
        walk_seed: seed of the random walks.
    """

    train_share: float = 0.1
    split_seed: int = 0
    paths_a_pair: int = 20
    walk_seed: int = 0

    def __post_init__(self) -> None:
        checks.require(0 <= self.train_share <= 1, "train_share", "must be in [0, 1]", self.train_share)
        for name in ("split_seed", "walk_seed"):
            checks.integer(name, getattr(self, name), min_value=0, max_value=MAX_SEED)
        checks.integer("paths_a_pair", self.paths_a_pair, min_value=1)


@dataclass(frozen=True, kw_only=True)
class DagWalks(WalksConfig):
    """The graph, and which walks in it to train on.

    Args:
        edge_probability: probability of an edge from node u to node v in the random graph, for each u < v.
        graph_seed: seed of the random graph.
        file: an edge list or a GraphML file, used instead of the random graph.
    """

    edge_probability: float = 0.1
    graph_seed: int = 0
    file: Path | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        inside = 0 <= self.edge_probability <= 1
        checks.require(inside, "edge_probability", "must be in [0, 1]", self.edge_probability)
        checks.integer("graph_seed", self.graph_seed, min_value=0, max_value=MAX_SEED)


@dataclass(frozen=True, kw_only=True)
class DagConfig:
    """Walks in one directed acyclic graph; training and test walks share no pair of source and target.

    Args:
        labels: number of nodes of the random graph.
        walks: the graph, and which walks to train on.

    Raises:
        ValueError: naming a field that is out of range, or that is set although it is not used.
    """

    graph: ClassVar[str] = "dag"
    labels: int = 20
    walks: DagWalks = field(default_factory=DagWalks)

    def __post_init__(self) -> None:
        if self.walks.file is not None:
            check_unused(self, ("labels",), "with a file, whose graph determines the nodes")
            names = ("edge_probability", "graph_seed")
            check_unused(self.walks, names, "with a file, which holds the graph", "walks.")
