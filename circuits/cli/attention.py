"""``circuits attention`` and its options; ``attention_files`` does the work and imports jax and matplotlib."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, Positional, arg, configure


@dataclass(frozen=True, kw_only=True)
class AttentionOptions:
    """Options of ``circuits attention``.

    Args:
        checkpoint: name of a shipped checkpoint, a run, a saved model, a folder in the Hugging Face layout, or a GGUF
            file.
        out: folder for attention.{png,pdf,npz,html} and query.{png,pdf}; created if it does not exist.
        examples: number of held-out problems to average over.
        token: index of the predicted token in the answer, from 0; by default the branching token, the first that needs
            look-ahead.
        text: the text for a language model.
        average_heads: average over attention heads.
        as_written: rows and columns are positions as written; by default the edges of each problem are sorted into the
            same order, those of the path first.
        step: training step of a run; by default the latest.
        seed: seed of a run; by default the first.
    """

    checkpoint: Annotated[Positional[str], arg(metavar="CHECKPOINT")]
    out: Annotated[Path, arg(metavar="DIR")]
    examples: int = 544
    token: int | None = None
    text: str | None = None
    average_heads: bool = False
    as_written: bool = False
    step: int | None = None
    seed: int | None = None


@configure(OmitArgPrefixes, FlagCreatePairsOff)
def attention(options: Annotated[AttentionOptions, arg(name="")]) -> int:
    """Extract the attention of a model while it predicts a token, as figures, arrays and an interactive page.

    For a model of planning problems, maps are means over held-out problems; a language model reads --text. Exit code 0:
    done. 2: bad usage.

    Example: circuits attention star-2x5-mtp3 --out attention

    Args:
        options: the checkpoint, the folder and how to average.
    """
    from circuits.cli.attention_files import extract_attention

    return extract_attention(options)
