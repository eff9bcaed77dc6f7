"""The decoder-only transformer with prediction heads, on one sequence; callers vmap.

Tap names, in the order in which they fire; ``Predictor.tap_shapes`` lists the axes of each:

    embed                          the residual stream that enters block 0
    blocks.{i}.resid_pre           the residual stream that enters block i
    blocks.{i}.attn_in             the same after the norm: the input of attention
    blocks.{i}.attn.{q,k,v}        queries and keys (after norms and rotary positions), and values: [T, heads, h]
    blocks.{i}.attn.scores         attention scores, [H, T, S]; minus infinity where masked
    blocks.{i}.attn.pattern        attention weights, [H, T, S]
    blocks.{i}.attn.z              the weighted mean of values in each attention head, [T, H, h]
    blocks.{i}.attn_out            the output of attention, which is added to the stream
    blocks.{i}.resid_mid           the stream between attention and MLP; absent where the two are parallel
    blocks.{i}.mlp_in              the same after the norm: the input of the MLP
    blocks.{i}.mlp.{pre,gate,post} hidden units before and after the activation; gate with swiglu only
    blocks.{i}.mlp_out             the output of the MLP, which is added to the stream
    blocks.{i}.resid_post          the stream that leaves block i
    final                          the stream after the final norm, which the prediction heads read
    heads.{m}.injected             m > 0: the embedding of a later token that prediction head m reads, scaled or normed
    heads.{m}.blocks.{i}. ...      m > 0: as above, for blocks inside a prediction head
    heads.{m}.mlp.{pre,gate,post}  m > 0: hidden units of a transfer-mlp
    heads.{m}.stream               m > 0: the stream that prediction head m unembeds; linear heads unembed ``final``
    heads.{m}.logits               logits of prediction head m, which predicts the token m + 1 positions ahead
"""

from collections.abc import Iterator
from typing import overload

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from circuits import checks, display
from circuits.one_layer.config import OneLayerConfig
from circuits.one_layer.module import OneLayer
from circuits.transformer.block import Block, KVCache, block_taps, empty_cache, run_blocks
from circuits.transformer.config import TransformerConfig
from circuits.transformer.heads import HeadContext, LinearHeads, SharedHeads, Streams
from circuits.transformer.heads.shared import head_taps
from circuits.transformer.layers import Norm
from circuits.transformer.one_layer import one_layer_config
from circuits.transformer.overview import module_table
from circuits.transformer.tap_shapes import TapShape, TapShapes, tap_axes
from circuits.transformer.taps import UNTAPPED, Cache, Recorder, Tap, Taps


class Transformer(nnx.Module):
    """Embedding, blocks and final norm: from tokens to the stream that prediction heads read."""

    def __init__(self, config: TransformerConfig, rngs: nnx.Rngs) -> None:
        self.config = config
        draw, dtype = nnx.initializers.normal(config.embed_scale), jnp.dtype(config.param_dtype)
        self.tokens = nnx.Param(draw(rngs.params(), (config.vocab, config.width), dtype))
        if config.position == "learned":
            self.positions = nnx.Param(draw(rngs.params(), (config.positions, config.width), dtype))
        self.blocks = nnx.List([Block(config, rngs) for _ in range(config.layers)])
        self.norm = Norm(config, rngs)

    def __call__(
        self,
        tokens: Int[Array, " T"],
        kv_cache: KVCache | None = None,
        start: Int[Array, ""] | int = 0,
        tap: Tap = UNTAPPED,
    ) -> tuple[Float[Array, "T d"], KVCache]:
        """Return the final stream, and the KV cache. The tokens are at positions start, start + 1, ...

        A ``start`` other than 0 needs a KV cache with the earlier positions.
        """
        streams, layers = self.streams(tokens, kv_cache, start, tap)
        return streams.final, layers

    def streams(
        self,
        tokens: Int[Array, " T"],
        kv_cache: KVCache | None = None,
        start: Int[Array, ""] | int = 0,
        tap: Tap = UNTAPPED,
    ) -> tuple[Streams, KVCache]:
        """Return the same with the streams before and after the last block, for heads that read those."""
        positions = jnp.arange(tokens.shape[0], dtype=jnp.int32) + jnp.asarray(start, jnp.int32)
        # Add embeddings in the higher of the two precisions, that of the parameters and that of the activations.
        dtype = max(self.tokens.dtype, jnp.dtype(self.config.dtype), key=lambda dtype: dtype.itemsize)
        x = self.tokens[tokens].astype(dtype)
        if self.config.position == "learned":
            x = x + self.positions[positions].astype(dtype)
        x = tap("embed", x.astype(self.config.dtype))
        last = len(self.blocks) - 1
        first_cache, last_cache = (None, None) if kv_cache is None else (kv_cache[:last], kv_cache[last:])
        before, first_layers = run_blocks(self.blocks[:last], x, positions, first_cache, tap)
        after, last_layer = run_blocks(self.blocks[last:], before, positions, last_cache, tap, last)
        return Streams(before, after, tap("final", self.norm(after)), positions), (*first_layers, *last_layer)

    def embed(self, tokens: Int[Array, " T"]) -> Float[Array, "T d"]:
        """Return the embeddings of tokens, without positions."""
        return self.tokens[tokens].astype(self.config.dtype)

    def future_embeddings(self, tokens: Int[Array, " T"], offset: int) -> Float[Array, "T d"] | None:
        """Return for each position the embedding of the token ``offset`` ahead, zero past the end; None for 0."""
        if not offset:
            return None
        later = self.embed(tokens[offset:])
        return jnp.pad(later, ((0, tokens.shape[0] - later.shape[0]), (0, 0)))

    def empty_cache(self, extra: int = 0) -> KVCache:
        """Return an empty KV cache for ``config.positions + extra`` positions."""
        return empty_cache(self.config, self.config.layers, self.config.positions + extra)


class Predictor(nnx.Module):
    """A transformer with k prediction heads of one of the kinds of ``circuits.transformer.heads``.

    Entry m of its logits gives the distribution p_{θ, m+1} of Eq. 2 (arXiv:2604.11912), before softmax.

    Args:
        config: architecture, vocabulary size, maximum length and prediction heads.
        rngs: the random state from which the initial parameters are drawn.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from flax import nnx
        >>> config = TransformerConfig(vocab=7, positions=9, prediction_heads=2, layers=1, heads=2, width=8)
        >>> model = Predictor(config, nnx.Rngs(0))
        >>> jax.vmap(model)(jnp.zeros((4, 5), jnp.int32)).shape  # [batch, prediction head, position, token]
        (4, 2, 5, 7)
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
        """Return the logits of every prediction head at every position.

        Prediction heads that read later tokens (``injection``, sequential) take them from ``tokens``; past the end of
        the sequence their embeddings are zero.

        Args:
            tokens: ids of one sequence, [T] with T at most ``config.positions``; vmap over a batch.
            taps: activations to capture or edit.

        Returns:
            Logits [k, T, V]; with taps a pair of the logits and the captured activations by name.

        Raises:
            ValueError: for a batch, a sequence that is too long, an id outside the vocabulary (unless traced), or a tap
                pattern that matches nothing.
        """
        checks.token_sequence("tokens", tokens, vocab=self.config.vocab, positions=self.config.positions)
        if taps is None:
            return self._logits(tokens, UNTAPPED)
        recorder = Recorder(taps, tap_names(self.config))
        return self._logits(tokens, recorder), recorder.cache

    def logits(self, stream: Float[Array, "T d"], head: int = 0, tap: Tap = UNTAPPED) -> Float[Array, "T V"]:
        """Return the logits of one prediction head from the stream that it unembeds.

        That is the final stream for head 0 and for linear heads; ``streams`` yields those of the others.
        """
        embedding = self.transformer.tokens[...]
        return tap.within("heads")(f"{head}.logits", self.heads(stream, head, embedding))

    def streams(
        self, tokens: Int[Array, " T"], tap: Tap = UNTAPPED, remat: bool = False
    ) -> Iterator[Float[Array, "T d"]]:
        """Yield the stream that each prediction head unembeds.

        With ``remat`` the activations of heads 1 .. k - 1 are recomputed for the gradient, in the memory of one head.
        """
        body, _ = self.transformer.streams(tokens, tap=tap)
        yield body.final
        base = state = self.heads.base(body)
        for head in range(1, self.config.prediction_heads):
            token = self.transformer.future_embeddings(tokens, self.heads.token_offset(head))
            step = self._step(head, body, tap)
            state, stream = (jax.checkpoint(step) if remat else step)(state if self.heads.chained else base, token)
            yield stream

    def tap_shapes(self, length: int) -> TapShapes:
        """Return axes and shape of every activation, by tap name, for a sequence of ``length`` tokens.

        For edits: ``blocks.0.attn.z`` is [position, head, head_width], so ``z[1]`` is a position and ``z[:, 1]`` an
        attention head.

        Raises:
            ValueError: unless ``length`` is 1 to ``config.positions``.

        Example:
            >>> from flax import nnx
            >>> config = TransformerConfig(vocab=7, positions=9, layers=2, heads=2, width=8)
            >>> shapes = Predictor(config, nnx.Rngs(0)).tap_shapes(5)
            >>> shapes["blocks.1.attn.z"].axes, shapes["blocks.1.attn.z"].shape
            (('position', 'head', 'head_width'), (5, 2, 4))
            >>> print(repr(shapes).splitlines()[8])
            blocks.*.attn.z        [position 5, head 2, head_width 4]
        """
        tokens = jax.ShapeDtypeStruct((length,), jnp.int32)
        _, cache = jax.eval_shape(lambda tokens: self(tokens, Taps(capture=("*",))), tokens)
        return TapShapes({name: TapShape(tap_axes(name), cache[name].shape) for name in tap_names(self.config)})

    @display.safe
    def _repr_html_(self) -> str:
        shapes = self.tap_shapes(self.config.positions)
        return (self.config._repr_html_() or "") + module_table(self, shapes)

    def _step(self, head: int, body: Streams, tap: Tap):
        inner = tap.within(f"heads.{head}")

        def step(state: Float[Array, "T d"], token: Float[Array, "T d"] | None):
            context = HeadContext(token, body.positions, None, inner)
            output = self.heads.step(head, state, context, self.transformer.norm)
            return output.state, output.stream

        return step

    def _logits(self, tokens: Int[Array, " T"], tap: Tap) -> Float[Array, "k T V"]:
        return jnp.stack([self.logits(stream, m, tap) for m, stream in enumerate(self.streams(tokens, tap))])


def build(config: TransformerConfig | OneLayerConfig, rngs: nnx.Rngs) -> Predictor | OneLayer:
    """Return a new model of the kind that the config names, with parameters drawn from ``rngs``."""
    if isinstance(config, TransformerConfig) and config.kind == "standard":
        return Predictor(config, rngs)
    return OneLayer(config if isinstance(config, OneLayerConfig) else one_layer_config(config), rngs)


def tap_names(config: TransformerConfig) -> list[str]:
    """Return every tap name of a model with this config, in the order in which they fire.

    Args:
        config: of the model, of kind "standard".

    Example:
        >>> tap_names(TransformerConfig(vocab=7, positions=9, layers=1))[:3]
        ['embed', 'blocks.0.resid_pre', 'blocks.0.attn_in']
    """
    blocks = [f"blocks.{i}.{name}" for i in range(config.layers) for name in block_taps(config)]
    heads = [f"heads.{m}.{name}" for m in range(config.prediction_heads) for name in head_taps(config, m)]
    return ["embed", *blocks, "final", *heads]
