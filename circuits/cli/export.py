"""``circuits export``: one model of a run as a folder of its own."""

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
    """Write one model of a run as config.json, model.safetensors, tokenizer.json, and graph.txt for walks in one graph.

    Args:
        run: folder of the run.
        out: folder for the model; made if it does not exist.
        seed: one of the run's seeds; the first if left out.
        step: of the run; the latest if left out.
        dtype: type of the weights in the file.
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
