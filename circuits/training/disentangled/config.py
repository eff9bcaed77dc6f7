"""The config of a training run of a disentangled model, which imports no jax."""

from dataclasses import dataclass
from typing import Literal, get_args

from circuits import checks
from circuits.disentangled.mix import OBJECTIVES, Mix
from circuits.tasks.config import MAX_SEED

ModelName = Literal["reduced", "full"]
ObjectiveName = Literal["mtp", "ntp", "mtp-without-replay", "plan"]
EVALUATION_SEED = MAX_SEED
"""Not a valid seed of a run, so the evaluation set is independent of all batches."""


@dataclass(frozen=True)
class DisentangledConfig:
    """What disentangled transformers to train on random star graphs, several seeds side by side.

    Args:
        model: reduced has one content and one position block per layer, full has every weight and both heads.
        objective: mtp is the paper's Eq. 3, (L1a + L1b)/4 + L2/2; ntp is (L1a + L1b)/2; mtp-without-replay is Eq. 3
            without L1b; plan is L1a alone. L1a is the loss of v, L1b that of the end after v, and L2 that of the second
            prediction head, which predicts the end without v.
        hold_content_1: keep the content block of the first layer at 0, as the theory does (reduced model only).
        steps: number of optimiser steps; it may be increased to continue a finished run.
        seeds: number of independent models, each with its own initial weights and its own stream of graphs.
        first_seed: seed of the first model; the others have the following seeds.
        seeds_at_once: number of seeds computed together: 5 is fastest on two CPU cores; on an accelerator use all.
        batch: number of fresh random graphs per step.
        learning_rate: learning rate of AdamW.
        weight_decay: weight decay of AdamW.
        init_scale: standard deviation of the initial weights.
        evaluate_every: steps between evaluations, which are more frequent early on, and between checkpoints.
        evaluation_size: number of random graphs in the evaluation set.
        paths: number of paths of a graph, each with 3 nodes: the start, v and the end.
        labels: number of node labels, N.

    Raises:
        ValueError: naming the field that is out of range.
    """

    model: ModelName = "reduced"
    objective: ObjectiveName = "mtp"
    hold_content_1: bool = False
    steps: int = 20_000
    seeds: int = 10
    first_seed: int = 0
    seeds_at_once: int = 5
    batch: int = 512
    learning_rate: float = 5e-4
    weight_decay: float = 0.0
    init_scale: float = 0.01
    evaluate_every: int = 500
    evaluation_size: int = 4096
    paths: int = 2
    labels: int = 10

    def __post_init__(self) -> None:
        checks.choice("model", self.model, get_args(ModelName))
        checks.choice("objective", self.objective, get_args(ObjectiveName))
        reduced = not self.hold_content_1 or self.model == "reduced"
        checks.require(reduced, "hold_content_1", "must be False unless model is reduced", self.hold_content_1)
        for field in ("steps", "seeds", "seeds_at_once", "batch", "evaluate_every", "evaluation_size"):
            checks.integer(field, getattr(self, field), min_value=1)
        checks.integer("first_seed", self.first_seed, min_value=0, max_value=EVALUATION_SEED - 1 - self.seeds)
        for field in ("weight_decay", "init_scale"):
            value = getattr(self, field)
            checks.require(0 <= value < float("inf"), field, "must be finite and at least 0", value)
        positive = 0 < self.learning_rate < float("inf")
        checks.require(positive, "learning_rate", "must be positive and finite", self.learning_rate)

    @property
    def mix(self) -> Mix:
        """The objective's weights of the three losses."""
        return OBJECTIVES[self.objective]
