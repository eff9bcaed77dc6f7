"""Small data sets of lines, and the losses of the one-layer model by loops over them."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from circuits.one_layer.parameters import Options, Parameters

VOCAB, PAD = 6, 5
LINES = np.array(
    [
        [0, 3, 0, 1, 2, 3, 4, 5],
        [0, 3, 0, 1, 3, 4, 5, 5],
        [1, 3, 1, 2, 3, 4, 5, 5],
        [1, 2, 1, 2, 4, 5, 5, 5],
        [0, 3, 0, 1, 2, 3, 4, 5],
    ],
    np.int32,
)
"""Four nodes, the end token 4 and padding 5; one line twice."""
VARIANTS = [Options(chain, injection) for chain in (False, True) for injection in (False, True)]


def drawn(steps: int, seed: int = 0) -> Parameters:
    """Random parameters and kappa = 1.7, drawn by numpy."""
    matrices = jnp.asarray(0.7 * np.random.default_rng(seed).normal(size=(steps + 1, VOCAB, VOCAB)))
    return Parameters(matrices[0], matrices[1], matrices[2:], jnp.asarray(1.7))


def naive_losses(parameters: Parameters, options: Options, lines: np.ndarray, steps: int) -> np.ndarray:
    """-log p by loops over lines and positions, by definition; divided by the targets of step 1.

    Entries may be complex.
    """
    content, value, transfers, scale = (np.asarray(leaf) for leaf in parameters)
    totals, divisor = np.zeros(steps, content.dtype), 0
    for line in lines:
        for position in range(2, len(line) - 1):
            first = content[line[position]] + value[line[1]]
            source = first.copy()
            if options.injection:
                source[line[position + 1]] += scale
            by_step = [first]
            for n in range(2, steps + 1):
                by_step.append((by_step[-1] if options.chain and n > 2 else source) @ transfers[n - 2])
            for n, logits in enumerate(by_step, start=1):
                if position + n < len(line) and line[position + n] != PAD:
                    odds = np.exp(logits)
                    totals[n - 1] -= np.log(odds[line[position + n]] / odds.sum())
                    divisor += n == 1
    return totals / divisor


def naive_gradient(parameters: Parameters, options: Options, weights: tuple[float, ...]) -> Parameters:
    """Entry by entry: the imaginary part of the loss a step of i 1e-30 away, over 1e-30. It is exact to rounding."""
    leaves = [np.asarray(leaf, np.complex128) for leaf in parameters]
    gradient: list[Any] = []
    for number, leaf in enumerate(leaves):
        slopes = np.zeros(leaf.shape)
        for index in np.ndindex(leaf.shape):
            moved: list[Any] = [each.copy() for each in leaves]
            moved[number][index] += 1e-30j
            losses = naive_losses(Parameters(*moved), options, LINES, len(weights))
            slopes[index] = np.imag(losses @ np.asarray(weights)) / 1e-30
        gradient.append(slopes)
    return Parameters(*gradient)
