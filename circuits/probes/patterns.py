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
        >>> import jax
        >>> from circuits.probes import attention_patterns, tiny_planning_model
        >>> model, problems, _ = tiny_planning_model()
        >>> jax.jit(lambda tokens: attention_patterns(model, tokens))(problems[0, :3]).shape
        (1, 2, 3, 3)
    """
    _, cache = model(tokens, PATTERNS)
    return jnp.stack(list(cache.values()))
