"""Heads that are one block each over a shared trunk."""

from flax import nnx
from jaxtyping import Array, Float, Int

from circuits.transformer.block import Block, Past, through
from circuits.transformer.config import TransformerConfig
from circuits.transformer.taps import Tap


class MetaHead(nnx.Module):
    """Block(trunk), before the shared last norm (Gloeckle et al. 2024).

    The trunk is every block but the last, which is the first head's own. So a model of L - (k - 1) layers has as many
    blocks, and parameters, as a next-token model of L layers.
    """

    def __init__(self, config: TransformerConfig, rngs: nnx.Rngs) -> None:
        self.blocks = nnx.List([Block(config, rngs)])

    def __call__(
        self,
        trunk: Float[Array, "T d"],
        token: Float[Array, "T d"] | None,
        places: Int[Array, " T"],
        past: Past | None,
        tap: Tap,
    ) -> tuple[Float[Array, "T d"], Past]:
        return through(self.blocks, trunk, places, past, tap)
