"""Plans of Blocksworld as a task: walks in the graph of its states."""

from pathlib import Path

import networkx as nx
from jaxtyping import Int
from numpy import ndarray

from circuits import checks
from circuits.tasks.blocksworld.config import BlocksworldConfig
from circuits.tasks.blocksworld.plans import training_plans
from circuits.tasks.blocksworld.world import make_blocksworld, plan_format
from circuits.tasks.task import GRAPH_FILE, Task
from circuits.tasks.walks.format import WalkFormat
from circuits.tasks.walks.graph_files import format_graph
from circuits.tasks.walks.pairs import Pairs
from circuits.tasks.walks.task import walks_task


def build(config: BlocksworldConfig, folder: Path | None = None) -> Task:
    """Build the task. A folder's graph must be that of the blocks."""
    walks, world = config.walks, make_blocksworld(config.walks.blocks)
    graph = nx.freeze(world.graph)
    if folder is not None:
        same = (folder / GRAPH_FILE).read_text(encoding="utf-8") == format_graph(graph)
        rule = f"must be the graph of Blocksworld with {walks.blocks} blocks"
        checks.require(same, GRAPH_FILE, rule, str(folder))

    def lines(format: WalkFormat, graph: nx.DiGraph, pairs: Pairs) -> Int[ndarray, "n T"]:
        return training_plans(format, world, pairs, walks.paths_a_pair, walks.optimal_share, walks.walk_seed)

    return walks_task(config, walks, "plans of Blocksworld", plan_format(world), graph, lines, plans=True)
