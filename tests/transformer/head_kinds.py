"""Every kind of prediction heads: configs for tests, a naive twin in numpy, and models set by hand."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from circuits.transformer.config import TransformerConfig
from circuits.transformer.model import Predictor
from tests.transformer.models import random_model
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
INJECTED = 4.0
"""Weight of injected embeddings in planted models; streams are of length √8."""


def of_kind(name: str, **changes: Any) -> TransformerConfig:
    """Return a config whose width is the size of the vocabulary, so that ``planted`` can use one-hot streams."""
    small: dict[str, Any] = {"vocab": VOCAB, "width": VOCAB, "positions": POSITIONS, "prediction_heads": HEADS}
    small |= {"layers": 2, "heads": 2, "mlp_width": VOCAB, "activation": "relu", "norm": "rms", "position": "rotary"}
    double = {"dtype": "float64", "param_dtype": "float64"}
    fields: dict[str, Any] = small | double | KINDS[name] | changes
    return TransformerConfig(**fields)


def reach(config: TransformerConfig, head: int) -> int:
    """Return how many positions ahead of its own head 0 .. k - 1 reads tokens."""
    if config.head_kind == "sequential" or (config.injection and config.head_chain):
        return head
    return min(head, int(config.injection))


def naive_kind(config: TransformerConfig, parameters: dict[Any, Any], tokens: list[int]) -> np.ndarray:
    """Return logits [k, T, V] by the formulas, for models with RMSNorm and ReLU."""
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
    """Return a model of one-hot streams whose text counts up, v -> v + 1 modulo V, with drafts that are ``off``.

    The block turns e_v into e_{v+1}, which U leaves unchanged. Head m has to shift by m more: by one where it starts
    from the previous head, which has done the rest, or from x_{t+m}. An injected token is what the head would have
    started from without it, with more weight, so a draft is wrong unless that token is right.
    """
    config = of_kind(name, layers=1, prediction_heads=heads)
    shapes = nnx.to_pure_dict(nnx.state(random_model(config)))
    state = jax.tree_util.tree_map_with_path(
        lambda path, leaf: jnp.ones_like(leaf) if "scale" in jax.tree_util.keystr(path) else jnp.zeros_like(leaf),
        shapes,
    )
    state["transformer"]["tokens"] = jnp.eye(VOCAB)
    _shift(state["transformer"]["blocks"][0]["mlp"], 1, 1.0)
    alone = heads if config.head_kind == "linear" else 1
    if not config.tied:
        state["heads"]["kernels"] = jnp.asarray([_shift_matrix(m + off * (m > 0)) for m in range(alone)])
    if config.injection:
        state["heads"]["kappa"] = jnp.full(heads - 1, INJECTED, jnp.float64)
    for m in range(1, heads if alone == 1 else 1):
        _plant(config, state["heads"]["further"][m - 1], m, off)
    model = random_model(config)
    nnx.update(model, state)
    return model


def _plant(config: TransformerConfig, part: dict[Any, Any], m: int, off: int) -> None:
    by = {"meta": m + 1, "sequential": 1}.get(config.head_kind, 1 if config.head_chain else m)
    # A chain is off as a whole, unless each of its heads gets an injected token.
    by += off if m == 1 or config.injection or not config.head_chain else 0
    if config.head_kind == "transfer":
        part["transfer"]["kernel"] = jnp.asarray(_shift_matrix(by))
    elif config.head_kind == "sequential":
        part["project"]["kernel"] = jnp.concatenate([jnp.zeros((VOCAB, VOCAB)), jnp.asarray(_shift_matrix(by))])
    elif config.head_kind == "transfer-mlp":
        _shift(part["mlp"], by, np.sqrt(VOCAB))
    else:
        size = 1.0 if config.head_kind == "meta" else np.sqrt(VOCAB) + INJECTED * config.injection
        _shift(part["blocks"][0]["mlp"], by, size)


def _shift(mlp: dict[str, Any], by: int, size: float) -> None:
    """Make x + out(relu(x')) shift x, where x has one entry of this size, and x' is x after a norm: √V."""
    mlp["into"]["kernel"] = jnp.eye(VOCAB)
    mlp["out"]["kernel"] = jnp.asarray((_shift_matrix(by) - np.eye(VOCAB)) * size / np.sqrt(VOCAB))


def _shift_matrix(count: int) -> np.ndarray:
    """Return the matrix that shifts one-hot rows by ``count``."""
    return np.roll(np.eye(VOCAB), count, axis=1)
