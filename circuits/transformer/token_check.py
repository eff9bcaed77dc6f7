"""What a model can read: one sequence of ids that it knows, no longer than it has positions."""

import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Int

from circuits import checks
from circuits.transformer.config import TransformerConfig


def check_tokens(argument: str, tokens: Int[Array, "..."], config: TransformerConfig) -> None:
    """Raise ValueError unless this is one sequence that fits the model; ids are looked at where they are known.

    A batch would be taken for a sequence of rows without causality, and an id outside the vocabulary be clamped.
    """
    checks.require(tokens.ndim == 1, argument, "must be one sequence (vmap over a batch)", tokens.shape)
    length, most = tokens.shape[0], config.positions
    checks.require(0 < length <= most, argument, f"must be 1 to {most} tokens (config.positions)", length)
    if not isinstance(tokens, Tracer):
        ids = np.asarray(tokens)
        least, largest = int(ids.min()), int(ids.max())
        inside = least >= 0 and largest < config.vocab
        checks.require(inside, argument, f"must hold ids in range({config.vocab})", (least, largest))
