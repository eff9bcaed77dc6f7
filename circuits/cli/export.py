"""``circuits export``: save one model of a run as a separate folder."""

from circuits.cli.options import Folder, Integer, RunFolder, print_written
from circuits.transformer.config import Dtype


def export(
    run: RunFolder,
    out: Folder,
    seed: Integer = None,
    step: Integer = None,
    dtype: Dtype = "float32",
) -> int:
    """Save one model of a run as a folder of safetensors and JSON files, which needs no training code to read.

    Writes config.json, model.safetensors and tokenizer.json, and graph.txt if the task is walks in one graph.

    Exit code 0: done. 2: bad usage.

    Example: circuits export runs/tiny-mtp3 --out tiny-mtp3

    Args:
        run: folder of the run.
        out: folder for the model; created if it does not exist.
        seed: seed of the run; by default its first.
        step: training step of the run; by default that of its latest checkpoint.
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
    graph = [] if stored.task.graph is None else [weights_file.GRAPH]
    print_written(
        Console(highlight=False), out, [weights_file.CONFIG, weights_file.WEIGHTS, weights_file.TOKENIZER, *graph]
    )
    return 0
