"""The star-graph task."""

from pathlib import Path

from circuits.tasks.planning import planning_task
from circuits.tasks.star.config import StarConfig
from circuits.tasks.star.graph import StarGraph
from circuits.tasks.task import Task


def build(config: StarConfig, folder: Path | None = None) -> Task:
    """Build the task. It has no files of its own."""
    return planning_task(config, StarGraph(config.paths, config.nodes, config.labels), "star graphs")
