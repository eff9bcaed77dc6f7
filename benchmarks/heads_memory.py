"""Memory of the losses of k prediction heads and their gradient, from k = 1 to 8, at a vocabulary of 32 000.

Ours makes the logits of one head at a time; the peer those of all heads at once. ``temporary`` is the compiler's count
of memory beside arguments and results. ``peak`` is the largest resident set of a fresh process that takes the gradient
once, less that before it was compiled, and less kernels and their gradients, which any method must hold k times.
``growth`` is k = 8 over k = 1, the target being at most 1.1 for ours.

    python benchmarks/heads_memory.py
"""

import argparse
import json
import subprocess
import sys

import jax
import jax.numpy as jnp

from circuits.transformer.heads import head_losses

POSITIONS, WIDTH, VOCAB = 32 * 31, 64, 32_000
COUNTS = (1, 2, 4, 8)


def all_at_once(final, kernels, targets, counted):
    """The plain way: logits [k, n, V] side by side."""
    logits = jnp.einsum("nd,kdv->knv", final, kernels)
    chosen = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    return jnp.sum(jnp.where(counted, jax.nn.logsumexp(logits, axis=-1) - chosen, 0), axis=1)


METHODS = {"ours": head_losses, "peer": all_at_once}


def shapes(k: int):
    """Of the final stream, kernels, targets and what is counted."""
    forms = [((POSITIONS, WIDTH), jnp.float32), ((k, WIDTH, VOCAB), jnp.float32)]
    forms += [((k, POSITIONS), jnp.int32), ((k, POSITIONS), jnp.bool)]
    return [jax.ShapeDtypeStruct(*form) for form in forms]


def gradient(method: str, k: int):
    """The compiled gradient in stream and kernels."""
    losses = METHODS[method]
    total = jax.jit(jax.grad(lambda final, kernels, *rest: jnp.sum(losses(final, kernels, *rest)), (0, 1)))
    return total.lower(*shapes(k)).compile()


def temporary(method: str, k: int) -> int:
    """Bytes, by the compiler's count."""
    analysis = gradient(method, k).memory_analysis()
    assert analysis is not None
    return analysis.temp_size_in_bytes


def peak(method: str, k: int) -> int:
    """Bytes by which the peak of a fresh process grows, less kernels and their gradients."""
    done = subprocess.run(
        [sys.executable, __file__, "--measure", method, str(k)], capture_output=True, text=True, check=True
    )
    return int(done.stdout) - 2 * k * WIDTH * VOCAB * 4


def measure(method: str, k: int) -> None:
    """Print by how many bytes one call, its arguments included, raises the peak of this process."""
    program = gradient(method, k)
    before = status("VmRSS")
    arguments = [
        jnp.zeros(form.shape, form.dtype) + jnp.asarray(form.dtype != jnp.int32, form.dtype) for form in shapes(k)
    ]
    jax.block_until_ready(program(*arguments))
    print(status("VmHWM") - before)


def status(field: str) -> int:
    """Bytes of a field of /proc/self/status."""
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--measure", nargs=2, metavar=("METHOD", "K"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        measure(args.measure[0], int(args.measure[1]))
        return
    device = jax.devices()[0]
    rest = {"device": f"{device.platform} {device.device_kind}", "positions": POSITIONS, "width": WIDTH, "vocab": VOCAB}
    for name, bytes_of in {"temporary": temporary, "peak": peak}.items():
        found = {k: {method: bytes_of(method, k) for method in METHODS} for k in COUNTS}
        for k, (own, other) in ((k, found[k].values()) for k in COUNTS):
            line = {"name": f"heads-memory/{name}/k={k}", "ours": own, "peer": other, "ratio": other / own}
            growth = {f"{method}_growth": found[k][method] / found[1][method] for method in METHODS}
            print(json.dumps({**line, "unit": "byte", **growth, **rest, "jax": jax.__version__}), flush=True)


if __name__ == "__main__":
    main()
