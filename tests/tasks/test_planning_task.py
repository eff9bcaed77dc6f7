"""Star graphs and trees as tasks: which problems are trained on, which are held out, and files of them."""

from dataclasses import replace

import numpy as np
import pytest

from circuits.tasks import planning
from circuits.tasks.planning import TEST_SEED, check_disjoint, draw
from circuits.tasks.star.config import StarConfig
from circuits.tasks.task import build_task
from circuits.tasks.token_format import TokenFormat
from circuits.tasks.tree.config import TreeConfig
from circuits.training.config import TrainConfig

STARS = StarConfig(nodes=3, labels=8, style="pairs", query="goal-start", one_in=8)
FORM = build_task(STARS).format


def graphs(rows) -> set[frozenset]:
    """The graph of each sequence, which spells its edges first."""
    return {frozenset((int(row[2 * e]), int(row[2 * e + 1])) for e in range(4)) for row in rows}


def test_train_and_test_share_no_graph():
    """The family has 3360 graphs, of which 1000 draws see many more than once."""
    task = build_task(replace(STARS, examples=1000))
    assert task.training_set is not None
    train, test = task.training_set(), task.problems("test", 300)
    seen, tested = graphs(train), graphs(test)
    assert len(train) == 1000
    assert len(seen) < 900
    assert len(test) == 300 > len(tested) > 100
    assert not seen & tested
    assert np.array_equal(train[:300], task.problems("train", 300))
    assert isinstance(FORM, TokenFormat)
    check_disjoint(FORM, train, test)
    # The same holds for an endless stream.
    endless = build_task(STARS)
    assert endless.training_set is None
    assert np.array_equal(endless.problems("test", 300), test)
    fresh = endless.problems("train", 300)
    assert not graphs(fresh) & tested
    assert not np.array_equal(fresh, train[:300])
    # Another data seed means other problems.
    other = build_task(replace(STARS, examples=1000, data_seed=1))
    assert not np.array_equal(train[:20], other.problems("train", 20))


def test_a_large_set_is_drawn_in_chunks(monkeypatch):
    monkeypatch.setattr(planning, "CHUNK", 8)
    assert isinstance(FORM, TokenFormat)
    rows = draw(FORM, "train", 0, 20, 8)
    assert rows.shape == (20, FORM.length)
    assert len({row.tobytes() for row in rows}) == 20
    assert np.array_equal(rows[:8], draw(FORM, "train", 0, 8, 8))


PROBLEMS = ["0,1|1,2|0,3|3,4/0,2=0,1,2", "0,1|1,2|0,5|5,6/0,6=0,5,6", "4,1|1,2|4,3|3,7/4,7=4,3,7"]
TESTS = ["7,1|1,2|7,3|3,4/7,2=7,1,2"]


def filed(tmp_path, train=PROBLEMS, test=TESTS) -> StarConfig:
    paths = tmp_path / "train.txt", tmp_path / "test.txt"
    for path, lines in zip(paths, (train, test), strict=True):
        path.write_text("".join(line + "\n" for line in lines))
    return replace(STARS, query="start-goal", data=paths[0], test_data=paths[1])


def test_files_of_problems(tmp_path):
    task = build_task(filed(tmp_path))
    assert task.training_set is not None
    assert task.training_set().tolist() == [
        [0, 1, 1, 2, 0, 3, 3, 4, 0, 2, 1, 2],
        [0, 1, 1, 2, 0, 5, 5, 6, 0, 6, 5, 6],
        [4, 1, 1, 2, 4, 3, 3, 7, 4, 7, 3, 7],
    ]
    assert task.problems("test", 9).tolist() == [[7, 1, 1, 2, 7, 3, 3, 4, 7, 2, 1, 2]]
    assert task.problems("train", 2).tolist() == task.training_set().tolist()[:2]


REORDERED = "3,4|0,1|0,3|1,2/0,4=0,3,4"
"""The first problem's graph, with its edges in another order and another goal."""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": [*PROBLEMS, "0,1|1,2"]}, r"task.data: .*train.txt' \(line 4:"),
        ({"train": [PROBLEMS[0], PROBLEMS[1][:-1] + "4"]}, r"task.data: .*train.txt' \(line 2: "),
        ({"test": ["0,1|1,9|0,3|3,4/0,9=0,1,9"]}, r"task.test_data: .*test.txt' \(line 1: "),
        ({"test": []}, r"task.test_data: .*test.txt' \("),
        ({"test": [*TESTS, REORDERED]}, "task.test_data: must share no graph with data, got 'line 2'"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, changes, message):
    task = build_task(filed(tmp_path, **changes))
    assert task.training_set is not None
    with pytest.raises(ValueError, match=message):
        task.training_set()


def test_a_missing_file_is_named_when_it_is_read(tmp_path):
    task = build_task(filed(tmp_path))
    (tmp_path / "test.txt").unlink()
    with pytest.raises(ValueError, match=r"task.test_data: must hold .*test.txt' \(.*No such file"):
        task.problems("test", 1)


def test_the_seed_of_tests_is_no_runs_seed():
    assert TrainConfig(first_seed=TEST_SEED - 2).first_seed == TEST_SEED - 2
    with pytest.raises(ValueError, match="first_seed: must be an integer between 0 and"):
        TrainConfig(first_seed=TEST_SEED)


def test_answers_are_judged_token_by_token():
    task = build_task(TreeConfig(nodes=4, labels=15, style="pairs"))
    rows = task.problems("test", 2)
    answers = rows[:, task.format.prompt_length :].copy()
    answers[1, 2] += 1
    right = np.stack([np.asarray(task.judge(row, answer)) for row, answer in zip(rows, answers, strict=True)])
    assert right.tolist() == [[True] * 3, [True, True, False]]
    # Of a tree's path only the last token, which the query names, needs no look-ahead.
    assert task.metrics(right, rows) == {"exact": 0.5, "hard": 1.0, "by_token": [1.0, 1.0, 0.5]}
