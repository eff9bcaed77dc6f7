"""Confidence intervals of cosines, by bootstrap over rows, that is, over input nodes.

The entries of a row share its node, so only rows are independent; Fisher's interval over N (N - 1) entries is too
narrow if some rows fit better than others. With w_u the number of times that row u is drawn,

    cosine* = Σ_u w_u <M_u, R_u> / √(Σ_u w_u |M_u|² Σ_u w_u |R_u|²)        rows centred.

The interval is normal on Fisher's scale with the bootstrap's spread, and Student's t for N rows:
tanh(atanh cosine ± t_{N-1} sd(atanh cosine*)). Differences of cosines are normal on their own scale.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.stats import t as student

from circuits import checks
from circuits.probes.adjacency.references import Reference, centre_rows
from circuits.probes.adjacency.scores import check_matrices

MAX_COSINE = 1 - 1e-12
"""Cosines are clipped below 1, where Fisher's scale is infinite."""


def bootstrap_cosines(
    matrices: Float[np.ndarray, "matrices N N"], references: Sequence[Reference], draws: int = 1000, seed: int = 0
) -> Float[np.ndarray, "draws matrices references"]:
    """Return cosines over rows drawn with replacement; 0 if all drawn rows of the reference or matrix are constant.

    Raises ValueError as ``compare_matrices`` does, and for fewer than 2 draws.
    """
    checks.integer("draws", draws, min_value=2)
    own = centre_rows(check_matrices(matrices, references))
    other = centre_rows(np.stack([r.matrix for r in references]))
    nodes = own.shape[-1]
    weights = np.random.default_rng(seed).multinomial(nodes, np.full(nodes, 1 / nodes), draws).astype(np.float64)
    product = np.einsum("mun,run->mru", own, other, optimize=True)
    both = np.einsum("du,mru->dmr", weights, product, optimize=True)
    size = np.sqrt(np.einsum("dm,dr->dmr", weights @ (own**2).sum(axis=-1).T, weights @ (other**2).sum(axis=-1).T))
    return np.divide(both, size, out=np.zeros_like(both), where=size > 0)


def cosine_interval(
    cosine: Float[np.ndarray, "*some"],
    drawn: Float[np.ndarray, "draws *some"],
    nodes: int,
    confidence: float | int = 0.95,
) -> tuple[Float[np.ndarray, "*some"], Float[np.ndarray, "*some"]]:
    """Return both ends of the interval of each cosine."""
    centre, spread = (np.arctanh(np.clip(part, -MAX_COSINE, MAX_COSINE)) for part in (cosine, drawn))
    reach = _quantile(nodes, confidence) * spread.std(axis=0, ddof=1)
    return np.tanh(centre - reach), np.tanh(centre + reach)


def difference_interval(
    difference: Float[np.ndarray, "*some"],
    drawn: Float[np.ndarray, "draws *some"],
    nodes: int,
    confidence: float | int = 0.95,
) -> tuple[Float[np.ndarray, "*some"], Float[np.ndarray, "*some"]]:
    """Return both ends of the interval of each difference of two cosines, from the differences in the draws."""
    reach = _quantile(nodes, confidence) * drawn.std(axis=0, ddof=1)
    return difference - reach, difference + reach


def _quantile(nodes: int, confidence: float | int) -> float:
    checks.require(0 < confidence < 1, "confidence", "must lie between 0 and 1", confidence)
    return float(student.ppf((1 + confidence) / 2, nodes - 1))
