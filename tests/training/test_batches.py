"""The tokens of each step: epochs over a finite set, and an endless stream."""

from dataclasses import replace
from random import Random
from types import SimpleNamespace

import hypothesis.strategies as st
import jax
import numpy as np
import pytest
from hypothesis import given, settings

from circuits.tasks.star.config import StarConfig
from circuits.tasks.task import build_task
from circuits.tasks.token_format import decode_problem
from circuits.training import batches
from circuits.training.batches import Data, load, row_source, token_source
from circuits.training.devices import Devices
from circuits.training.parallel import mesh
from circuits.training.seeds import parameter_key, stream_key

STARS = build_task(StarConfig(nodes=3, labels=8, style="pairs", query="goal-start"))
EMPTY = np.zeros((0, 12), np.int32)


@settings(max_examples=50)
@given(st.integers(1, 6), st.integers(0, 40), st.integers(0, 3), st.integers(0, 5), st.randoms())
def test_each_epoch_has_every_row_once_in_a_new_order(batch, more, seed, epoch, random):
    size = 4 * batch + more
    rows_at = row_source(size, range(seed, seed + 2), batch)
    steps = size // batch
    orders = []
    for number in (epoch, epoch + 1):
        wanted = list(range(number * steps, (number + 1) * steps))
        random.shuffle(wanted)  # the rows of a step do not depend on which were asked for before
        rows = {step: rows_at(step) for step in wanted}
        orders.append(np.concatenate([rows[step] for step in sorted(rows)], axis=1))
    for order in orders:
        assert order.shape == (2, steps * batch)
        for one in order:
            assert len(set(one.tolist())) == steps * batch
            assert 0 <= min(one) <= max(one) < size
        if size % batch == 0:
            assert all(sorted(one.tolist()) == list(range(size)) for one in order)
    if size > 10:  # two of 10! orders are hardly the same
        assert len({tuple(one.tolist()) for order in orders for one in order}) == 4
    alone = row_source(size, range(seed + 1, seed + 2), batch)
    assert np.array_equal(alone(epoch * steps), orders[0][1:, :batch])


def test_the_remainder_is_another_in_each_epoch():
    rows_at = row_source(11, range(1), 3)
    left_out = {frozenset(range(11)) - {int(row) for s in range(3) for row in rows_at(3 * e + s)[0]} for e in range(12)}
    assert all(len(rows) == 2 for rows in left_out)
    assert len(left_out) > 6


def test_orders_are_made_once_per_epoch_for_any_number_of_seeds(monkeypatch):
    made = []
    monkeypatch.setattr(batches, "epoch_order", lambda seed, epoch, size: made.append((seed, epoch)) or np.arange(size))
    rows_at = row_source(8, range(40), 2)
    for step in range(8):
        rows_at(step)
    assert made == [(seed, epoch) for epoch in (0, 1) for seed in range(40)]


def test_a_stream_depends_on_the_seed_and_the_step_alone():
    grid = mesh(Devices(), 8)
    pair, second = (
        token_source(STARS, Data(None, EMPTY, EMPTY), seeds, 8, grid) for seeds in (range(3, 5), range(4, 5))
    )
    steps = [0, 1, 2, 1000, 2**31 - 2]
    ahead = {step: np.asarray(pair(step)) for step in steps}
    for step in Random(0).sample(steps, len(steps)):
        assert ahead[step].shape == (2, 8, STARS.format.length)
        assert np.array_equal(ahead[step][1:], second(step))
    assert len({row.tobytes() for tokens in ahead.values() for rows in tokens for row in rows}) == 80
    for row in ahead[1000].reshape(-1, STARS.format.length):
        decode_problem(STARS.format, row)  # raises for what is no problem of the family


def test_parameters_the_stream_and_data_sets_have_keys_of_their_own():
    """Keys are functions of what is folded in; steps and parts of a set, also folded in, are small numbers."""
    seed = 7
    base = jax.random.key(seed)
    keys = [base, parameter_key(seed), stream_key(seed)]
    keys += [jax.random.fold_in(of, part) for of in (base, stream_key(seed), parameter_key(seed)) for part in range(50)]
    assert len({np.asarray(jax.random.key_data(key)).tobytes() for key in keys}) == len(keys)


def test_a_finite_set_is_taken_row_by_row():
    rows = np.arange(240, dtype=np.uint8).reshape(20, 12)
    tokens_at = token_source(STARS, Data(rows, EMPTY, EMPTY), range(2), 8, mesh(Devices(), 8))
    for step in (0, 1, 5):
        found = tokens_at(step)
        assert found.dtype == np.int32
        assert np.array_equal(found, rows[row_source(20, range(2), 8)(step)])


@pytest.mark.parametrize(("vocab", "dtype"), [(256, np.uint8), (257, np.uint16)])
def test_rows_are_kept_in_the_smallest_type_that_holds_every_id(vocab, dtype):
    rows = np.full((3, 2), vocab - 1, np.int32)
    task = replace(
        STARS,
        training_set=lambda: rows,
        problems=lambda split, count: rows[:count],
        format=SimpleNamespace(vocab_size=vocab),
    )
    found = load(task, 3, 2)
    assert found.train is not None
    assert found.train.dtype == dtype
    assert found.train.tolist() == rows.tolist()
    assert (len(found.test), len(found.train_sample)) == (2, 2)


def test_a_set_must_hold_a_batch():
    small = build_task(StarConfig(nodes=3, labels=8, examples=7))
    with pytest.raises(ValueError, match="task: must have at least as many training problems as a batch, 8, got 7"):
        load(small, 8, 4)
