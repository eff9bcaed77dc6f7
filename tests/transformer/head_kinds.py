"""Every kind of prediction heads: configs for tests, a plain twin in numpy, and models made by hand."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from circuits.transformer.config import TransformerConfig
from circuits.transformer.model import Predictor
from tests.transformer.models import drawn
from tests.transformer.naive_transformer import naive_block, naive_logits

KINDS: dict[str, dict[str, Any]] = {
    "linear": {},
    "meta": {"head_kind": "meta"},
    "transfer": {"head_kind": "transfer"},
    "chained transfer": {"head_kind": "transfer", "head_chain": True},
    "injected transfer": {"head_kind": "transfer", "injection": True},
    "mlp": {"head_kind": "transfer-mlp"},
    "chained injected mlp": {"head_kind": "transfer-mlp", "head_chain": True, "injection": True},
    "injected blocks": {"head_kind": "transfer-block", "head_layers": 2, "injection": True},
    "chained injected block": {"head_kind": "transfer-block", "head_chain": True, "injection": True, "tied": True},
    "sequential": {"head_kind": "sequential"},
}
VOCAB, POSITIONS, HEADS = 8, 12, 3


def of_kind(name: str, **changes: Any) -> TransformerConfig:
    """As wide as the vocabulary is large, so that ``planted`` can write tokens into the stream one by one."""
    small: dict[str, Any] = {"vocab": VOCAB, "width": VOCAB, "positions": POSITIONS, "prediction_heads": HEADS}
    small |= {"layers": 2, "heads": 2, "mlp_width": VOCAB, "activation": "relu", "norm": "rms", "position": "rotary"}
    double = {"dtype": "float64", "param_dtype": "float64"}
    fields: dict[str, Any] = small | double | KINDS[name] | changes
    return TransformerConfig(**fields)


def reach(config: TransformerConfig, head: int) -> int:
    """How many places later than its own a token may stand that head 0 .. k - 1 reads."""
    if config.head_kind == "sequential" or (config.injection and config.head_chain):
        return head
    return min(head, int(config.injection))


def pure(model: Predictor) -> dict[Any, Any]:
    return jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(model)))


def naive_kind(config: TransformerConfig, parameters: dict[Any, Any], tokens: list[int]) -> np.ndarray:
    """Logits [k, T, V] by the formulas, for models with RMSNorm and ReLU."""
    if config.head_kind == "linear":
        return naive_logits(config, parameters, tokens)
    body, heads, length = parameters["transformer"], parameters["heads"], len(tokens)
    before = np.array([body["tokens"][token] for token in tokens])
    for number in range(config.layers - 1):
        before = np.array(naive_block(config, body["blocks"][number], list(before)))
    after = np.array(naive_block(config, body["blocks"][config.layers - 1], list(before)))
    final = _rms(config, after, body["norm"])
    unembedding = body["tokens"].T if config.tied else heads["kernels"][0]
    streams, carried = [final], {"meta": before, "sequential": after}.get(config.head_kind, final)
    for m in range(1, config.prediction_heads):
        start = carried
        part = heads["further"][m - 1]
        shift = m if config.head_chain or config.head_kind == "sequential" else 1
        later = np.array(
            [body["tokens"][tokens[t + shift]] if t + shift < length else 0 * start[0] for t in range(length)]
        )
        x = start + heads["kappa"][m - 1] * later if config.injection else start
        if config.head_kind == "sequential":
            both = [_rms(config, start, part["norm_stream"]), _rms(config, later, part["norm_token"])]
            x = np.einsum("tc,cd->td", np.concatenate(both, axis=1), part["project"]["kernel"])
        if config.head_kind == "transfer":
            x = np.einsum("tc,cd->td", x, part["transfer"]["kernel"])
        if config.head_kind == "transfer-mlp":
            x = x + np.maximum(x @ part["mlp"]["into"]["kernel"], 0) @ part["mlp"]["out"]["kernel"]
        for number in range(len(part.get("blocks", ()))):
            x = np.array(naive_block(config, part["blocks"][number], list(x)))
        if config.head_kind == "transfer-block":
            x = _rms(config, x, part["norm"])
        shared = config.head_kind in ("meta", "sequential")
        streams.append(_rms(config, x, body["norm"]) if shared else x)
        carried = x if config.head_chain or config.head_kind == "sequential" else carried
    return np.einsum("ktd,dv->ktv", np.array(streams), unembedding)


def _rms(config: TransformerConfig, x: np.ndarray, part: dict[str, np.ndarray]) -> np.ndarray:
    return x / np.sqrt(np.mean(x**2, axis=1, keepdims=True) + config.norm_epsilon) * part["scale"]


def planted(name: str, off: int = 0, heads: int = HEADS) -> Predictor:
    """A model of one-hot streams whose text counts up, v -> v + 1 modulo V, and whose drafts are ``off`` by so much.

    The stream of token v is e_v, and with S the shift by one, U = S. Head m has to shift by m more: by S^m, or by one
    where it is chained; a sequential head reads x_{t+m}, and copies it.
    """
    config = of_kind(name, layers=1, prediction_heads=heads)
    assert True not in (config.injection, config.tied)
    model = jax.tree.map(jnp.zeros_like, drawn(config))
    shift = np.roll(np.eye(VOCAB), 1, axis=1)
    power = lambda count: np.linalg.matrix_power(shift, count % VOCAB)  # noqa: E731
    state = nnx.to_pure_dict(nnx.state(model))
    state = jax.tree_util.tree_map_with_path(
        lambda path, leaf: jnp.ones_like(leaf) if "scale" in jax.tree_util.keystr(path) else leaf, state
    )
    state["transformer"]["tokens"] = jnp.eye(VOCAB)
    state["heads"]["kernels"] = jnp.asarray([power(1 + m + off * (m > 0)) for m in range(heads)])
    if config.head_kind != "linear":
        state["heads"]["kernels"] = jnp.asarray(shift)[None]
        for m in range(1, heads):
            _plant(config, state["heads"]["further"][m - 1], m, off, power)
    nnx.update(model, state)
    return model


def _plant(config: TransformerConfig, part: dict[Any, Any], m: int, off: int, power: Any) -> None:
    by = power(1 + off * (m == 1) if config.head_chain else m + off)
    if config.head_kind == "transfer":
        part["transfer"]["kernel"] = jnp.asarray(by)
    elif config.head_kind == "sequential":
        part["project"]["kernel"] = jnp.concatenate([jnp.zeros((VOCAB, VOCAB)), jnp.asarray(power(off))])
    else:
        # x + out(relu(√V e)): from e_v, or √V e_v after the last norm, to the shifted one.
        mlp = part["mlp"] if config.head_kind == "transfer-mlp" else part["blocks"][0]["mlp"]
        scale = np.sqrt(VOCAB) if config.head_kind == "meta" else 1.0
        mlp["into"]["kernel"] = jnp.eye(VOCAB)
        mlp["out"]["kernel"] = jnp.asarray((by - np.eye(VOCAB)) / scale)
