"""``circuits export``: save one model of a run as a separate folder."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from circuits.transformer.config import Dtype


def export(
    run: Annotated[Positional[Path], arg(metavar="RUN")],
    out: Annotated[Path, arg(metavar="DIR")],
    seed: int | None = None,
    step: int | None = None,
    dtype: Dtype = "float32",
) -> int:
    """Save one model of a run as a folder that any program can read.

    Writes config.json, model.safetensors, tokenizer.json, and graph.txt for walks in one graph.

    Example: circuits export runs/tiny-mtp3 --out tiny-mtp3

    Args:
        run: folder of the run.
        out: folder for the model; created if it does not exist.
        seed: seed of the run; by default the first.
        step: training step of the run; by default the latest.
        dtype: dtype of the parameters in the file.
    """
    from rich.console import Console

    from circuits import checks
    from circuits.cli import usage
    from circuits.training.stored import read_run
    from circuits.transformer import weights_file

    with usage():
        models = {stored.seed: stored for stored in read_run(run, step)}
        wanted = min(models) if seed is None else seed
        checks.require(wanted in models, "seed", f"must be one of the run's, {sorted(models)}", seed)
        stored = models[wanted]
        try:
            weights_file.save_model(out, stored.model, stored.task.format, stored.notes, dtype, stored.task.graph)
        except OSError as error:
            raise ValueError(f"out: must be a folder to write in, got {str(out)!r} ({error.strerror})") from error
    Console(highlight=False).print(f"wrote {out}", soft_wrap=True, markup=False)
    return 0
