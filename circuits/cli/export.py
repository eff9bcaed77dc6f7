"""``circuits export``: one model of a run as a folder of its own."""

from pathlib import Path
from typing import Annotated

from rich.console import Console
from tyro.conf import Positional, arg

from circuits import checks
from circuits.cli import usage
from circuits.training.stored import read_run
from circuits.transformer import weights_file
from circuits.transformer.config import Dtype

Folder = Annotated[Path, arg(metavar="DIR")]


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
        checks.require(wanted in models, "seed", f"must be one of the run's, {sorted(models)}", seed)
        stored = models[wanted]
        try:
            graph = stored.task.walk_graph if stored.task.is_walks else None
            weights_file.save_model(out, stored.model, stored.task.format, stored.notes, dtype, graph)
        except OSError as error:
            raise ValueError(f"out: must be a folder to write in, got {str(out)!r} ({error.strerror})") from error
    Console(highlight=False).print(f"wrote {out}", soft_wrap=True, markup=False)
    return 0
