"""An independent, slow twin of the transformer: numpy vectors, and loops over layers, heads, queries and keys.

It shares with the library only the fields of the config and the names of the parameters.
"""

import math
from typing import Any

import numpy as np

Vector = np.ndarray
Parameters = dict[Any, Any]
"""Nested dictionaries of arrays, as ``nnx.to_pure_dict`` makes them."""


def naive_logits(config: Any, parameters: Parameters, tokens: list[int]) -> np.ndarray:
    """Return logits [k, T, V] of every prediction head at every position."""
    body = parameters["transformer"]
    final = [_norm(config, body["norm"], x) for x in naive_stream(config, body, tokens)]
    kernels = list(parameters["heads"]["kernels"])
    if config.tied:
        kernels.insert(0, body["tokens"].T)
    return np.array([[x @ kernel for x in final] for kernel in kernels])


def naive_stream(config: Any, body: Parameters, tokens: list[int]) -> list[Vector]:
    """Return the residual stream after the last block."""
    stream = [body["tokens"][token] for token in tokens]
    if config.position == "learned":
        stream = [x + body["positions"][position] for position, x in enumerate(stream)]
    for number in range(config.layers):
        stream = naive_block(config, body["blocks"][number], stream)
    return stream


def naive_block(config: Any, block: Parameters, stream: list[Vector]) -> list[Vector]:
    """Return the residual stream after one block."""
    read = _attention(config, block["attn"], [_norm(config, block["norm_attn"], x) for x in stream])
    middle = [x + y for x, y in zip(stream, read, strict=True)]
    mlp_in = stream if config.parallel else middle
    added = [_mlp(config, block["mlp"], _norm(config, block["norm_mlp"], x)) for x in mlp_in]
    return [x + y for x, y in zip(middle, added, strict=True)]


def naive_head_losses(final: np.ndarray, kernels: np.ndarray, targets: np.ndarray, mask: np.ndarray) -> list[float]:
    """Return the sum over positions of the mask of -log softmax at the target, for each head."""
    losses = []
    for kernel, head_targets, included in zip(kernels, targets, mask, strict=True):
        total = 0.0
        for x, target, counts in zip(final, head_targets, included, strict=True):
            if counts:
                total -= math.log(_softmax([float(x @ column) for column in kernel.T])[target])
        losses.append(total)
    return losses


def _attention(config: Any, part: Parameters, inputs: list[Vector]) -> list[Vector]:
    h, groups = config.head_dim or config.width // config.heads, config.heads // (config.kv_heads or config.heads)
    queries, keys, values = ([_affine(part[name], x) for x in inputs] for name in ("query", "key", "value"))
    if config.qk_norm:
        queries = [_head_norms(config, part["query_norm"]["scale"], x) for x in queries]
        keys = [_head_norms(config, part["key_norm"]["scale"], x) for x in keys]
    outputs = []
    for i in range(len(inputs)):
        read = []
        for head in range(config.heads):
            shared = slice(head // groups * h, (head // groups + 1) * h)
            query = _rotated(config, queries[i][head * h : (head + 1) * h], i)
            attended = [j for j in range(i + 1) if not config.window or i - j < config.window]
            scores = [float(query @ _rotated(config, keys[j][shared], j)) / math.sqrt(h) for j in attended]
            read.append(sum(w * values[j][shared] for j, w in zip(attended, _softmax(scores), strict=True)))
        outputs.append(_affine(part["out"], np.concatenate(read)))
    return outputs


def _head_norms(config: Any, scale: Vector, x: Vector) -> Vector:
    parts = [x[start : start + len(scale)] for start in range(0, len(x), len(scale))]
    return np.concatenate([p / math.sqrt(sum(p * p) / len(p) + config.norm_epsilon) * scale for p in parts])


def _rotated(config: Any, x: Vector, position: int) -> Vector:
    """Apply rotary positions as a product of complex numbers x_i + i x_{i + r/2} of the first r entries."""
    if config.position != "rotary":
        return x
    width = int(len(x) * config.rotary_fraction)
    half = width // 2
    angles = [_scaled(config, config.rotary_base ** (-2 * i / width)) for i in range(half)]
    rotated = [complex(x[i], x[i + half]) * np.exp(1j * position * angle) for i, angle in enumerate(angles)]
    return np.array([z.real for z in rotated] + [z.imag for z in rotated] + [*x[width:]])


def _scaled(config: Any, angle: float) -> float:
    """Scale a frequency by cases of its wavelength, as Llama 3.1 states it."""
    if not config.rotary_original:
        return angle / config.rotary_factor
    wavelength, trained = 2 * math.pi / angle, config.rotary_original
    if wavelength < trained / config.rotary_high:
        return angle
    if wavelength > trained / config.rotary_low:
        return angle / config.rotary_factor
    smooth = (trained / wavelength - config.rotary_low) / (config.rotary_high - config.rotary_low)
    return (1 - smooth) * angle / config.rotary_factor + smooth * angle


def _mlp(config: Any, part: Parameters, x: Vector) -> Vector:
    hidden = _affine(part["into"], x)
    if config.activation == "swiglu":
        gate = _affine(part["gate"], x)
        return _affine(part["out"], np.array([g / (1 + math.exp(-g)) * a for g, a in zip(gate, hidden, strict=True)]))
    return _affine(part["out"], np.array([_ACTIVATIONS[config.activation](a) for a in hidden]))


_ACTIVATIONS = {
    "relu": lambda a: max(a, 0.0),
    "gelu": lambda a: a * (1 + math.erf(a / math.sqrt(2))) / 2,
    "gelu-tanh": lambda a: a / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (a + 0.044715 * a**3))),
}


def _norm(config: Any, part: Parameters, x: Vector) -> Vector:
    shift = sum(x) / len(x) if config.norm == "layer" else 0.0
    variance = sum((a - shift) ** 2 for a in x) / len(x)
    y = (x - shift) / math.sqrt(variance + config.norm_epsilon) * part["scale"]
    return y + part["bias"] if "bias" in part else y


def _affine(part: Parameters, x: Vector) -> Vector:
    y = x @ part["kernel"]
    return y + part["bias"] if "bias" in part else y


def _softmax(scores: list[float]) -> list[float]:
    top = max(scores)
    weights = [math.exp(score - top) for score in scores]
    return [weight / sum(weights) for weight in weights]
