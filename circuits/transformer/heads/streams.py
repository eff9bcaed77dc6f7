"""Inputs and outputs of prediction heads."""

from typing import NamedTuple

from jaxtyping import Array, Float, Int

from circuits.transformer.block import KVCache
from circuits.transformer.taps import Tap


class Streams(NamedTuple):
    """The residual stream before the last block, after it, and after the final norm."""

    before: Float[Array, "T d"]
    after: Float[Array, "T d"]
    final: Float[Array, "T d"]
    positions: Int[Array, " T"]


class HeadContext(NamedTuple):
    """Inputs of prediction heads 1 .. k - 1 other than the stream from which they start.

    ``token`` is the embedding of a later token, if the head reads one; ``kv_cache`` belongs to the head's own blocks.
    """

    token: Float[Array, "T d"] | None
    positions: Int[Array, " T"]
    kv_cache: KVCache | None
    tap: Tap


class HeadOutput(NamedTuple):
    """Outputs of prediction heads 1 .. k - 1.

    ``state`` is where the next head of a chain starts, ``stream`` is unembedded.
    """

    state: Float[Array, "T d"]
    stream: Float[Array, "T d"]
    kv_cache: KVCache
