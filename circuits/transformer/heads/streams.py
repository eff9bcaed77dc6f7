"""What heads read and what they hand on."""

from typing import NamedTuple

from jaxtyping import Array, Float, Int

from circuits.transformer.block import Past


class Streams(NamedTuple):
    """The residual stream before the last block, after it, and after the last norm, at each place."""

    before: Float[Array, "T d"]
    after: Float[Array, "T d"]
    final: Float[Array, "T d"]
    places: Int[Array, " T"]


class Ahead(NamedTuple):
    """Of one further head: what the next one of a chain starts from, what is unembedded, and keys and values."""

    state: Float[Array, "T d"]
    stream: Float[Array, "T d"]
    past: Past
