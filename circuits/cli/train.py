"""``circuits train``: train a standard transformer."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import jax
from rich.console import Console
from tyro import MISSING
from tyro.conf import FlagCreatePairsOff, OmitSubcommandPrefixes, arg, configure
from tyro.extras import subcommand_type_from_defaults

from circuits.cli import usage
from circuits.training import loop, progress, tensorboard
from circuits.training.config import TrainConfig
from circuits.training.parallel import Devices, start
from circuits.training.presets import PRESETS

Folder = Annotated[Path, arg(metavar="DIR")]


@dataclass(frozen=True, kw_only=True)
class Asked(TrainConfig):
    """A config from flags, where a value out of range is bad usage.

    tyro makes a message of a ValueError for each record, but not for one whose flags have no prefix.
    """

    def __post_init__(self) -> None:
        with usage():
            super().__post_init__()


def _as(kind: type[TrainConfig], config: TrainConfig) -> Any:
    return kind(**{part.name: getattr(config, part.name) for part in fields(TrainConfig)})


@dataclass(frozen=True, kw_only=True)
class Run:
    """What to train, and where.

    Args:
        out: folder of the run; made if it is not there.
        resume: go on with the run in the folder.
        tensorboard: write the metrics for TensorBoard too, into the folder's ``tensorboard``.
        devices: where to compute.
        config: what to train.
    """

    out: Folder
    resume: bool = False
    tensorboard: bool = False
    devices: Devices = field(default_factory=Devices)
    config: Annotated[Asked, arg(name="")] = field(default_factory=Asked)


def _asked_for(config: TrainConfig) -> Run:
    """A run whose folder the user has to name."""
    run = Run(out=Path(), config=_as(Asked, config))
    object.__setattr__(run, "out", MISSING)  # no path, which a check of types at run time would not let pass
    return run


if TYPE_CHECKING:
    Preset = Run
else:
    Preset = subcommand_type_from_defaults(
        {name: _asked_for(config) for name, (_, config) in PRESETS.items()},
        {name: text for name, (text, _) in PRESETS.items()},
    )


@configure(OmitSubcommandPrefixes, FlagCreatePairsOff)
def train(run: Annotated[Preset, arg(name="")]) -> int:
    """Train a standard transformer on planning graphs, from a preset and what is changed about it.

    Writes config.json, metrics.jsonl, checkpoints, and of walks graph.txt. A run that was stopped goes on with
    --resume, and ends with the same bits. Exit code 0: done. 1: a loss became infinite, or the disk is full. 2: bad
    usage. 130: interrupted.

    Args:
        run: the preset, and what is changed about it.
    """
    with usage():
        start(run.devices)
    screen = Console(highlight=False)
    screen.quiet = jax.process_index() > 0
    try:
        with progress.shown(screen, run.config) as show, usage():
            shows = [show]
            if run.tensorboard and jax.process_index() == 0:
                shows.append(tensorboard.writer(run.out / tensorboard.FOLDER))

            def show_all(report: loop.Report) -> None:
                for each in shows:
                    each(report)

            loop.train(_as(TrainConfig, run.config), run.out, run.devices, run.resume, show_all)
    except (ArithmeticError, OSError) as error:
        screen.print(f"circuits: {error}", style="red", soft_wrap=True, markup=False)
        return 1
    screen.print(f"wrote {run.out}", soft_wrap=True, markup=False)
    return 0
