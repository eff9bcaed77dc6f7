"""Training: against Adam by hand, unbroken against resumed, and what it must and must not move."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from circuits.disentangled.losses import Losses
from circuits.training.disentangled import loop, runs
from circuits.training.disentangled.config import Mix, TrainConfig
from circuits.training.disentangled.loop import (
    advance,
    evaluate,
    evaluation_steps,
    initial_state,
    prompts,
    snapshot_steps,
    train,
)
from circuits.training.disentangled.models import weighted
from circuits.training.disentangled.reduced_batch import loss_and_gradient
from tests.cases import assert_close

TINY = TrainConfig(
    hold_content_1=True,
    steps=6,
    seeds=2,
    seeds_at_once=2,
    batch=8,
    evaluate_every=3,
    evaluation_size=16,
    learning_rate=0.05,
)


def advanced(config: TrainConfig, state, start: int, stop: int):
    return advance(config, state, jnp.int32(start), jnp.int32(stop))


def test_three_steps_are_adam_on_eq_3_by_hand_and_leave_the_held_block_at_zero():
    state = initial_state(TINY)
    after = advanced(TINY, state, 0, 3)
    for seed in range(TINY.seeds):
        ours = jax.tree.map(lambda leaf, s=seed: leaf[s], after.params)
        weights = jax.tree.map(lambda leaf, s=seed: np.asarray(leaf[s], np.float64), state.params)
        m = v = jax.tree.map(np.zeros_like, weights)
        _, stream = jax.random.split(jax.random.key(seed))
        for step in range(3):
            batch = prompts(TINY, jax.random.fold_in(stream, step), TINY.batch)
            g = mean_gradient(jax.tree.map(jnp.asarray, weights), batch)
            m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * np.asarray(g), m, g)
            v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * np.asarray(g) ** 2, v, g)
            bias = 1 - 0.9 ** (step + 1), 1 - 0.999 ** (step + 1)
            moved = jax.tree.map(lambda m, v, b=bias: 0.05 * (m / b[0]) / (np.sqrt(v / b[1]) + 1e-8), m, v)
            weights = jax.tree.map(np.subtract, weights, moved)
        # Adam divides by the gradient, and so enlarges the rounding of small ones.
        assert_close(jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), ours), weights, atol=1e-4)
    assert not np.any(after.params[0].content)
    assert not np.allclose(after.params[1].content[0], after.params[1].content[1])


@jax.jit
def mean_gradient(weights, batch):
    """Of Eq. 3, by the gradient that ``test_reduced_batch`` tests; W0 of Layer 1 is held."""
    _, (first, second) = loss_and_gradient(weights, *batch, mix=Mix(0.25, 0.25, 0.5))
    return first._replace(content=jnp.zeros_like(first.content)), second


def test_a_resumed_run_ends_with_the_same_bits(tmp_path):
    whole, broken, ahead = (tmp_path / name for name in ("whole", "broken", "ahead"))
    train(TINY, whole)

    def killed(step, history):
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(TINY, broken, killed)
    assert runs.read(broken).history.steps.tolist() == [0, 1, 2, 3]
    shutil.copytree(broken, ahead)
    shown = []
    train(TINY, broken, lambda step, history: shown.append(step))
    assert shown == [3, 6]
    assert_same_files(broken, whole)

    # Killed after the history was written and before the checkpoint was.
    shutil.copy(whole / "metrics.npz", ahead / "metrics.npz")
    train(TINY, ahead)
    assert_same_files(ahead, whole)

    # A finished run stays as it is.
    train(TINY, whole)
    assert_same_files(whole, broken)


def assert_same_files(folder, other):
    for name in ("metrics.npz", "checkpoint.npz"):
        ours, truth = (runs.read_arrays(place / name) for place in (folder, other))
        assert ours.keys() == truth.keys()
        for key in truth:
            assert ours[key].dtype == truth[key].dtype
            assert ours[key].tobytes() == truth[key].tobytes(), (name, key)


def test_the_loss_falls_and_is_of_float32():
    state = initial_state(TINY)
    trained = advanced(TINY, state, 0, 100)
    before, after = (evaluate(TINY, params) for params in (state.params, trained.params))
    falls = [weighted(TINY.mix, Losses(found.plan, found.replay, found.goal)) for found in (before, after)]
    assert np.all(falls[1] < 0.6 * falls[0])
    assert all(values.dtype == jnp.float32 and values.shape == (2,) for values in after)
    assert np.all(after.second_accuracy > 0.9)
    assert not np.any(trained.params[0].content)


def test_steps_of_evaluations_and_snapshots():
    config = TrainConfig(steps=1200)
    assert evaluation_steps(config) == [0, 1, 2, 5, 10, 20, 50, 100, 160, 200, 250, 400, 500, 630, 1000, 1200]
    assert snapshot_steps(config) == [0, 100, 160, 250, 400, 630, 1000, 1200]
    assert set(snapshot_steps(TINY)) <= set(evaluation_steps(TINY)) == {0, 1, 2, 3, 6}


def test_the_evaluation_set_belongs_to_no_seed():
    assert TrainConfig(seeds=1, first_seed=loop.EVALUATION_SEED - 2).first_seed < loop.EVALUATION_SEED
    with pytest.raises(ValueError, match="first_seed: must be an integer between 0 and"):
        TrainConfig(seeds=1, first_seed=loop.EVALUATION_SEED)
