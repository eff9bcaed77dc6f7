"""Independent unembeddings of one stream."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from circuits.transformer.block import Past
from circuits.transformer.config import TransformerConfig
from circuits.transformer.heads.streams import Ahead, Streams
from circuits.transformer.layers import Norm
from circuits.transformer.taps import Tap


class LinearHeads(nnx.Module):
    """k independent unembeddings of one stream. With ``config.tied`` the first one is the token embedding."""

    def __init__(self, config: TransformerConfig, rngs: nnx.Rngs) -> None:
        self.config = config
        self.kernels = unembeddings(config, config.prediction_heads, rngs)

    def __call__(self, final: Float[Array, "T d"], head: int, embedding: Float[Array, "V d"]) -> Float[Array, "T V"]:
        """Logits of one head, in the model's dtype."""
        kernel = self.stacked(embedding)[head]
        return jnp.matmul(final, kernel.astype(final.dtype), precision=self.config.precision)

    def stacked(self, embedding: Float[Array, "V d"]) -> Float[Array, "k d V"]:
        """The kernels of all heads."""
        if not self.config.tied:
            return self.kernels[...]
        return jnp.concatenate([embedding.T[None], self.kernels[...]])

    @property
    def chained(self) -> bool:
        """Whether a head starts from the one before it."""
        return False

    def base(self, streams: Streams) -> Float[Array, "T d"]:
        """What further heads start from."""
        return streams.final

    def offset(self, head: int) -> int:
        """How many places on the token stands that head 1 .. k - 1 is given; 0 where it is given none."""
        return 0

    def step(
        self,
        head: int,
        before: Float[Array, "T d"],
        token: Float[Array, "T d"] | None,
        places: Int[Array, " T"],
        past: Past | None,
        norm: Norm,
        tap: Tap,
    ) -> Ahead:
        """The stream of head 1 .. k - 1, which is that of the first."""
        return Ahead(before, before, ())

    def empty_past(self, room: int) -> tuple[Past, ...]:
        """No head has keys or values."""
        return ((),) * (self.config.prediction_heads - 1)


def unembeddings(config: TransformerConfig, count: int, rngs: nnx.Rngs) -> nnx.Param[Array]:
    """So many unembeddings, less one where the first is tied; entries of variance 1 / d."""
    draw = nnx.initializers.normal(config.width**-0.5)
    return nnx.Param(
        draw(rngs.params(), (count - config.tied, config.width, config.vocab), jnp.dtype(config.param_dtype))
    )
