"""Reduce a data set of lines to the counts on which the losses of the one-layer model depend.

In the context c = (i, j, u) = (x_t, x_1, x_{t+1}), t counted from 0, step n predicts x_{t+n}. So the loss depends only
on N_n[c, b], the number of times that token b is n positions ahead in context c. The logits are a sum of a row of i,
a row of j and a row of u, so only two kinds of sums of N_n matter: N_n[c], summed over b, for each context that occurs;
and for each b the sums over contexts with the same i, the same j, or the same u.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from circuits import checks, display

TARGET, PATH = 1, 2
"""Positions of the target, and of the first token of the path, in a line ``source target source a b ... target``."""


class StepCounts(NamedTuple):
    """The counts N_n of one step, for contexts in increasing order.

    Args:
        current: i of each context.
        target: j of each context.
        following: u of each context, the next token; V if contexts do not depend on it.
        total: N_n[c]; 0 for the empty contexts that pad the arrays.
        by_row: S_n[a, b] with 3 V rows: the sum of N_n[c, b] over contexts with i = a in row a, with j = a in row
            V + a, and with u = a in row 2 V + a. The last V rows are 0 if contexts do not depend on u.
    """

    current: Int[Array, " contexts"]
    target: Int[Array, " contexts"]
    following: Int[Array, " contexts"]
    total: Float[Array, " contexts"]
    by_row: Float[Array, "rows V"]

    _repr_html_ = display.html


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Counts:
    """The counts of steps 1 .. k.

    Args:
        steps: the counts of each step.
        divisor: divisor of the losses of all steps: the number of tokens that step 1 predicts, as in
            ``circuits.transformer.objectives``.
        injection: whether contexts of steps from 2 on include the next token, which injection requires.
    """

    steps: tuple[StepCounts, ...]
    divisor: Float[Array, ""]
    injection: bool = field(metadata={"static": True})

    _repr_html_ = display.html

    @property
    def tokens(self) -> int:
        """V."""
        return self.steps[0].by_row.shape[1]


def count_contexts(
    lines: Int[np.ndarray, "n T"],
    tokens: int,
    steps: int,
    pad: int,
    injection: bool = True,
    dtype: jnp.dtype | type = jnp.float64,
    multiple_of: int = 1,
) -> Counts:
    """Count the tokens that follow each context in the paths of a data set; padding is never predicted.

    Args:
        lines: ids in range(V), [n, T]; each line is ``source target source a b ... target end pad ... pad``.
        tokens: V.
        steps: k, the number of prediction steps.
        pad: the id of padding.
        injection: whether to distinguish contexts by the next token. Otherwise there are fewer contexts.
        dtype: of the counts.
        multiple_of: pad the contexts with empty ones to a multiple of this, so that data sets of similar sizes share a
            compiled program.

    Returns:
        The counts of each step, by context and by row of the matrices.

    Raises:
        ValueError: for an id outside the vocabulary, and for more steps than the longest line has tokens to predict.

    Example:
        >>> lines = np.array([[0, 3, 0, 1, 3, 4], [0, 3, 0, 2, 3, 4]], np.int32)  # 4 is the end token
        >>> first = count_contexts(lines, tokens=6, steps=1, pad=5).steps[0]
        >>> [(int(i), int(j), int(n)) for i, j, n in zip(first.current, first.target, first.total)]
        [(0, 3, 2), (1, 3, 1), (2, 3, 1), (3, 3, 2)]
    """
    checks.integer("tokens", tokens, min_value=1)
    checks.integer("multiple_of", multiple_of, min_value=1)
    smallest, largest = int(lines.min(initial=0)), int(lines.max(initial=0))
    checks.require(
        smallest >= 0 and largest < tokens, "lines", f"must hold ids in range({tokens})", (smallest, largest)
    )
    longest = int(np.max(np.sum(lines[:, PATH + 1 :] != pad, axis=1), initial=0))
    checks.integer("steps", steps, min_value=1, max_value=max(1, longest))
    checks.require(longest > 0, "lines", "must have a token to predict", lines.shape)
    by_step = tuple(
        _step_counts(lines, tokens, n, pad, injection and n > 1, dtype, multiple_of) for n in range(1, steps + 1)
    )
    return Counts(by_step, jnp.sum(by_step[0].total), injection)


def _step_counts(
    lines: Int[np.ndarray, "n T"],
    tokens: int,
    ahead: int,
    pad: int,
    injection: bool,
    dtype: jnp.dtype | type,
    multiple_of: int,
) -> StepCounts:
    """Return the counts of predictions ``ahead`` positions ahead."""
    stop = lines.shape[1] - ahead
    predicted = lines[:, PATH + ahead :]
    exists = predicted != pad
    current, following = lines[:, PATH:stop][exists], lines[:, PATH + 1 : stop + 1][exists]
    target = np.broadcast_to(lines[:, TARGET : TARGET + 1], exists.shape)[exists]
    following = following if injection else np.full_like(current, tokens)
    contexts, index = np.unique(np.stack([current, target, following], axis=1), axis=0, return_inverse=True)
    size = -(-len(contexts) // multiple_of) * multiple_of
    contexts = np.concatenate([contexts, np.broadcast_to([0, 0, tokens], (size - len(contexts), 3))])
    number = np.zeros((size, tokens))  # N_n[c, b]
    np.add.at(number, (index.reshape(-1), predicted[exists]), 1)
    by_row = np.zeros((3 * tokens + 1, tokens))  # the additional row collects contexts without u
    np.add.at(by_row, (contexts + tokens * np.arange(3)[None]).reshape(-1), np.repeat(number, 3, axis=0))
    i, j, u = (jnp.asarray(column, jnp.int32) for column in contexts.T)
    return StepCounts(i, j, u, jnp.asarray(number.sum(axis=1), dtype), jnp.asarray(by_row[:-1], dtype))
