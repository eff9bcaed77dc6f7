"""The library's gradients of the one-layer model and a naive twin, on lines of walks in random graphs."""

from collections.abc import Sequence
from functools import cache, partial
from itertools import combinations, islice

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
from jaxtyping import Float, Int

from circuits.one_layer import losses as library
from circuits.one_layer.counts import Counts, count_contexts
from circuits.one_layer.parameters import Options, Parameters
from circuits.tasks.walks.format import WalkFormat, encode_walk
from circuits.tasks.walks.graphs import random_dag
from proofs_check.ledger import CrossCheck, Outcome, equal

NODES, PROBABILITY, LINES, SEEDS = 7, 0.6, 6, 3
CAPACITY = 32
"""Contexts are padded to this number, and all seeds share a compiled program."""
SCALE = 1.5
"""kappa, by which the next token is injected."""
Blocks = dict[str, Float[np.ndarray, "seeds V V"]]
"""The gradient in each matrix by name, for each seed."""
Gradients = dict[tuple[int, str], Float[np.ndarray, "*seeds V V"]]
"""The same by step, 1 or 2, and name."""


def agreement(step: int, blocks: Sequence[str], injection: bool = False) -> CrossCheck:
    """Compare the library's gradient of one step with the twin, block by block."""
    ours, twin = gradients(injection)
    truth, expected = ({name: each[step, name] for name in blocks} for each in (ours, twin))

    def measure(values: Blocks) -> Outcome:
        return equal(values, expected)

    mutants: dict[str, Blocks] = {}
    for name, right in truth.items():
        mutants[f"{name}, the other sign"] = truth | {name: -right}
        mutants[f"{name}, zero"] = truth | {name: np.zeros_like(right)}
        mutants[f"{name}, transposed"] = truth | {name: np.swapaxes(right, 1, 2)}
    return CrossCheck(f"gradient of step {step}: the library and a naive twin", measure, truth, mutants)


@cache
def gradients(injection: bool) -> tuple[Gradients, Gradients]:
    """Return the gradients of the summed losses by the library, and by the twin."""
    runs: list[tuple[Gradients, Gradients]] = []
    for seed in range(SEEDS):
        graph, format = random_dag(NODES, PROBABILITY, seed), WalkFormat(NODES, NODES)
        paths = (p for s, t in combinations(range(NODES), 2) for p in nx.all_simple_paths(graph, s, t) if len(p) > 2)
        lines = np.stack([encode_walk(format, path) for path in islice(paths, LINES)])
        weights = np.random.default_rng(seed).normal(size=(3, format.vocab_size, format.vocab_size))
        parameters = Parameters(*(jnp.asarray(part) for part in (weights[0], weights[1], weights[2:], SCALE)))
        data = count_contexts(lines, format.vocab_size, 2, format.pad_token, injection, jnp.float64, CAPACITY)
        ours = _named(_library(parameters, data, Options(injection=injection)), float(data.divisor))
        runs.append((ours, naive(weights, lines, format.pad_token, SCALE if injection else 0.0)))
    ours, twin = ({key: np.stack([run[n][key] for run in runs]) for key in runs[0][n]} for n in range(2))
    return ours, twin


# Compiling takes longer than running, and half as long without optimisation.
@partial(jax.jit, static_argnums=2, compiler_options={"xla_backend_optimization_level": 0})
def _library(parameters: Parameters, data: Counts, options: Options) -> Parameters:
    """Return the gradient of each step, along the first axis."""
    steps = jnp.eye(len(data.steps))
    return jax.vmap(lambda weights: library.objective(parameters, data, options, weights).gradient)(steps)


def _named(gradient: Parameters, divisor: float) -> Gradients:
    matrices = {"content": gradient.content, "value": gradient.value, "transfers": gradient.transfers[:, 0]}
    return {(n, name): np.asarray(each[n - 1]) * divisor for name, each in matrices.items() for n in (1, 2)}


def naive(weights: Float[np.ndarray, "3 V V"], lines: Int[np.ndarray, "n T"], pad: int, scale: float) -> Gradients:
    """Walk along every line and add up softmax(x_n) - e_b, carried back to each matrix."""
    content, value, transfer = weights
    sums = {(n, name): np.zeros_like(content) for n in (1, 2) for name in ("content", "value", "transfers")}
    for _, target, *path in lines.tolist():
        for current, *ahead in zip(path, path[1:], [*path[2:], pad], strict=False):
            source = content[current] + value[target]
            for n, wanted in enumerate(ahead, start=1):
                if wanted == pad:
                    continue
                injected = source + scale * np.eye(len(content))[ahead[0]]
                logits = source if n == 1 else injected @ transfer
                error = np.exp(logits) / np.exp(logits).sum()
                error[wanted] -= 1
                if n == 2:
                    sums[n, "transfers"] += np.outer(injected, error)
                    error = transfer @ error
                sums[n, "content"][current] += error
                sums[n, "value"][target] += error
    return sums
