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
    heads.{m}.logits               logits of prediction head m, which predicts the token m + 1 places on
"""

from typing import overload

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from circuits import require
from circuits.taps import UNTAPPED, Cache, Recorder, Tap, Taps
from circuits.transformer.attention import Attention, KeyValue
from circuits.transformer.config import TransformerConfig
from circuits.transformer.heads import LinearHeads
from circuits.transformer.layers import Mlp, Norm

Past = tuple[KeyValue, ...]
"""Keys and values of every layer."""


class Block(nnx.Module):
    """x + attention(norm x), then x + mlp(norm x); or with ``parallel`` x + attention(norm x) + mlp(norm x)."""

    def __init__(self, config: TransformerConfig, rngs: nnx.Rngs) -> None:
        self.parallel = config.parallel
        self.norm_attn = Norm(config, rngs)
        self.attn = Attention(config, rngs)
        self.norm_mlp = Norm(config, rngs)
        self.mlp = Mlp(config, rngs)

    def __call__(
        self, x: Float[Array, "T d"], places: Int[Array, " T"], past: KeyValue | None = None, tap: Tap = UNTAPPED
    ) -> tuple[Float[Array, "T d"], KeyValue]:
        """The stream that leaves the block, and the keys and values of its attention."""
        x = tap("resid_pre", x)
        out, now = self.attn(tap("attn_in", self.norm_attn(x)), places, past, tap.within("attn"))
        mid = x + tap("attn_out", out)
        if not self.parallel:
            x = mid = tap("resid_mid", mid)
        hidden = tap("mlp_in", self.norm_mlp(x))
        x = mid + tap("mlp_out", self.mlp(hidden, tap.within("mlp")))
        return tap("resid_post", x), now


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
        places = jnp.arange(tokens.shape[0], dtype=jnp.int32) + jnp.asarray(start, jnp.int32)
        # Stored in less than they are computed in, the two must not be added as they are stored.
        wider = max(self.tokens.dtype, jnp.dtype(self.config.dtype), key=lambda kind: kind.itemsize)
        x = self.tokens[tokens].astype(wider)
        if self.config.position == "learned":
            x = x + self.positions[places].astype(wider)
        x = tap("embed", x.astype(self.config.dtype))
        now = []
        for i, block in enumerate(self.blocks):
            x, layer = block(x, places, None if past is None else past[i], tap.within(f"blocks.{i}"))
            now.append(layer)
        return tap("final", self.norm(x)), tuple(now)

    def empty_past(self) -> Past:
        """Room for keys and values at every place, to be filled by calls with ``past``."""
        config = self.config
        empty = jnp.zeros((config.positions, config.key_heads, config.head_width), config.dtype)
        return tuple(KeyValue(empty, empty) for _ in range(config.layers))


class Predictor(nnx.Module):
    """A transformer with k parallel linear heads (Section 3, "Architectural Design").

    Entry m of its logits is the distribution p_{θ, m+1} of Eq. 2, before softmax. Initial parameters come from
    ``rngs``.
    """

    def __init__(self, config: TransformerConfig, rngs: nnx.Rngs) -> None:
        self.config = config
        self.transformer = Transformer(config, rngs)
        self.heads = LinearHeads(config, rngs)

    @overload
    def __call__(self, tokens: Int[Array, " T"], taps: None = None) -> Float[Array, "k T V"]: ...

    @overload
    def __call__(self, tokens: Int[Array, " T"], taps: Taps) -> tuple[Float[Array, "k T V"], Cache]: ...

    def __call__(self, tokens, taps=None):
        """Logits of every head at every position; with taps also the cache of what they captured.

        Raises ValueError for a batch, for a sequence longer than ``config.positions`` or with an id outside the
        vocabulary (unless it is traced), and for a pattern that matches no tap.
        """
        check_tokens("tokens", tokens, self.config)
        if taps is None:
            return self._logits(tokens, UNTAPPED)
        recorder = Recorder(taps, tap_names(self.config))
        return self._logits(tokens, recorder), recorder.cache

    def logits(self, final: Float[Array, "T d"], head: int = 0, tap: Tap = UNTAPPED) -> Float[Array, "T V"]:
        """Logits of one prediction head, counted from 0, from the final stream."""
        embedding = self.transformer.tokens[...]
        return tap.within("heads")(f"{head}.logits", self.heads(final, head, embedding))

    def _logits(self, tokens: Int[Array, " T"], tap: Tap) -> Float[Array, "k T V"]:
        final, _ = self.transformer(tokens, tap=tap)
        return jnp.stack([self.logits(final, m, tap) for m in range(self.config.prediction_heads)])


def check_tokens(argument: str, tokens: Int[Array, "..."], config: TransformerConfig) -> None:
    """Raise ValueError unless this is one sequence that fits the model; ids are looked at where they are known.

    A batch would be taken for a sequence of rows without causality, and an id outside the vocabulary be clamped.
    """
    require.that(tokens.ndim == 1, argument, "must be one sequence (vmap over a batch)", tokens.shape)
    length, most = tokens.shape[0], config.positions
    require.that(0 < length <= most, argument, f"must be 1 to {most} tokens (config.positions)", length)
    if not isinstance(tokens, Tracer):
        ids = np.asarray(tokens)
        least, largest = int(ids.min()), int(ids.max())
        inside = least >= 0 and largest < config.vocab
        require.that(inside, argument, f"must hold ids in range({config.vocab})", (least, largest))


def tap_names(config: TransformerConfig) -> list[str]:
    """Every tap of a model of this shape, in the order in which they fire."""
    gate = ["mlp.gate"] * (config.activation == "swiglu")
    attention = [f"attn.{name}" for name in ("q", "k", "v", "scores", "pattern", "z")]
    middle = ["resid_mid"] * (not config.parallel)
    block = ["resid_pre", "attn_in", *attention, "attn_out", *middle]
    block += ["mlp_in", "mlp.pre", *gate, "mlp.post", "mlp_out", "resid_post"]
    blocks = [f"blocks.{i}.{name}" for i in range(config.layers) for name in block]
    return ["embed", *blocks, "final", *(f"heads.{m}.logits" for m in range(config.prediction_heads))]
