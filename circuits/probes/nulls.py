"""Null hypotheses for scores of attention heads, each with a familywise error rate over all heads:

untrained   Freshly initialised models. A head of the trained model is above chance if its score exceeds the largest
            of any head in all but a share α of the untrained models (Westfall and Young).
shuffled    The same patterns scored with the layout of another problem, for scores that depend on labels. The mean
            difference must be above 0 by a one-sided paired t-test with Bonferroni's correction.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float
from scipy.stats import t as student

from circuits import checks
from circuits.probes.streaming import Moments, Tree
from circuits.transformer.config import TransformerConfig
from circuits.transformer.model import Predictor

ROUNDING = 1e-7
"""The rounding of float32 in sums of attention weights, which are at most 1."""


def untrained_scores(
    function: Callable[..., Tree], config: TransformerConfig, examples: tuple, *, models: int, seed: int = 0
) -> Tree:
    """Return ``function(model, *example)``, averaged over examples, of freshly initialised models, stacked.

    NaN of an example is ignored. Models are computed one at a time. Raises ValueError unless ``models`` is a positive
    integer.
    """
    checks.integer("models", models, min_value=1)
    return _each_model(function, config, jax.random.split(jax.random.key(seed), models), examples)


def single_head(config: TransformerConfig) -> TransformerConfig:
    """Return the config with one prediction head.

    From the same key its untrained models have the same embeddings and blocks, which are drawn first. So scores of
    attention are the same, and models that differ in their prediction heads share one compiled null.
    """
    changes = {"prediction_heads": 1, "head_kind": "linear", "head_layers": 1, "head_chain": False, "injection": False}
    return replace(config, **changes)


@partial(jax.jit, static_argnames=("function", "config"))
def _each_model(function: Callable[..., Tree], config: TransformerConfig, keys: Array, examples: tuple) -> Tree:
    def one_model(key: Array) -> Tree:
        model = Predictor(config, nnx.Rngs(key))
        scores = jax.vmap(lambda *example: function(model, *example))(*examples)
        return jax.tree.map(lambda values: jnp.nanmean(values, axis=0), scores)

    return jax.lax.map(one_model, keys)


def familywise_p_values(
    scores: Float[np.ndarray, "L H"], null: Float[np.ndarray, "models L H"]
) -> Float[np.ndarray, "L H"]:
    """Return p-values against untrained models: (1 + #{models with any head at least as high}) / (1 + #models)."""
    checks.shape("null", null, (len(null), *scores.shape))
    highest = null.reshape(len(null), -1).max(axis=1)
    as_high = (~(highest[:, None, None] < scores)).sum(axis=0)  # NaN in the null counts as higher
    return np.where(np.isnan(scores), np.nan, (1 + as_high) / (1 + len(null)))


def p_values_above_zero(differences: Moments, tests: int) -> Tree:
    """Return p-values of one-sided t-tests that each mean is above 0, times ``tests`` (Bonferroni), at most 1.

    The standard error is bounded below by the rounding of float32; otherwise saturated heads would always differ.
    """
    checks.integer("tests", tests, min_value=1)

    def leaf(count: Array, mean: Array, squares: Array) -> Float[np.ndarray, "..."]:
        n, centre, spread = (np.asarray(part, np.float64) for part in (count, mean, squares))
        freedom = np.maximum(n - 1, 1)
        error = np.maximum(np.sqrt(spread / freedom / np.maximum(n, 1)), ROUNDING)
        return np.where(n > 1, np.minimum(1.0, tests * student.sf(centre / error, freedom)), 1.0)

    return jax.tree.map(leaf, *differences)
