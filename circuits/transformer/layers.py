"""The parts of a block that are not attention: linear maps, norms and the MLP."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from circuits.transformer.config import TransformerConfig
from circuits.transformer.taps import UNTAPPED, Tap


def linear(
    config: TransformerConfig, size_in: int, size_out: int, bias: bool, rngs: nnx.Rngs, residual: bool = False
) -> nnx.Linear:
    """Return a linear map whose initial entries have variance 1 / size_in.

    Maps that write to the residual stream (``residual``) are divided by √(2 L), as in GPT-2, which makes the initial
    variance of the stream independent of depth.
    """
    scale = 1 / (2 * config.layers) if residual else 1.0
    return nnx.Linear(
        size_in,
        size_out,
        use_bias=bias,
        dtype=jnp.dtype(config.dtype),
        param_dtype=jnp.dtype(config.param_dtype),
        precision=config.precision,
        kernel_init=nnx.initializers.variance_scaling(scale, "fan_in", "normal"),
        rngs=rngs,
    )


class Norm(nnx.Module):
    """LayerNorm, (x - mean) / √(variance + ε) · scale + bias, or RMSNorm, x / √(mean x² + ε) · scale.

    Statistics are computed in at least float32. flax's own norms rely on implicit promotion for that, which strict
    dtype promotion forbids in half precision.
    """

    def __init__(self, config: TransformerConfig, rngs: nnx.Rngs) -> None:
        self.config = config
        dtype = jnp.dtype(config.param_dtype)
        self.scale = nnx.Param(jnp.ones(config.width, dtype))
        if config.norm == "layer" and config.bias:
            self.bias = nnx.Param(jnp.zeros(config.width, dtype))

    def __call__(self, x: Float[Array, "T d"]) -> Float[Array, "T d"]:
        y = upcast(x)
        if self.config.norm == "layer":
            y = y - jnp.mean(y, axis=-1, keepdims=True)
        y = _unit(y, self.config.norm_epsilon) * self.scale[None].astype(y.dtype)
        if self.config.norm == "layer" and self.config.bias:
            y = y + self.bias[None].astype(y.dtype)
        return y.astype(x.dtype)


class HeadNorm(nnx.Module):
    """RMSNorm over the width of each attention head, with one scale for all heads."""

    def __init__(self, config: TransformerConfig, rngs: nnx.Rngs) -> None:
        self.epsilon = config.norm_epsilon
        self.scale = nnx.Param(jnp.ones(config.head_width, jnp.dtype(config.param_dtype)))

    def __call__(self, x: Float[Array, "T H h"]) -> Float[Array, "T H h"]:
        y = upcast(x)
        return (_unit(y, self.epsilon) * self.scale[None, None].astype(y.dtype)).astype(x.dtype)


class Mlp(nnx.Module):
    """out(f(into(x))), or with swiglu out(silu(gate(x)) · into(x))."""

    def __init__(self, config: TransformerConfig, rngs: nnx.Rngs) -> None:
        self.activation = config.activation
        bias = config.biased("mlp")
        self.into = linear(config, config.width, config.hidden, bias, rngs)
        if config.activation == "swiglu":
            self.gate = linear(config, config.width, config.hidden, bias, rngs)
        self.out = linear(config, config.hidden, config.width, bias, rngs, residual=True)

    def __call__(self, x: Float[Array, "T d"], tap: Tap = UNTAPPED) -> Float[Array, "T d"]:
        pre = tap("pre", self.into(x))
        if self.activation == "swiglu":
            post = jax.nn.silu(tap("gate", self.gate(x))) * pre
        else:
            post = ACTIVATIONS[self.activation](pre)
        return self.out(tap("post", post))


def upcast(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return ``x`` in at least float32; half precision is too coarse for sums and exponentials."""
    return x if x.dtype == jnp.float64 else x.astype(jnp.float32)


def _unit(x: Float[Array, "... d"], epsilon: float) -> Float[Array, "... d"]:
    """Return x / √(mean x² + ε)."""
    return x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + epsilon)


def _gelu_tanh(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return x (1 + tanh u) / 2 with u = √(2/π) (x + 0.044715 x³), as x σ(2 u): twice as fast where tanh is slow."""
    cube, slope = (jnp.asarray(c, x.dtype) for c in (0.044715, 2 * math.sqrt(2 / math.pi)))
    return x * jax.nn.sigmoid(slope * (x + cube * x * x * x))


def _gelu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    return jax.nn.gelu(x, approximate=False)


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {"relu": jax.nn.relu, "gelu": _gelu, "gelu-tanh": _gelu_tanh}
