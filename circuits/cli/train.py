"""``circuits train``: train a transformer."""

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro import MISSING
from tyro.conf import AvoidSubcommands, FlagCreatePairsOff, arg, configure, subcommand
from tyro.extras import subcommand_type_from_defaults

from circuits.cli import UsageError, usage
from circuits.cli.options import Folder, print_written
from circuits.tasks.star.config import StarConfig
from circuits.tasks.task import TASKS, TaskConfig
from circuits.training.config import TrainConfig
from circuits.training.devices import Devices
from circuits.training.presets import PRESETS


@dataclass(frozen=True, kw_only=True)
class Config(TrainConfig):
    """A config from flags, where a value out of range is bad usage.

    tyro turns the ValueError of a record into a message, but not that of a record whose flags have no prefix.
    """

    task: Annotated[TaskConfig, AvoidSubcommands] = field(default_factory=StarConfig)

    def __post_init__(self) -> None:
        with usage():
            super().__post_init__()


@dataclass(frozen=True, kw_only=True)
class New:
    """What to train, and where.

    Args:
        out: folder of the run; created if it does not exist.
        resume: continue the run in the folder, if there is one.
        tensorboard: also write the metrics for TensorBoard, into DIR/tensorboard.
        graph: train on another kind of graphs than the preset, with the same values of the fields that both tasks have.
        devices: where to compute.
        config: what to train.
    """

    out: Folder
    resume: bool = False
    tensorboard: bool = False
    graph: Annotated[str | None, arg(name="task.graph", metavar=f"{{{','.join(TASKS)}}}", help_behavior_hint="")] = None
    devices: Devices = field(default_factory=Devices)
    config: Annotated[Config, arg(name="")] = field(default_factory=Config)


def _new(config: TrainConfig) -> New:
    """Return a run whose folder the user has to name."""
    run = New(out=Path(), config=_as(Config, config))
    object.__setattr__(run, "out", MISSING)  # not a path, which a type check at run time would reject
    return run


def _as(kind: type[TrainConfig], config: TrainConfig) -> Any:
    return kind(**{part.name: getattr(config, part.name) for part in fields(TrainConfig)})


if TYPE_CHECKING:
    Preset = New
else:
    Preset = subcommand_type_from_defaults(
        {name: _new(config) for name, (_, config) in PRESETS.items()},
        {name: text for name, (text, _) in PRESETS.items()},
    )


@dataclass(frozen=True)
class NoPreset:
    """No preset, because --resume names a run."""


NO_PRESET = NoPreset()
Without = Annotated[NoPreset, subcommand("none", description="no preset: continue the run that --resume names")]


@configure(FlagCreatePairsOff)
def train(
    preset: Annotated[Preset | Without, arg(name="")] = NO_PRESET,
    resume: Annotated[Path | None, arg(metavar="RUN", help_behavior_hint="")] = None,
) -> int:
    """Train a transformer from a preset, any field of which can be changed, or resume a run.

    Writes config.json, metrics.jsonl and checkpoints, and graph.txt if the task is walks in one graph.

    The command circuits train PRESET --help lists the fields of a preset and their values.

    To resume a stopped run, give --resume RUN, or repeat its command with --resume at the end. Its parameters will be
    exactly the same as if it had not stopped.

    Exit code 0: done. 1: a loss became infinite, or the disk is full. 2: bad usage. 130: interrupted.

    Example: circuits train tiny-mtp3 --out runs/tiny-mtp3

    Args:
        preset: what to train.
        resume: continue the run in this folder, which has its own config: leave out the preset.
    """
    new = None if isinstance(preset, NoPreset) else preset
    if (new is None) == (resume is None):
        raise UsageError(f"train: needs one of these presets, or --resume RUN: {', '.join(PRESETS)}")
    from circuits.cli.training import run_and_show
    from circuits.tasks.task import build_task
    from circuits.training import loop, run_folder, tensorboard
    from circuits.training.parallel import is_first_process, start
    from circuits.training.progress import console
    from circuits.training.records import as_json, from_json
    from circuits.training.stored import run_task
    from circuits.training.transformer import prepare

    with usage():
        if new is None:
            assert resume is not None
            devices, out = Devices(), resume
            config, task = run_task(out)
        else:
            devices, out, config = new.devices, new.out, _as(TrainConfig, new.config)
            if new.graph is not None:
                config = replace(config, task=from_json(TaskConfig, as_json(config.task) | {"graph": new.graph}))
            start(devices)
            task = build_task(config.task)
        more = lambda report: None  # noqa: E731
        if new is not None and new.tensorboard and is_first_process():
            more = tensorboard.writer(out / tensorboard.FOLDER)
        run = loop.open_run(prepare(config, task, devices), out, new is None or new.resume)
    screen = console()
    screen.quiet = not is_first_process()
    code = run_and_show(run, screen, f"resume with: circuits train --resume {out}", more)
    if code == 0:
        names = (run_folder.CONFIG, run_folder.METRICS, run_folder.CHECKPOINTS, *task.files, tensorboard.FOLDER)
        print_written(screen, out, [name for name in names if (out / name).exists()])
    return code
