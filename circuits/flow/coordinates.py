"""Coordinates of a flow: which weights move, and how many numbers describe them.

A flow rarely moves every entry of every block. Some blocks are fixed, a Toeplitz block has one number per offset, and
by label symmetry a content block stays a I + b (1 1^T - I). A ``Block`` is one of these choices, and ``Coordinates``
joins four of them into one vector theta.

Entries share a coordinate in one of two ways. A Toeplitz block is *tied*: w(k) is the parameter itself, and its
gradient is the sum over the diagonal. In an *orbit* the N, or N (N - 1), entries are separate parameters that all move
alike, so the derivative of each is that of their coordinate divided by its ``multiplicity``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from circuits import checks, display
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
        names: names of the coordinates; none for a fixed block.
        embed: maps the coordinates to the matrix.
        multiplicity: for each coordinate, the number of entries that move alike with it; 1 for tied and free entries.
        tied: whether one coordinate appears in several rows as one parameter.
    """

    names: tuple[str, ...]
    embed: Callable[[Array], Matrix]
    multiplicity: tuple[int, ...]
    tied: bool = False

    _repr_html_ = display.html


def fixed(matrix: Matrix) -> Block:
    """Return a block that does not move.

    Args:
        matrix: its value, [N, N] for a content block and [T, T] for a position block.

    Example:
        >>> fixed(jnp.zeros((3, 3))).names
        ()
    """
    return Block((), lambda _: matrix, ())


def orbits(labels: int) -> Block:
    """Return W0 = a I + b (1 1^T - I), with the coordinates a and b: the entries form two orbits under relabeling.

    Args:
        labels: N, at least 2.

    Raises:
        ValueError: if ``labels`` is out of range.

    Example:
        >>> orbits(2).embed(jnp.array([5.0, 6.0])).tolist()
        [[5.0, 6.0], [6.0, 5.0]]
    """
    checks.integer("labels", labels, min_value=2)
    eye = np.eye(labels, dtype=bool)
    return Block(("diagonal", "off-diagonal"), lambda ab: jnp.where(eye, ab[0], ab[1]), (labels, labels * (labels - 1)))


def toeplitz(length: int) -> Block:
    """Return W1[i, j] = w(i - j) for j <= i, and 0 above: tied weights with T coordinates w(0) .. w(T - 1).

    Args:
        length: T, at least 1.

    Raises:
        ValueError: if ``length`` is out of range.

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
    """Return a block whose entries in the mask are independent coordinates, in row-major order; all others are 0.

    Args:
        mask: True for each entry that moves, [N, N] for a content block and [T, T] for a position block.

    Raises:
        ValueError: if no entry moves.

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
    """Return W1^(1) with every entry free that the causal mask lets attention read.

    Args:
        length: T.

    Example:
        >>> len(causal_entries(10).names)
        55
    """
    return free(np.tril(np.ones((length, length), bool)))


def all_entries(length: int) -> Block:
    """Return W1^(2) with every entry free: the last query reads its rows through S1[T], so no column is masked.

    Args:
        length: T.

    Example:
        >>> len(all_entries(10).names)
        100
    """
    return free(np.ones((length, length), bool))


@dataclass(frozen=True)
class Coordinates:
    """Four blocks, whose coordinates are concatenated in theta: content_1, position_1, content_2, position_2."""

    content_1: Block
    position_1: Block
    content_2: Block
    position_2: Block

    @display.safe
    def _repr_html_(self) -> str:
        rows = [
            (name, len(block.names), block.names, block.tied) for name, block in zip(BLOCKS, self.blocks, strict=True)
        ]
        return display.table(f"{len(self.names)} coordinates", ("block", "coordinates", "names", "tied"), rows)

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
        """The divisor that turns the derivative in each coordinate into the velocity of one entry [D]."""
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
        """Return the row sums of every moving block (of a Toeplitz block, the sum of w), which flows conserve.

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
            at every theta: only that symmetry makes the population average of a flow exact.

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
    """Return the Euclidean norm of a velocity over all entries of the blocks, tied weights counted once.

    Args:
        coordinates: the blocks.
        velocity: the velocity of theta [D], such as ``gradient_flow`` returns.

    Example:
        >>> moving = coordinates(StarGraph(paths=2, nodes=3, labels=5), content_1=orbits(5))
        >>> float(norm(moving, jnp.array([2.0, 1.0]))) == (5 * 2.0**2 + 20 * 1.0**2) ** 0.5
        True
    """
    return jnp.sqrt(jnp.sum(coordinates.multiplicity * velocity**2))
