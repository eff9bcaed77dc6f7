"""A claim of your own, to start from: the hand-derived gradient of a linear attention head.

Decide it with ``circuits verify --claims examples/induction_head_claim.py``.
"""

import jax
import numpy as np

from proofs_check import Claim, Findings, Test, equal


def loss(W, K, V, q, y):
    """Linear attention: the query q scores the keys K, and the values V summed with these scores should be y."""
    return 0.5 * ((V.T @ (K @ W.T @ q) - y) ** 2).sum()


def by_hand(W, K, V, q, y):
    """With e = Vᵀ K Wᵀ q - y, the gradient of the scores K Wᵀ q is V e, so that of W is q (Kᵀ V e)ᵀ."""
    e = V.T @ (K @ W.T @ q) - y
    return np.outer(q, K.T @ V @ e)


def gradient() -> Findings:
    """Compare the formula, and wrong variants of it, with automatic differentiation at random arguments."""
    shapes = ((4, 4), (7, 4), (7, 3), (4,), (3,))
    cases = [[np.random.default_rng(seed).normal(size=s) for s in shapes] for seed in range(8)]
    true = [jax.grad(loss)(*case) for case in cases]
    mutants = {
        "outer product transposed": lambda *case: by_hand(*case).T,
        "target added, not subtracted": lambda W, K, V, q, y: by_hand(W, K, V, q, -y),
    }

    def against_autodiff(formula):
        return equal([formula(*case) for case in cases], true)

    return Findings((Test("autodiff", "dL/dW", against_autodiff, printed=by_hand, mutants=mutants),))


CLAIMS = [
    Claim(
        id="induction-head.gradient",
        source="My notes, p. 3",
        statement="The gradient of W is the outer product of the query and the keys weighted by their values' errors.",
        formula=r"\frac{\partial L}{\partial W} = q\,(K^\top V e)^\top, \quad e = V^\top K W^\top q - y",
        setting="One linear attention head, squared error, any keys, values and query.",
        recorded="holds",
        check=gradient,
    )
]
