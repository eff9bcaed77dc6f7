"""What scores are worth: the same scores where there is nothing to find.

Two nulls, each with the error rate held over all heads at once:

    untrained   the model with fresh initial parameters, many times. A head of the trained one is beyond chance when its
                score is above the largest of any head in all but a share α of the untrained ones (Westfall and Young).
    shuffled    the same patterns scored with the layout of another problem, for scores that depend on labels. Example
                by example, the difference has to be above 0, by Student's one-sided t with Bonferroni's correction.
"""

from collections.abc import Callable
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
"""Of masses of attention, which are at most 1, in float32."""


def untrained(
    function: Callable[..., Tree], config: TransformerConfig, examples: tuple, *, models: int = 119, seed: int = 0
) -> Tree:
    """``function(model, *example)``, averaged over examples, for freshly initialised models: a leading axis [models].

    NaN in an example is left out. One model at a time, so memory is that of one. Raises ValueError unless ``models``
    is a positive integer.
    """
    checks.integer("models", models, min_value=1)
    return _of_models(function, config, jax.random.split(jax.random.key(seed), models), examples)


@partial(jax.jit, static_argnames=("function", "config"))
def _of_models(function: Callable[..., Tree], config: TransformerConfig, keys: Array, examples: tuple) -> Tree:
    def one(key: Array) -> Tree:
        model = Predictor(config, nnx.Rngs(key))
        found = jax.vmap(lambda *example: function(model, *example))(*examples)
        return jax.tree.map(lambda values: jnp.nanmean(values, axis=0), found)

    return jax.lax.map(one, keys)


def familywise(scores: Float[np.ndarray, "L H"], null: Float[np.ndarray, "R L H"]) -> Float[np.ndarray, "L H"]:
    """p-values of heads against R untrained models: (1 + how many have a head that scores as high) / (R + 1)."""
    checks.shape("null", null, (len(null), *scores.shape))
    highest = null.reshape(len(null), -1).max(axis=1)
    above = (~(highest[:, None, None] < scores)).sum(axis=0)  # a model without the score counts as above
    return np.where(np.isnan(scores), np.nan, (1 + above) / (1 + len(null)))


def above_zero(differences: Moments, tests: int) -> Tree:
    """For each entry the p-value that its mean is not above 0, by one-sided t, times ``tests`` (1 at the most).

    The standard error is taken to be no less than the rounding of float32, or saturated heads would differ for certain.
    """
    checks.integer("tests", tests, min_value=1)

    def one(count: Array, mean: Array, squares: Array) -> Float[np.ndarray, "..."]:
        n, centre, spread = (np.asarray(part, np.float64) for part in (count, mean, squares))
        free = np.maximum(n - 1, 1)
        error = np.maximum(np.sqrt(spread / free / np.maximum(n, 1)), ROUNDING)
        return np.where(n > 1, np.minimum(1.0, tests * student.sf(centre / error, free)), 1.0)

    return jax.tree.map(one, differences.count, differences.mean, differences.squares)
