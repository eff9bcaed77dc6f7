"""Causal self-attention of one sequence, with grouped queries, rotary positions and a cache of keys and values.

Two paths compute the same thing: ``reference``, which makes the pattern and shows it to the taps, and ``fused``, which
leaves it to the compiler. The fused one is taken unless scores or pattern are wanted.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from circuits.transformer.config import TransformerConfig
from circuits.transformer.layers import HeadNorm, linear, wide
from circuits.transformer.taps import UNTAPPED, Tap


class KeyValue(NamedTuple):
    """Keys and values of one layer for S places, of which those up to the present are filled."""

    keys: Float[Array, "S K h"]
    values: Float[Array, "S K h"]


class Attention(nnx.Module):
    """Multi-head attention; K heads of keys and values serve H heads of queries, each of width h."""

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
        places: Int[Array, " T"],
        past: KeyValue | None = None,
        tap: Tap = UNTAPPED,
    ) -> tuple[Float[Array, "T d"], KeyValue]:
        """The output, and the keys and values with those of ``x`` written at ``places``.

        Without ``past`` the sequence is its own past. With it, ``places`` are consecutive and fit into its S places.
        """
        config = self.config
        q = self.query(x).reshape(-1, config.heads, config.head_width)
        k = self.key(x).reshape(-1, config.key_heads, config.head_width)
        v = self.value(x).reshape(-1, config.key_heads, config.head_width)
        if config.qk_norm:
            q, k = self.query_norm(q), self.key_norm(k)
        if config.position == "rotary":
            q, k = (rotate(a, places, frequencies(config)) for a in (q, k))
        q, k, v = tap("q", q), tap("k", k), tap("v", v)
        now = KeyValue(k, v)
        if past is not None:
            corner = (places[0], *jnp.zeros(2, places.dtype))
            now = KeyValue(*(jax.lax.dynamic_update_slice(a, b, corner) for a, b in zip(past, now, strict=True)))
        here = places if past is None else jnp.arange(now.keys.shape[0], dtype=places.dtype)
        seen = visible(places, here, config.window)
        shown = tap.wants("scores") or tap.wants("pattern")
        z = reference(q, now, seen, config.precision, tap) if shown else fused(q, now, seen, config.precision)
        z = tap("z", z)
        return self.out(z.reshape(z.shape[0], -1)), now


def reference(
    q: Float[Array, "T H h"], past: KeyValue, seen: Bool[Array, "T S"], precision: str, tap: Tap = UNTAPPED
) -> Float[Array, "T H h"]:
    """softmax(q k / √h) v with the scores [H, T, S] and the pattern [H, T, S] shown to the taps.

    Scores of places not seen are minus infinity. Softmax runs in float32 at least.
    """
    groups = q.shape[1] // past.keys.shape[1]
    k, v = (jnp.repeat(a, groups, axis=1) if groups > 1 else a for a in past)
    scores = jnp.einsum("thd,shd->hts", q, k, precision=precision) * _scale(q)
    scores = tap("scores", jnp.where(seen, scores, -jnp.inf))
    pattern = tap("pattern", jax.nn.softmax(wide(scores), axis=-1).astype(q.dtype))
    # Heads first: asked for "thd", the compiler makes a transposed copy of the pattern on a batch of one.
    return jnp.einsum("hts,shd->htd", pattern, v, precision=precision).swapaxes(0, 1)


def fused(q: Float[Array, "T H h"], past: KeyValue, seen: Bool[Array, "T S"], precision: str) -> Float[Array, "T H h"]:
    """The same output in the form that compiles best: no infinities, and keys and values not repeated for groups."""
    groups, floor = q.shape[1] // past.keys.shape[1], jnp.finfo(q.dtype).min
    q = q if groups == 1 else q.reshape(q.shape[0], -1, groups, q.shape[2])
    to_scores, to_output = ("thd,shd->hts", "hts,shd->thd") if groups == 1 else ("tkgd,skd->kgts", "kgts,skd->tkgd")
    scores = jnp.einsum(to_scores, q, past.keys, precision=precision) * _scale(q)
    pattern = jax.nn.softmax(wide(jnp.where(seen, scores, floor)), axis=-1).astype(q.dtype)
    z = jnp.einsum(to_output, pattern, past.values, precision=precision)
    return z.reshape(z.shape[0], -1, z.shape[-1])


def visible(places: Int[Array, " T"], here: Int[Array, " S"], window: int) -> Bool[Array, "T S"]:
    """Which keys at ``here`` a query at each of ``places`` sees: none later, and with a window only the last ones."""
    seen = here[None, :] <= places[:, None]
    return seen & (here[None, :] > places[:, None] - window) if window else seen


def frequencies(config: TransformerConfig) -> Float[Array, " half"]:
    """Rotary angles a place, base^(-2 i / r) over the r entries of a head that are turned, scaled as the config says.

    With ``rotary_original`` positions P, an angle f makes P f / 2π turns over them; the share that is kept rises from
    0 at ``rotary_low`` turns to 1 at ``rotary_high`` (Llama 3.1). In float32 at least, as the rotation is.
    """
    half, kind = config.rotary_width // 2, jnp.float64 if config.dtype == "float64" else jnp.float32
    plain = config.rotary_base ** (-jnp.arange(half, dtype=kind) / half)
    if config.rotary_factor == 1:
        return plain
    if not config.rotary_original:
        return plain / config.rotary_factor
    turns = config.rotary_original / (2 * math.pi) * plain
    kept = jnp.clip((turns - config.rotary_low) / (config.rotary_high - config.rotary_low), 0, 1)
    return plain * (kept + (1 - kept) / config.rotary_factor)


def rotate(x: Float[Array, "T H h"], places: Int[Array, " T"], angles: Float[Array, " half"]) -> Float[Array, "T H h"]:
    """Rotary positions: the pair (x_i, x_{i + r/2}) turned by place · angle i; entries from r on stay.

    The halves are paired as in Llama and GPT-NeoX, not neighbours as in the first paper (Su et al. 2021).
    """
    half, y = angles.shape[0], wide(x)
    turns = places[:, None].astype(y.dtype) * angles
    cos, sin = (f(turns)[:, None, :] for f in (jnp.cos, jnp.sin))
    a, b, *rest = jnp.split(y, (half, 2 * half) if 2 * half < y.shape[-1] else 2, axis=-1)
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin, *rest], axis=-1).astype(x.dtype)


def _scale(q: Float[Array, "... h"]) -> Float[Array, ""]:
    return jnp.asarray(q.shape[-1] ** -0.5, q.dtype)
