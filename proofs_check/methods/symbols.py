"""The paper's symbols on one prompt, in numpy, so that a printed formula can be written symbol by symbol.

Lemma 1 defines A^(l) = Z W0^(l) Z^T + W1^(l) and S^(l) = softmax(MASK(S^(l-1) A^(l))) with S^(0) = I. None of the
library's computations are used.
"""

from typing import NamedTuple

import numpy as np
from numpy import ndarray

from circuits.disentangled.weights import Weights
from proofs_check.methods import setting


class Symbols(NamedTuple):
    """Z, the target's one-hot e, A^(1), A^(2), S^(1), and the last row of S^(2)."""

    z: ndarray
    e: ndarray
    a1: ndarray
    a2: ndarray
    s1: ndarray
    s2: ndarray

    @property
    def f1(self) -> float:
        """f1 . e = S2[T] S1 Z e."""
        return float(self.s2 @ self.s1 @ self.z @ self.e)

    @property
    def f2(self) -> float:
        """f2 . e = S1[T] Z e."""
        return float(self.s1[-1] @ self.z @ self.e)


def symbols(layers: Weights, tokens: ndarray, target: int | np.integer) -> Symbols:
    """The symbols of one prompt."""
    z = np.eye(setting.N)[tokens]
    a1, a2 = (z @ np.asarray(layer.content) @ z.T + np.asarray(layer.position) for layer in layers)
    s1 = softmax(masked(a1))
    return Symbols(z, np.eye(setting.N)[target], a1, a2, s1, softmax(s1[-1] @ a2))


def jacobian(s: ndarray) -> ndarray:
    """J(s) = diag(s) - s s^T."""
    return np.diag(s) - np.outer(s, s)


def masked(logits: ndarray) -> ndarray:
    """MASK: -inf above the diagonal."""
    return np.where(np.tri(len(logits), dtype=bool), logits, -np.inf)


def softmax(logits: ndarray) -> ndarray:
    """Along the last axis."""
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)
