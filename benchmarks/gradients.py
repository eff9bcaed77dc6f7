"""Hand-derived losses and gradients against ``jax.value_and_grad``, and the exact average over all sequences.

Both sides are jitted, run in turns in one process, and return the same numbers: L1a, L1b, L2 and the gradient of each
with respect to all weights (``parts``), or Eq. 3 and its gradient (``eq-3``). The peer is vmapped plainly, and once
more in the blocks that the library uses. The peer of ``write`` is a program that only writes arrays of the same size:
the memory-bandwidth limit. ``average`` has budgets, and no peer.

    python benchmarks/gradients.py
"""

import argparse
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
from circuits.tasks.star.enumeration import num_problems
from circuits.tasks.star.graph import StarGraph, encode_prompt, targets

BATCHES = (1, 24, 10_000)
SECONDS, BYTES = 60.0, 2 * 2**30


def autodiff_parts(weights, tokens, y1, y2):
    """The three losses and their gradients, each by one reverse pass."""
    return [jax.value_and_grad(lambda w, i=i: losses(w, tokens, y1, y2)[i])(weights) for i in range(3)]


def autodiff_multi_token(weights, tokens, y1, y2):
    """Eq. 3 and its gradient by one reverse pass."""
    return jax.value_and_grad(lambda w: multi_token_loss(*losses(w, tokens, y1, y2)))(weights)


def in_blocks(function):
    """Return a function of one prompt over a batch, in the blocks that ``batch_objective`` uses."""
    return lambda weights, *prompts: jax.lax.map(lambda one: function(weights, *one), prompts, batch_size=BLOCK)


def written(shapes, value):
    """Return arrays of these shapes, filled and nothing else."""
    return jax.tree.map(lambda leaf: jnp.full(leaf.shape, value, leaf.dtype), shapes)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--toy", action="store_true", help="small batches, and graphs of 5 labels")
    toy = parser.parse_args(argv).toy
    jax.config.update("jax_enable_x64", True)
    spec = StarGraph(paths=2, nodes=3, labels=5 if toy else 10)
    weights = random(jax.random.key(0), 2, spec.labels, spec.sequence_length)
    each = partial(jax.vmap, in_axes=(None, 0, 0, 0))
    programs = {
        "parts hand": jax.jit(batch_objective),
        "parts autodiff": jax.jit(each(autodiff_parts)),
        "parts autodiff in blocks": jax.jit(in_blocks(autodiff_parts)),
        "eq-3 hand": jax.jit(in_blocks(lambda *case: objective(*case).multi_token)),
        "eq-3 autodiff": jax.jit(each(autodiff_multi_token)),
        "eq-3 autodiff in blocks": jax.jit(in_blocks(autodiff_multi_token)),
    }
    if toy:
        programs = {name: programs[name] for name in ("parts hand", "parts autodiff")}
    for batch in BATCHES[:1] if toy else BATCHES:
        problems = sample(spec, jax.random.key(1), batch)
        case = (weights, jax.vmap(encode_prompt)(problems), *targets(problems))
        shapes = jax.eval_shape(batch_objective, *case)
        write = jax.jit(partial(written, shapes))
        runs = {name: partial(program, *case) for name, program in programs.items()}
        best = best_seconds({**runs, "write": partial(write, jnp.float64(1.0))}, 0 if toy else 3)
        for what, peer in (name.split(" ", 1) for name in programs if not name.endswith("hand")):
            report(f"gradients/{what}/{batch}/{peer}", best[f"{what} hand"], best[f"{what} {peer}"])
        report(f"gradients/write/{batch}", best["parts hand"], best["write"])
    name, start = f"average/{num_problems(spec)}", time.perf_counter()
    mean = jax.block_until_ready(mean_exhaustive(objective, weights, spec))
    report(f"{name}/seconds", time.perf_counter() - start, budget=SECONDS)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    report(f"{name}/peak-memory", peak, unit="byte", budget=BYTES)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(mean))


if __name__ == "__main__":
    main()
