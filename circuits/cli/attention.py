"""``circuits attention``: what a checkpoint attends to while it predicts the branching token."""

from pathlib import Path
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, Positional, arg, configure


@configure(FlagCreatePairsOff)
def attention(
    checkpoint: Annotated[Positional[str], arg(metavar="CHECKPOINT")],
    out: Annotated[Path, arg(metavar="DIR")],
    examples: int = 544,
    token: int | None = None,
    text: str | None = None,
    average_heads: bool = False,
    as_written: bool = False,
    step: int | None = None,
    seed: int | None = None,
) -> int:
    """Extract attention while a model predicts a token: figures, arrays and one interactive page.

    A model of planning problems reads held-out ones, and the maps are means over them; a language model reads --text.
    Exit code 0: done. 2: bad usage.

    Example: circuits attention star-2x5-mtp3 --out attention

    Args:
        checkpoint: name of a shipped checkpoint, a run, a saved model, a folder in the Hugging Face layout, or a GGUF
            file.
        out: folder for attention.{png,pdf,npz,html} and query.{png,pdf}; made if it does not exist.
        examples: number of held-out problems to average over.
        token: index of the predicted token in the answer, from 0; by default the branching token, the first that needs
            look-ahead.
        text: what a language model reads.
        average_heads: keep only the mean over attention heads.
        as_written: rows and columns are positions as written; by default the edges of each problem are put into the
            same order, those of the path first.
        step: training step of a run; by default the latest.
        seed: seed of a run; by default the first.
    """
    from circuits.cli.attention_files import extract_attention

    return extract_attention(
        checkpoint,
        out,
        examples=examples,
        token=token,
        text=text,
        per_head=not average_heads,
        aligned=not as_written,
        step=step,
        seed=seed,
    )
