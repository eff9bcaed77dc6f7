"""The config of a training run of a transformer: frozen records that read no file and import no jax."""

from dataclasses import dataclass, field, fields
from typing import Literal

from circuits import checks
from circuits.tasks.config import MAX_SEED, check_unused
from circuits.tasks.star.config import StarConfig
from circuits.tasks.task import TaskConfig
from circuits.training.objective_config import ObjectiveConfig
from circuits.transformer.config import Architecture

ONE_LAYER = ("embed_scale", "param_dtype", "kind")
"""The fields of ``Architecture`` that apply to the one-layer model."""


@dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    """AdamW with warm-up and a schedule.

    Args:
        learning_rate: the peak learning rate.
        warmup: number of steps of linear warm-up from 0.
        schedule: the learning rate after the warm-up.
        final_share: learning rate at the last step as a fraction of the peak, for cosine and linear.
        weight_decay: decoupled weight decay; 0 in the paper.
        b1: decay of the mean of gradients.
        b2: decay of the mean of squared gradients.
        clip: maximum norm of the gradient.
    """

    learning_rate: float = 1e-4
    warmup: int = 0
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    final_share: float = 0.1
    weight_decay: float = 0.0
    b1: float = 0.9
    b2: float = 0.999
    clip: float = 1.0

    def __post_init__(self) -> None:
        checks.choice("schedule", self.schedule, ("constant", "cosine", "linear"))
        checks.integer("warmup", self.warmup, min_value=0)
        for name in ("learning_rate", "clip"):
            value = getattr(self, name)
            checks.require(0 < value < float("inf"), name, "must be positive and finite", value)
        for name in ("b1", "b2"):
            checks.require(0 <= getattr(self, name) < 1, name, "must be in [0, 1)", getattr(self, name))
        checks.require(0 <= self.final_share <= 1, "final_share", "must be in [0, 1]", self.final_share)
        decay = 0 <= self.weight_decay < float("inf")
        checks.require(decay, "weight_decay", "must be finite and at least 0", self.weight_decay)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What to train a transformer on, and how.

    Fields that depend on the task's vocabulary and lengths are checked when a run is prepared.

    Args:
        task: the problems to train on.
        objective: the loss.
        model: the transformer.
        optimiser: AdamW.
        steps: number of optimiser steps.
        batch: sequences per step.
        accumulate: number of parts into which each batch is divided to save memory; must divide the batch.
        seeds: number of independent models trained together, each with its own stream or order of problems.
        first_seed: seed of the first model; the others have the following seeds.
        evaluate_every: steps between evaluations.
        checkpoint_every: steps between checkpoints.
        keep: number of latest checkpoints to keep.
        keep_every: also keep the checkpoints at multiples of this many steps; 0 for none.
        test_examples: maximum number of test problems, and also of training problems, in an evaluation.

    Raises:
        ValueError: naming the field that is out of range.
    """

    task: TaskConfig = field(default_factory=StarConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    model: Architecture = field(default_factory=Architecture)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    steps: int = 10_000
    batch: int = 256
    accumulate: int = 1
    seeds: int = 1
    first_seed: int = 0
    evaluate_every: int = 250
    checkpoint_every: int = 1000
    keep: int = 2
    keep_every: int = 0
    test_examples: int = 1024

    def __post_init__(self) -> None:
        positive = ("steps", "batch", "accumulate", "seeds", "evaluate_every", "checkpoint_every", "keep")
        for name in (*positive, "test_examples"):
            checks.integer(name, getattr(self, name), min_value=1)
        checks.integer("keep_every", self.keep_every, min_value=0)
        checks.integer("first_seed", self.first_seed, min_value=0, max_value=MAX_SEED - self.seeds)
        rule = f"must divide the batch {self.batch}"
        checks.require(self.batch % self.accumulate == 0, "accumulate", rule, self.accumulate)
        rule = "must not be float16, whose gradients vanish without loss scaling"
        checks.require(self.model.dtype != "float16", "model.dtype", rule, self.model.dtype)
        late = [step for step in self.objective.curriculum if step >= self.steps]
        rule = f"must be below the run's {self.steps} steps, or the head would never be trained"
        checks.require(not late, "objective.curriculum", rule, self.objective.curriculum)
        if self.model.kind == "one-layer":
            unread = [each.name for each in fields(Architecture) if each.name not in ONE_LAYER]
            check_unused(self.model, unread, "for the one-layer model, which does not have it", "model.")
            rule = "must be answer for the one-layer model, which has no parameters for earlier tokens"
            checks.require(self.objective.count == "answer", "objective.count", rule, self.objective.count)
