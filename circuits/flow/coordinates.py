"""Which weights move, and as how many numbers.

A flow rarely moves every entry of every block. Some blocks are held, a Toeplitz block is one number per offset,
and label symmetry keeps a content block at a I + b (1 1^T - I). A ``Block`` is one of these choices, and
``Coordinates`` joins four of them into one vector theta.

Two kinds of sharing must not be confused. A Toeplitz block is *tied*: w(k) is itself the parameter, and its
gradient is the sum over the diagonal. An orbit is *reduced*: the parameters are the N, or N (N - 1), entries, which
all move alike, so each has the derivative of theirs divided by their ``multiplicity``.
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
"""A point of the flow: D coordinates."""
Matrix = Float[Array, "rows columns"]


@dataclass(frozen=True)
class Block:
    """One weight block as a function of its own coordinates.

    names         of the coordinates; none for a block that is held
    embed         the coordinates to the matrix
    multiplicity  for each coordinate, how many entries move alike with it; 1 for tied and free entries
    tied          whether one coordinate stands in several rows as one parameter
    """

    names: tuple[str, ...]
    embed: Callable[[Array], Matrix]
    multiplicity: tuple[int, ...]
    tied: bool = False


def held(matrix: Matrix) -> Block:
    """A block that does not move."""
    return Block((), lambda _: matrix, ())


def orbits(labels: int) -> Block:
    """W0 = a I + b (1 1^T - I): the two orbits of the entries under relabeling; a first."""
    checks.integer("labels", labels, min_value=2)
    eye = np.eye(labels, dtype=bool)
    return Block(("diagonal", "off-diagonal"), lambda ab: jnp.where(eye, ab[0], ab[1]), (labels, labels * (labels - 1)))


def toeplitz(length: int) -> Block:
    """W1[i, j] = w(i - j) for j <= i, 0 above: tied weights, T coordinates w(0) .. w(T - 1)."""
    checks.integer("length", length, min_value=1)
    offset = np.subtract.outer(np.arange(length), np.arange(length))
    visible = offset >= 0
    return Block(
        tuple(f"w({k})" for k in range(length)),
        lambda w: jnp.where(visible, w[np.maximum(offset, 0)], jnp.zeros((), w.dtype)),
        (1,) * length,
        tied=True,
    )


def free(mask: Bool[np.ndarray, "rows columns"]) -> Block:
    """Every entry of the mask by itself, in row-major order; 0 elsewhere. Names count positions from 1."""
    rows, columns = np.nonzero(mask)
    checks.require(len(rows) > 0, "mask", "must hold at least one entry", mask.shape)
    return Block(
        tuple(f"[{i + 1},{j + 1}]" for i, j in zip(rows, columns, strict=True)),
        lambda entries: jnp.zeros(mask.shape, entries.dtype).at[rows, columns].set(entries),
        (1,) * len(rows),
    )


def causal_entries(length: int) -> Block:
    """Every entry of W1^(1) that attention can see."""
    return free(np.tril(np.ones((length, length), bool)))


def all_entries(length: int) -> Block:
    """Every entry of W1^(2): its rows are read through S1[T], so no column is masked."""
    return free(np.ones((length, length), bool))


@dataclass(frozen=True)
class Coordinates:
    """Four blocks, one after the other in theta: content_1, position_1, content_2, position_2."""

    content_1: Block
    position_1: Block
    content_2: Block
    position_2: Block

    @property
    def blocks(self) -> tuple[Block, ...]:
        return self.content_1, self.position_1, self.content_2, self.position_2

    @cached_property
    def names(self) -> tuple[str, ...]:
        """One for each coordinate, such as "position_1 w(3)"."""
        fields = ("content_1", "position_1", "content_2", "position_2")
        return tuple(
            f"{field} {name}" for field, block in zip(fields, self.blocks, strict=True) for name in block.names
        )

    @cached_property
    def multiplicity(self) -> np.ndarray:
        """(D,): what the derivative in a coordinate is divided by to be the velocity of one entry."""
        return np.concatenate([np.asarray(block.multiplicity, float) for block in self.blocks])

    def embed(self, theta: Theta) -> Weights:
        """The weights at theta."""
        checks.shape("theta", theta, (len(self.names),))
        ends = [0, *accumulate(len(block.names) for block in self.blocks)]
        parts = [block.embed(theta[ends[i] : ends[i + 1]]) for i, block in enumerate(self.blocks)]
        return Layer(parts[0], parts[1]), Layer(parts[2], parts[3])

    def of(self, name: str) -> slice:
        """Where the coordinates of one block stand: "position_1", say."""
        checks.choice("name", name, ("content_1", "position_1", "content_2", "position_2"))
        places = [i for i, full in enumerate(self.names) if full.startswith(name + " ")]
        return slice(places[0], places[-1] + 1) if places else slice(0, 0)

    def row_sums(self, theta: Theta) -> Float[Array, " Q"]:
        """The row sums of every moving block (of a Toeplitz block the sum of w): conserved where whole rows move.

        A constant added to a row of W0 or W1, or to w, adds a constant to each query's logits, which softmax does
        not see. So the gradient is orthogonal to it, of any loss of the attention.
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
    """The given blocks move; the others are held, at ``at`` or at 0.

    Raises ValueError for blocks of the wrong shape, and for content blocks, moving or held, that are not
    a I + b 1 1^T wherever theta is: then no symmetry would make a flow exact.
    """
    base = zeros(2, spec.labels, spec.sequence_length) if at is None else at
    checks.require(len(base) == 2, "at", "must have 2 layers", len(base))
    found = Coordinates(
        content_1 or held(base[0].content),
        position_1 or held(base[0].position),
        content_2 or held(base[1].content),
        position_2 or held(base[1].position),
    )
    # Any one theta shows the shapes; distinct entries show a block that is not symmetric.
    somewhere = found.embed(jnp.arange(1.0, len(found.names) + 1))
    check(somewhere, spec.labels, spec.sequence_length)
    for number, layer in enumerate(somewhere, start=1):
        require_symmetric(f"content_{number}", layer.content)
    return found


def norm(coordinates: Coordinates, velocity: Theta) -> Scalar:
    """The Euclidean norm over all entries of what a velocity in coordinates says, tied weights counted once."""
    return jnp.sqrt(jnp.sum(coordinates.multiplicity * velocity**2))
