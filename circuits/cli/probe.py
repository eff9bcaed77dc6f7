"""``circuits probe``: scores, interventions, powers of a graph and development. Here are their options, and no more.

What carries them out imports jax and matplotlib, and is imported when it is called, so that help appears at once.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import (
    FlagCreatePairsOff,
    OmitArgPrefixes,
    OmitSubcommandPrefixes,
    Positional,
    arg,
    configure,
    subcommand,
)

Checkpoint = Annotated[Positional[str], arg(metavar="CHECKPOINT")]
Folder = Annotated[Path, arg(metavar="DIR")]


@dataclass(frozen=True, kw_only=True)
class ScoresOptions:
    """Score every attention head of a checkpoint, and test each score against chance.

    A model of planning problems is scored for the parts of the reverse reasoning circuit, a language model for
    previous-token, duplicate-token and induction heads. Writes scores.json and a heatmap of each score, and prints the
    strongest heads: L5H1 is head 1 of layer 5, counted from 0.

    Example: circuits probe scores star-2x5-mtp3 --out scores

    Args:
        checkpoint: name of a shipped checkpoint, a run, a saved model, a folder in the Hugging Face layout, or a GGUF
            file.
        out: folder for scores.json and a figure (PNG, PDF) of each score; made if it does not exist.
        examples: number of held-out problems, or of random sequences for a language model.
        token: index of the predicted token in the answer, from 0; by default the branching token, the first that needs
            look-ahead.
        level: rate of false findings, over all heads and scores together; at least 0.005 for a planning model.
        length: tokens of a random sequence that are repeated, for a language model; by default 25, or what its context
            and vocabulary allow.
        step: training step of a run; by default the latest.
        seed: seed of a run; by default the first.
    """

    checkpoint: Checkpoint
    out: Folder
    examples: int = 256
    token: int | None = None
    level: float = 0.05
    length: int | None = None
    step: int | None = None
    seed: int | None = None


@dataclass(frozen=True, kw_only=True)
class InterventionsOptions:
    """Change runs of a planning model and measure what happens to the answer.

    Activation patching, path patching, ablation, attention knock-out, logit lens and linear probes, on planning twins:
    pairs of problems that differ in their goal. Writes interventions.npz, summary.json and a heatmap of each sweep, and
    prints the summary.

    Example: circuits probe interventions star-2x5-mtp3 --out interventions

    Args:
        checkpoint: name of a shipped checkpoint, a run, or a saved model of planning problems.
        out: folder for the results; made if it does not exist.
        examples: number of held-out problems, and of as many others to fit linear probes on.
        token: index of the predicted token in the answer, from 0; by default the branching token, the first that needs
            look-ahead.
        step: training step of a run; by default the latest.
        seed: seed of a run; by default the first.
    """

    checkpoint: Checkpoint
    out: Folder
    examples: int = 256
    token: int | None = None
    step: int | None = None
    seed: int | None = None


@dataclass(frozen=True, kw_only=True)
class AdjacencyOptions:
    """Test which power of a graph's adjacency matrix, or reachability, each matrix of a checkpoint holds.

    Compares every attention head, layer and transfer matrix with the powers, against three null hypotheses. Writes
    adjacency.json and figures, and prints the matrices that agree best. The graph is by default that of the training,
    for a checkpoint trained on walks in one graph.

    Example: circuits probe adjacency dag-injection --out powers

    Args:
        checkpoint: name of a shipped checkpoint, a run, a saved model, a folder in the Hugging Face layout, or a GGUF
            file.
        out: folder for adjacency.json and the figures; made if it does not exist.
        graph: an edge list, "u v" on each line, or GraphML; needed unless the checkpoint was trained on one graph. It
            must have as many nodes as the walks of the model, or at most as many as the labels of another model.
        node_tokens: a file with the token of each node, one on each line in node order; needed for a language model.
        powers: the highest power of the adjacency matrix.
        draws: number of renamed graphs, rewired graphs and resamples.
        level: rate of false findings, over all matrices and references together.
        sources: comma-separated kinds of matrices: heads, transfer, layers, jacobian. By default all that the model has
            but jacobian.
        head: the prediction head whose logits are read, from 0.
        examples: number of problems on which Jacobians are measured.
        untrained: number of untrained models to compare with, 0 for none; by default 39, and none for language models.
        step: training step of a run; by default the latest.
        seed: seed of a run; by default the first.
        over_training: also score every checkpoint that a run kept.
    """

    checkpoint: Checkpoint
    out: Folder
    graph: Path | None = None
    node_tokens: Path | None = None
    powers: int = 4
    draws: int = 1000
    level: float = 0.05
    sources: str = ""
    head: int = 0
    examples: int = 64
    untrained: int | None = None
    step: int | None = None
    seed: int | None = None
    over_training: bool = False


@dataclass(frozen=True, kw_only=True)
class DevelopmentOptions:
    """Score the parts of the circuit at every checkpoint of a run, and report the training step at which each formed.

    Writes development.npz, whose arrays are scores of every head at every step, and a figure. A repeated command
    resumes where it stopped.

    Example: circuits probe development runs/mtp3-0 --out development

    Args:
        run: folder of a run that kept several checkpoints (circuits train --keep-every).
        out: folder for development.{npz,png,pdf}; made if it does not exist.
        examples: number of held-out problems at each checkpoint.
        seed: seed of the run; by default the first.
    """

    run: Annotated[Positional[Path], arg(metavar="RUN")]
    out: Folder
    examples: int = 256
    seed: int | None = None


Options = (
    Annotated[ScoresOptions, subcommand("scores")]
    | Annotated[InterventionsOptions, subcommand("interventions")]
    | Annotated[AdjacencyOptions, subcommand("adjacency")]
    | Annotated[DevelopmentOptions, subcommand("development")]
)


@configure(OmitArgPrefixes, OmitSubcommandPrefixes, FlagCreatePairsOff)
def probe(options: Annotated[Options, arg(name="")]) -> int:
    """Find the circuit: what heads attend to, what breaks without them, which matrices hold the graph, and since when.

    Exit code 0: done. 2: bad usage. Example: circuits probe scores star-2x5-mtp3 --out scores

    Args:
        options: the probe.
    """
    if isinstance(options, ScoresOptions):
        from circuits.cli.probe_scores import probe_scores

        return probe_scores(options)
    if isinstance(options, InterventionsOptions):
        from circuits.cli.probe_interventions import probe_interventions

        return probe_interventions(options)
    if isinstance(options, AdjacencyOptions):
        from circuits.cli.probe_adjacency import probe_adjacency

        return probe_adjacency(options)
    from circuits.cli.probe_development import probe_development

    return probe_development(options)
