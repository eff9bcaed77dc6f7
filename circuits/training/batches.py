"""The tokens of each step: an endless stream of fresh problems, or epochs over a finite set.

Both are functions of the seed and the step alone, so that only the step has to be saved to resume a run.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Int, Key, UInt

from circuits import checks
from circuits.tasks.task import Task
from circuits.training.parallel import batch_sharding, replicated
from circuits.training.seeds import over_seeds, stream_key


class Data(NamedTuple):
    """The problems of a run. ``train`` is None for an endless stream."""

    train: UInt[np.ndarray, "n T"] | None
    test: Int[np.ndarray, "test T"]
    train_sample: Int[np.ndarray, "test T"]
    """Training problems for evaluations; for an endless stream, fresh problems of the training split."""


def load(task: Task, batch: int, test_examples: int) -> Data:
    """Draw or read the data of a run. Raises ValueError if they are invalid or fewer than a batch."""
    train = None
    if task.training_set is not None:
        rows = task.training_set()
        rule = f"must have at least as many training problems as a batch, {batch}"
        checks.require(len(rows) >= batch, "task", rule, len(rows))
        # Millions of rows stay in memory, so they are stored in the smallest type that holds the vocabulary.
        train = rows.astype(np.min_scalar_type(task.format.vocab_size - 1))
    return Data(train, task.problems("test", test_examples), task.problems("train", test_examples))


def token_source(
    task: Task, data: Data, seeds: range, batch: int, mesh: Mesh
) -> Callable[[int], Int[Array, "seeds B T"]]:
    """Return a function from a step to the tokens of each seed, sharded over the mesh."""
    if data.train is None:
        return _stream(task, seeds, batch, mesh)
    rows, indices = jax.device_put(data.train, replicated(mesh)), row_source(len(data.train), seeds, batch)
    take = _take(mesh)
    return lambda step: take(rows, indices(step))


def row_source(size: int, seeds: range, batch: int) -> Callable[[int], Int[np.ndarray, "seeds B"]]:
    """Return a function from a step to the indices, in a set of ``size`` rows, of each seed's batch.

    Each epoch has a new random order; rows that do not fill a batch are left out.
    """

    @lru_cache(maxsize=1)
    def orders(epoch: int) -> Int[np.ndarray, "seeds n"]:
        return np.stack([epoch_order(seed, epoch, size) for seed in seeds])

    def rows(step: int) -> Int[np.ndarray, "seeds B"]:
        epoch, index = divmod(step, size // batch)
        return orders(epoch)[:, index * batch : (index + 1) * batch]

    return rows


def epoch_order(seed: int, epoch: int, size: int) -> Int[np.ndarray, " n"]:
    """Return the order of the training set in an epoch."""
    return np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(size).astype(np.int32)


@lru_cache(maxsize=8)
def _take(mesh: Mesh) -> Callable[..., Int[Array, "seeds B T"]]:
    return jax.jit(lambda rows, indices: rows[indices].astype(jnp.int32), out_shardings=batch_sharding(mesh))


@lru_cache(maxsize=8)  # the same program for runs of the same task
def _stream(task: Task, seeds: range, batch: int, mesh: Mesh) -> Callable[[int], Int[Array, "seeds B T"]]:
    draw = task.draw
    assert draw is not None  # a task without a training set

    def tokens(step: Int[Array, ""]) -> Int[Array, "seeds B T"]:
        def key(seed: Int[Array, ""]) -> Key[Array, ""]:
            return jax.random.fold_in(stream_key(seed), step)

        keys = jax.vmap(key)(jnp.arange(seeds.start, seeds.stop, dtype=jnp.int32))
        return over_seeds(lambda key: draw(key, batch), keys)

    compiled = jax.jit(tokens, out_shardings=batch_sharding(mesh))
    return lambda step: compiled(np.int32(step))
