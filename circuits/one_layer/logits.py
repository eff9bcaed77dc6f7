"""The logits of every prediction step in one context.

    step 1    x_1 = W^M[i] + W^V[j]                       current token i, target j
    step n    x_n = (x_1 + kappa e_u) W^T_{n-1}           n = 2 .. k, next token u; kappa = 0 without injection
    chained   x_2 as above, then x_n = x_{n-1} W^T_{n-1}

Step n predicts the token n positions ahead. Step 1 needs no transfer matrix, so W^T_{n-1} maps the next token to the
one n - 1 edges further, and is compared with A^(n-1).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from circuits.one_layer.parameters import Options, Parameters
from circuits.typing import Label


def step_logits(
    parameters: Parameters, current: Label, target: Label, following: Label, options: Options
) -> Float[Array, "k V"]:
    """Return x_1 .. x_k in one context; vmap over contexts.

    Args:
        parameters: the matrices of the model.
        current: i, the current token.
        target: j, the target of the walk.
        following: u, the next token; a value outside range(V) injects nothing.
        options: the variant of the model.

    Returns:
        The logits of each step [k, V].

    Example:
        >>> from circuits.one_layer import zeros
        >>> step_logits(zeros(tokens=5, steps=3), 0, 3, 1, Options(injection=True)).shape
        (3, 5)
    """
    return transferred_logits(parameters, parameters.content[current] + parameters.value[target], following, options)


def transferred_logits(
    parameters: Parameters, first: Float[Array, " V"], following: Label, options: Options
) -> Float[Array, "k V"]:
    """Return x_1 .. x_k from x_1. A ``following`` outside range(V) injects nothing."""
    source, steps = first, [first]
    if options.injection:
        # one_hot of an id outside its range is all zeros
        source = first + parameters.scale * jax.nn.one_hot(following, first.shape[0], dtype=first.dtype)
    for matrix in parameters.transfers:
        steps.append((steps[-1] if options.chain and len(steps) > 1 else source) @ matrix)
    return jnp.stack(steps)
