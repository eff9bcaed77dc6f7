"""The one graph that walks are in: a pure function of what a config says. Made once; nobody may change it."""

from functools import lru_cache
from pathlib import Path

import networkx as nx

from circuits.tasks.blocksworld.world import Blocksworld, make_blocksworld, plan_format
from circuits.tasks.walks.format import WalkFormat, walk_format
from circuits.tasks.walks.graph_files import read_graph
from circuits.tasks.walks.graphs import check_dag, random_dag


@lru_cache(maxsize=8)
def random_graph(nodes: int, probability: float, seed: int) -> nx.DiGraph:
    """A random directed acyclic graph. Raises ValueError naming what is out of range."""
    return nx.freeze(random_dag(nodes, probability, seed))


def file_graph(path: Path) -> nx.DiGraph:
    """The graph of a file as it is now. Raises ValueError naming a file that can't be read or has a cycle."""
    try:
        return _of_file(path, path.stat().st_mtime_ns)
    except (OSError, ValueError) as error:
        raise ValueError(f"walks.file: must hold an acyclic graph, got {str(path)!r} ({error})") from error


@lru_cache(maxsize=8)
def _of_file(path: Path, changed: int) -> nx.DiGraph:
    graph = read_graph(path)
    check_dag("graph", graph)
    return nx.freeze(graph)


@lru_cache(maxsize=8)
def dag_format(graph: nx.DiGraph) -> WalkFormat:
    """What holds every path of an acyclic graph. ``graph`` is one of the above: it is known by its identity."""
    return walk_format(graph)


@lru_cache(maxsize=4)
def blocks_world(blocks: int) -> Blocksworld:
    """Blocksworld. Raises ValueError for a number of blocks that is out of range."""
    world = make_blocksworld(blocks)
    return world._replace(graph=nx.freeze(world.graph))


@lru_cache(maxsize=4)
def blocks_format(blocks: int) -> WalkFormat:
    """What holds every shortest plan, and plans that are a little longer."""
    return plan_format(blocks_world(blocks))
