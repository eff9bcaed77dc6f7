"""``circuits train``, ``circuits evaluate`` and ``circuits export``."""

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import jax
from rich.console import Console
from tyro import MISSING
from tyro.conf import FlagCreatePairsOff, OmitSubcommandPrefixes, Positional, arg, configure
from tyro.extras import subcommand_type_from_defaults

from circuits import require
from circuits.cli import check_writable, usage, write_text
from circuits.transformer import weights_file
from circuits.transformer.config import Dtype
from circuits.transformer.training import data, loop, progress, tensorboard
from circuits.transformer.training.config import TrainConfig
from circuits.transformer.training.parallel import Devices, start, where
from circuits.transformer.training.presets import PRESETS
from circuits.transformer.training.scoring import score, scoring
from circuits.transformer.training.stored import read, read_run
from circuits.transformer.training.tables import accuracy_table, walk_table

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


def evaluate(
    checkpoint: Annotated[Positional[Path], arg(metavar="DIR")],
    examples: int | None = None,
    split: Literal["test", "train"] = "test",
    step: int | None = None,
    json_file: Annotated[Path | None, arg(name="json", metavar="FILE")] = None,
) -> int:
    """Answer problems with a trained model, and show how often it is right.

    Beside answers to star graphs and trees stands what guessing gives. Of walks every valid one is right; they are
    shown by the degree and the distance of their pair.

    Args:
        checkpoint: folder of a run, or of a saved model.
        examples: how many problems, at most. If left out, 4096 star graphs or trees, or all pairs of a task of walks.
        split: train are those that the model was trained on, or fresh ones like them if they were a stream; test
            problems share no graph with them, and walks no pair of source and target.
        step: of the run; the latest if left out.
        json_file: write the figures there too.
    """
    with usage():
        if examples is not None:
            require.integer("examples", examples, least=1)
        if json_file is not None:
            check_writable("json", json_file)
        models = read(checkpoint, step)
    screen, rows = Console(highlight=False), []
    for stored in models:
        with usage():
            problems = data.problems(stored.task, split, examples)
        figures = score(scoring(stored.task, stored.teacherless), stored.model, problems)
        table = walk_table if stored.task.is_walks else accuracy_table
        screen.print(table(stored, figures, len(problems), split))
        about = {"model": stored.name, "notes": stored.notes, "device": where(), "jax": jax.__version__}
        rows.append(about | {"examples": len(problems), "split": split} | figures)
    if json_file is not None:
        write_text(json_file, json.dumps(rows, indent=2) + "\n")
    return 0


def export(
    run: Annotated[Positional[Path], arg(metavar="RUN")],
    out: Folder,
    seed: int | None = None,
    step: int | None = None,
    dtype: Dtype = "float32",
) -> int:
    """Write one model of a run as config.json, model.safetensors and tokenizer.json, and of walks graph.txt.

    Args:
        run: folder of the run.
        out: folder for the model; made if it is not there.
        seed: which of the run's seeds; the first if left out.
        step: of the run; the latest if left out.
        dtype: of the weights in the file.
    """
    with usage():
        models = {stored.seed: stored for stored in read_run(run, step)}
        wanted = min(models) if seed is None else seed
        require.that(wanted in models, "seed", f"must be one of the run's, {sorted(models)}", seed)
        stored = models[wanted]
        try:
            graph = stored.task.walk_graph if stored.task.is_walks else None
            weights_file.save_model(out, stored.model, stored.task.format, stored.notes, dtype, graph)
        except OSError as error:
            raise ValueError(f"out: must be a folder to write in, got {str(out)!r} ({error.strerror})") from error
    Console(highlight=False).print(f"wrote {out}", soft_wrap=True, markup=False)
    return 0
