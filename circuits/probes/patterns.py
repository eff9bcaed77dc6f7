"""The attention patterns of a model on one sequence."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from circuits.transformer.model import Predictor
from circuits.transformer.taps import Taps

PATTERNS = Taps(capture=["blocks.*.attn.pattern"])


def attention_patterns(model: Predictor, tokens: Int[Array, " T"]) -> Float[Array, "L H T T"]:
    """The patterns of every layer and head, in the model's dtype. Raises ValueError as the model does for tokens."""
    _, cache = model(tokens, PATTERNS)
    return jnp.stack(list(cache.values()))
