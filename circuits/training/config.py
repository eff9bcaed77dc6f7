"""What a training run of a transformer is: frozen records, checked when they are made."""

from dataclasses import dataclass, field, fields
from typing import Literal

from circuits import checks
from circuits.training.objective_config import ObjectiveConfig
from circuits.training.task_config import MOST_SEED, TaskConfig, WalksConfig, check_unused
from circuits.transformer.config import Architecture, TransformerConfig
from circuits.transformer.one_layer import one_layer_config

ONE_LAYER = ("embed_scale", "param_dtype", "kind")
"""What the one-layer model reads of an architecture."""

__all__ = ["MOST_SEED", "ObjectiveConfig", "OptimiserConfig", "TaskConfig", "TrainConfig", "WalksConfig"]


@dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    """AdamW, with a warm-up and a schedule.

    Args:
        learning_rate: the highest.
        warmup: steps of linear growth from 0.
        schedule: what follows the warm-up, until the last step.
        final_share: of the highest learning rate at the last step, for cosine and linear.
        weight_decay: 0 in the paper.
        b1: decay of the mean of gradients.
        b2: decay of the mean of squared gradients.
        clip: largest norm of the gradient.
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
    """Train a standard transformer on planning graphs.

    Raises ValueError naming the field that is out of range.

    Args:
        task: the graphs.
        objective: the loss.
        model: the transformer.
        optimiser: AdamW.
        steps: optimiser steps in all.
        batch: sequences a step.
        accumulate: parts of a batch whose gradients are added up one after the other, to save memory; divides it.
        seeds: independent runs side by side, each with its own parameters and its own order or stream of problems.
        first_seed: the first of them; the others follow it.
        evaluate_every: steps between evaluations.
        checkpoint_every: steps between checkpoints.
        keep: the last checkpoints that are kept.
        keep_every: keep for good those at multiples of so many steps. 0: none.
        test_examples: test problems of an evaluation, at most; as many training problems are looked at.
    """

    task: TaskConfig = field(default_factory=TaskConfig)
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
        checks.integer("first_seed", self.first_seed, min_value=0, max_value=MOST_SEED - self.seeds)
        rule = f"must divide the batch {self.batch}"
        checks.require(self.batch % self.accumulate == 0, "accumulate", rule, self.accumulate)
        fits = self.task.examples == 0 or self.task.examples >= self.batch
        checks.require(fits, "task.examples", f"must be at least the batch {self.batch}", self.task.examples)
        scaled = self.model.dtype != "float16"
        rule = "must not be float16, whose gradients vanish without a scaled loss"
        checks.require(scaled, "model.dtype", rule, self.model.dtype)
        self._check_objective()
        shape = self.transformer
        if self.model.kind == "one-layer":
            unread = [each.name for each in fields(Architecture) if each.name not in ONE_LAYER]
            check_unused(self.model, unread, "for the one-layer model, which does not read it", "model.")
            one_layer_config(shape)

    def _check_objective(self) -> None:
        form, objective = self.task.format, self.objective
        most = min(form.answer_length, form.length - 1 - self.first)
        rule = f"must be at most {most}, the tokens of an answer{' after the source' * self._copies}"
        checks.require(objective.heads <= most, "objective.heads", rule, objective.heads)
        late = [step for step in objective.curriculum if step >= self.steps]
        rule = f"must be below the run's {self.steps} steps, or the head would never be trained"
        checks.require(not late, "objective.curriculum", rule, objective.curriculum)
        hidden = objective.name != "teacherless" or not self.task.is_walks
        checks.require(
            hidden, "objective.name", "must not be teacherless for walks, which have no dummy", objective.name
        )
        rule = "must be 1 for walks, for parts of a batch with much padding would count for more"
        checks.require(self.accumulate == 1 or not self.task.is_walks, "accumulate", rule, self.accumulate)
        found = len(objective.token_weights)
        rule = f"must be empty or {form.vocab_size} weights, one for each token"
        checks.require(found in (0, form.vocab_size), "objective.token_weights", rule, found)
        whole = self.model.kind == "standard" or self.task.is_walks
        checks.require(whole, "model.kind", "must be standard unless the task is one of walks", self.model.kind)
        counted = objective.count == "answer" or not self._copies
        rule = "must be answer for the one-layer model, which has no parameter before"
        checks.require(counted, "objective.count", rule, objective.count)

    @property
    def transformer(self) -> TransformerConfig:
        """The model's shape, with what follows from the task and the objective."""
        chosen = {f.name: getattr(self.model, f.name) for f in fields(self.model)}
        form, objective = self.task.format, self.objective
        chosen |= {name: getattr(objective, name) for name in ("head_kind", "head_layers", "head_chain", "injection")}
        vocab, positions = form.vocab_size, form.length - 1
        return TransformerConfig(**chosen, vocab=vocab, positions=positions, prediction_heads=objective.heads)

    @property
    def first(self) -> int:
        """The first position that is counted, from 0.

        The one-layer model copies the source at the last of the prompt: that is no parameter's, so it does not count.
        """
        if self.objective.count == "all":
            return 0
        return self.task.format.prompt_length - (0 if self._copies else 1)

    @property
    def _copies(self) -> bool:
        return self.model.kind == "one-layer"
