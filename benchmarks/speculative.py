"""Self-speculative decoding against plain greedy decoding: tokens a forward pass, acceptance and wall-clock.

For each model: ``per-pass`` (tokens a forward pass, the peer's being 1; with acceptance by offset, and on how many
prompts the tokens are greedy's), then seconds a prompt, one prompt at a time (``one``) and a batch side by side
(``batch``, where both loops run until the slowest prompt is done), then what explains those for one prompt:
seconds of a pass of k tokens against a pass of one (``pass``), and of drafting against a pass of one (``draft``).

Models are those of the folders given, saved models or runs: they answer problems of their own format that they were
not trained on, walks up to the end token, and both ways of decoding stop there. Then, for each kind of heads, a
larger one with random parameters, whose drafts are right by chance or where its text repeats itself: there the
numbers show what drafting and verifying cost, not what they gain.

    python benchmarks/speculative.py [FOLDER ...] [--prompts 1000] [--width 256]
"""

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from measure import best_seconds, report

from circuits.tasks.sampling import sample
from circuits.tasks.task import Task
from circuits.tasks.token_format import encode_problem
from circuits.training.stored import read
from circuits.transformer import speculative as parts
from circuits.transformer.config import TransformerConfig
from circuits.transformer.generate import greedy
from circuits.transformer.model import Predictor
from circuits.transformer.speculative import acceptance_rates, speculative_greedy

KINDS: dict[str, dict[str, Any]] = {
    "linear": {},
    "meta": {"head_kind": "meta"},
    "transfer": {"head_kind": "transfer"},
    "transfer-chain-injection": {"head_kind": "transfer", "head_chain": True, "injection": True},
    "transfer-mlp": {"head_kind": "transfer-mlp"},
    "transfer-block": {"head_kind": "transfer-block"},
    "sequential": {"head_kind": "sequential"},
}
CHUNK, ALONE, REPEATS = 250, 8, 32
"""Prompts decoded side by side, prompts timed one after the other, and passes timed in one program."""


def compare(name: str, model: Predictor, prompts: jax.Array, **request: Any) -> None:
    """Print what one model takes."""
    plain, ours = (
        jax.jit(partial(_map, partial(decode, **request)), static_argnames="side")
        for decode in (greedy, speculative_greedy)
    )
    truth, found = plain(model, prompts, side=CHUNK), ours(model, prompts, side=CHUNK)
    table, config = acceptance_rates(found), model.config
    equal = int(np.sum(np.all(np.asarray(found.tokens == truth), axis=1)))
    # Cost is passes a token, so that the ratio is tokens a pass.
    device = jax.devices()[0]
    line = {"name": f"speculative/{name}/per-pass", "ours": 1 / table.per_pass, "peer": 1.0, "ratio": table.per_pass}
    line |= {"unit": "passes a token", "device": f"{device.platform} {device.device_kind}"}
    line |= {"heads": config.head_kind, "k": config.prediction_heads, "equal": equal, "prompts": len(prompts)}
    for field in ("conditional", "cumulative"):
        line[field] = [None if np.isnan(share) else round(float(share), 4) for share in getattr(table, field)]
    print(json.dumps(line), flush=True)
    for way, rows, side in (("one", prompts[:ALONE], 1), ("batch", prompts[:CHUNK], CHUNK)):
        runs = {key: partial(decode, model, rows, side=side) for key, decode in (("ours", ours), ("peer", plain))}
        best = best_seconds(runs)
        seconds = {key: taken / len(rows) for key, taken in best.items()}
        report(f"speculative/{name}/{way}", seconds["ours"], seconds["peer"], "s a prompt")
    costs(name, model, prompts[0])


def costs(name: str, model: Predictor, prompt: jax.Array) -> None:
    """Print what a pass of k tokens and what drafting take, against a pass of one with the choice of its token."""
    begun, heads = jax.jit(parts._begin)(model, prompt), model.config.prediction_heads
    passes = jax.jit(partial(_passes, length=len(prompt)), static_argnames="count")
    runs = {part: partial(passes, model, begun, count=count) for part, count in (("one", 1), ("pass", heads))}
    best = best_seconds(runs | {"draft": partial(jax.jit(_drafts), model, begun)})
    for part in ("pass", "draft"):
        report(f"speculative/{name}/{part}", best[part] / REPEATS, best["one"] / REPEATS, "s")


def _passes(model: Predictor, begun: parts._State, length: int, count: int) -> jax.Array:
    def step(_: Any, read: jax.Array) -> jax.Array:
        streams, _ = model.transformer.streams(read, begun.kv_cache, length)
        return parts._best(model, streams.final, 0)

    return jax.lax.fori_loop(0, REPEATS, step, begun.ids[length : length + count])


def _drafts(model: Predictor, begun: parts._State) -> jax.Array:
    width = parts._window(model)
    start = jnp.maximum(0, begun.position - width + 1)
    window = jax.lax.dynamic_slice(begun.base, (start, jnp.int32(0)), (width, begun.base.shape[1]))

    def step(_: Any, state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        ids, scale = state
        ids, _ = parts._draft(model, ids, window * scale, start, begun.position - start, begun.head_caches)
        # Each is made to wait for the one before it.
        return ids, 1 + 1e-6 * ids[-1].astype(scale.dtype)

    return jax.lax.fori_loop(0, REPEATS, step, (begun.ids, jnp.ones((), window.dtype)))[0]


def _map(decode: Any, model: Predictor, prompts: jax.Array, side: int) -> Any:
    return jax.lax.map(lambda prompt: decode(model, prompt), prompts, batch_size=side if side > 1 else None)


def of_folder(folder: Path, count: int) -> None:
    """The trained models of a folder on prompts that they were not trained on."""
    for found in read(folder):
        if not isinstance(found.model, Predictor):
            raise SystemExit(f"{folder}: must hold a transformer with prediction heads")
        form = found.task.format
        request = {"end": form.end_token, "pad": form.pad_token} if found.task.graph is not None else {}
        compare(folder.name, found.model, _prompts(found.task, count), count=form.answer_length, **request)


def _prompts(task: Task, count: int) -> jax.Array:
    """Test pairs of a graph, or fresh problems."""
    if task.graph is not None:
        rows = task.problems("test", count)
    else:
        rows = np.asarray(jax.vmap(partial(encode_problem, task.format))(sample(task.format.family, jax.random.key(1), count)))
    return jnp.asarray(rows[:, : task.format.prompt_length], jnp.int32)


def of_random(kind: str, width: int, count: int) -> None:
    """A model of random parameters, whose texts are 48 tokens after prompts of 16."""
    config = TransformerConfig(
        vocab=1000, positions=64, layers=4, heads=8, width=width, prediction_heads=4, position="rotary", norm="rms",
        **KINDS[kind],
    )  # fmt: skip
    prompts = jax.random.randint(jax.random.key(0), (count, 16), 0, config.vocab, jnp.int32)
    compare(f"random-{kind}", Predictor(config, nnx.Rngs(0)), prompts, count=48)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folders", nargs="*", type=Path, default=[Path("checkpoints/star-2x5-mtp3")])
    parser.add_argument("--prompts", type=int, default=1000)
    parser.add_argument("--width", type=int, default=256, help="of the random model; 0: none")
    args = parser.parse_args()
    for folder in args.folders:
        of_folder(folder, args.prompts)
    for kind in KINDS if args.width else ():
        of_random(kind, args.width, args.prompts)


if __name__ == "__main__":
    main()
