"""The losses of all steps from counts, and their gradients by hand.

    L_n = 1/D sum_c sum_b N_n[c, b] (-log p_n(b | c)),   p_n = softmax(x_n),   D the divisor of the counts

With H_1 = [W^M; W^V; kappa I], of 3V rows, and H_n = H_1 W^T_{n-1}, chained H_n = H_{n-1} W^T_{n-1}, the logits in
context c = (i, j, u) are a sum of rows,

    x_n = H_n[i] + H_n[V + j] + H_n[2V + u],   the last without n = 1, and without injection

so that no context is ever multiplied by a matrix. Hence, with N_n[c] = sum_b N_n[c, b],

    L_n = (1/D) (sum_c N_n[c] log sum_b e^x_n[c, b] - sum_a sum_b S_n[a, b] H_n[a, b])

where S_n[a] is the sum of N_n[c] over the contexts c whose i, V + j or 2V + u is a, row a of ``seen``. Hence

    G_n[a, b] := dL_n/dH_n[a, b] = (1/D) (sum of N_n[c] p_n(b | c) over the same contexts - S_n[a, b])

and dL = <G_n, dH_n> with dH_n = dH_m W^T_{n-1} + H_m dW^T_{n-1}, m = 1 or chained n - 1:

    dL/dW^T_{n-1} += H_m^T G_n,   dL/dH_m += G_n (W^T_{n-1})^T

Chained, G_n has to hold what comes from later steps first, so n runs from k down. At last the three blocks of dL/dH_1
are the gradients of W^M and W^V, and its trace over the third that of kappa.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from circuits import checks
from circuits.one_layer.counts import Counts, StepCounts
from circuits.one_layer.parameters import Options, Parameters

Rows = Float[Array, "R V"]
"""H_n: a row for each current token, for each target and for each injected token; R = 3V."""


class Objective(NamedTuple):
    """The loss sum_n w_n L_n, each L_n, and the gradient of the loss."""

    loss: Float[Array, ""]
    steps: Float[Array, " k"]
    gradient: Parameters


def losses(parameters: Parameters, counts: Counts, options: Options) -> Float[Array, " k"]:
    """L_1 .. L_k, in nats. Raises ValueError where the counts do not fit the parameters or the options."""
    _check(parameters, counts, options)
    rows = _rows(parameters, options, len(counts.steps))
    each = [
        _loss(row, step, options.injection and n > 0)
        for n, (row, step) in enumerate(zip(rows, counts.steps, strict=True))
    ]
    return jnp.stack(each) / counts.divisor


def objective(parameters: Parameters, counts: Counts, options: Options, weights: Float[Array, " k"]) -> Objective:
    """sum_n w_n L_n with its gradient, by hand. Raises ValueError where the counts do not fit."""
    _check(parameters, counts, options)
    checks.shape("weights", weights, (len(counts.steps),))
    rows = _rows(parameters, options, len(counts.steps))
    found = [
        _step(row, step, options.injection and n > 0, counts.divisor)
        for n, (row, step) in enumerate(zip(rows, counts.steps, strict=True))
    ]
    each = jnp.stack([loss for loss, _ in found])
    pulled = [weights[n] * part for n, (_, part) in enumerate(found)]
    return Objective(jnp.sum(weights * each), each, _gradient(parameters, options, rows, pulled))


def _gradient(parameters: Parameters, options: Options, rows: list[Rows], pulled: list[Rows]) -> Parameters:
    """From G_1 .. G_k to the parameters; ``pulled`` is G."""
    transfers = jnp.zeros_like(parameters.transfers)
    for n in range(len(rows) - 1, 0, -1):
        before = n - 1 if options.chain else 0
        transfers = transfers.at[n - 1].set(rows[before].T @ pulled[n])
        pulled[before] = pulled[before] + pulled[n] @ parameters.transfers[n - 1].T
    content, value, injected = jnp.split(pulled[0], 3)
    scale = jnp.trace(injected) if options.injection else jnp.zeros((), content.dtype)
    return Parameters(content, value, transfers, scale)


def _rows(parameters: Parameters, options: Options, steps: int) -> list[Rows]:
    """H_1 .. H_k."""
    scale = parameters.scale if options.injection else jnp.zeros_like(parameters.scale)
    same = jnp.eye(parameters.content.shape[0], dtype=parameters.content.dtype)
    rows = [jnp.concatenate([parameters.content, parameters.value, scale * same])]
    for n in range(steps - 1):
        rows.append((rows[-1] if options.chain else rows[0]) @ parameters.transfers[n])
    return rows


def _logits(rows: Rows, step: StepCounts, injected: bool) -> Float[Array, "C V"]:
    tokens = rows.shape[1]
    found = rows[step.current] + rows[tokens + step.target]
    return found + rows[2 * tokens + step.following] if injected else found


def _loss(rows: Rows, step: StepCounts, injected: bool) -> Float[Array, ""]:
    """L_n without its divisor."""
    surprise = jax.nn.logsumexp(_logits(rows, step, injected), axis=1)
    return step.total @ surprise - jnp.vdot(_seen(step, injected), rows)


def _step(rows: Rows, step: StepCounts, injected: bool, divisor: Float[Array, ""]) -> tuple[Float[Array, ""], Rows]:
    """L_n and G_n. The exponentials, which are most of the work, are taken once for both."""
    logits, tokens = _logits(rows, step, injected), rows.shape[1]
    largest = jnp.max(logits, axis=1)
    odds = jnp.exp(logits - largest[:, None])
    whole = jnp.sum(odds, axis=1)
    loss = step.total @ (jnp.log(whole) + largest) - jnp.vdot(_seen(step, injected), rows)
    expected = (step.total / whole)[:, None] * odds
    pulled = (-_seen(step, injected)).at[step.current].add(expected).at[tokens + step.target].add(expected)
    if injected:
        pulled = pulled.at[2 * tokens + step.following].add(expected)
    return loss / divisor, pulled / divisor


def _seen(step: StepCounts, injected: bool) -> Rows:
    """Without injection what came after u does not matter."""
    return step.seen if injected else step.seen.at[2 * step.seen.shape[1] :].set(0.0)


def _check(parameters: Parameters, counts: Counts, options: Options) -> None:
    tokens, steps = parameters.content.shape[0], parameters.transfers.shape[0] + 1
    checks.require(counts.tokens == tokens, "counts", f"must be over {tokens} tokens", counts.tokens)
    checks.require(len(counts.steps) == steps, "counts", f"must have {steps} steps", len(counts.steps))
    told = counts.split or not options.injection
    checks.require(told, "counts", "must be split by the next token for injection", counts.split)
