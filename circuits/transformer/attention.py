"""Causal self-attention of one sequence, with grouped queries, rotary positions and a cache of keys and values.

Two paths compute the same thing: ``reference``, which makes the pattern and shows it to the taps, and ``fused``, which
leaves it to the compiler. The fused one is taken unless scores or pattern are wanted.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from circuits.taps import UNTAPPED, Tap
from circuits.transformer.config import TransformerConfig
from circuits.transformer.layers import linear, wide


class KeyValue(NamedTuple):
    """Keys and values of one layer for S places, of which those up to the present are filled."""

    keys: Float[Array, "S K h"]
    values: Float[Array, "S K h"]


class Attention(nnx.Module):
    """Multi-head attention; K heads of keys and values serve H heads of queries, each of width h."""

    def __init__(self, config: TransformerConfig, rngs: nnx.Rngs) -> None:
        self.config = config
        inner, shared = config.width, config.key_heads * config.head_width
        self.query = linear(config, config.width, inner, rngs)
        self.key = linear(config, config.width, shared, rngs)
        self.value = linear(config, config.width, shared, rngs)
        self.out = linear(config, inner, config.width, rngs, residual=True)

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
        if config.position == "rotary":
            q, k = (rotate(a, places, config.rotary_base) for a in (q, k))
        q, k, v = tap("q", q), tap("k", k), tap("v", v)
        now = KeyValue(k, v)
        if past is not None:
            corner = (places[0], *jnp.zeros(2, places.dtype))
            now = KeyValue(*(jax.lax.dynamic_update_slice(a, b, corner) for a, b in zip(past, now, strict=True)))
        here = places if past is None else jnp.arange(now.keys.shape[0], dtype=places.dtype)
        seen = here[None, :] <= places[:, None]
        shown = tap.wants("scores") or tap.wants("pattern")
        z = reference(q, now, seen, config.precision, tap) if shown else fused(q, now, seen, config.precision)
        z = tap("z", z)
        return self.out(z.reshape(-1, config.width)), now


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
    return jnp.einsum("hts,shd->thd", pattern, v, precision=precision)


def fused(q: Float[Array, "T H h"], past: KeyValue, seen: Bool[Array, "T S"], precision: str) -> Float[Array, "T H h"]:
    """The same output in the form that compiles best: no infinities, and keys and values not repeated for groups."""
    groups, floor = q.shape[1] // past.keys.shape[1], jnp.finfo(q.dtype).min
    q = q if groups == 1 else q.reshape(q.shape[0], -1, groups, q.shape[2])
    to_scores, to_output = ("thd,shd->hts", "hts,shd->thd") if groups == 1 else ("tkgd,skd->kgts", "kgts,skd->tkgd")
    scores = jnp.einsum(to_scores, q, past.keys, precision=precision) * _scale(q)
    pattern = jax.nn.softmax(wide(jnp.where(seen, scores, floor)), axis=-1).astype(q.dtype)
    z = jnp.einsum(to_output, pattern, past.values, precision=precision)
    return z.reshape(z.shape[0], -1, z.shape[-1])


def rotate(x: Float[Array, "T H h"], places: Int[Array, " T"], base: float) -> Float[Array, "T H h"]:
    """Rotary positions: the pair (x_i, x_{i + h/2}) turned by the angle place · base^(-2 i / h).

    The halves are paired as in Llama and GPT-NeoX, not neighbours as in the first paper (Su et al. 2021).
    """
    half, y = x.shape[-1] // 2, wide(x)
    angles = places[:, None].astype(y.dtype) * base ** (-jnp.arange(half, dtype=y.dtype) / half)
    cos, sin = (f(angles)[:, None, :] for f in (jnp.cos, jnp.sin))
    a, b = jnp.split(y, 2, axis=-1)
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1).astype(x.dtype)


def _scale(q: Float[Array, "... h"]) -> Float[Array, ""]:
    return jnp.asarray(q.shape[-1] ** -0.5, q.dtype)
