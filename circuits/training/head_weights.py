"""The weight of each prediction head in the loss at a step.

At step s of ``steps``, counted from 0, and in the numbering of Eq. 2, m = 1..k:

    constant  w_m(s) = w_m
    power     w_m(s) = w_m (1 - s / steps)^alpha               for m >= 2
    switch    w_m(s) = w_m before step a steps, then w_m c     for m >= 2   (DeepSeek-V3: 0.3, then 0.1)

and 0 for m >= 2 before the step at which a curriculum adds the head. The first head, which generates the answers,
always has the weight w_1.
"""

from math import ceil

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from circuits.training.objective_config import ObjectiveConfig


def weights_at(objective: ObjectiveConfig, steps: int, step: Int[Array, ""] | int) -> Float[Array, " k"]:
    """Return w_1(s) .. w_k(s) for s = ``step`` of ``steps``; jittable in ``step``."""
    base = jnp.asarray(objective.weights, float)
    if objective.weight_schedule == "constant" and not objective.curriculum:
        return base  # independent of the step
    factor = jnp.where(_started(objective, step), _factor(objective, steps, step), 0.0)
    return jnp.where(jnp.arange(objective.heads) == 0, base, base * factor)


def _factor(objective: ObjectiveConfig, steps: int, step: Int[Array, ""] | int) -> Float[Array, ""]:
    if objective.weight_schedule == "power":
        return (1.0 - jnp.asarray(step, float) / steps) ** objective.weight_power
    if objective.weight_schedule == "switch":
        first = ceil(round(objective.switch_at * steps, 6))  # a product such as 0.68 x 1500 is not exactly whole
        return jnp.where(jnp.asarray(step, jnp.int32) >= first, objective.switch_to, 1.0)
    return jnp.ones(())


def _started(objective: ObjectiveConfig, step: Int[Array, ""] | int) -> Bool[Array, " k"]:
    """Return whether each head is trained at a step."""
    first = objective.curriculum or (0,) * (objective.heads - 1)
    return jnp.asarray(step, jnp.int32) >= jnp.asarray((0, *first), jnp.int32)
