"""``circuits attention`` and its options; ``attention_files`` does the work and imports jax and matplotlib."""

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, arg, configure

from circuits.cli.options import Checkpoint, Folder, Integer, OtherCheckpoint, Text


@dataclass(frozen=True, kw_only=True)
class AttentionOptions:
    """Options of ``circuits attention``.

    Args:
        checkpoint: name of a shipped checkpoint, a run, a saved model, a folder in the Hugging Face layout, or a GGUF
            file.
        out: folder for the files; created if it does not exist.
        examples: number of held-out problems to average over.
        token: which token of the answer the model predicts while it is examined; 0 is the first. By default the
            branching token, the first that depends on the goal.
        text: the text that a language model reads; required for one.
        average_heads: average over attention heads in attention.html and attention.npz too.
        as_written: keep positions in the order of the prompt. By default the edges of each problem are sorted, those of
            the path first, so that a position means the same in all problems.
        keep_examples: number of problems whose own patterns the page can show, besides the mean.
        compare: a second checkpoint with as many layers and heads, which the page shows beside the first.
        over_training: give the page a slider over all checkpoints that a run kept (circuits train --keep-every). A run
            to compare must have checkpoints at the same steps.
        step: training step of a run; by default that of its latest checkpoint.
        seed: seed of a run; by default its first.
    """

    checkpoint: Checkpoint
    out: Folder
    examples: int = 544
    token: Integer = None
    text: Text = None
    average_heads: bool = False
    as_written: bool = False
    keep_examples: int = 0
    compare: OtherCheckpoint = None
    over_training: bool = False
    step: Integer = None
    seed: Integer = None


@configure(OmitArgPrefixes, FlagCreatePairsOff)
def attention(options: Annotated[AttentionOptions, arg(name="")]) -> int:
    """Show where a model attends while it predicts a token: figures, arrays and an interactive page.

    A model of planning problems is averaged over held-out problems; a language model reads --text.

    Single heads are in attention.html (an interactive page) and attention.npz (arrays).

    Means over heads are in attention.{png,pdf} (the patterns of each layer) and query.{png,pdf} (what the position that
    predicts the token attends to).

    Exit code 0: done. 2: bad usage.

    With --compare and --over-training the figures and arrays are those of the first checkpoint at its last step.

    Example: circuits attention star-2x5-ntp --compare star-2x5-mtp3 --out attention

    Args:
        options: the checkpoint, the folder and how to average.
    """
    from circuits.cli.attention_files import extract_attention

    return extract_attention(options)
