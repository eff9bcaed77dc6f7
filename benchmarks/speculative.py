"""Self-speculative decoding against plain greedy decoding: tokens per forward pass, acceptance and wall-clock time.

For each model: ``per-pass`` (tokens per forward pass, the peer's being 1; with acceptance by draft, and the number of
prompts whose tokens equal greedy's), then seconds per prompt, one prompt at a time (``one``) and in a batch (``batch``,
where both loops run until the slowest prompt is done), then what explains those for one prompt: seconds of a pass of k
tokens against a pass of one (``pass``), and of drafting against a pass of one (``draft``).

Models are the checkpoints given: they answer problems of their task that they were not trained on, walks up to the end
token, and both ways of decoding stop there. Then, for each kind of prediction
heads, a larger model with random parameters, whose drafts are right by chance or where its text repeats itself: there
the numbers show the cost of drafting and verifying, not the gain.

    python benchmarks/speculative.py [CHECKPOINT ...] [--prompts 1000] [--width 256]
"""

import argparse
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from measure import best_seconds, report

from circuits.models import held_out_problems, load_model
from circuits.tasks.walks.format import WalkFormat
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
CHECKPOINT = "star-2x5-mtp3"
CHUNK, ALONE, REPEATS = 250, 8, 32
"""Prompts decoded side by side, prompts timed one after the other, and passes timed in one program."""


class Case(NamedTuple):
    """A model, prompts [n, P], and further arguments of ``greedy``."""

    name: str
    model: Predictor
    prompts: jax.Array
    request: dict[str, Any]


def compare(case: Case, budget: float = 3.0) -> None:
    """Report the costs of one model; ``budget`` seconds for each timing."""
    name, model, prompts, request = case
    plain, ours = (
        jax.jit(partial(_map, partial(decode, **request)), static_argnames="side")
        for decode in (greedy, speculative_greedy)
    )
    chunk, alone = min(CHUNK, len(prompts)), min(ALONE, len(prompts))
    truth, output = plain(model, prompts, side=chunk), ours(model, prompts, side=chunk)
    rates, config = acceptance_rates(output), model.config
    line: dict[str, Any] = {"heads": config.head_kind, "k": config.prediction_heads, "prompts": len(prompts)}
    line["equal"] = int(np.sum(np.all(np.asarray(output.tokens == truth), axis=1)))
    for field in ("conditional", "cumulative"):
        line[field] = [None if np.isnan(share) else round(float(share), 4) for share in getattr(rates, field)]
    # The cost is passes per token, so that the ratio is tokens per pass.
    report(f"speculative/{name}/per-pass", 1 / rates.per_pass, 1.0, "passes per token", **line)
    for way, rows, side in (("one", prompts[:alone], 1), ("batch", prompts[:chunk], chunk)):
        runs = {key: partial(decode, model, rows, side=side) for key, decode in (("ours", ours), ("peer", plain))}
        seconds = {key: taken / len(rows) for key, taken in best_seconds(runs, budget).items()}
        report(f"speculative/{name}/{way}", seconds["ours"], seconds["peer"], "s per prompt")
    costs(name, model, prompts[0], budget)


def costs(name: str, model: Predictor, prompt: jax.Array, budget: float) -> None:
    """Report a pass of k tokens, and drafting, against a pass of one token and the choice of the next."""
    begun, heads = jax.jit(parts._begin)(model, prompt), model.config.prediction_heads
    passes = jax.jit(partial(_passes, length=len(prompt)), static_argnames="count")
    runs = {part: partial(passes, model, begun, count=count) for part, count in (("one", 1), ("pass", heads))}
    best = best_seconds(runs | {"draft": partial(jax.jit(_drafts), model, begun)}, budget)
    for part in ("pass", "draft"):
        report(f"speculative/{name}/{part}", best[part] / REPEATS, best["one"] / REPEATS)


def _passes(model: Predictor, begun: parts._State, length: int, count: int) -> jax.Array:
    def step(_: Any, read: jax.Array) -> jax.Array:
        streams, _ = model.transformer.streams(read, begun.kv_cache, length)
        return parts.best_tokens(model, streams.final)

    return jax.lax.fori_loop(0, REPEATS, step, begun.ids[length : length + count])


def _drafts(model: Predictor, begun: parts._State) -> jax.Array:
    width = parts._window(model)
    start = jnp.maximum(0, begun.position - width + 1)
    window = jax.lax.dynamic_slice(begun.base, (start, jnp.int32(0)), (width, begun.base.shape[1]))

    def step(_: Any, state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        ids, scale = state
        ids, _ = parts._draft(model, ids, window * scale, start, begun.position - start, begun.head_caches)
        # Each waits for the one before it.
        return ids, 1 + 1e-6 * ids[-1].astype(scale.dtype)

    return jax.lax.fori_loop(0, REPEATS, step, (begun.ids, jnp.ones((), window.dtype)))[0]


def _map(decode: Any, model: Predictor, prompts: jax.Array, side: int) -> Any:
    return jax.lax.map(lambda prompt: decode(model, prompt), prompts, batch_size=side if side > 1 else None)


def of_checkpoint(source: str, count: int) -> Case:
    """Return a trained model, with prompts that it was not trained on."""
    loaded = load_model(source)
    if not isinstance(loaded.model, Predictor) or loaded.task is None:
        raise SystemExit(f"{source}: must hold a transformer with prediction heads and its task")
    form = loaded.task.format
    request = {"end": form.end_token, "pad": form.pad_token} if isinstance(form, WalkFormat) else {}
    prompts = jnp.asarray(held_out_problems(loaded, count)[:, : form.prompt_length])
    return Case(loaded.name, loaded.model, prompts, {**request, "max_new_tokens": form.answer_length})


def of_random(kind: str, width: int, count: int) -> Case:
    """Return a model of random parameters, whose texts are 48 tokens after prompts of 16."""
    config = TransformerConfig(
        vocab=1000, positions=64, layers=4, heads=8, width=width, prediction_heads=4, position="rotary", norm="rms",
        **KINDS[kind],
    )  # fmt: skip
    prompts = jax.random.randint(jax.random.key(0), (count, 16), 0, config.vocab, jnp.int32)
    return Case(f"random-{kind}", Predictor(config, nnx.Rngs(0)), prompts, {"max_new_tokens": 48})


def toy() -> None:
    """Compare on a model of one layer with random parameters, for the checkpoint's problems."""
    case = of_checkpoint(CHECKPOINT, 2)
    small = Predictor(replace(case.model.config, layers=1, heads=2, width=16), nnx.Rngs(0))
    compare(case._replace(name="toy", model=small), budget=0)
    for kind in KINDS:
        of_random(kind, width=16, count=1)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("checkpoints", nargs="*", default=[CHECKPOINT], help="folders, or names of shipped ones")
    parser.add_argument("--prompts", type=int, default=1000)
    parser.add_argument("--width", type=int, default=256, help="of the random models; 0: none")
    parser.add_argument("--toy", action="store_true", help="two prompts and a model of a single layer")
    args = parser.parse_args(argv)
    if args.toy:
        toy()
        return
    for source in args.checkpoints:
        compare(of_checkpoint(source, args.prompts))
    for kind in KINDS if args.width else ():
        compare(of_random(kind, args.width, args.prompts))


if __name__ == "__main__":
    main()
