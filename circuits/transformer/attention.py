"""Causal self-attention of one sequence, with grouped queries, rotary positions and a KV cache.

Two functions compute the same output: ``reference_attention`` materialises the attention pattern and passes it to the
taps; ``fused_attention``, which runs whenever no tap needs scores or pattern, lets the compiler fuse the whole product.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from circuits.transformer.config import TransformerConfig
from circuits.transformer.layers import HeadNorm, linear, upcast
from circuits.transformer.taps import UNTAPPED, Tap


class KeyValue(NamedTuple):
    """Keys and values of one layer at S positions. Positions of a KV cache are undefined until they are written."""

    keys: Float[Array, "S G h"]
    values: Float[Array, "S G h"]


class Attention(nnx.Module):
    """Multi-head attention with H query heads and G key-value heads, each of width h."""

    def __init__(self, config: TransformerConfig, rngs: nnx.Rngs) -> None:
        self.config = config
        inner, shared = config.heads * config.head_width, config.key_heads * config.head_width
        bias = config.biased("qkv")
        self.query = linear(config, config.width, inner, bias, rngs)
        self.key = linear(config, config.width, shared, bias, rngs)
        self.value = linear(config, config.width, shared, bias, rngs)
        self.out = linear(config, inner, config.width, config.biased("out"), rngs, residual=True)
        if config.qk_norm:
            self.query_norm, self.key_norm = HeadNorm(config, rngs), HeadNorm(config, rngs)

    def __call__(
        self,
        x: Float[Array, "T d"],
        positions: Int[Array, " T"],
        kv_cache: KeyValue | None = None,
        tap: Tap = UNTAPPED,
    ) -> tuple[Float[Array, "T d"], KeyValue]:
        """Return the output, and the keys and values of ``x``, written into ``kv_cache`` if there is one.

        With a KV cache of S positions, ``positions`` must be consecutive and below S.
        """
        config = self.config
        q = self.query(x).reshape(-1, config.heads, config.head_width)
        k = self.key(x).reshape(-1, config.key_heads, config.head_width)
        v = self.value(x).reshape(-1, config.key_heads, config.head_width)
        if config.qk_norm:
            q, k = self.query_norm(q), self.key_norm(k)
        if config.position == "rotary":
            q, k = (apply_rotary(a, positions, rotary_frequencies(config)) for a in (q, k))
        q, k, v = tap("q", q), tap("k", k), tap("v", v)
        kv, key_positions = KeyValue(k, v), positions
        if kv_cache is not None:
            start = (positions[0], *jnp.zeros(2, positions.dtype))
            kv = KeyValue(*(jax.lax.dynamic_update_slice(a, b, start) for a, b in zip(kv_cache, kv, strict=True)))
            key_positions = jnp.arange(kv.keys.shape[0], dtype=positions.dtype)
        mask = causal_mask(positions, key_positions, config.window)
        if tap.wants("scores") or tap.wants("pattern"):
            z = reference_attention(q, kv, mask, config.precision, tap)
        else:
            z = fused_attention(q, kv, mask, config.precision)
        z = tap("z", z)
        return self.out(z.reshape(z.shape[0], -1)), kv


def reference_attention(
    q: Float[Array, "T H h"], kv: KeyValue, mask: Bool[Array, "T S"], precision: str, tap: Tap = UNTAPPED
) -> Float[Array, "T H h"]:
    """Return softmax(q k / √h) v, with scores [H, T, S] and pattern [H, T, S] passed to the taps.

    Masked scores are minus infinity. The softmax runs in at least float32.
    """
    groups = q.shape[1] // kv.keys.shape[1]
    k, v = (jnp.repeat(a, groups, axis=1) if groups > 1 else a for a in kv)
    scores = jnp.einsum("tHh,sHh->Hts", q, k, precision=precision) * _scale(q)
    scores = tap("scores", jnp.where(mask[None], scores, -jnp.inf))
    pattern = tap("pattern", jax.nn.softmax(upcast(scores), axis=-1).astype(q.dtype))
    # Heads first: with output "tHh" the compiler makes a transposed copy of the pattern for a batch of one.
    return jnp.einsum("Hts,sHh->Hth", pattern, v, precision=precision).swapaxes(0, 1)


def fused_attention(
    q: Float[Array, "T H h"], kv: KeyValue, mask: Bool[Array, "T S"], precision: str
) -> Float[Array, "T H h"]:
    """Return the same output in the form that compiles best: no infinities, no repeated keys and values."""
    groups, floor = q.shape[1] // kv.keys.shape[1], jnp.finfo(q.dtype).min
    q = q if groups == 1 else q.reshape(q.shape[0], -1, groups, q.shape[2])
    # With grouped queries, r counts the query heads that share a key-value head.
    to_scores, to_output = ("tHh,sHh->Hts", "Hts,sHh->tHh") if groups == 1 else ("tGrh,sGh->Grts", "Grts,sGh->tGrh")
    scores = jnp.einsum(to_scores, q, kv.keys, precision=precision) * _scale(q)
    mask = mask[None] if groups == 1 else mask[None, None]
    pattern = jax.nn.softmax(upcast(jnp.where(mask, scores, floor)), axis=-1).astype(q.dtype)
    z = jnp.einsum(to_output, pattern, kv.values, precision=precision)
    return z.reshape(z.shape[0], -1, z.shape[-1])


def causal_mask(positions: Int[Array, " T"], key_positions: Int[Array, " S"], window: int) -> Bool[Array, "T S"]:
    """Return which keys each query attends to: those up to its own position; with a window, only the last of these."""
    mask = key_positions[None, :] <= positions[:, None]
    return mask & (key_positions[None, :] > positions[:, None] - window) if window else mask


def rotary_frequencies(config: TransformerConfig) -> Float[Array, " half"]:
    """Return the frequencies f_i = base^(-2 i / r), in radians per position, of the r rotated entries of a head.

    ``rotary_factor`` divides them. With ``rotary_original`` = P (Llama 3.1) this depends on the number of turns
    P f / 2π: below ``rotary_low`` a frequency is divided, above ``rotary_high`` it is unchanged, and in between it is
    interpolated linearly. Frequencies and rotation are computed in at least float32.
    """
    half, dtype = config.rotary_width // 2, jnp.float64 if config.dtype == "float64" else jnp.float32
    plain = config.rotary_base ** (-jnp.arange(half, dtype=dtype) / half)
    if config.rotary_factor == 1:
        return plain
    if not config.rotary_original:
        return plain / config.rotary_factor
    turns = config.rotary_original / (2 * math.pi) * plain
    unchanged = jnp.clip((turns - config.rotary_low) / (config.rotary_high - config.rotary_low), 0, 1)
    return plain * (unchanged + (1 - unchanged) / config.rotary_factor)


def apply_rotary(
    x: Float[Array, "T H h"], positions: Int[Array, " T"], frequencies: Float[Array, " half"]
) -> Float[Array, "T H h"]:
    """Return ``x`` with each pair (x_i, x_{i + r/2}), i < r/2, rotated by position · frequency i.

    Entries are paired across the two halves of a head, as in Llama and GPT-NeoX, not with their neighbours as in Su et
    al. (2021).
    """
    half, y = frequencies.shape[0], upcast(x)
    angles = positions[:, None].astype(y.dtype) * frequencies[None]
    cos, sin = (f(angles)[:, None, :] for f in (jnp.cos, jnp.sin))
    a, b, *rest = jnp.split(y, (half, 2 * half) if 2 * half < y.shape[-1] else 2, axis=-1)
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin, *rest], axis=-1).astype(x.dtype)


def _scale(q: Float[Array, "... h"]) -> Float[Array, ""]:
    return jnp.asarray(q.shape[-1] ** -0.5, q.dtype)
