"""What a run is: the objectives' weights, and every field out of range."""

import pytest

from circuits.disentangled.mix import OBJECTIVES, Mix
from circuits.training.disentangled.config import DisentangledConfig
from circuits.training.disentangled.training import graphs_of


@pytest.mark.parametrize(
    ("objective", "plan", "replay", "goal"),
    [
        ("mtp", 1 / 2 * 1 / 2, 1 / 2 * 1 / 2, 1 / 2),  # Eq. 3
        ("ntp", 1 / 2, 1 / 2, 0),
        ("mtp-without-replay", 1 / 2 * 1 / 2, 0, 1 / 2),
        ("plan", 1, 0, 0),
    ],
)
def test_objectives(objective, plan, replay, goal):
    assert DisentangledConfig(objective=objective).mix == OBJECTIVES[objective] == Mix(plan, replay, goal)


def test_the_default_is_the_papers_setting():
    config = DisentangledConfig()
    assert (graphs_of(config).paths, graphs_of(config).nodes, config.labels, graphs_of(config).sequence_length) == (
        2,
        3,
        10,
        10,
    )
    assert (config.batch, config.learning_rate, config.weight_decay) == (512, 5e-4, 0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": "tiny"}, "model: must be one of reduced, full, got 'tiny'"),
        ({"objective": "mpt"}, "objective: must be one of mtp, ntp, mtp-without-replay, plan, got 'mpt'"),
        ({"model": "full", "hold_content_1": True}, "hold_content_1: must be False unless model is reduced, got True"),
        ({"steps": 0}, "steps: must be an integer at least 1, got 0"),
        ({"seeds": 0}, "seeds: must be an integer at least 1, got 0"),
        ({"seeds_at_once": 0}, "seeds_at_once: must be an integer at least 1, got 0"),
        ({"batch": -1}, "batch: must be an integer at least 1, got -1"),
        ({"evaluate_every": 0}, "evaluate_every: must be an integer at least 1, got 0"),
        ({"evaluation_size": 0}, "evaluation_size: must be an integer at least 1, got 0"),
        ({"first_seed": 2**31}, "first_seed: must be an integer between 0 and 2147483636, got 2147483648"),
        ({"learning_rate": 0.0}, "learning_rate: must be positive and finite, got 0.0"),
        ({"learning_rate": float("nan")}, "learning_rate: must be positive and finite, got nan"),
        ({"weight_decay": -0.1}, "weight_decay: must be finite and at least 0, got -0.1"),
        ({"init_scale": float("inf")}, "init_scale: must be finite and at least 0, got inf"),
    ],
)
def test_a_field_out_of_range_is_named(fields, message):
    config = DisentangledConfig()
    for name, value in fields.items():  # around the hook, which would stop a wrong word before the check does
        object.__setattr__(config, name, value)
    with pytest.raises(ValueError, match=message):
        config.__post_init__()


@pytest.mark.parametrize(("fields", "message"), [({"paths": 1}, "paths: must be"), ({"labels": 4}, "labels: must be")])
def test_graphs_that_cannot_be_are_named(fields, message):
    with pytest.raises(ValueError, match=message):
        graphs_of(DisentangledConfig(**fields))
