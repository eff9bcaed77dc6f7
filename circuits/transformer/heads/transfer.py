"""Transfer layers: from the stream that predicts one token to that which predicts the token after it."""

from flax import nnx
from jaxtyping import Array, Float, Int

from circuits.transformer.block import Block, Past, through
from circuits.transformer.config import TransformerConfig
from circuits.transformer.layers import Mlp, Norm, linear
from circuits.transformer.taps import Tap


class Transfer(nnx.Module):
    """h W, with ``transfer.kernel`` W of d x d and no bias (arXiv:2509.23186). What is injected is in h already."""

    def __init__(self, config: TransformerConfig, rngs: nnx.Rngs) -> None:
        self.transfer = linear(config, config.width, config.width, False, rngs)

    def __call__(
        self,
        h: Float[Array, "T d"],
        token: Float[Array, "T d"] | None,
        places: Int[Array, " T"],
        past: Past | None,
        tap: Tap,
    ) -> tuple[Float[Array, "T d"], Past]:
        return self.transfer(h), ()


class TransferMlp(nnx.Module):
    """h + MLP(h). Without the sum the stream would start near zero, for an MLP's output starts small."""

    def __init__(self, config: TransformerConfig, rngs: nnx.Rngs) -> None:
        self.mlp = Mlp(config, rngs)

    def __call__(
        self,
        h: Float[Array, "T d"],
        token: Float[Array, "T d"] | None,
        places: Int[Array, " T"],
        past: Past | None,
        tap: Tap,
    ) -> tuple[Float[Array, "T d"], Past]:
        return h + self.mlp(h, tap.within("mlp")), ()


class TransferBlocks(nnx.Module):
    """norm(blocks(h)), with ``head_layers`` blocks and a norm of its own."""

    def __init__(self, config: TransformerConfig, rngs: nnx.Rngs) -> None:
        self.blocks = nnx.List([Block(config, rngs) for _ in range(config.head_layers)])
        self.norm = Norm(config, rngs)

    def __call__(
        self,
        h: Float[Array, "T d"],
        token: Float[Array, "T d"] | None,
        places: Int[Array, " T"],
        past: Past | None,
        tap: Tap,
    ) -> tuple[Float[Array, "T d"], Past]:
        x, now = through(self.blocks, h, places, past, tap)
        return self.norm(x), now
