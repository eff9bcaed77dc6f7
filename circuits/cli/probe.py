"""Options of ``circuits probe`` scores, interventions, adjacency and development.

The modules that carry them out import jax and matplotlib, so they are imported only when called.
"""

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, OmitSubcommandPrefixes, arg, configure, subcommand

from circuits.cli.options import Checkpoint, File, Folder, Integer, RunFolder


@dataclass(frozen=True, kw_only=True)
class ScoresOptions:
    """Score every attention head of a checkpoint, and test each score against chance.

    A model of planning problems is scored for the parts of the reverse reasoning circuit, a language model for
    previous-token, duplicate-token and induction heads.

    Prints the strongest heads: L5H1 is head 1 of layer 5, both counted from 0. For a planning model, the line "backward
    trace: L5H1 → L6H6 → L7H3" names those that read the edge into the goal, the edge before it, and so on.

    Writes scores.json and a heatmap of each score.

    Example: circuits probe scores star-2x5-mtp3 --out scores

    Args:
        checkpoint: name of a shipped checkpoint, a run, a saved model, a folder in the Hugging Face layout, or a GGUF
            file.
        out: folder for scores.json and a heatmap (PNG, PDF) of each score; created if it does not exist.
        examples: number of held-out problems, or of random sequences for a language model.
        token: which token of the answer the model predicts while it is examined; 0 is the first. By default the
            branching token, the first that depends on the goal.
        level: probability of calling any head above chance if none is, over all heads and scores together (familywise
            error rate). At least 0.005 for a planning model.
        length: number of random tokens that each sequence repeats, for a language model; by default 25, or fewer if its
            context or vocabulary is too small.
        step: training step of a run; by default that of its latest checkpoint.
        seed: seed of a run; by default its first.
    """

    checkpoint: Checkpoint
    out: Folder
    examples: int = 256
    token: Integer = None
    level: float = 0.05
    length: Integer = None
    step: Integer = None
    seed: Integer = None


@dataclass(frozen=True, kw_only=True)
class InterventionsOptions:
    """Intervene on a planning model and measure the effect on its answers.

    Runs activation patching, path patching, ablation, attention knock-out, logit lens and linear probes on pairs of
    problems that differ only in the goal.

    Prints a summary. Writes it to summary.json, all numbers to interventions.npz, and a heatmap of each sweep.

    Example: circuits probe interventions star-2x5-mtp3 --out interventions

    Args:
        checkpoint: name of a shipped checkpoint, a run, or a saved model of planning problems.
        out: folder for the files; created if it does not exist.
        examples: number of held-out problems; linear probes are fitted on as many others.
        token: which token of the answer the model predicts while it is examined; 0 is the first. By default the
            branching token, the first that depends on the goal.
        step: training step of a run; by default that of its latest checkpoint.
        seed: seed of a run; by default its first.
    """

    checkpoint: Checkpoint
    out: Folder
    examples: int = 256
    token: Integer = None
    step: Integer = None
    seed: Integer = None


@dataclass(frozen=True, kw_only=True)
class AdjacencyOptions:
    """Test which power of a graph's adjacency matrix, or reachability, each matrix of a checkpoint holds.

    Compares every attention head, layer and transfer matrix with each power A^k of the adjacency matrix A. A matrix
    holds a power if they agree more than with renamed nodes, with rewired edges, and in untrained models.

    Prints the matrices that agree best. Writes all comparisons to adjacency.json, and figures.

    Example: circuits probe adjacency dag-injection --out powers

    Args:
        checkpoint: name of a shipped checkpoint, a run, a saved model, a folder in the Hugging Face layout, or a GGUF
            file.
        out: folder for the files; created if it does not exist.
        graph: edge list, with "u v" on each line, or GraphML. By default the graph whose walks the checkpoint was
            trained on; required for any other checkpoint. It must have as many nodes as that graph, and otherwise at
            most as many as the model has labels.
        node_tokens: the token of each node, one on each line in node order; required for a language model, and only for
            one.
        powers: the highest power k.
        draws: number of renamed graphs, of rewired graphs, and of bootstrap resamples for the intervals.
        level: probability of calling any matrix above chance if none is, over all matrices and powers together
            (familywise error rate).
        sources: kinds of matrices, separated by commas, out of heads, transfer, layers and jacobian; by default all
            that the model has except jacobian.
        head: prediction head whose logits are read; 0 predicts the next token.
        examples: number of problems over which jacobian is averaged.
        untrained: number of untrained models to compare with; by default 39, and none for a language model.
        step: training step of a run; by default that of its latest checkpoint.
        seed: seed of a run; by default its first.
        over_training: also score every saved checkpoint of a run, and draw the scores over training.
    """

    checkpoint: Checkpoint
    out: Folder
    graph: File = None
    node_tokens: File = None
    powers: int = 4
    draws: int = 1000
    level: float = 0.05
    sources: Annotated[str, arg(metavar="KINDS", help_behavior_hint="")] = ""
    head: int = 0
    examples: int = 64
    untrained: Integer = None
    step: Integer = None
    seed: Integer = None
    over_training: bool = False


@dataclass(frozen=True, kw_only=True)
class DevelopmentOptions:
    """Score the parts of the circuit at every checkpoint of a run, and report the training step at which each formed.

    Prints those steps. Writes the scores of every head at every step to development.npz, and a figure.

    To resume an interrupted command, repeat it: checkpoints that have scores are skipped.

    Example: circuits probe development runs/mtp3-0 --out development

    Args:
        run: folder of a run that kept several checkpoints (see circuits train --keep-every).
        out: folder for the files; created if it does not exist.
        examples: number of held-out problems at each checkpoint.
        seed: seed of the run; by default its first.
    """

    run: RunFolder
    out: Folder
    examples: int = 256
    seed: Integer = None


Options = (
    Annotated[ScoresOptions, subcommand("scores")]
    | Annotated[InterventionsOptions, subcommand("interventions")]
    | Annotated[AdjacencyOptions, subcommand("adjacency")]
    | Annotated[DevelopmentOptions, subcommand("development")]
)


@configure(OmitArgPrefixes, OmitSubcommandPrefixes, FlagCreatePairsOff)
def probe(options: Annotated[Options, arg(name="")]) -> int:
    """Find the circuit in a checkpoint: by attention scores, interventions, adjacency matrices, and over training.

    Exit code 0: done. 2: bad usage.

    Example: circuits probe scores star-2x5-mtp3 --out scores

    Args:
        options: the kind of probe; "circuits probe KIND --help" explains its options.
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
