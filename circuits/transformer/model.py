"""The decoder-only transformer with prediction heads on top, on one sequence; callers vmap.

Names of taps, in the order in which they fire:

    embed                          the residual stream that enters block 0
    blocks.{i}.resid_pre           the residual stream that enters block i
    blocks.{i}.attn_in             the same after its norm: what attention reads
    blocks.{i}.attn.{q,k,v}        queries and keys (after norms and rotary positions), and values: [T, heads, h]
    blocks.{i}.attn.scores         attention scores, [H, T, S]; minus infinity where not seen
    blocks.{i}.attn.pattern        attention distributions, [H, T, S]
    blocks.{i}.attn.z              what each head read, [T, H, h]
    blocks.{i}.attn_out            what attention adds to the stream
    blocks.{i}.resid_mid           the stream between attention and MLP; none where the two are parallel
    blocks.{i}.mlp_in              the same after its norm: what the MLP reads
    blocks.{i}.mlp.{pre,gate,post} hidden units before and after the activation; gate with swiglu alone
    blocks.{i}.mlp_out             what the MLP adds to the stream
    blocks.{i}.resid_post          the stream that leaves block i
    final                          the stream after the last norm, which the prediction heads read
    heads.{m}.injected             m > 0: the embedding that head m is given, as it is added or projected
    heads.{m}.blocks.{i}. ...      m > 0: as above, for blocks inside a head
    heads.{m}.mlp.{pre,gate,post}  m > 0: hidden units of a transfer-mlp
    heads.{m}.stream               m > 0: what head m unembeds, unless heads are linear and all read ``final``
    heads.{m}.logits               logits of prediction head m, which predicts the token m + 1 places on
"""

from collections.abc import Iterator
from typing import overload

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from circuits.one_layer.module import OneLayer
from circuits.transformer.block import Block, Past, block_taps, empty_past, through
from circuits.transformer.config import TransformerConfig
from circuits.transformer.heads import LinearHeads, SharedHeads, Streams, head_taps
from circuits.transformer.layers import Norm
from circuits.transformer.taps import UNTAPPED, Cache, Recorder, Tap, Taps
from circuits.transformer.token_check import check_tokens


class Transformer(nnx.Module):
    """Embedding, blocks and last norm: from tokens to the stream that prediction heads read."""

    def __init__(self, config: TransformerConfig, rngs: nnx.Rngs) -> None:
        self.config = config
        draw, kind = nnx.initializers.normal(config.embed_scale), jnp.dtype(config.param_dtype)
        self.tokens = nnx.Param(draw(rngs.params(), (config.vocab, config.width), kind))
        if config.position == "learned":
            self.positions = nnx.Param(draw(rngs.params(), (config.positions, config.width), kind))
        self.blocks = nnx.List([Block(config, rngs) for _ in range(config.layers)])
        self.norm = Norm(config, rngs)

    def __call__(
        self, tokens: Int[Array, " T"], past: Past | None = None, start: Int[Array, ""] | int = 0, tap: Tap = UNTAPPED
    ) -> tuple[Float[Array, "T d"], Past]:
        """The final stream, and keys and values. With ``past``, the tokens stand at places start, start + 1, ..."""
        streams, now = self.streams(tokens, past, start, tap)
        return streams.final, now

    def streams(
        self, tokens: Int[Array, " T"], past: Past | None = None, start: Int[Array, ""] | int = 0, tap: Tap = UNTAPPED
    ) -> tuple[Streams, Past]:
        """The same with the streams before and after the last block, for heads that read those."""
        places = jnp.arange(tokens.shape[0], dtype=jnp.int32) + jnp.asarray(start, jnp.int32)
        # Stored in less than they are computed in, the two must not be added as they are stored.
        wider = max(self.tokens.dtype, jnp.dtype(self.config.dtype), key=lambda kind: kind.itemsize)
        x = self.tokens[tokens].astype(wider)
        if self.config.position == "learned":
            x = x + self.positions[places].astype(wider)
        x = tap("embed", x.astype(self.config.dtype))
        last = len(self.blocks) - 1
        before, now = through(self.blocks[:last], x, places, None if past is None else past[:last], tap)
        after, more = through(self.blocks[last:], before, places, None if past is None else past[last:], tap, last)
        return Streams(before, after, tap("final", self.norm(after)), places), (*now, *more)

    def ahead(self, tokens: Int[Array, " T"], offset: int) -> Float[Array, "T d"] | None:
        """At each place the embedding of the token ``offset`` places on, zero past the end; none for an offset of 0."""
        if not offset:
            return None
        known = self.embedded(tokens[offset:])
        return jnp.pad(known, ((0, tokens.shape[0] - known.shape[0]), (0, 0)))

    def embedded(self, tokens: Int[Array, " T"]) -> Float[Array, "T d"]:
        """Embeddings of tokens alone, without positions."""
        return self.tokens[tokens].astype(self.config.dtype)

    def empty_past(self, extra: int = 0) -> Past:
        """Room for keys and values at every place and some ``extra`` ones, to be filled by calls with ``past``."""
        return empty_past(self.config, self.config.layers, self.config.positions + extra)


class Predictor(nnx.Module):
    """A transformer with k prediction heads of one of the kinds of ``circuits.transformer.heads``.

    Entry m of its logits is the distribution p_{θ, m+1} of Eq. 2, before softmax. Initial parameters come from
    ``rngs``.
    """

    def __init__(self, config: TransformerConfig, rngs: nnx.Rngs) -> None:
        self.config = config
        self.transformer = Transformer(config, rngs)
        self.heads = (LinearHeads if config.head_kind == "linear" else SharedHeads)(config, rngs)

    @overload
    def __call__(self, tokens: Int[Array, " T"], taps: None = None) -> Float[Array, "k T V"]: ...

    @overload
    def __call__(self, tokens: Int[Array, " T"], taps: Taps) -> tuple[Float[Array, "k T V"], Cache]: ...

    def __call__(self, tokens, taps=None):
        """Logits of every head at every position; with taps also the cache of what they captured.

        Heads that are given later tokens (``injection``, sequential) find them in ``tokens``; at the last places,
        where there are none, nothing is injected.

        Raises ValueError for a batch, for a sequence longer than ``config.positions`` or with an id outside the
        vocabulary (unless it is traced), and for a pattern that matches no tap.
        """
        check_tokens("tokens", tokens, self.config)
        if taps is None:
            return self._logits(tokens, UNTAPPED)
        recorder = Recorder(taps, tap_names(self.config))
        return self._logits(tokens, recorder), recorder.cache

    def logits(self, stream: Float[Array, "T d"], head: int = 0, tap: Tap = UNTAPPED) -> Float[Array, "T V"]:
        """Logits of one prediction head, counted from 0, from the stream that it unembeds.

        That is the final stream for the first head and for linear heads, and ``streams`` has that of the others.
        """
        embedding = self.transformer.tokens[...]
        return tap.within("heads")(f"{head}.logits", self.heads(stream, head, embedding))

    def streams(
        self, tokens: Int[Array, " T"], tap: Tap = UNTAPPED, forget: bool = False
    ) -> Iterator[Float[Array, "T d"]]:
        """The stream that each head unembeds, one after the other.

        With ``forget`` the insides of further heads are made again for the gradient, so that their memory is that of
        one.
        """
        body, _ = self.transformer.streams(tokens, tap=tap)
        yield body.final
        base = state = self.heads.base(body)
        for head in range(1, self.config.prediction_heads):
            given = self.transformer.ahead(tokens, self.heads.offset(head))
            step = self._step(head, body, tap)
            state, stream = (jax.checkpoint(step) if forget else step)(state if self.heads.chained else base, given)
            yield stream

    def _step(self, head: int, body: Streams, tap: Tap):
        inner = tap.within(f"heads.{head}")

        def step(before: Float[Array, "T d"], given: Float[Array, "T d"] | None):
            found = self.heads.step(head, before, given, body.places, None, self.transformer.norm, inner)
            return found.state, found.stream

        return step

    def _logits(self, tokens: Int[Array, " T"], tap: Tap) -> Float[Array, "k T V"]:
        return jnp.stack([self.logits(stream, m, tap) for m, stream in enumerate(self.streams(tokens, tap))])


def build(config: TransformerConfig, rngs: nnx.Rngs) -> Predictor | OneLayer:
    """A model of the kind that the config names, its initial parameters from ``rngs``."""
    return OneLayer(config, rngs) if config.kind == "one-layer" else Predictor(config, rngs)


def tap_names(config: TransformerConfig) -> list[str]:
    """Every tap of a model of this shape, in the order in which they fire."""
    blocks = [f"blocks.{i}.{name}" for i in range(config.layers) for name in block_taps(config)]
    heads = [f"heads.{m}.{name}" for m in range(config.prediction_heads) for name in head_taps(config, m)]
    return ["embed", *blocks, "final", *heads]
