"""Training of disentangled models: against Adam by hand, unbroken against resumed, and what it must not move."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from circuits.disentangled.losses import Losses
from circuits.disentangled.mix import Mix
from circuits.disentangled.models import prompts, weighted
from circuits.disentangled.reduced_batch import loss_and_gradient
from circuits.training import run_folder
from circuits.training.disentangled.config import EVALUATION_SEED, DisentangledConfig
from circuits.training.disentangled.runs import read
from circuits.training.disentangled.training import (
    advance,
    evaluate,
    evaluation_steps,
    graphs_of,
    initial_state,
    prepare,
    snapshot_steps,
    train,
)
from tests.cases import assert_close

TINY = DisentangledConfig(
    hold_content_1=True,
    steps=6,
    seeds=2,
    first_seed=1,
    seeds_at_once=2,
    batch=8,
    evaluate_every=3,
    evaluation_size=16,
    learning_rate=0.05,
)


def advanced(state, start: int, stop: int):
    return advance(TINY, state, jnp.int32(start), jnp.int32(stop))


def test_three_steps_are_adam_on_eq_3_by_hand_and_leave_the_held_block_at_zero():
    state = initial_state(TINY)
    after = advanced(state, 0, 3)
    for seed in range(TINY.seeds):
        ours = jax.tree.map(lambda leaf, s=seed: leaf[s], after.params)
        weights = jax.tree.map(lambda leaf, s=seed: np.asarray(leaf[s], np.float64), state.params)
        m = v = jax.tree.map(np.zeros_like, weights)
        _, stream = jax.random.split(jax.random.key(TINY.first_seed + seed))
        for step in range(3):
            batch = prompts(graphs_of(TINY), jax.random.fold_in(stream, step), TINY.batch)
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
    """The gradient of Eq. 3 that ``test_reduced_batch`` tests, with W0 of Layer 1 held."""
    _, (first, second) = loss_and_gradient(weights, *batch, mix=Mix(0.25, 0.25, 0.5))
    return first._replace(content=jnp.zeros_like(first.content)), second


def test_a_resumed_run_ends_with_the_same_bits(tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    ended = train(TINY, whole)
    assert_close(ended, advanced(initial_state(TINY), 0, 6), atol=0)

    def killed(report):
        if report.step == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(TINY, broken, killed)
    assert read(broken).history.steps.tolist() == [0, 1, 2, 3]
    shown = []
    state = train(TINY, broken, shown.append)
    assert [(report.step, report.notes) for report in shown] == [(6, ["resuming from step 3"])]
    assert [leaf.tobytes() for leaf in map(np.asarray, jax.tree.leaves(state))] == [
        leaf.tobytes() for leaf in map(np.asarray, jax.tree.leaves(ended))
    ]
    ours, truth = read(broken), read(whole)
    assert ours.config == truth.config == TINY
    assert_close(ours.history._asdict(), truth.history._asdict(), atol=0)
    # The history is what was measured, and the snapshots are the parameters.
    assert truth.history.steps.tolist() == [0, 1, 2, 3, 6]
    assert truth.history.snapshot_steps.tolist() == [0, 6]
    assert truth.history.metrics["goal"].shape == (5, 2)
    assert truth.history.metrics["goal"].dtype == np.float32
    measured = evaluate(TINY, ended.params)
    assert np.array_equal(truth.history.metrics["goal"][-1], measured.goal)
    assert np.array_equal(truth.history.snapshots["content_2"][-1], ended.params[1].content)
    # A finished run can be given more steps, and nothing else.
    longer = replace(TINY, steps=7)
    train(longer, whole)
    assert read(whole).history.steps.tolist() == [0, 1, 2, 3, 6, 7]
    with pytest.raises(ValueError, match=r"batch: must be 8, as in"):
        run_folder.claim(whole, replace(longer, batch=9), resume=True)


def test_the_loss_falls_and_is_of_float32():
    state = initial_state(TINY)
    trained = advanced(state, 0, 100)
    before, after = (evaluate(TINY, params) for params in (state.params, trained.params))
    falls = [weighted(TINY.mix, Losses(found.plan, found.replay, found.goal)) for found in (before, after)]
    assert np.all(falls[1] < 0.6 * falls[0])
    assert all(values.dtype == jnp.float32 and values.shape == (2,) for values in after)
    assert np.all(after.second_accuracy > 0.9)
    assert not np.any(trained.params[0].content)


def test_steps_of_evaluations_and_snapshots():
    config = DisentangledConfig(steps=1200)
    assert sorted(evaluation_steps(config)) == [
        *(0, 1, 2, 5, 10, 20, 50, 100, 160, 200, 250, 400, 500, 630, 1000, 1200)
    ]
    assert sorted(snapshot_steps(config)) == [0, 100, 160, 250, 400, 630, 1000, 1200]
    assert snapshot_steps(TINY) <= evaluation_steps(TINY) == {0, 1, 2, 3, 6}
    assert prepare(config).stride is None, "one compiled loop runs from one evaluation to the next"


def test_the_evaluation_set_belongs_to_no_seed():
    assert DisentangledConfig(seeds=1, first_seed=EVALUATION_SEED - 2).first_seed < EVALUATION_SEED
    with pytest.raises(ValueError, match="first_seed: must be an integer between 0 and"):
        DisentangledConfig(seeds=1, first_seed=EVALUATION_SEED)
