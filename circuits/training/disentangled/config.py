"""What a training run is: one frozen record, checked when it is made."""

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from circuits import checks
from circuits.tasks.star.graph import StarGraph

ModelName = Literal["reduced", "full"]
ObjectiveName = Literal["mtp", "ntp", "mtp-without-replay", "plan"]
MOST_SEED = 2**31 - 2
"""Random keys are made from 31 bits on every platform; the last is the evaluation set's."""


class Mix(NamedTuple):
    """How much of L1a, L1b and L2 an objective holds."""

    plan: float
    replay: float
    goal: float


OBJECTIVES: dict[str, Mix] = {
    "mtp": Mix(0.25, 0.25, 0.5),  # Eq. 3
    "ntp": Mix(0.5, 0.5, 0.0),  # its next-token part
    "mtp-without-replay": Mix(0.25, 0.0, 0.5),  # Eq. 3 with L1b left out
    "plan": Mix(1.0, 0.0, 0.0),  # L1a alone
}


@dataclass(frozen=True)
class TrainConfig:
    """Train a disentangled transformer on random star graphs, several seeds side by side.

    Raises ValueError naming the field that is out of range.

    Args:
        model: "reduced" has one content and one position block a layer, "full" every weight and both heads.
        objective: ntp is (L1a + L1b)/2; mtp is Eq. 3, half of that and half of L2; mtp-without-replay is Eq. 3 less
            its L1b; plan is L1a alone.
        hold_content_1: keep W0 of Layer 1 at 0, as the theory does (reduced model only).
        steps: optimiser steps in all; a finished run can be given more.
        seeds: how many independent runs; each has its own initial weights and its own stream of graphs.
        first_seed: the first of them; the others follow it.
        seeds_at_once: how many to compute together: 5 is fastest on two CPU cores; on an accelerator take all of them.
        batch: fresh random graphs a step.
        learning_rate: AdamW's.
        weight_decay: AdamW's.
        init_scale: standard deviation of the initial weights.
        evaluate_every: steps between evaluations; the early ones come more often.
        evaluation_size: random graphs to evaluate on, the same at every evaluation.
        paths: paths of a graph, each of 3 nodes: the start, v and u_end.
        labels: node labels, N.
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
        checks.integer("first_seed", self.first_seed, min_value=0, max_value=MOST_SEED - self.seeds)
        for field in ("weight_decay", "init_scale"):
            value = getattr(self, field)
            checks.require(0 <= value < float("inf"), field, "must be finite and at least 0", value)
        positive = 0 < self.learning_rate < float("inf")
        checks.require(positive, "learning_rate", "must be positive and finite", self.learning_rate)
        _ = self.graphs

    @property
    def graphs(self) -> StarGraph:
        """The family of graphs. Two targets make the whole answer, so paths have 3 nodes."""
        return StarGraph(self.paths, 3, self.labels)

    @property
    def mix(self) -> Mix:
        """The objective's weights over the three losses."""
        return OBJECTIVES[self.objective]
