"""A data set of lines as the numbers that the losses of the one-layer model depend on.

Step n of a line sees the context c = (i, j, u) = (x_t, x_1, x_{t+1}), t counted from 0, and is to predict x_{t+n}. So
the loss depends on N_n[c, b], the number of times that token b came n places on in that context, and on nothing else.
The logits are a sum of a row of i, a row of j and a row of u, so that of N_n only two kinds of sums matter: N_n[c],
over b, for each context that occurs; and the sums over contexts that share i, or j, or u, for each b.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from circuits import checks

PATH = 2
"""The place, from 0, at which the path of a line ``source target source a b ... target`` starts."""
TARGET = 1


class StepCounts(NamedTuple):
    """N_n of one step, in C contexts in increasing order; R = 3V.

    Args:
        current: i. An empty context, of which there are none, has any.
        target: j.
        following: u, the next token; V where contexts are not told apart by it.
        total: N_n[c].
        seen: N_n[c, b] summed over contexts with i = a in row a, with j = a in row V + a, with u = a in row 2V + a;
            the last are 0 where contexts are not told apart by u.
    """

    current: Int[Array, " C"]
    target: Int[Array, " C"]
    following: Int[Array, " C"]
    total: Float[Array, " C"]
    seen: Float[Array, "R V"]


def step_counts(
    contexts: Int[np.ndarray, "C 3"], number: Float[np.ndarray, "C V"], dtype: jnp.dtype | type = jnp.float64
) -> StepCounts:
    """From contexts (i, j, u) and N[c, b]; u = V for contexts that are not told apart by it."""
    tokens = number.shape[1]
    # One row more takes what has no u.
    seen = np.zeros((3 * tokens + 1, tokens), number.dtype)
    np.add.at(seen, (contexts + tokens * np.arange(3)).reshape(-1), np.repeat(number, 3, axis=0))
    i, j, u = (jnp.asarray(column, jnp.int32) for column in contexts.T)
    return StepCounts(i, j, u, jnp.asarray(number.sum(axis=1), dtype), jnp.asarray(seen[:-1], dtype))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Counts:
    """The counts of steps 1 .. k.

    Args:
        steps: of each step.
        divisor: of the losses of all steps: how many tokens step 1 is to predict, as in
            ``circuits.transformer.objectives``.
        split: whether contexts of steps from 2 on are told apart by the next token, as injection needs.
    """

    steps: tuple[StepCounts, ...]
    divisor: Float[Array, ""]
    split: bool = field(metadata={"static": True})

    @property
    def tokens(self) -> int:
        """V."""
        return self.steps[0].seen.shape[1]


def counts(
    lines: Int[np.ndarray, "n T"],
    tokens: int,
    steps: int,
    pad: int,
    injection: bool = True,
    dtype: jnp.dtype | type = jnp.float64,
    room: int = 1,
) -> Counts:
    """Count the paths of a data set of lines of tokens in range(V), V = ``tokens``; padding is not predicted.

    Without injection the next token makes no context, so there are fewer. Contexts are filled up with empty ones to a
    multiple of ``room``, so that data sets of about one size share a compiled program.

    Raises ValueError for an id outside the vocabulary, and for more steps than the longest line has tokens to predict.
    """
    checks.integer("tokens", tokens, min_value=1)
    checks.integer("room", room, min_value=1)
    least, most = int(lines.min(initial=0)), int(lines.max(initial=0))
    checks.require(least >= 0 and most < tokens, "lines", f"must hold ids in range({tokens})", (least, most))
    longest = int(np.max(np.sum(lines[:, PATH + 1 :] != pad, axis=1), initial=0))
    checks.integer("steps", steps, min_value=1, max_value=max(1, longest))
    checks.require(longest > 0, "lines", "must have a token to predict", lines.shape)
    every = tuple(_step(lines, tokens, n, pad, injection and n > 1, dtype, room) for n in range(1, steps + 1))
    return Counts(every, jnp.sum(every[0].total), injection)


def _step(
    lines: Int[np.ndarray, "n T"], tokens: int, ahead: int, pad: int, split: bool, dtype: jnp.dtype | type, room: int
) -> StepCounts:
    stop = lines.shape[1] - ahead
    wanted = lines[:, PATH + ahead :]
    kept = wanted != pad
    current, following = lines[:, PATH:stop][kept], lines[:, PATH + 1 : stop + 1][kept]
    target = np.broadcast_to(lines[:, TARGET : TARGET + 1], kept.shape)[kept]
    none = np.full_like(current, tokens)
    context = np.stack([current, target, following if split else none], axis=1)
    unique, place = np.unique(context, axis=0, return_inverse=True)
    filled = -(-len(unique) // room) * room
    number = np.zeros((filled, tokens))
    np.add.at(number, (place.reshape(-1), wanted[kept]), 1)
    empty = np.broadcast_to([0, 0, tokens], (filled - len(unique), 3))
    return step_counts(np.concatenate([unique, empty]), number, dtype)
