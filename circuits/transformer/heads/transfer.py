"""Transfer heads: they map the stream that predicts one token to the stream that predicts the token after it."""

from flax import nnx
from jaxtyping import Array, Float

from circuits.transformer.block import Block, KVCache, run_blocks
from circuits.transformer.config import TransformerConfig
from circuits.transformer.heads.streams import HeadContext
from circuits.transformer.layers import Mlp, Norm, linear


class Transfer(nnx.Module):
    """h W, with ``transfer.kernel`` W of d x d and no bias (arXiv:2509.23186); h includes the injected embedding."""

    def __init__(self, config: TransformerConfig, rngs: nnx.Rngs) -> None:
        self.transfer = linear(config, config.width, config.width, False, rngs)

    def __call__(self, h: Float[Array, "T d"], context: HeadContext) -> tuple[Float[Array, "T d"], KVCache]:
        return self.transfer(h), ()


class TransferMlp(nnx.Module):
    """h + MLP(h). Without the residual sum the initial stream would be near zero, like the initial output of an MLP."""

    def __init__(self, config: TransformerConfig, rngs: nnx.Rngs) -> None:
        self.mlp = Mlp(config, rngs)

    def __call__(self, h: Float[Array, "T d"], context: HeadContext) -> tuple[Float[Array, "T d"], KVCache]:
        return h + self.mlp(h, context.tap.within("mlp")), ()


class TransferBlocks(nnx.Module):
    """norm(blocks(h)), with ``head_layers`` blocks and a norm of its own."""

    def __init__(self, config: TransformerConfig, rngs: nnx.Rngs) -> None:
        self.blocks = nnx.List([Block(config, rngs) for _ in range(config.head_layers)])
        self.norm = Norm(config, rngs)

    def __call__(self, h: Float[Array, "T d"], context: HeadContext) -> tuple[Float[Array, "T d"], KVCache]:
        x, layers = run_blocks(self.blocks, h, context.positions, context.kv_cache, context.tap)
        return self.norm(x), layers
