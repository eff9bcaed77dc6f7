"""What prediction heads read and return."""

from typing import NamedTuple

from jaxtyping import Array, Float, Int

from circuits.transformer.block import KVCache
from circuits.transformer.taps import Tap


class Streams(NamedTuple):
    """The residual stream before the last block, after it, and after the final norm, at each of the positions."""

    before: Float[Array, "T d"]
    after: Float[Array, "T d"]
    final: Float[Array, "T d"]
    positions: Int[Array, " T"]


class HeadContext(NamedTuple):
    """What a further prediction head gets besides the stream from which it starts: ``token`` is an embedding to read,
    ``kv_cache`` that of the head's own blocks.
    """

    token: Float[Array, "T d"] | None
    positions: Int[Array, " T"]
    kv_cache: KVCache | None
    tap: Tap


class HeadOutput(NamedTuple):
    """What a further prediction head returns.

    ``state`` is what the next head of a chain starts from, ``stream`` what is unembedded.
    """

    state: Float[Array, "T d"]
    stream: Float[Array, "T d"]
    kv_cache: KVCache
