"""Where the tokens of a step come from: epochs over a finite set, an endless stream, and files."""

from dataclasses import replace
from random import Random

import hypothesis.strategies as st
import jax
import numpy as np
import pytest
from hypothesis import given, settings

from circuits.tasks.token_format import decode_problem
from circuits.training import data, loop
from circuits.training.config import TaskConfig, TrainConfig
from circuits.training.data import check_disjoint, draw, load, rows_at
from circuits.training.parallel import Devices, mesh

FORM = TaskConfig(nodes=3, labels=8, style="pairs", query="goal-start").problem_format


def graphs(rows) -> set[frozenset]:
    """Of the sequences, which spell their edges first."""
    return {frozenset((int(row[2 * e]), int(row[2 * e + 1])) for e in range(FORM.family.edge_count)) for row in rows}


@settings(max_examples=50)
@given(st.integers(1, 6), st.integers(0, 40), st.integers(0, 3), st.integers(0, 5), st.randoms())
def test_each_epoch_has_every_row_once_in_a_new_order(batch, more, seed, epoch, random):
    size = 4 * batch + more
    config = TrainConfig(batch=batch, seeds=2, first_seed=seed)
    steps = size // batch
    orders = []
    for number in (epoch, epoch + 1):
        wanted = list(range(number * steps, (number + 1) * steps))
        random.shuffle(wanted)  # the rows of a step do not depend on which were asked for before
        rows = {step: rows_at(config, size, step) for step in wanted}
        orders.append(np.concatenate([rows[step] for step in sorted(rows)], axis=1))
    for order in orders:
        assert order.shape == (2, steps * batch)
        for one in order:
            assert len(set(one.tolist())) == steps * batch
            assert 0 <= min(one) <= max(one) < size
        if size % batch == 0:
            assert all(sorted(one.tolist()) == list(range(size)) for one in order)
    if size > 10:  # of 10! orders two are hardly the same
        assert len({tuple(one.tolist()) for order in orders for one in order}) == 4
    data._order.cache_clear()
    alone = replace(config, seeds=1, first_seed=seed + 1)
    assert np.array_equal(rows_at(alone, size, epoch * steps), orders[0][1:, :batch])


def test_a_remainder_is_another_in_each_epoch():
    config = TrainConfig(batch=3)
    left_out = {frozenset(range(11)) - set(rows_at_epoch(config, 11, epoch)) for epoch in range(12)}
    assert all(len(rows) == 2 for rows in left_out)
    assert len(left_out) > 6


def rows_at_epoch(config: TrainConfig, size: int, epoch: int) -> list[int]:
    steps = size // config.batch
    return [int(row) for step in range(steps) for row in rows_at(config, size, epoch * steps + step)[0]]


def test_a_stream_depends_on_the_seed_and_the_step_alone(tiny):
    def source(seeds: int, first_seed: int):
        config = replace(tiny, seeds=seeds, first_seed=first_seed)
        return loop.tokens_source(config, mesh(Devices(), tiny.batch), empty)

    empty = data.Data(None, np.zeros((0, 12), np.int32), np.zeros((0, 12), np.int32))
    pair, second = source(2, 3), source(1, 4)
    steps = [0, 1, 2, 1000, 2**31 - 2]
    ahead = {step: np.asarray(pair(step)) for step in steps}
    for step in Random(0).sample(steps, len(steps)):
        assert ahead[step].shape == (2, tiny.batch, FORM.length)
        assert np.array_equal(ahead[step][1:], second(step))
    assert len({row.tobytes() for tokens in ahead.values() for rows in tokens for row in rows}) == 80
    for row in ahead[1000].reshape(-1, FORM.length):
        decode_problem(FORM, row)  # raises for what is no problem of the family


def test_train_and_test_share_no_graph(tiny):
    """The family has 3360 graphs, of which 1000 draws see many more than once."""
    config = replace(tiny, task=replace(tiny.task, examples=1000, one_in=8), test_examples=300)
    found = load(config)
    assert found.train is not None
    assert found.train.dtype == np.uint8
    seen, tested = graphs(found.train), graphs(found.test)
    assert len(found.train) == 1000
    assert len(seen) < 900
    assert len(found.test) == 300 > len(tested) > 100
    assert not seen & tested
    assert np.array_equal(found.train[:300], found.train_sample)
    check_disjoint(FORM, found.train.astype(np.int32), found.test)
    # Of an endless stream too.
    endless = load(replace(config, task=replace(config.task, examples=0)))
    assert endless.train is None
    assert np.array_equal(endless.test, found.test)
    assert not graphs(endless.train_sample) & tested
    assert not np.array_equal(endless.train_sample, found.train_sample)
    # And another data seed means other problems.
    other = load(replace(config, task=replace(config.task, examples=1000, one_in=8, data_seed=1)))
    assert other.train is not None
    assert not np.array_equal(found.train, other.train)


def test_a_large_set_is_drawn_in_chunks(monkeypatch):
    monkeypatch.setattr(data, "CHUNK", 8)
    rows = draw(FORM, "train", 0, 20, 8)
    assert rows.shape == (20, FORM.length)
    assert len({row.tobytes() for row in rows}) == 20
    assert np.array_equal(rows[:8], draw(FORM, "train", 0, 8, 8))


def test_a_finite_set_is_taken_row_by_row(tiny):
    config = replace(tiny, task=replace(tiny.task, examples=20), seeds=2)
    problems = data.Data(np.arange(240, dtype=np.uint8).reshape(20, 12), *(np.zeros((1, 12), np.int32),) * 2)
    assert problems.train is not None
    tokens_at = loop.tokens_source(config, mesh(Devices(), config.batch), problems)
    for step in (0, 1, 5):
        found = tokens_at(step)
        assert found.dtype == np.int32
        assert np.array_equal(found, problems.train[rows_at(config, 20, step)])


PROBLEMS = ["0,1|1,2|0,3|3,4/0,2=0,1,2", "0,1|1,2|0,5|5,6/0,6=0,5,6", "4,1|1,2|4,3|3,7/4,7=4,3,7"]
TESTS = ["7,1|1,2|7,3|3,4/7,2=7,1,2"]


def filed(tiny, tmp_path, train=PROBLEMS, test=TESTS, batch=2) -> TrainConfig:
    paths = tmp_path / "train.txt", tmp_path / "test.txt"
    for path, lines in zip(paths, (train, test), strict=True):
        path.write_text("".join(line + "\n" for line in lines))
    task = replace(tiny.task, query="start-goal", data=paths[0], test_data=paths[1])
    return replace(tiny, task=task, batch=batch, test_examples=2)


def test_files_of_problems(tiny, tmp_path):
    found = load(filed(tiny, tmp_path))
    assert found.train is not None
    assert found.train.tolist() == [
        [0, 1, 1, 2, 0, 3, 3, 4, 0, 2, 1, 2],
        [0, 1, 1, 2, 0, 5, 5, 6, 0, 6, 5, 6],
        [4, 1, 1, 2, 4, 3, 3, 7, 4, 7, 3, 7],
    ]
    assert found.train.dtype == np.uint8
    assert found.test.tolist() == [[7, 1, 1, 2, 7, 3, 3, 4, 7, 2, 1, 2]]
    assert found.train_sample.tolist() == found.train.tolist()[:2]


REORDERED = "3,4|0,1|0,3|1,2/0,4=0,3,4"
"""The first problem's graph, its edges in another order and its goal another."""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": [*PROBLEMS, "0,1|1,2"]}, r"task.data: must hold problems of the task, got '.*train.txt' \(line 4:"),
        ({"train": [PROBLEMS[0], PROBLEMS[1][:-1] + "4"]}, r"task.data: .*train.txt' \(line 2: "),
        ({"test": ["0,1|1,9|0,3|3,4/0,9=0,1,9"]}, r"task.test_data: .*test.txt' \(line 1: "),
        ({"test": []}, r"task.test_data: .*test.txt' \(path: must hold at least one line"),
        ({"batch": 4}, "task.data: must hold at least a batch, 4, got 3"),
        ({"test": [*TESTS, REORDERED]}, "task.test_data: must share no graph with data, got 'line 2'"),
    ],
)
def test_files_that_cannot_be_used(tiny, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        load(filed(tiny, tmp_path, **changes))


def test_a_file_that_is_not_there(tiny, tmp_path):
    config = filed(tiny, tmp_path)
    (tmp_path / "test.txt").unlink()
    with pytest.raises(ValueError, match=r"task.test_data: must hold .*test.txt' \(.*No such file"):
        load(config)


@pytest.mark.parametrize(("labels", "dtype"), [(252, np.uint8), (253, np.uint16)])
def test_rows_are_kept_in_the_smallest_type_that_holds_every_id(labels, dtype):
    task = TaskConfig(labels=labels)
    rows = np.full((1, 2), task.format.vocab_size - 1, np.int32)
    narrow = data._narrow(task, rows)
    assert narrow.dtype == dtype
    assert narrow.tolist() == rows.tolist()


def test_the_seed_of_tests_is_no_runs_seed():
    assert TrainConfig(first_seed=data.TEST_SEED - 2).first_seed == data.TEST_SEED - 2
    with pytest.raises(ValueError, match="first_seed: must be an integer between 0 and"):
        TrainConfig(first_seed=data.TEST_SEED)
    assert not np.array_equal(jax.random.key_data(jax.random.key(data.TEST_SEED)), [0, 0])
