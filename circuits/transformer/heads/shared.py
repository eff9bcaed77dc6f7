"""Heads that share one unembedding and read streams of their own."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from circuits.transformer.block import Past, block_taps, empty_past
from circuits.transformer.config import TransformerConfig
from circuits.transformer.heads.linear import unembeddings
from circuits.transformer.heads.meta import MetaHead
from circuits.transformer.heads.sequential import SequentialHead
from circuits.transformer.heads.streams import Ahead, Streams
from circuits.transformer.heads.transfer import Transfer, TransferBlocks, TransferMlp
from circuits.transformer.layers import Norm
from circuits.transformer.taps import Tap

MODULES = {
    "meta": MetaHead,
    "transfer": Transfer,
    "transfer-mlp": TransferMlp,
    "transfer-block": TransferBlocks,
    "sequential": SequentialHead,
}


class SharedHeads(nnx.Module):
    """One unembedding U, the token embedding where ``config.tied``, and a module for each of heads 1 .. k - 1.

    ``further[m - 1]`` is the module of head m, and ``kappa[m - 1]`` the weight of its injected embedding, 1 at first.
    """

    def __init__(self, config: TransformerConfig, rngs: nnx.Rngs) -> None:
        self.config = config
        self.kernels = unembeddings(config, 1, rngs)
        count = config.prediction_heads - 1
        self.further = nnx.List([MODULES[config.head_kind](config, rngs) for _ in range(count)])
        if config.injection:
            self.kappa = nnx.Param(jnp.ones(count, jnp.dtype(config.param_dtype)))

    def __call__(self, stream: Float[Array, "T d"], head: int, embedding: Float[Array, "V d"]) -> Float[Array, "T V"]:
        """Logits from the stream that a head reads, in the model's dtype; the same product for every head."""
        return jnp.matmul(stream, self.kernel(embedding).astype(stream.dtype), precision=self.config.precision)

    def kernel(self, embedding: Float[Array, "V d"]) -> Float[Array, "d V"]:
        """The unembedding of all heads."""
        return embedding.T if self.config.tied else self.kernels[0]

    @property
    def chained(self) -> bool:
        """Whether a head starts from the one before it."""
        return self.config.head_chain or self.config.head_kind == "sequential"

    def base(self, streams: Streams) -> Float[Array, "T d"]:
        """What head 1 starts from, and without a chain every further head."""
        return {"meta": streams.before, "sequential": streams.after}.get(self.config.head_kind, streams.final)

    def offset(self, head: int) -> int:
        """How many places on the token stands that head 1 .. k - 1 is given; 0 where it is given none."""
        if self.config.head_kind == "sequential":
            return head
        return (head if self.config.head_chain else 1) if self.config.injection else 0

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
        """The stream of head 1 .. k - 1 from what it starts from and the embedding that it is given.

        ``norm`` is the last norm of the transformer, which heads of blocks share. ``past`` are the keys and values of
        the head's own blocks.
        """
        if self.config.injection and token is not None:
            before = before + tap("injected", self.kappa[head - 1].astype(token.dtype) * token)
        state, now = self.further[head - 1](before, token, places, past, tap)
        if self.config.head_kind in ("meta", "sequential"):
            return Ahead(state, tap("stream", norm(state)), now)
        state = tap("stream", state)
        return Ahead(state, state, now)

    def empty_past(self, room: int) -> tuple[Past, ...]:
        """Room for keys and values of each further head's blocks."""
        count = _blocks(self.config)
        return tuple(empty_past(self.config, count, room) for _ in self.further)


def head_taps(config: TransformerConfig, head: int) -> list[str]:
    """The taps of a head, in the order in which they fire."""
    if head == 0 or config.head_kind == "linear":
        return ["logits"]
    given = ["injected"] * (config.injection or config.head_kind == "sequential")
    blocks = [f"blocks.{i}.{name}" for i in range(_blocks(config)) for name in block_taps(config)]
    hidden = ["pre", *["gate"] * (config.activation == "swiglu"), "post"]
    mlp = [f"mlp.{name}" for name in hidden if config.head_kind == "transfer-mlp"]
    return [*given, *blocks, *mlp, "stream", "logits"]


def _blocks(config: TransformerConfig) -> int:
    """Blocks of one further head."""
    counts = {"meta": 1, "sequential": 1, "transfer-block": config.head_layers}
    return counts.get(config.head_kind, 0)
