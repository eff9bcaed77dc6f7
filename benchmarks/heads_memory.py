"""Memory of the losses of k prediction heads and their gradient, from k = 1 to 8, at a vocabulary of 32,000.

Ours makes the logits of one head at a time; the peer those of all heads at once. ``temporary`` is the compiler's count
of memory besides arguments and results. ``peak`` is the largest resident set of a fresh process that takes the gradient
once, less that before, and less kernels and their gradients, which any method must hold k times. ``growth`` is k = 8
over k = 1, the target being at most 1.1 for ours.

    python benchmarks/heads_memory.py
"""

import argparse
import sys
from collections.abc import Callable
from functools import cache

import jax
import jax.numpy as jnp
from measure import Side, peak_growth, report, serve

from circuits.transformer.heads import head_losses

POSITIONS, WIDTH, VOCAB = 32 * 31, 64, 32_000
COUNTS = (1, 2, 4, 8)


def all_at_once(final, kernels, targets, counted):
    """Return the losses from the logits [k, n, V] of all heads."""
    logits = jnp.einsum("nd,kdv->knv", final, kernels)
    chosen = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    return jnp.sum(jnp.where(counted, jax.nn.logsumexp(logits, axis=-1) - chosen, 0), axis=1)


METHODS = {"ours": head_losses, "peer": all_at_once}


def shapes(k: int, positions: int, vocab: int) -> list[jax.ShapeDtypeStruct]:
    """Return the shapes of the final stream, the kernels, the targets, and which targets count."""
    return [
        jax.ShapeDtypeStruct((positions, WIDTH), jnp.float32),
        jax.ShapeDtypeStruct((k, WIDTH, vocab), jnp.float32),
        jax.ShapeDtypeStruct((k, positions), jnp.int32),
        jax.ShapeDtypeStruct((k, positions), jnp.bool),
    ]


@cache
def gradient(method: str, k: int, positions: int, vocab: int) -> jax.stages.Compiled:
    """Return the compiled gradient with respect to stream and kernels."""
    losses = METHODS[method]
    total = jax.jit(jax.grad(lambda final, kernels, *rest: jnp.sum(losses(final, kernels, *rest)), (0, 1)))
    return total.lower(*shapes(k, positions, vocab)).compile()


def temporary(method: str, k: int, positions: int, vocab: int) -> int:
    """Return the compiler's count of temporary bytes."""
    analysis = gradient(method, k, positions, vocab).memory_analysis()
    assert analysis is not None
    return analysis.temp_size_in_bytes


def peak(method: str, k: int, positions: int, vocab: int) -> int:
    """Return the bytes by which the peak grows, less kernels and their gradients."""
    program = gradient(method, k, positions, vocab)

    def run() -> None:
        arguments = [jnp.full(one.shape, one.dtype != jnp.int32, one.dtype) for one in shapes(k, positions, vocab)]
        jax.block_until_ready(program(*arguments))

    return peak_growth(run)[1] - 2 * k * WIDTH * vocab * 4


def peak_of_process(*request: str | int) -> int:
    side = Side(sys.executable, __file__, "--serve")
    growth = side.ask(*request)
    side.close()
    return growth


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--toy", action="store_true", help="a small vocabulary, two heads")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.serve:
        serve(f"jax {jax.__version__}", peak)
        return
    positions, vocab, counts = (8, 64, COUNTS[:2]) if args.toy else (POSITIONS, VOCAB, COUNTS)
    kinds: dict[str, Callable[..., int]] = {"temporary": temporary, "peak": peak if args.toy else peak_of_process}
    for name, bytes_of in kinds.items():
        results = {k: {method: bytes_of(method, k, positions, vocab) for method in METHODS} for k in counts}
        for k, each in results.items():
            growth = {f"{method}_growth": each[method] / (results[1][method] or 1) for method in METHODS}
            rest = {**growth, "positions": positions, "width": WIDTH, "vocab": vocab, "jax": jax.__version__}
            # A toy's temporaries may be 0.
            report(f"heads-memory/{name}/k={k}", each["ours"] or 1, each["peer"], "byte", **rest)


if __name__ == "__main__":
    main()
