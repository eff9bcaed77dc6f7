"""Prediction heads that share one unembedding and read streams of their own."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from circuits.transformer.block import KVCache, block_taps, empty_cache
from circuits.transformer.config import TransformerConfig
from circuits.transformer.heads.linear import unembeddings
from circuits.transformer.heads.meta import MetaHead
from circuits.transformer.heads.sequential import SequentialHead
from circuits.transformer.heads.streams import HeadContext, HeadOutput, Streams
from circuits.transformer.heads.transfer import Transfer, TransferBlocks, TransferMlp
from circuits.transformer.layers import Norm

MODULES = {
    "meta": MetaHead,
    "transfer": Transfer,
    "transfer-mlp": TransferMlp,
    "transfer-block": TransferBlocks,
    "sequential": SequentialHead,
}


class SharedHeads(nnx.Module):
    """One unembedding U, the token embedding where ``config.tied``, and a module for each of the heads 1 .. k - 1.

    ``further[m - 1]`` is the module of head m, and ``kappa[m - 1]`` the weight of its injected embedding, initially 1.
    """

    def __init__(self, config: TransformerConfig, rngs: nnx.Rngs) -> None:
        self.config = config
        self.kernels = unembeddings(config, 1, rngs)
        count = config.prediction_heads - 1
        self.further = nnx.List([MODULES[config.head_kind](config, rngs) for _ in range(count)])
        if config.injection:
            self.kappa = nnx.Param(jnp.ones(count, jnp.dtype(config.param_dtype)))

    def __call__(self, stream: Float[Array, "T d"], head: int, embedding: Float[Array, "V d"]) -> Float[Array, "T V"]:
        """Return logits from the stream of a head, in the model's dtype; ``head`` makes no difference."""
        return jnp.matmul(stream, self.kernel(embedding).astype(stream.dtype), precision=self.config.precision)

    def kernel(self, embedding: Float[Array, "V d"]) -> Float[Array, "d V"]:
        """Return the unembedding that all heads share."""
        return embedding.T if self.config.tied else self.kernels[0]

    @property
    def chained(self) -> bool:
        """Whether a head starts from the previous one."""
        return self.config.head_chain or self.config.head_kind == "sequential"

    def base(self, streams: Streams) -> Float[Array, "T d"]:
        """Return the stream from which head 1 starts, and without a chain also heads 2 .. k - 1."""
        return {"meta": streams.before, "sequential": streams.after}.get(self.config.head_kind, streams.final)

    def token_offset(self, head: int) -> int:
        """Return how many positions ahead head 1 .. k - 1 reads a token; 0 if it reads none."""
        if self.config.head_kind == "sequential":
            return head
        return (head if self.config.head_chain else 1) if self.config.injection else 0

    def step(self, head: int, state: Float[Array, "T d"], context: HeadContext, norm: Norm) -> HeadOutput:
        """Return the output of head 1 .. k - 1 for the stream from which it starts.

        ``norm`` is the final norm of the transformer, which heads of kind meta and sequential share.
        """
        token = context.token
        if self.config.injection and token is not None:
            state = state + context.tap("injected", self.kappa[head - 1].astype(token.dtype) * token)
        state, layers = self.further[head - 1](state, context)
        shared_norm = self.config.head_kind in ("meta", "sequential")
        stream = context.tap("stream", norm(state) if shared_norm else state)
        return HeadOutput(state if shared_norm else stream, stream, layers)

    def empty_cache(self, capacity: int) -> tuple[KVCache, ...]:
        """Return an empty KV cache for the blocks of each of the heads 1 .. k - 1."""
        layers = _head_blocks(self.config)
        return tuple(empty_cache(self.config, layers, capacity) for _ in self.further)


def head_taps(config: TransformerConfig, head: int) -> list[str]:
    """Return the tap names of a prediction head, in the order in which they fire."""
    if head == 0 or config.head_kind == "linear":
        return ["logits"]
    injected = ["injected"] * (config.injection or config.head_kind == "sequential")
    blocks = [f"blocks.{i}.{name}" for i in range(_head_blocks(config)) for name in block_taps(config)]
    hidden = ["pre", *["gate"] * (config.activation == "swiglu"), "post"]
    mlp = [f"mlp.{name}" for name in hidden if config.head_kind == "transfer-mlp"]
    return [*injected, *blocks, *mlp, "stream", "logits"]


def _head_blocks(config: TransformerConfig) -> int:
    """Return the number of blocks in each of the heads 1 .. k - 1."""
    return {"meta": 1, "sequential": 1, "transfer-block": config.head_layers}.get(config.head_kind, 0)
