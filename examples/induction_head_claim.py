"""A claim of one's own, to start from: the gradient of an induction head, derived by hand.

Decide it: ``circuits verify --claims examples/induction_head_claim.py``
"""

import jax
import numpy as np

from proofs_check import Claim, Findings, Test, equal


def loss(W, K, V, q, y):
    """Linear attention: the query q looks for the keys K, and what it reads from V should be the target y."""
    return 0.5 * ((V.T @ (K @ W.T @ q) - y) ** 2).sum()


def by_hand(W, K, V, q, y):
    """With the error e, the scores K Wᵀ q have the gradient V e, hence W has q (Kᵀ V e)ᵀ."""
    e = V.T @ (K @ W.T @ q) - y
    return np.outer(q, K.T @ V @ e)


def gradient() -> Findings:
    """The formula, and wrong variants of it, against automatic differentiation at random arguments."""
    shapes = ((4, 4), (7, 4), (7, 3), (4,), (3,))
    cases = [[np.random.default_rng(seed).normal(size=s) for s in shapes] for seed in range(8)]
    true = [jax.grad(loss)(*case) for case in cases]
    mutants = {
        "outer product the other way round": lambda *case: by_hand(*case).T,
        "target added, not subtracted": lambda W, K, V, q, y: by_hand(W, K, V, q, -y),
    }

    def against_autodiff(formula):
        return equal([formula(*case) for case in cases], true)

    return Findings((Test("autodiff", "dL/dW", against_autodiff, printed=by_hand, mutants=mutants),))


CLAIMS = [
    Claim(
        id="induction-head.gradient",
        source="My notes, p. 3",
        statement="The gradient of W is the query times the keys, each as heavy as its value's error.",
        formula=r"\frac{\partial L}{\partial W} = q\,(K^\top V e)^\top, \quad e = V^\top K W^\top q - y",
        setting="One linear attention head, squared error, any keys, values and query.",
        recorded="holds",
        check=gradient,
    )
]
