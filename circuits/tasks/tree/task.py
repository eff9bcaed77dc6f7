"""The binary-tree task."""

from pathlib import Path

from circuits.tasks.planning import planning_task
from circuits.tasks.task import Task
from circuits.tasks.tree.config import TreeConfig
from circuits.tasks.tree.graph import BinaryTree


def build(config: TreeConfig, folder: Path | None = None) -> Task:
    """Build the task. It has no files of its own."""
    return planning_task(config, BinaryTree(config.nodes, config.labels), "binary trees")
