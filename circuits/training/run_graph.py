"""The graph of a task of walks in the folder of a run or of a saved model: it goes where the model goes.

Elsewhere the task says where its graph came from: a file that may be gone, or a seed of a random generator that may
give another graph one day. Lines and splits are functions of the graph and of seeds of numpy alone.
"""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from circuits import checks
from circuits.tasks.walks.graph_files import format_graph
from circuits.training.config import TrainConfig
from circuits.training.kept_file import Kept, pointed
from circuits.training.run_folder import kept_path, rebuilt
from circuits.training.task_config import TaskConfig, WalksConfig
from circuits.transformer.weights_file import GRAPH

FILE = "walks.file"


def kept_graph(task: TaskConfig) -> Kept | None:
    """What a run keeps of its task: the graph, if that is one."""
    return Kept(f"task.{FILE}", GRAPH, format_graph(task.walk_graph)) if task.is_walks else None


def settled(config: TrainConfig, folder: Path) -> TrainConfig:
    """The config with the graph that its run's folder holds, where it holds one."""
    path = kept_path(folder)
    return config if path is None else replace(config, task=in_file(config.task, path))


def read_task(noted: Any, path: Path | None) -> TaskConfig:
    """The task that the notes of a saved model tell of, with the graph of a file where there is one."""
    if path is None or not isinstance(noted, dict):
        return rebuilt(TaskConfig, noted, "notes.task")
    return in_file(rebuilt(TaskConfig, pointed(noted, FILE, path), "notes.task"), path)


def in_file(task: TaskConfig, path: Path) -> TaskConfig:
    """The task with the graph of a file: the same pairs and lines where it is the same graph.

    Raises ValueError for star graphs and trees, and for a file that is not the graph of Blocksworld where that is the
    task.
    """
    checks.require(task.is_walks, path.name, "must be absent but for walks in one graph", task.graph)
    if task.graph == "blocksworld":
        same = path.read_text(encoding="utf-8") == format_graph(task.walk_graph)
        checks.require(same, path.name, f"must be the graph of Blocksworld with {task.walks.blocks} blocks", str(path))
        return task
    default: Any = {each.name: each.default for kind in (TaskConfig, WalksConfig) for each in fields(kind)}
    random = {name: default[name] for name in ("edge_probability", "graph_seed")}
    walks = replace(task.walks, file=path.absolute(), **random)
    return replace(task, labels=default["labels"], walks=walks)
