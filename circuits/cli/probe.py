"""Options of ``circuits probe`` scores, interventions, adjacency and development.

The modules that carry them out import jax and matplotlib, so they are imported only when called.
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

    Models of planning problems are scored for the parts of the reverse reasoning circuit, language models for
    previous-token, duplicate-token and induction heads. Writes scores.json and a heatmap of each score, and prints the
    strongest heads: L5H1 is head 1 of layer 5, counted from 0.

    Example: circuits probe scores star-2x5-mtp3 --out scores

    Args:
        checkpoint: name of a shipped checkpoint, a run, a saved model, a folder in the Hugging Face layout, or a GGUF
            file.
        out: folder for scores.json and a figure (PNG, PDF) of each score; created if it does not exist.
        examples: number of held-out problems, or of random sequences for a language model.
        token: index of the predicted token in the answer, from 0; by default the branching token, the first that needs
            look-ahead.
        level: familywise error rate over all heads and scores; at least 0.005 for a planning model.
        length: for a language model, the number of random tokens that each sequence repeats; by default 25, or as many
            as context and vocabulary allow.
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
    """Intervene on a planning model and measure the effect on its answers.

    Runs activation patching, path patching, ablation, attention knock-out, logit lens and linear probes on planning
    twins: pairs of problems that differ only in the goal. Writes interventions.npz, summary.json and a heatmap of each
    sweep, and prints the summary.

    Example: circuits probe interventions star-2x5-mtp3 --out interventions

    Args:
        checkpoint: name of a shipped checkpoint, a run, or a saved model of planning problems.
        out: folder for the results; created if it does not exist.
        examples: number of held-out problems; linear probes are fitted on as many others.
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
    adjacency.json and figures, and prints the matrices that agree best. A checkpoint trained on walks in one graph is
    tested for that graph, unless --graph names another.

    Example: circuits probe adjacency dag-injection --out powers

    Args:
        checkpoint: name of a shipped checkpoint, a run, a saved model, a folder in the Hugging Face layout, or a GGUF
            file.
        out: folder for adjacency.json and the figures; created if it does not exist.
        graph: file with an edge list, "u v" on each line, or GraphML; required unless the checkpoint was trained on one
            graph. It must have as many nodes as that graph, or for other checkpoints at most as many as there are
            labels.
        node_tokens: file with the token of each node, one on each line in node order; required for a language model.
        powers: the highest power of the adjacency matrix.
        draws: number of renamed graphs, rewired graphs and bootstrap resamples.
        level: familywise error rate over all matrices and references.
        sources: comma-separated kinds of matrices: heads, transfer, layers, jacobian. By default all that the model has
            except jacobian.
        head: the prediction head whose logits are read, from 0.
        examples: number of problems to average Jacobians over.
        untrained: number of untrained models to compare with; by default 39, and 0 for language models.
        step: training step of a run; by default the latest.
        seed: seed of a run; by default the first.
        over_training: also score every checkpoint of a run.
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

    Writes development.npz with the scores of every head at every step, and a figure. A repeated command resumes.

    Example: circuits probe development runs/mtp3-0 --out development

    Args:
        run: folder of a run with several checkpoints (circuits train --keep-every).
        out: folder for development.{npz,png,pdf}; created if it does not exist.
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
    """Find the circuit in a checkpoint: by attention scores, interventions, adjacency matrices, and over training.

    Writes figures and numbers to a folder. Exit code 0: done. 2: bad usage.

    Example: circuits probe scores star-2x5-mtp3 --out scores

    Args:
        options: the kind of probe; circuits probe scores --help explains its options.
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
