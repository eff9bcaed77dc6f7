"""``circuits train-disentangled``: train, show how it goes, and leave a run in a folder."""

from pathlib import Path
from typing import Annotated

from rich.table import Table
from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, arg

from circuits.cli import usage
from circuits.training.disentangled import loop, progress
from circuits.training.disentangled.config import TrainConfig

Folder = Annotated[Path, arg(metavar="DIR")]
DEFAULT = TrainConfig()


def train_disentangled(out: Folder, config: OmitArgPrefixes[FlagCreatePairsOff[TrainConfig]] = DEFAULT) -> int:
    """Train the paper's disentangled transformers on random star graphs, several seeds side by side.

    Writes config.json, metrics.npz and checkpoint.npz. A run that was stopped goes on when it is started again.
    Exit code 0: done. 1: a loss became infinite. 2: bad usage. 130: interrupted.

    Args:
        out: folder of the run; made if it is not there.
        config: what to train.
    """
    screen = progress.console()
    with usage():
        loop.begin(config, out)  # another run's folder, or a damaged one
    try:
        with progress.shown(screen, config) as show:
            history = loop.train(config, out, show)
    except ArithmeticError as error:
        screen.print(f"circuits: {error}", style="red", soft_wrap=True)
        return 1
    table = Table("at the last step", "mean", "least", "greatest", title=f"{config.seeds} seeds")
    for name, *values in progress.summary(history):
        table.add_row(name, *(f"{value:.4f}" for value in values))
    screen.print(table)
    screen.print(f"wrote {out}", soft_wrap=True, markup=False)
    return 0
