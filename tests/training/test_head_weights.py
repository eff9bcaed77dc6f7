"""What heads weigh at a step, against the formulas written out in Python."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from circuits.training.head_weights import weights_at
from circuits.training.objective_config import ObjectiveConfig

STEPS = 10
BASE = (2.0, 0.5, 4.0)
CASES = {
    "constant": {},
    "power": {"weight_schedule": "power", "weight_power": 1.5},
    "flat power": {"weight_schedule": "power", "weight_power": 0.0},
    "switch": {"weight_schedule": "switch", "switch_at": 0.7, "switch_to": 0.25},
    "never": {"weight_schedule": "switch", "switch_at": 1.0, "switch_to": 0.25},
    "curriculum": {"curriculum": (3, 6)},
    "curriculum, power": {"curriculum": (0, 5), "weight_schedule": "power", "weight_power": 2.0},
    "curriculum, switch": {"curriculum": (2, 20), "weight_schedule": "switch", "switch_at": 0.25, "switch_to": 3.0},
}


def by_hand(objective: ObjectiveConfig, step: int) -> list[float]:
    found = [BASE[0]]
    for head, weight in enumerate(BASE[1:]):
        if objective.weight_schedule == "power":
            weight *= (1 - step / STEPS) ** objective.weight_power
        if objective.weight_schedule == "switch" and step / STEPS >= objective.switch_at:
            weight *= objective.switch_to
        if objective.curriculum and step < objective.curriculum[head]:
            weight = 0.0
        found.append(weight)
    return found


@pytest.mark.parametrize("name", CASES)
def test_each_step_is_that_of_the_formula(name):
    objective = ObjectiveConfig(name="mtp", heads=3, head_weights=BASE, **CASES[name])
    traced = jax.jit(lambda step: weights_at(objective, STEPS, step))
    found = np.array([traced(jnp.asarray(step, jnp.int32)) for step in range(STEPS)])
    assert np.allclose(found, [by_hand(objective, step) for step in range(STEPS)], atol=1e-12)
    assert np.array_equal(found[:, 0], [BASE[0]] * STEPS)
    plain = name in ("constant", "flat power", "never")
    assert np.array_equal(found, np.tile(BASE, (STEPS, 1))) == plain
    assert np.allclose(weights_at(objective, STEPS, 3), found[3], atol=1e-12)


def test_one_head_and_no_weights_are_ones():
    assert weights_at(ObjectiveConfig(), 5, 4).tolist() == [1.0]
    assert weights_at(ObjectiveConfig(name="mtp", heads=2), 5, 4).tolist() == [1.0, 1.0]


def test_a_switch_after_a_share_that_is_no_whole_step_comes_at_the_next_one():
    objective = ObjectiveConfig(name="mtp", heads=2, weight_schedule="switch", switch_at=0.25, switch_to=0.0)
    assert [float(weights_at(objective, 10, step)[1]) for step in range(4)] == [1.0, 1.0, 1.0, 0.0]
