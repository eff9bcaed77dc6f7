"""Coordinates of a flow: which weights move, and how many numbers describe them.

A flow rarely moves every entry of every block. Some blocks are fixed, a Toeplitz block is one number per offset,
and label symmetry keeps a content block at a I + b (1 1^T - I). A ``Block`` is one of these choices, and
``Coordinates`` joins four of them into one vector theta.

Two kinds of sharing must not be confused. A Toeplitz block is *tied*: w(k) is itself the parameter, and its
gradient is the sum over the diagonal. An orbit is *reduced*: the parameters are the N, or N (N - 1), entries, which
all move alike, so each has the derivative of their coordinate divided by its ``multiplicity``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from circuits import checks
from circuits.disentangled.weights import Layer, Weights, check, zeros
from circuits.flow.population import require_symmetric
from circuits.tasks.star.graph import StarGraph
from circuits.typing import Scalar

Theta = Float[Array, " D"]
"""A point of the flow, D coordinates."""
Matrix = Float[Array, "rows columns"]
BLOCKS = ("content_1", "position_1", "content_2", "position_2")


@dataclass(frozen=True)
class Block:
    """One weight block as a function of its own coordinates.

    Args:
        names: of the coordinates; none for a fixed block.
        embed: maps the coordinates to the matrix.
        multiplicity: for each coordinate, the number of entries that move alike with it; 1 for tied and free entries.
        tied: whether one coordinate appears in several rows as one parameter.
    """

    names: tuple[str, ...]
    embed: Callable[[Array], Matrix]
    multiplicity: tuple[int, ...]
    tied: bool = False


def fixed(matrix: Matrix) -> Block:
    """Return a block that does not move."""
    return Block((), lambda _: matrix, ())


def orbits(labels: int) -> Block:
    """Return W0 = a I + b (1 1^T - I): a and b, the two orbits of the entries under relabeling.

    Example:
        >>> orbits(2).embed(jnp.array([5.0, 6.0])).tolist()
        [[5.0, 6.0], [6.0, 5.0]]
    """
    checks.integer("labels", labels, min_value=2)
    eye = np.eye(labels, dtype=bool)
    return Block(("diagonal", "off-diagonal"), lambda ab: jnp.where(eye, ab[0], ab[1]), (labels, labels * (labels - 1)))


def toeplitz(length: int) -> Block:
    """Return W1[i, j] = w(i - j) for j <= i, 0 above: tied weights, T coordinates w(0) .. w(T - 1).

    Example:
        >>> toeplitz(2).embed(jnp.array([5.0, 6.0])).tolist()
        [[5.0, 0.0], [6.0, 5.0]]
    """
    checks.integer("length", length, min_value=1)
    offset = np.subtract.outer(np.arange(length), np.arange(length))
    return Block(
        tuple(f"w({k})" for k in range(length)),
        lambda w: jnp.where(offset >= 0, w[np.maximum(offset, 0)], jnp.zeros((), w.dtype)),
        (1,) * length,
        tied=True,
    )


def free(mask: Bool[np.ndarray, "rows columns"]) -> Block:
    """Return a block whose entries in the mask move independently, in row-major order; 0 elsewhere.

    Example:
        >>> free(np.eye(2, dtype=bool)).names
        ('[0,0]', '[1,1]')
    """
    rows, columns = np.nonzero(mask)
    checks.require(len(rows) > 0, "mask", "must hold at least one entry", mask.shape)
    return Block(
        tuple(f"[{i},{j}]" for i, j in zip(rows, columns, strict=True)),
        lambda entries: jnp.zeros(mask.shape, entries.dtype).at[rows, columns].set(entries),
        (1,) * len(rows),
    )


def causal_entries(length: int) -> Block:
    """Return W1^(1) with every entry free that is not masked in attention."""
    return free(np.tril(np.ones((length, length), bool)))


def all_entries(length: int) -> Block:
    """Return W1^(2) with every entry free: its rows are read through S1[T], so no column is masked."""
    return free(np.ones((length, length), bool))


@dataclass(frozen=True)
class Coordinates:
    """Four blocks, whose coordinates are concatenated in theta: content_1, position_1, content_2, position_2."""

    content_1: Block
    position_1: Block
    content_2: Block
    position_2: Block

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The four blocks, in the order of theta."""
        return self.content_1, self.position_1, self.content_2, self.position_2

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The name of each coordinate, such as "position_1 w(3)"; positions count from 0."""
        return tuple(f"{field} {name}" for field in BLOCKS for name in getattr(self, field).names)

    @cached_property
    def multiplicity(self) -> np.ndarray:
        """What the derivative in each coordinate is divided by to be the velocity of one entry [D]."""
        return np.concatenate([np.asarray(block.multiplicity, float) for block in self.blocks])

    def embed(self, theta: Theta) -> Weights:
        """Return the weights at theta."""
        checks.shape("theta", theta, (len(self.names),))
        ends = [0, *accumulate(len(block.names) for block in self.blocks)]
        parts = [block.embed(theta[ends[i] : ends[i + 1]]) for i, block in enumerate(self.blocks)]
        return Layer(parts[0], parts[1]), Layer(parts[2], parts[3])

    def slice_of(self, name: str) -> slice:
        """Return the slice of theta that holds the coordinates of a block, such as "position_1"."""
        checks.choice("name", name, BLOCKS)
        before, own = BLOCKS[: BLOCKS.index(name)], getattr(self, name)
        start = sum(len(getattr(self, other).names) for other in before)
        return slice(start, start + len(own.names))

    def row_sums(self, theta: Theta) -> Float[Array, " sums"]:
        """Return the row sums of every moving block (for a Toeplitz block the sum of w), which flows conserve.

        A constant added to a row of W0 or W1, or to w, adds a constant to each query's logits, which softmax ignores.
        So the gradient of any loss of the attention is orthogonal to it, and sums of whole moving rows are conserved.
        """
        first, second = self.embed(theta)
        matrices = (first.content, first.position, second.content, second.position)
        sums = [jnp.zeros(0, first.position.dtype)]
        for block, matrix in zip(self.blocks, matrices, strict=True):
            if block.names:
                # The last row of a Toeplitz block holds every w(k) once.
                sums.append(jnp.sum(matrix[-1:] if block.tied else matrix, axis=1))
        return jnp.concatenate(sums)


def coordinates(
    spec: StarGraph,
    content_1: Block | None = None,
    position_1: Block | None = None,
    content_2: Block | None = None,
    position_2: Block | None = None,
    at: Weights | None = None,
) -> Coordinates:
    """Return coordinates in which the given blocks move and the others are fixed.

    Args:
        spec: the family of star graphs.
        content_1: the moving part of W0^(1), such as ``orbits(N)``; likewise the other blocks.
        position_1: W1^(1), such as ``toeplitz(T)`` or ``causal_entries(T)``.
        content_2: W0^(2).
        position_2: W1^(2), such as ``all_entries(T)``.
        at: values of the fixed blocks; 0 by default.

    Raises:
        ValueError: for blocks of the wrong shape, and for content blocks, moving or fixed, that are not a I + b 1 1^T
            for every theta: then no symmetry would make a flow exact.

    Example:
        >>> moving = coordinates(StarGraph(paths=2, nodes=3, labels=10), position_1=toeplitz(10))
        >>> moving.names[:2], len(moving.names)
        (('position_1 w(0)', 'position_1 w(1)'), 10)
    """
    base = zeros(2, spec.labels, spec.sequence_length) if at is None else at
    checks.require(len(base) == 2, "at", "must have 2 layers", len(base))
    joined = Coordinates(
        content_1 or fixed(base[0].content),
        position_1 or fixed(base[0].position),
        content_2 or fixed(base[1].content),
        position_2 or fixed(base[1].position),
    )
    # Any theta tests the shapes; distinct coordinates test the symmetry.
    example = joined.embed(jnp.arange(1.0, len(joined.names) + 1))
    check(example, spec.labels, spec.sequence_length)
    for number, layer in enumerate(example, start=1):
        require_symmetric(f"content_{number}", layer.content)
    return joined


def norm(coordinates: Coordinates, velocity: Theta) -> Scalar:
    """Return the Euclidean norm over all entries of a velocity in coordinates, tied weights counted once.

    Example:
        >>> moving = coordinates(StarGraph(paths=2, nodes=3, labels=5), content_1=orbits(5))
        >>> float(norm(moving, jnp.array([2.0, 1.0]))) == (5 * 2.0**2 + 20 * 1.0**2) ** 0.5
        True
    """
    return jnp.sqrt(jnp.sum(coordinates.multiplicity * velocity**2))
