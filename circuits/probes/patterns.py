"""The attention patterns of a model on one sequence."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from circuits.transformer.model import Predictor
from circuits.transformer.taps import Taps

PATTERNS = Taps(capture=["blocks.*.attn.pattern"])


def attention_patterns(model: Predictor, tokens: Int[Array, " T"]) -> Float[Array, "L H T T"]:
    """Return the attention of every layer and attention head on one sequence. Use ``jax.vmap`` for a batch.

    Args:
        model: a trained or random model.
        tokens: the ids of one sequence, [T].

    Returns:
        [layers, heads, queries, keys], in the model's dtype; every row sums to 1.

    Raises:
        ValueError: if the model does not accept the tokens.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from circuits.probes import attention_patterns
        >>> from circuits.transformer.config import TransformerConfig
        >>> from circuits.transformer.model import Predictor
        >>> config = TransformerConfig(vocab=8, positions=6, layers=2, heads=2, width=8, mlp_width=8)
        >>> attention_patterns(Predictor(config, nnx.Rngs(0)), jnp.array([3, 1, 4])).shape
        (2, 2, 3, 3)
    """
    _, cache = model(tokens, PATTERNS)
    return jnp.stack(list(cache.values()))
