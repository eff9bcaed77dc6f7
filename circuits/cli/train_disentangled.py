"""``circuits train-disentangled``: train the paper's disentangled transformers."""

from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes

from circuits.cli.options import Folder, print_written
from circuits.training.disentangled.config import DisentangledConfig

DEFAULT = DisentangledConfig()


def train_disentangled(out: Folder, config: OmitArgPrefixes[FlagCreatePairsOff[DisentangledConfig]] = DEFAULT) -> int:
    """Train the paper's disentangled transformers on random star graphs, several seeds side by side.

    Prints the metrics of the last step. Writes config.json, metrics.jsonl, snapshots and checkpoints.

    To resume a stopped run, repeat its command.

    Exit code 0: done. 1: a loss became infinite, or the disk is full. 2: bad usage. 130: interrupted.

    Example: circuits train-disentangled --out runs/reduced-mtp --steps 40000

    Args:
        out: folder of the run; created if it does not exist.
        config: what to train.
    """
    from rich.table import Table

    from circuits.cli import usage
    from circuits.cli.training import run_and_show
    from circuits.training import loop, run_folder
    from circuits.training.disentangled.training import prepare
    from circuits.training.progress import console

    screen = console()
    with usage():
        run = loop.open_run(prepare(config), out, resume=True)
    code = run_and_show(run, screen, "the same command resumes it")
    if code == 0:
        last = run_folder.read_metrics(out)[-config.seeds :]
        table = Table("at the last step", "mean", "min", "max", title=f"{config.seeds} seeds")
        for name in (name for name, value in last[0].items() if isinstance(value, float)):
            values = [record[name] for record in last]
            table.add_row(name, *(f"{value:.4f}" for value in (sum(values) / len(values), min(values), max(values))))
        screen.print(table)
        names = (run_folder.CONFIG, run_folder.METRICS, run_folder.SNAPSHOTS, run_folder.CHECKPOINTS)
        print_written(screen, out, [name for name in names if (out / name).exists()])
    return code
