"""The gradients of Corollary 1's circuit in ball arithmetic, with a factor x = e^-gamma taken out where there is one.

Rows of logit gradients sum to zero, so the one entry that is a difference of numbers near 1 is written as minus the sum
of the others.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from flint import arb

from proofs_check.methods.ball import (
    ONE,
    ZERO,
    Block,
    Range,
    entry,
    goal_output,
    layer_2_factors,
    mass,
    next_miss,
    shallow_miss,
    sharp,
)
from proofs_check.methods.star import N, T, Tokens, goal, goal_position, next_label, positions, replayed

Gradient = tuple[Block, Block, Block, Block]
"""The gradient in W0^(1), W1^(1), W0^(2), W1^(2), in the library's order."""


def plan(box: Range, tokens: Tokens) -> Gradient:
    """Return the gradient of L1a over x."""
    output = 1 - box.x * next_miss(box, tokens)
    return _deep_gradient(box, tokens, positions(tokens, next_label(tokens)), output, scale=ONE)


def replay(box: Range, tokens: Tokens) -> Gradient:
    """Return the gradient of L1b, without any factor."""
    context = replayed(tokens)
    return _deep_gradient(box, context, positions(context, goal(context)), goal_output(box, context), scale=box.x)


def shallow(box: Range, tokens: Tokens) -> Gradient:
    """Return the gradient of L2 over x."""
    p, missed = sharp(box, T - 1), shallow_miss(box, tokens)
    at_end = -box.x * missed / (1 - box.x * missed)
    rows = _zeros(T, T)
    rows[T - 1] = _balanced([p * (at_end if j == goal_position(tokens) else ONE) for j in range(T)], T - 2)
    return _by_label(tokens, rows), rows, _zeros(N, N), _zeros(T, T)


def total(box: Range, tokens: Tokens, parts: Sequence[float]) -> Gradient:
    """Return the gradient of a sum of L1a, L1b and L2 with the weights ``parts``."""
    a, b, c = (arb(part) for part in parts)
    near, far, direct = plan(box, tokens), replay(box, tokens), shallow(box, tokens)
    blocks = (box.x * (a * near[n] + c * direct[n]) + b * far[n] for n in range(4))
    return tuple(blocks)  # pyright: ignore[reportReturnType]


def square(blocks: Iterable[Block]) -> arb:
    """Return the sum of the squares of all entries."""
    return sum((value * value for block in blocks for value in block.ravel()), ZERO)


def _deep_gradient(box: Range, tokens: Tokens, hit: Sequence[bool], output: arb, scale: arb) -> Gradient:
    """Evaluate Lemma 3 for the circuit, as a multiple of x / ``scale``, with f1 . e = ``scale`` * ``output``.

    S2[T, j] / f1 . e is then x E_j w / scale with w = q / output, and w / scale at t_end.
    """
    at_end = goal_position(tokens)
    q, factors = layer_2_factors(box, tokens)
    reach = [mass(box, j, hit) for j in range(T)]
    w = q / output
    signal = _balanced([factors[j] * (q * scale - w * reach[j]) for j in range(T)], at_end)
    rows = _zeros(T, T)
    for j in range(T):
        # At t_end the factor x is taken out of the entries of S1 off the circuit, elsewhere out of S2.
        factor, x = (ONE, ONE) if j == at_end else (factors[j], box.x)
        entries = [w * factor * entry(box, j, k, x) * (reach[j] - hit[k]) for k in range(j + 1)]
        rows[j, : j + 1] = _balanced(entries, max(j - 1, 0))
    rows[T - 1] += _query_path(box, tokens, signal)
    query = np.array([entry(box, T - 1, i, box.x) for i in range(T)], object)
    outer = np.outer(query, signal)
    return _by_label(tokens, rows), rows, _by_label(tokens, outer), outer


def _query_path(box: Range, tokens: Tokens, signal: Block) -> Block:
    """J(S1[T]) A2 r, with gamma x = u and A2 = gamma ([g_i = g_j] - [i = j = T-1])."""
    pulled = [sum((r for token, r in zip(tokens, signal, strict=True) if token == tokens[i]), ZERO) for i in range(T)]
    pulled[T - 2] -= signal[T - 2]
    p = sharp(box, T - 1)
    mean = p * (pulled[T - 2] + box.x * sum((pulled[i] for i in range(T) if i != T - 2), ZERO))
    return _balanced([box.u * p * (value - mean) for value in pulled], T - 2)


def _balanced(row: Sequence[arb], main: int) -> Block:
    """Return a row that sums to zero, with its main entry as minus the sum of the others."""
    entries = np.array(row, object)
    entries[main] = -sum((value for k, value in enumerate(row) if k != main), ZERO)
    return entries


def _by_label(tokens: Tokens, rows: Block) -> Block:
    """Z^T rows Z."""
    summed = _zeros(N, N)
    for i, j in np.ndindex(*rows.shape):
        summed[tokens[i], tokens[j]] += rows[i, j]
    return summed


def _zeros(*shape: int) -> Block:
    return np.full(shape, ZERO, dtype=object)
