"""The losses of all prediction steps from counts, with hand-derived gradients.

    L_n = 1/D sum_c sum_b N_n[c, b] (-log p_n(b | c)),   p_n = softmax(x_n),   D the divisor of the counts

With H_1 = [W^M; W^V; kappa I], of 3V rows, and H_n = H_1 W^T_{n-1}, chained H_n = H_{n-1} W^T_{n-1}, the logits in
context c = (i, j, u) are a sum of rows,

    x_n = H_n[i] + H_n[V + j] + H_n[2V + u],   without the last term for n = 1 and without injection

so only the 3V rows are multiplied by matrices, and not each context. Hence, with N_n[c] = sum_b N_n[c, b],

    L_n = (1/D) (sum_c N_n[c] log sum_b e^x_n[c, b] - sum_a sum_b S_n[a, b] H_n[a, b])

where S_n[a] is the sum of N_n[c] over the contexts c whose i, V + j or 2V + u is a (``StepCounts.by_row``). Hence

    G_n[a, b] := dL_n/dH_n[a, b] = (1/D) (sum of N_n[c] p_n(b | c) over the same contexts - S_n[a, b])

and dL = <G_n, dH_n> with dH_n = dH_m W^T_{n-1} + H_m dW^T_{n-1}, m = 1, or chained n - 1:

    dL/dW^T_{n-1} += H_m^T G_n,   dL/dH_m += G_n (W^T_{n-1})^T

In the chained variant, G_n must first include the gradients of later steps, so n runs from k down. Finally the first
two blocks of dL/dH_1 are the gradients of W^M and W^V, and the trace of the third is the gradient of kappa.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from circuits import checks, display
from circuits.one_layer.counts import Counts, StepCounts
from circuits.one_layer.parameters import Options, Parameters

Rows = Float[Array, "rows V"]
"""H_n: a row for each current token, for each target and for each injected token, 3 V rows."""


class Objective(NamedTuple):
    """The loss sum_n w_n L_n, each L_n in nats, and the gradient of the loss."""

    loss: Float[Array, ""]
    steps: Float[Array, " k"]
    gradient: Parameters

    _repr_html_ = display.html


def step_losses(parameters: Parameters, counts: Counts, options: Options) -> Float[Array, " k"]:
    """Return L_1 .. L_k, in nats.

    Args:
        parameters: the matrices of the model.
        counts: the data set, see ``count_contexts``.
        options: the variant of the model.

    Returns:
        The loss of each step [k].

    Raises:
        ValueError: if the counts do not fit the parameters or the options.

    Example:
        >>> import numpy as np
        >>> from circuits.one_layer import count_contexts, zeros
        >>> data = count_contexts(np.array([[0, 2, 0, 1, 2]]), tokens=4, steps=1, pad=3)
        >>> (step_losses(zeros(4, 1), data, Options()) / np.log(4)).round(6)  # all 4 tokens are equally likely
        Array([1.], dtype=float64)
    """
    _check(parameters, counts, options)
    rows = _rows(parameters, options, len(counts.steps))
    by_step = [
        _loss(row, step, options.injection and n > 0)
        for n, (row, step) in enumerate(zip(rows, counts.steps, strict=True))
    ]
    return jnp.stack(by_step) / counts.divisor


def objective(parameters: Parameters, counts: Counts, options: Options, weights: Float[Array, " k"]) -> Objective:
    """Return sum_n w_n L_n, each L_n, and the gradient by hand.

    Args:
        parameters: the matrices of the model.
        counts: the data set, see ``count_contexts``.
        options: the variant of the model.
        weights: w_1 .. w_k.

    Returns:
        The weighted loss, the loss of each step, and the gradient of the weighted loss.

    Raises:
        ValueError: if the counts or weights do not fit the parameters or the options.

    Example:
        >>> import numpy as np
        >>> from circuits.one_layer import count_contexts, zeros
        >>> data = count_contexts(np.array([[0, 2, 0, 1, 2]]), tokens=4, steps=1, pad=3)
        >>> round(float(objective(zeros(4, 1), data, Options(), jnp.ones(1)).loss / np.log(4)), 6)
        1.0
    """
    _check(parameters, counts, options)
    checks.shape("weights", weights, (len(counts.steps),))
    rows = _rows(parameters, options, len(counts.steps))
    by_step = [
        _loss_and_gradient(row, step, options.injection and n > 0, counts.divisor)
        for n, (row, step) in enumerate(zip(rows, counts.steps, strict=True))
    ]
    step_losses = jnp.stack([loss for loss, _ in by_step])
    row_gradients = [weights[n] * gradient for n, (_, gradient) in enumerate(by_step)]
    gradient = _gradient(parameters, options, rows, row_gradients)
    return Objective(jnp.sum(weights * step_losses), step_losses, gradient)


def _gradient(parameters: Parameters, options: Options, rows: list[Rows], row_gradients: list[Rows]) -> Parameters:
    """Return the gradient of the parameters from ``row_gradients``, G_1 .. G_k."""
    transfers = jnp.zeros_like(parameters.transfers)
    for n in range(len(rows) - 1, 0, -1):
        source = n - 1 if options.chain else 0
        transfers = transfers.at[n - 1].set(rows[source].T @ row_gradients[n])
        row_gradients[source] = row_gradients[source] + row_gradients[n] @ parameters.transfers[n - 1].T
    content, value, injected = jnp.split(row_gradients[0], 3)
    scale = jnp.trace(injected) if options.injection else jnp.zeros((), content.dtype)
    return Parameters(content, value, transfers, scale)


def _rows(parameters: Parameters, options: Options, steps: int) -> list[Rows]:
    """Return H_1 .. H_k."""
    scale = parameters.scale if options.injection else jnp.zeros_like(parameters.scale)
    eye = jnp.eye(parameters.content.shape[0], dtype=parameters.content.dtype)
    rows = [jnp.concatenate([parameters.content, parameters.value, scale * eye])]
    for n in range(steps - 1):
        rows.append((rows[-1] if options.chain else rows[0]) @ parameters.transfers[n])
    return rows


def _logits(rows: Rows, step: StepCounts, injected: bool) -> Float[Array, "contexts V"]:
    tokens = rows.shape[1]
    logits = rows[step.current] + rows[tokens + step.target]
    return logits + rows[2 * tokens + step.following] if injected else logits


def _loss(rows: Rows, step: StepCounts, injected: bool) -> Float[Array, ""]:
    """Return L_n times its divisor."""
    surprisal = jax.nn.logsumexp(_logits(rows, step, injected), axis=1)
    return step.total @ surprisal - jnp.vdot(_by_row(step, injected), rows)


def _loss_and_gradient(
    rows: Rows, step: StepCounts, injected: bool, divisor: Float[Array, ""]
) -> tuple[Float[Array, ""], Rows]:
    """Return L_n and G_n, which share their exponentials, the most expensive part."""
    logits, tokens = _logits(rows, step, injected), rows.shape[1]
    largest = jnp.max(logits, axis=1)
    odds = jnp.exp(logits - largest[:, None])
    normaliser = jnp.sum(odds, axis=1)
    by_row = _by_row(step, injected)
    loss = step.total @ (jnp.log(normaliser) + largest) - jnp.vdot(by_row, rows)
    expected = (step.total / normaliser)[:, None] * odds
    gradient = (-by_row).at[step.current].add(expected).at[tokens + step.target].add(expected)
    if injected:
        gradient = gradient.at[2 * tokens + step.following].add(expected)
    return loss / divisor, gradient / divisor


def _by_row(step: StepCounts, injected: bool) -> Rows:
    """Return S_n; without injection, the rows of u are 0."""
    return step.by_row if injected else step.by_row.at[2 * step.by_row.shape[1] :].set(0.0)


def _check(parameters: Parameters, counts: Counts, options: Options) -> None:
    tokens, steps = parameters.content.shape[0], parameters.transfers.shape[0] + 1
    checks.require(counts.tokens == tokens, "counts", f"must be over {tokens} tokens", counts.tokens)
    checks.require(len(counts.steps) == steps, "counts", f"must have {steps} steps", len(counts.steps))
    fits = counts.injection or not options.injection
    checks.require(fits, "counts", "must be made with injection=True for a model with injection", counts.injection)
