"""What the tests of this folder share: families of graphs, and programs that are compiled once."""

from functools import partial

import jax
import jax.numpy as jnp

from circuits.disentangled import literal
from circuits.disentangled.losses import losses
from circuits.disentangled.objective import objective
from circuits.tasks.star.graph import StarGraph
from tests.cases import FAST_TO_COMPILE

FAMILIES = [StarGraph(2, 3, 5), StarGraph(3, 4, 12)]
"""With 0 and 2 labels more than nodes. Two, because each shape of weights and prompts is compiled anew."""

by_hand = jax.jit(objective)
losses_jit = jax.jit(losses)


@partial(jax.jit, compiler_options=FAST_TO_COMPILE)
def by_autodiff(weights, tokens, y1, y2):
    """The losses, and their gradients by automatic differentiation."""
    return losses(weights, tokens, y1, y2), jax.jacrev(losses)(weights, tokens, y1, y2)


@partial(jax.jit, static_argnums=3, compiler_options=FAST_TO_COMPILE)
@jax.value_and_grad
def literal_loss(weights, tokens, target, layer):
    """-log of the output of the head on a layer, counted from 0, by Definitions 1 and 2; with its gradient."""
    return -jnp.log(literal.forward(weights, tokens).outputs[layer][target])
