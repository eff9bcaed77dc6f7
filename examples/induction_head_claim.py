"""A claim of one's own, to start from: the gradient of an induction head, derived by hand.

Decide it: ``circuits verify --claims examples/induction_head_claim.py --only 'induction-head.*'``
"""

import jax
import numpy as np

from proofs_check import Claim, Control, Findings, identity


def loss(W, K, V, q, y):
    """Linear attention: the query q looks for the keys K, and what it finds in V should be the target y."""
    return 0.5 * ((V.T @ (K @ W.T @ q) - y) ** 2).sum()


def by_hand(W, K, V, q, y):
    """With the error e, the scores K Wᵀ q have the gradient V e, hence W has q (Kᵀ V e)ᵀ."""
    e = V.T @ (K @ W.T @ q) - y
    return np.outer(q, K.T @ V @ e)


def gradient() -> Findings:
    """The claim, and wrong variants of it, against automatic differentiation at random arguments."""
    shapes = ((4, 4), (7, 4), (7, 3), (4,), (3,))
    cases = [[np.random.default_rng(seed).normal(size=s) for s in shapes] for seed in range(8)]
    true = [np.asarray(jax.jit(jax.grad(loss))(*case)) for case in cases]

    def compared(formula):
        gaps = [abs(formula(*case) - t).max() / max(1, abs(t).max()) for case, t in zip(cases, true, strict=True)]
        return identity("autodiff", "max |by hand − jax.grad|", float(np.max(gaps)), cases=len(cases))

    transposed = Control("outer product the other way round", compared(lambda *case: by_hand(*case).T))
    unsigned = Control("target added, not subtracted", compared(lambda W, K, V, q, y: by_hand(W, K, V, q, -y)))
    return Findings((compared(by_hand),), (transposed, unsigned))


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
