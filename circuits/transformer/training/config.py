"""What a training run of a standard transformer is: frozen records, checked when they are made."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal, get_args

from circuits import require
from circuits.tasks.binary_tree import BinaryTree
from circuits.tasks.star_graph import StarGraph
from circuits.tasks.token_format import TokenFormat
from circuits.transformer.config import Architecture, TransformerConfig
from circuits.transformer.objectives import ObjectiveName

MOST_SEED = 2**31 - 1
"""Random keys are made from 31 bits on every platform."""


@dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """The graphs, how they are written, and how many of them there are.

    Train and test problems never share a graph: a hash of the graph decides which it is.

    Args:
        graph: star graphs, or complete binary trees.
        paths: paths of a star; a tree does not use it.
        nodes: nodes of a path, the start counted.
        labels: node labels, N.
        style: "text" as in Appendix E.3, with separators; "pairs" as in Section 5.1, without.
        query: the order of the two ends in the prompt.
        examples: training problems in all, the same in every epoch. 0: an endless stream, each problem drawn afresh.
        data_seed: which ``examples`` problems.
        one_in: one graph in so many is a test graph.
        data: a file of training problems in the public format, in place of drawn ones; star graphs or trees as above.
        test_data: a file of test problems, needed with ``data``; no graph may be in both.
    """

    graph: Literal["star", "tree"] = "star"
    paths: int = 2
    nodes: int = 5
    labels: int = 20
    style: Literal["text", "pairs"] = "text"
    query: Literal["start-goal", "goal-start"] = "start-goal"
    examples: int = 0
    data_seed: int = 0
    one_in: int = 64
    data: Path | None = None
    test_data: Path | None = None

    def __post_init__(self) -> None:
        require.choice("graph", self.graph, ("star", "tree"))
        require.integer("examples", self.examples, least=0)
        require.integer("data_seed", self.data_seed, least=0, most=MOST_SEED)
        require.integer("one_in", self.one_in, least=2, most=MOST_SEED)
        both = (self.data is None) == (self.test_data is None)
        require.that(both, "test_data", "must be given with data, and only then", self.test_data)
        drawn = self.data is None or self.examples == 0
        require.that(drawn, "examples", "must be 0 with a data file, all of which is used", self.examples)
        _ = self.format

    @property
    def format(self) -> TokenFormat:
        """The family of problems, and how they are written."""
        if self.graph == "star":
            return TokenFormat(StarGraph(self.paths, self.nodes, self.labels), self.style, self.query)
        return TokenFormat(BinaryTree(self.nodes, self.labels), self.style, self.query)


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """What is predicted from what; see ``circuits.transformer.objectives``.

    Args:
        name: next-token (one head), multi-token (k heads), or teacherless (one head, the answer's inputs hidden).
        heads: k; at least 2 for mtp, 1 otherwise.
        head_weights: w_1 .. w_k of Eq. 2. Empty: 1 each.
        count: the answer's tokens alone, or every token of the sequence.
    """

    name: ObjectiveName = "ntp"
    heads: int = 1
    head_weights: tuple[float, ...] = ()
    count: Literal["answer", "all"] = "answer"

    def __post_init__(self) -> None:
        require.choice("name", self.name, get_args(ObjectiveName))
        require.choice("count", self.count, ("answer", "all"))
        least, most = (2, None) if self.name == "mtp" else (1, 1)
        require.integer("heads", self.heads, least, most)
        fits = len(self.head_weights) in (0, self.heads)
        require.that(fits, "head_weights", f"must be empty or {self.heads} weights", self.head_weights)
        usable = all(0 <= weight < float("inf") for weight in self.head_weights)
        require.that(usable, "head_weights", "must be finite and at least 0", self.head_weights)
        useful = self.name != "teacherless" or self.count == "answer"
        require.that(useful, "count", "must be answer for teacherless training", self.count)

    @property
    def weights(self) -> tuple[float, ...]:
        """One weight a head."""
        return self.head_weights or (1.0,) * self.heads


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
        require.choice("schedule", self.schedule, ("constant", "cosine", "linear"))
        require.integer("warmup", self.warmup, least=0)
        for name in ("learning_rate", "clip"):
            value = getattr(self, name)
            require.that(0 < value < float("inf"), name, "must be positive and finite", value)
        for name in ("b1", "b2"):
            require.that(0 <= getattr(self, name) < 1, name, "must be in [0, 1)", getattr(self, name))
        require.that(0 <= self.final_share <= 1, "final_share", "must be in [0, 1]", self.final_share)
        decay = 0 <= self.weight_decay < float("inf")
        require.that(decay, "weight_decay", "must be finite and at least 0", self.weight_decay)


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
        test_examples: test problems of an evaluation; as many training problems are looked at.
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
            require.integer(name, getattr(self, name), least=1)
        require.integer("keep_every", self.keep_every, least=0)
        require.integer("first_seed", self.first_seed, least=0, most=MOST_SEED - self.seeds)
        rule = f"must divide the batch {self.batch}"
        require.that(self.batch % self.accumulate == 0, "accumulate", rule, self.accumulate)
        fits = self.task.examples == 0 or self.task.examples >= self.batch
        require.that(fits, "task.examples", f"must be at least the batch {self.batch}", self.task.examples)
        scaled = self.model.dtype != "float16"
        rule = "must not be float16, whose gradients vanish without a scaled loss"
        require.that(scaled, "model.dtype", rule, self.model.dtype)
        answer = self.task.format.answer_length
        few = self.objective.heads <= answer
        require.that(few, "objective.heads", f"must be at most {answer}, the tokens of an answer", self.objective.heads)

    @property
    def transformer(self) -> TransformerConfig:
        """The model's shape, with what follows from the task."""
        chosen = {f.name: getattr(self.model, f.name) for f in fields(self.model)}
        form, heads = self.task.format, self.objective.heads
        return TransformerConfig(**chosen, vocab=form.vocab_size, positions=form.length - 1, prediction_heads=heads)

    @property
    def first(self) -> int:
        """The first position that is counted, from 0."""
        return self.task.format.prompt_length - 1 if self.objective.count == "answer" else 0
