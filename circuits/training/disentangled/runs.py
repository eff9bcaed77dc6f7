"""A training run on disk: config.json, metrics.npz with the history, checkpoint.npz to go on from.

    config.json      the ``TrainConfig``
    metrics.npz      steps (evaluations,), each metric (evaluations, seeds), snapshot_steps (snapshots,), and each
                     parameter at those steps (snapshots, seeds, rows, columns); float32
    checkpoint.npz   step, parameters and optimiser state

The history is written first. When a run is killed between the two, it is ahead, and what is ahead is dropped.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int

from circuits import checks
from circuits.files import read_arrays, write_arrays, write_text
from circuits.training.disentangled.config import TrainConfig

FORMAT = 1
CONFIG, HISTORY, CHECKPOINT = "config.json", "metrics.npz", "checkpoint.npz"


class History(NamedTuple):
    """What was measured so far, E evaluations of S seeds, and K snapshots of their parameters."""

    steps: Int[np.ndarray, " E"]
    metrics: dict[str, Float[np.ndarray, "E S"]]
    snapshot_steps: Int[np.ndarray, " K"]
    snapshots: dict[str, Float[np.ndarray, "K S rows columns"]]


class Run(NamedTuple):
    """A run as it stands in its folder; seed s of the history is config.first_seed + s."""

    config: TrainConfig
    history: History


def read(folder: Path) -> Run:
    """A run, finished or not. Raises ValueError naming the file that is missing or damaged."""
    config, history = read_config(folder), read_history(folder)
    rule = f"must be a folder with {CONFIG} and {HISTORY}"
    if config is None or history is None:
        raise ValueError(f"folder: {rule}, got {str(folder)!r}")
    return Run(config, history)


def claim(folder: Path, config: TrainConfig) -> None:
    """Make the folder that run's, or show that it is: a run goes on only as it began, and may be given more steps.

    Raises ValueError naming the field that differs and both values, and for a folder that can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        before = read_config(folder)
        for field in fields(TrainConfig) if before else ():
            old, new = getattr(before, field.name), getattr(config, field.name)
            same = new >= old if field.name == "steps" else new == old
            rule = f"must be {old!r}{' or more' * (field.name == 'steps')}, as in {folder / CONFIG}"
            checks.require(same, field.name, rule, new)
        write_text(folder / CONFIG, json.dumps({"format": FORMAT, **asdict(config)}, indent=2) + "\n")
    except OSError as error:
        raise ValueError(f"out: must be a folder to write in, got {str(folder)!r} ({error.strerror})") from error


def read_config(folder: Path) -> TrainConfig | None:
    """The config of the run in a folder, None if there is none. Raises ValueError if it can't be read."""
    path = folder / CONFIG
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        version = found.pop("format", None) if isinstance(found, dict) else found
        checks.require(version == FORMAT, "format", f"must be {FORMAT}", version)
        return TrainConfig(**found)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{CONFIG}: must be the config of a run, got {str(path)!r} ({error})") from error


def append(
    history: History | None, step: int, metrics: Mapping[str, Any], snapshot: Mapping[str, Any] | None
) -> History:
    """The history with one more evaluation, and with a snapshot where one is given; a new one from None."""
    measured = {name: np.asarray(values)[None] for name, values in metrics.items()}
    taken = {name: np.asarray(values)[None] for name, values in (snapshot or {}).items()}
    now = np.array([step], np.int32)
    if history is None:
        return History(now, measured, now, taken)
    history = history._replace(
        steps=np.concatenate([history.steps, now]),
        metrics={name: np.concatenate([old, measured[name]]) for name, old in history.metrics.items()},
    )
    if snapshot is None:
        return history
    return history._replace(
        snapshot_steps=np.concatenate([history.snapshot_steps, now]),
        snapshots={name: np.concatenate([old, taken[name]]) for name, old in history.snapshots.items()},
    )


def until(history: History, step: int) -> History:
    """The history up to and with a step."""
    rows, kept = history.steps <= step, history.snapshot_steps <= step
    return History(
        history.steps[rows],
        {name: values[rows] for name, values in history.metrics.items()},
        history.snapshot_steps[kept],
        {name: values[kept] for name, values in history.snapshots.items()},
    )


def save(folder: Path, history: History, step: int, state: Any) -> None:
    """Write the history, then the checkpoint, each at once. ``state`` is any tree of arrays."""
    arrays = {"steps": history.steps, "snapshot_steps": history.snapshot_steps}
    arrays |= {f"metrics/{name}": values for name, values in history.metrics.items()}
    arrays |= {f"snapshots/{name}": values for name, values in history.snapshots.items()}
    write_arrays(folder / HISTORY, arrays)
    write_arrays(folder / CHECKPOINT, {"step": np.asarray(step), **_leaves(state)})


def resume(folder: Path, like: Any) -> tuple[History, int, Any] | None:
    """(history, step, state) to go on from, None in a new folder. ``like`` has the state's form.

    Raises ValueError naming the file that is damaged or does not fit.
    """
    if not (folder / CHECKPOINT).exists():
        return None
    found, history = read_arrays(folder / CHECKPOINT), read_history(folder)
    shapes = {name: leaf.shape for name, leaf in _leaves(like).items()}
    fits = {name: leaf.shape for name, leaf in found.items() if name != "step"} == shapes and "step" in found
    checks.require(fits, CHECKPOINT, f"must hold step and the arrays {shapes}", sorted(found))
    step = int(found["step"])
    there = history is not None and step in history.steps
    checks.require(there, HISTORY, f"must hold the evaluation of step {step}, where {CHECKPOINT} is", str(folder))
    assert history is not None
    state = jax.tree.unflatten(jax.tree.structure(like), [found[name] for name in shapes])
    return until(history, step), step, state


def read_history(folder: Path) -> History | None:
    """The history in a folder, None if there is none. Raises ValueError if it can't be read."""
    path = folder / HISTORY
    if not path.exists():
        return None
    found = read_arrays(path)
    rule = "must hold steps and snapshot_steps"
    checks.require({"steps", "snapshot_steps"} <= found.keys(), HISTORY, rule, sorted(found))
    parts = {
        part: {name.removeprefix(part): values for name, values in found.items() if name.startswith(part)}
        for part in ("metrics/", "snapshots/")
    }
    return History(found["steps"], parts["metrics/"], found["snapshot_steps"], parts["snapshots/"])


def _leaves(tree: Any) -> dict[str, Any]:
    """The arrays of a tree by their paths, in the order of its leaves."""
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree.flatten_with_path(tree)[0]}
