"""Hand-derived losses and gradients against ``jax.value_and_grad``, and the exact average over all sequences.

Both sides are jitted, run in turns in one process, and return the same numbers: L1a, L1b, L2 and the gradient of
each in all weights (``parts``), or Eq. 3 and its gradient (``eq-3``). The peer is vmapped plainly, and once more in
the blocks that the library uses. The peer of ``write`` is a program that only
writes arrays of the same size: the memory-bandwidth limit. The peers of ``average`` are the bounds stated for it.

    python benchmarks/gradients.py
"""

import resource
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from measure import best_seconds, report

from circuits.disentangled.losses import losses, multi_token_loss
from circuits.disentangled.objective import BLOCK, batch_objective, objective
from circuits.disentangled.weights import random
from circuits.flow.population import mean_exhaustive
from circuits.tasks.sampling import sample
from circuits.tasks.star.graph import StarGraph, encode_prompt, targets

SPEC = StarGraph(paths=2, nodes=3, labels=10)
BATCHES = (1, 24, 10_000)
SECONDS, BYTES = 60.0, 2 * 2**30


def autodiff_parts(weights, tokens, y1, y2):
    """The three losses and their gradients, each by one reverse pass."""
    return [jax.value_and_grad(lambda w, i=i: losses(w, tokens, y1, y2)[i])(weights) for i in range(3)]


def autodiff_multi_token(weights, tokens, y1, y2):
    """Eq. 3 and its gradient by one reverse pass."""
    return jax.value_and_grad(lambda w: multi_token_loss(*losses(w, tokens, y1, y2)))(weights)


def in_blocks(function):
    """A function of one prompt over a batch, in the blocks that ``batch_objective`` uses."""
    return lambda weights, *prompts: jax.lax.map(lambda one: function(weights, *one), prompts, batch_size=BLOCK)


def written(shapes, value):
    """Arrays of these shapes, filled and nothing else."""
    return jax.tree.map(lambda leaf: jnp.full(leaf.shape, value, leaf.dtype), shapes)


def main() -> None:
    jax.config.update("jax_enable_x64", True)
    weights = random(jax.random.key(0), 2, SPEC.labels, SPEC.sequence_length)
    each = partial(jax.vmap, in_axes=(None, 0, 0, 0))
    programs = {
        "parts hand": jax.jit(batch_objective),
        "parts autodiff": jax.jit(each(autodiff_parts)),
        "parts autodiff in blocks": jax.jit(in_blocks(autodiff_parts)),
        "eq-3 hand": jax.jit(in_blocks(lambda *case: objective(*case).multi_token)),
        "eq-3 autodiff": jax.jit(each(autodiff_multi_token)),
        "eq-3 autodiff in blocks": jax.jit(in_blocks(autodiff_multi_token)),
    }
    for batch in BATCHES:
        problems = sample(SPEC, jax.random.key(1), batch)
        case = (weights, jax.vmap(encode_prompt)(problems), *targets(problems))
        shapes = jax.eval_shape(batch_objective, *case)
        write = jax.jit(partial(written, shapes))
        runs = {name: partial(program, *case) for name, program in programs.items()}
        best = best_seconds({**runs, "write": partial(write, jnp.float64(1.0))})
        for what in ("parts", "eq-3"):
            for peer in ("autodiff", "autodiff in blocks"):
                report(f"gradients/{what}/{batch}/{peer}", best[f"{what} hand"], best[f"{what} {peer}"])
        report(f"gradients/write/{batch}", best["parts hand"], best["write"])
    start = time.perf_counter()
    mean = jax.block_until_ready(mean_exhaustive(objective, weights, SPEC))
    report("average/725760/seconds", time.perf_counter() - start, SECONDS)
    report("average/725760/peak-memory", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, BYTES, "byte")
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(mean))


if __name__ == "__main__":
    main()
