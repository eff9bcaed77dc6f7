"""``circuits train``, ``circuits evaluate`` and ``circuits export``."""

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import binomtest
from tyro import MISSING
from tyro.conf import FlagCreatePairsOff, OmitSubcommandPrefixes, Positional, arg, configure
from tyro.extras import subcommand_type_from_defaults

from circuits import require
from circuits.cli import check_writable, usage, write_text
from circuits.tasks.levels import chance, clever_hans
from circuits.transformer import weights_file
from circuits.transformer.config import Dtype
from circuits.transformer.training import data, loop, progress, tensorboard
from circuits.transformer.training.config import TrainConfig
from circuits.transformer.training.evaluation import Accuracy, accuracy
from circuits.transformer.training.parallel import Devices, start, where
from circuits.transformer.training.presets import PRESETS
from circuits.transformer.training.stored import Stored, read, read_run

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

    Writes config.json, metrics.jsonl and checkpoints. A run that was stopped goes on with --resume, and ends with the
    same bits. Exit code 0: done. 1: a loss became infinite, or the disk is full. 2: bad usage. 130: interrupted.

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
    examples: int = 4096,
    split: Literal["test", "train"] = "test",
    step: int | None = None,
    json_file: Annotated[Path | None, arg(name="json", metavar="FILE")] = None,
) -> int:
    """Answer problems with a trained model, and show how often it is right beside what guessing gives.

    Args:
        checkpoint: folder of a run, or of a saved model.
        examples: how many problems, at most.
        split: train are those that the model was trained on, or fresh ones like them if they were a stream; test
            problems share no graph with them.
        step: of the run; the latest if left out.
        json_file: write the figures there too.
    """
    with usage():
        require.integer("examples", examples, least=1)
        if json_file is not None:
            check_writable("json", json_file)
        models = read(checkpoint, step)
    screen, rows = Console(highlight=False), []
    for stored in models:
        with usage():
            taken = data.problems(stored.task, split, examples)
        problems = jnp.asarray(taken, jnp.int32)
        found = jax.device_get(accuracy(stored.model, stored.task.format, problems, stored.teacherless))
        screen.print(accuracy_table(stored, found, len(problems), split))
        figures = {name: np.asarray(value, np.float64).tolist() for name, value in found._asdict().items()}
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
    """Write one model of a run as config.json, model.safetensors and tokenizer.json.

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
            weights_file.save_model(out, stored.model, stored.task.format, stored.notes, dtype=dtype)
        except OSError as error:
            raise ValueError(f"out: must be a folder to write in, got {str(out)!r} ({error.strerror})") from error
    Console(highlight=False).print(f"wrote {out}", soft_wrap=True, markup=False)
    return 0


def accuracy_table(stored: Stored, found: Accuracy, examples: int, split: str) -> Table:
    """Each token of the answer: greedy, given the true ones before it, and what an edge-follower gets.

    The interval of the whole answer is Wilson's, at 95%.
    """
    form = stored.task.format
    guess, cheat = chance(form, sees_goal=True), clever_hans(form, sees_goal=True)
    table = Table(title=f"{stored.name}: {examples} {split} problems")
    for column in ("", "greedy", "by chance", "given the true tokens", "following edges"):
        table.add_column(column, justify="left" if not column else "right")
    for place in range(form.answer_length):
        values = found.by_token[place], guess.by_token[place], found.forced[place], cheat.by_token[place]
        hard = " (hard)" if place in form.hard else ""
        table.add_row(f"token {place + 1}{hard}", *(f"{float(value):.1%}" for value in values))
    exact = float(found.exact)
    sure = binomtest(round(exact * examples), examples).proportion_ci(0.95, method="wilson")
    table.add_row(
        f"whole answer, {sure.low:.1%} to {sure.high:.1%}", f"{exact:.1%}", f"{float(guess.exact):.1%}", "", ""
    )
    return table
