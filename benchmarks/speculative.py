"""Self-speculative decoding against plain greedy decoding: tokens a forward pass, acceptance and wall-clock.

For each model: ``per-pass`` (tokens a forward pass, the peer's being 1; with acceptance by offset, and on how many
prompts the tokens are greedy's), then seconds a prompt, one prompt at a time (``one``) and a batch side by side
(``batch``, where a loop runs until the slowest prompt is done). Models are the checkpoint folders given, which answer
problems of their own format, and a larger one with random parameters for each kind of heads, whose drafts are right
by chance alone: there the numbers show what drafting and verifying cost, not what they gain.

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
from circuits.tasks.token_format import TokenFormat, tokens
from circuits.transformer.config import TransformerConfig
from circuits.transformer.generate import greedy
from circuits.transformer.model import Predictor
from circuits.transformer.speculative import rates, speculative
from circuits.transformer.weights_file import load_model

KINDS: dict[str, dict[str, Any]] = {
    "linear": {},
    "meta": {"head_kind": "meta"},
    "transfer": {"head_kind": "transfer"},
    "transfer-chain-injection": {"head_kind": "transfer", "head_chain": True, "injection": True},
    "transfer-mlp": {"head_kind": "transfer-mlp"},
    "transfer-block": {"head_kind": "transfer-block"},
    "sequential": {"head_kind": "sequential"},
}
CHUNK, ALONE = 250, 8
"""Prompts decoded side by side, and prompts timed one after the other."""


def compare(name: str, model: Predictor, prompts: jax.Array, count: int) -> None:
    """Print what one model takes."""
    plain, ours = (
        jax.jit(partial(_map, decode, count=count), static_argnames="side") for decode in (greedy, speculative)
    )
    truth, found = plain(model, prompts, side=CHUNK), ours(model, prompts, side=CHUNK)
    table = rates(found)
    equal = int(np.sum(np.all(np.asarray(found.tokens == truth), axis=1)))
    # Cost is passes a token, so that the ratio is tokens a pass.
    device = jax.devices()[0]
    line = {"name": f"speculative/{name}/per-pass", "ours": 1 / table.per_pass, "peer": 1.0, "ratio": table.per_pass}
    line |= {"unit": "passes a token", "device": f"{device.platform} {device.device_kind}"}
    line |= {"equal": equal, "prompts": len(prompts), "tokens": count}
    for field in ("conditional", "cumulative"):
        line[field] = [None if np.isnan(share) else round(float(share), 4) for share in getattr(table, field)]
    print(json.dumps(line), flush=True)
    for way, rows, side in (("one", prompts[:ALONE], 1), ("batch", prompts[:CHUNK], CHUNK)):
        runs = {key: partial(decode, model, rows, side=side) for key, decode in (("ours", ours), ("peer", plain))}
        best = best_seconds(runs)
        seconds = {key: taken / len(rows) for key, taken in best.items()}
        report(f"speculative/{name}/{way}", seconds["ours"], seconds["peer"], "s a prompt")


def _map(decode: Any, model: Predictor, prompts: jax.Array, count: int, side: int) -> Any:
    return jax.lax.map(lambda prompt: decode(model, prompt, count), prompts, batch_size=side if side > 1 else None)


def of_folder(folder: Path, count: int) -> None:
    """A trained model on fresh problems of its format."""
    model, form, _ = load_model(folder)
    if not (isinstance(form, TokenFormat) and isinstance(model, Predictor)):
        raise SystemExit(f"{folder}: must hold a transformer that answers star graphs or trees")
    problems = sample(form.family, jax.random.key(1), count)
    rows = np.asarray(jax.vmap(partial(tokens, form))(problems))[:, : form.prompt_length]
    compare(folder.name, model, jnp.asarray(rows, jnp.int32), form.answer_length)


def of_random(kind: str, width: int, count: int) -> None:
    """A model of random parameters, whose texts are 48 tokens after prompts of 16."""
    config = TransformerConfig(
        vocab=1000, positions=64, layers=4, heads=8, width=width, prediction_heads=4, position="rotary", norm="rms",
        **KINDS[kind],
    )  # fmt: skip
    prompts = jax.random.randint(jax.random.key(0), (count, 16), 0, config.vocab, jnp.int32)
    compare(f"random-{kind}", Predictor(config, nnx.Rngs(0)), prompts, 48)


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
