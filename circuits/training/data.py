"""The tokens of each step: an endless stream of fresh problems, or epochs over a finite set.

Both are functions of the seed and the step alone, so nothing but the step has to be saved to go on.
"""

from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, UInt

from circuits import checks
from circuits.tasks.sequence_files import read_sequences
from circuits.tasks.splits import sample_split
from circuits.tasks.token_format import TokenFormat, decode_problem, encode_problem
from circuits.training.config import TaskConfig, TrainConfig
from circuits.training.walk_data import pair_lines, walks_of

TEST_SEED = 2**31 - 1
"""No run's seed."""
ENOUGH = 4096
"""Problems to be asked, of as many as one likes."""
CHUNK = 65_536
"""Problems drawn at once for a finite set."""


class Data(NamedTuple):
    """What a run trains and is evaluated on. ``train`` is None for an endless stream."""

    train: UInt[np.ndarray, "n T"] | None
    test: Int[np.ndarray, "m T"]
    train_sample: Int[np.ndarray, "m T"]
    """Training problems to evaluate on; of an endless stream, fresh problems of the training split."""


def load(config: TrainConfig) -> Data:
    """Draw or read the data of a run.

    Raises ValueError naming the file and the line that can't be read, or the graph that is in both files.
    """
    task, wanted = config.task, config.test_examples
    if task.is_walks:
        return _walks(task, config.batch, wanted)
    if task.data is not None and task.test_data is not None:
        train, test = _read(task, "data", task.data), _read(task, "test_data", task.test_data)
        checks.require(
            len(train) >= config.batch, "task.data", f"must hold at least a batch, {config.batch}", len(train)
        )
        check_disjoint(task.problem_format, train, test)
        return Data(_narrow(task, train), test[:wanted], train[:wanted])
    drawn = partial(draw, task.problem_format, one_in=task.one_in)
    test = drawn("test", TEST_SEED, wanted)
    if task.examples == 0:
        return Data(None, test, drawn("train", TEST_SEED, wanted))
    train = drawn("train", task.data_seed, task.examples)
    return Data(_narrow(task, train), test, train[:wanted])


def problems(task: TaskConfig, split: str, count: int | None) -> Int[np.ndarray, "n T"]:
    """Up to ``count`` of the problems that a model of this task is trained on, or tested on.

    Of an endless stream, "train" gives fresh problems of the training split. Of walks there is a line for each pair.
    ``count`` None means all of these, and else ``ENOUGH``.
    """
    if task.is_walks:
        return pair_lines(task, split)[:count]
    count = ENOUGH if count is None else count
    file = task.test_data if split == "test" else task.data
    if file is not None:
        return _read(task, "test_data" if split == "test" else "data", file)[:count]
    if split == "train" and task.examples:
        return draw(task.problem_format, "train", task.data_seed, task.examples, task.one_in)[:count]
    return draw(task.problem_format, split, TEST_SEED, count, task.one_in)


def draw(form: TokenFormat, split: str, seed: int, count: int, one_in: int) -> Int[np.ndarray, "n T"]:
    """``count`` random problems of a split, as tokens; of two seeds they are independent."""
    sizes = [min(CHUNK, count - start) for start in range(0, count, CHUNK)]
    keys = [jax.random.fold_in(jax.random.key(seed), part) for part in range(len(sizes))]
    parts = [fresh(form, split, key, size, one_in) for key, size in zip(keys, sizes, strict=True)]
    return np.concatenate([np.asarray(part) for part in parts])


@partial(jax.jit, static_argnums=(0, 1, 3, 4))
def fresh(form: TokenFormat, split: str, key: Array, count: int, one_in: int) -> Int[Array, "n T"]:
    """Random problems of a split, as tokens."""
    return jnp.asarray(jax.vmap(partial(encode_problem, form))(sample_split(form.family, split, key, count, one_in)))


def rows_at(config: TrainConfig, size: int, step: int) -> Int[np.ndarray, "S B"]:
    """Which of ``size`` problems each seed sees at a step: a new random order in each epoch, its remainder left out."""
    epoch, place = divmod(step, size // config.batch)
    seeds = range(config.first_seed, config.first_seed + config.seeds)
    orders = [_order(seed, epoch, size) for seed in seeds]
    return np.stack([order[place * config.batch : (place + 1) * config.batch] for order in orders])


def check_disjoint(form: TokenFormat, train: Int[np.ndarray, "n T"], test: Int[np.ndarray, "m T"]) -> None:
    """Raise ValueError when a graph, whatever its order of edges and its goal, is in both sets."""
    known = {_graph(form, row) for row in train}
    rule = "must share no graph with data"
    for number, row in enumerate(test, start=1):
        checks.require(_graph(form, row) not in known, "task.test_data", rule, f"line {number}")


def _walks(task: TaskConfig, batch: int, wanted: int) -> Data:
    train = walks_of(task).train
    checks.require(len(train) >= batch, "task.walks", f"must give at least a batch of lines, {batch}", len(train))
    return Data(_narrow(task, train), *(pair_lines(task, split)[:wanted] for split in ("test", "train")))


def _graph(form: TokenFormat, row: Int[np.ndarray, " T"]) -> frozenset[tuple[int, int]]:
    return frozenset((int(u), int(v)) for u, v in np.asarray(decode_problem(form, row).edges))


def _read(task: TaskConfig, name: str, path: Path) -> Int[np.ndarray, "n T"]:
    try:
        return read_sequences(task.problem_format, path)
    except (OSError, ValueError) as error:
        raise ValueError(f"task.{name}: must hold problems of the task, got {str(path)!r} ({error})") from error


@lru_cache(maxsize=16)
def _order(seed: int, epoch: int, size: int) -> Int[np.ndarray, " n"]:
    return np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(size)


def _narrow(task: TaskConfig, rows: Int[np.ndarray, "n T"]) -> UInt[np.ndarray, "n T"]:
    """In the smallest type that holds the vocabulary, as millions of rows stay in memory."""
    return rows.astype(np.min_scalar_type(task.format.vocab_size - 1))
