"""Prediction heads that are one block each over a shared trunk."""

from flax import nnx
from jaxtyping import Array, Float

from circuits.transformer.block import Block, KVCache, run_blocks
from circuits.transformer.config import TransformerConfig
from circuits.transformer.heads.streams import HeadContext


class MetaHead(nnx.Module):
    """Block(trunk), before the shared final norm (Gloeckle et al. 2024).

    The trunk is every block but the last, which belongs to head 0. So a model of L - (k - 1) layers has as many blocks
    and parameters as a next-token model of L layers.
    """

    def __init__(self, config: TransformerConfig, rngs: nnx.Rngs) -> None:
        self.blocks = nnx.List([Block(config, rngs)])

    def __call__(self, trunk: Float[Array, "T d"], context: HeadContext) -> tuple[Float[Array, "T d"], KVCache]:
        return run_blocks(self.blocks, trunk, context.positions, context.kv_cache, context.tap)
