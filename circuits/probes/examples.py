"""A tiny random transformer with problems that it can read, for examples and quick trials of probes."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Int

from circuits.tasks.star.graph import StarGraph
from circuits.tasks.token_format import TokenFormat
from circuits.transformer.config import TransformerConfig
from circuits.transformer.model import Predictor


def tiny_planning_model(seed: int = 0) -> tuple[Predictor, Int[np.ndarray, "n T"], TokenFormat]:
    """Return a random model of one layer with two attention heads, two problems with answers, and their format.

    Args:
        seed: of the parameters.

    Returns:
        The model, token ids [2, 12], and the format of the problems.

    Example:
        >>> from circuits.probes import tiny_planning_model
        >>> model, problems, format = tiny_planning_model()
        >>> problems[0].tolist()  # edges (3, 7) (6, 0) (7, 2) (3, 6), goal 0, start 3, and the path 6, 0 as the answer
        [3, 7, 6, 0, 7, 2, 3, 6, 0, 3, 6, 0]
    """
    format = TokenFormat(StarGraph(paths=2, nodes=3, labels=10), "pairs", "goal-start")
    sizes: dict[str, Any] = {"layers": 1, "heads": 2, "width": 8, "mlp_width": 8}
    config = TransformerConfig(vocab=format.vocab_size, positions=format.length, **sizes)
    # numpy draws the parameters, because the model's own initialisation takes seconds to compile.
    graph, shapes = nnx.split(nnx.eval_shape(lambda: Predictor(config, nnx.Rngs(0))))
    rng = np.random.default_rng(seed)
    state = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype), shapes)
    problems = [[3, 7, 6, 0, 7, 2, 3, 6, 0, 3, 6, 0], [1, 4, 1, 2, 4, 5, 2, 8, 5, 1, 4, 5]]
    return nnx.merge(graph, state), np.array(problems, np.int32), format
