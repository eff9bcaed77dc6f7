"""The config of the training objective."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

from circuits import checks
from circuits.tasks.config import check_unused
from circuits.transformer.config import HeadKind

ObjectiveName = Literal["ntp", "mtp", "teacherless"]
WeightSchedule = Literal["constant", "power", "switch"]


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """The training objective.

    Prediction head 0 predicts the next token, head m the token m + 1 positions ahead. The weight of head 0 is constant;
    those of further heads follow the schedule.

    Args:
        name: ntp is next-token prediction (one head), mtp multi-token prediction (several heads), teacherless
            next-token prediction with the answer hidden from the input (one head).
        heads: number of prediction heads, k; at least 2 for mtp, 1 otherwise.
        head_weights: weights of the losses of heads 0 to k - 1, which are w_1 to w_k in Eq. 2. Empty for 1 each.
        count: whether the loss counts the tokens of the answer, or all tokens of the sequence.
        head_kind: kind of the further heads. linear has an unembedding of its own; meta has layers that read the stream
            before the last layer; transfer, transfer-mlp and transfer-block have a matrix, an MLP or layers after the
            last layer; sequential has a layer that also reads the tokens before the one it predicts.
        head_layers: number of layers of a further head, if its kind has layers.
        head_chain: whether each further head reads the stream of the head before it.
        injection: whether each further head also reads the token before the one it predicts.
        weight_schedule: how the weights of further heads change during training.
        weight_power: exponent of the schedule power.
        switch_at: fraction of the steps after which the schedule switch changes the weights.
        switch_to: factor of the weights after that. DeepSeek-V3 switches from 0.3 to 0.1 at 0.68 of its tokens.
        curriculum: the first step, counted from 0, at which each further head is trained. Empty for 0 each.
        token_weights: weight of each token of the vocabulary as a target, in order of their ids. Empty for 1 each.
    """

    name: ObjectiveName = "ntp"
    heads: int = 1
    head_weights: tuple[float, ...] = ()
    count: Literal["answer", "all"] = "answer"
    head_kind: HeadKind = "linear"
    head_layers: int = 1
    head_chain: bool = False
    injection: bool = False
    weight_schedule: WeightSchedule = "constant"
    weight_power: float = 1.0
    switch_at: float = 0.68
    switch_to: float = 1 / 3
    curriculum: tuple[int, ...] = ()
    token_weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name in ("head_weights", "curriculum", "token_weights"):  # a list cannot be hashed
            object.__setattr__(self, name, tuple(getattr(self, name)))
        checks.choice("name", self.name, get_args(ObjectiveName))
        checks.choice("count", self.count, ("answer", "all"))
        min_heads, max_heads = (2, None) if self.name == "mtp" else (1, 1)
        checks.integer("heads", self.heads, min_heads, max_heads)
        fits = len(self.head_weights) in (0, self.heads)
        checks.require(fits, "head_weights", f"must be empty or {self.heads} weights", self.head_weights)
        useful = self.name != "teacherless" or self.count == "answer"
        checks.require(useful, "count", "must be answer for teacherless training", self.count)
        for name in ("head_weights", "token_weights"):
            usable = all(0 <= weight < float("inf") for weight in getattr(self, name))
            checks.require(usable, name, "must be finite and at least 0", getattr(self, name))
        _check_schedule(self)
        if self.heads == 1:
            names = ("head_kind", "head_layers", "head_chain", "injection", "weight_schedule", "curriculum")
            check_unused(self, names, "with one head, which is linear and always trained")

    @property
    def weights(self) -> tuple[float, ...]:
        """The weight of each head before any schedule."""
        return self.head_weights or (1.0,) * self.heads


def _check_schedule(objective: ObjectiveConfig) -> None:
    checks.choice("weight_schedule", objective.weight_schedule, get_args(WeightSchedule))
    unused = {"constant": ("weight_power", "switch_at", "switch_to"), "power": ("switch_at", "switch_to")}
    names = unused.get(objective.weight_schedule, ("weight_power",))
    check_unused(objective, names, f"with the schedule {objective.weight_schedule}")
    for name in ("weight_power", "switch_to"):
        value = getattr(objective, name)
        checks.require(0 <= value < float("inf"), name, "must be finite and at least 0", value)
    checks.require(0 <= objective.switch_at <= 1, "switch_at", "must be in [0, 1]", objective.switch_at)
    steps, others = objective.curriculum, objective.heads - 1
    checks.require(
        len(steps) in (0, others), "curriculum", f"must be empty or {others} steps, one for each further head", steps
    )
    for step in steps:
        checks.integer("curriculum", step, min_value=0)
    rising = all(before <= after for before, after in pairwise(steps))
    checks.require(rising, "curriculum", "must not decrease", steps)
