"""The two sides of ``capture.py``: the same random model, of GPT-2's size, here and in TransformerLens.

The peer's side runs under an interpreter of its own, which need not have what ours needs.
"""

import importlib
import os
import sys
import tempfile
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Size(NamedTuple):
    """The size of the model; by default GPT-2's."""

    layers: int = 12
    heads: int = 12
    width: int = 768
    vocab: int = 50_257
    positions: int = 1024


class Capturing(NamedTuple):
    """One side: from ids [B, T] to a call that captures and one that does the products alone, and versions."""

    capture: Callable[[np.ndarray], tuple[Callable[[], dict[str, Any]], int | None]]
    products: Callable[[np.ndarray], Callable[[], Any]]
    version: str


def weights(size: Size) -> dict[str, np.ndarray]:
    """Return random weights under GPT-2's names, the same in every process; scores have a standard deviation of 2."""
    rng, width = np.random.default_rng(0), size.width
    kernels = {"attn.c_attn": (width, 3 * width), "attn.c_proj": (width, width)}
    kernels |= {"mlp.c_fc": (width, 4 * width), "mlp.c_proj": (4 * width, width)}
    shapes = {"wte.weight": (size.vocab, width), "wpe.weight": (size.positions, width)}
    shapes |= {"ln_f.weight": (width,), "ln_f.bias": (width,)}
    for block in (f"h.{i}." for i in range(size.layers)):
        for name, shape in {"ln_1": (width,), "ln_2": (width,), **kernels}.items():
            shapes |= {f"{block}{name}.weight": shape, f"{block}{name}.bias": shape[-1:]}
    scales = {name: 0.05 if "c_attn" in name else 0.02 for name in shapes}
    tensors = {
        name: rng.standard_normal(shape, np.float32) * np.float32(scales[name]) for name, shape in shapes.items()
    }
    return {name: value + np.float32("ln_" in name and "weight" in name) for name, value in tensors.items()}


def renamed(tensors: dict[str, np.ndarray], size: Size) -> dict[str, np.ndarray]:
    """Return the weights under our names; GPT-2 stores queries, keys and values as one matrix."""
    names = {"ln_1": "norm_attn", "ln_2": "norm_mlp", "ln_f": "norm", "attn.c_proj": "attn.out"}
    names |= {"mlp.c_fc": "mlp.into", "mlp.c_proj": "mlp.out", "wte": "tokens", "wpe": "positions"}
    ours = {"heads.kernels": np.zeros((0, size.width, size.vocab), np.float32)}  # tied to the token embedding
    for name, value in tensors.items():
        block, part, kind = name.split(".")[:2], ".".join(name.split(".")[2:-1]), name.split(".")[-1]
        prefix = f"transformer.blocks.{block[1]}." if block[0] == "h" else "transformer."
        part = part if block[0] == "h" else block[0]
        leaf = kind if kind == "bias" else "scale" if part.startswith("ln") else "kernel"
        if part == "attn.c_attn":
            thirds = zip(("query", "key", "value"), np.split(value, 3, axis=-1), strict=True)
            ours |= {f"{prefix}attn.{third}.{leaf}": values for third, values in thirds}
        else:
            ours[prefix + names[part] + ("" if part in ("wte", "wpe") else f".{leaf}")] = value
    return ours


def kernels(tensors: dict[str, np.ndarray], size: Size) -> list[list[np.ndarray]]:
    """Return for each layer: queries, keys, values, output, into the MLP, out of it."""
    parts = ("attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    return [
        [*np.split(tensors[f"h.{i}.attn.c_attn.weight"], 3, axis=-1)] + [tensors[f"h.{i}.{p}.weight"] for p in parts]
        for i in range(size.layers)
    ]


def products(x: Any, layers: list[list[Any]], heads: int) -> Any:
    """Do the matrix products of a capture from a stream [B, T, d], layer by layer; of the last one, those to scores.

    Nothing is scaled or normalised: from embeddings the stream shrinks to about 1e-4, and scores to 1e-7.
    """
    split = (*x.shape[:2], heads, x.shape[2] // heads)
    for query, key, value, out, into, back in layers[:-1]:
        q, k, v = ((x @ kernel).reshape(split).swapaxes(1, 2) for kernel in (query, key, value))
        z = (q @ k.swapaxes(2, 3)) @ v
        x = z.swapaxes(1, 2).reshape(x.shape) @ out + (x @ into) @ back
    q, k = ((x @ kernel).reshape(split).swapaxes(1, 2) for kernel in layers[-1][:2])
    return q @ k.swapaxes(2, 3)


def ours(size: Size) -> Capturing:
    from functools import partial

    import jax
    from flax import nnx

    from circuits.transformer.config import TransformerConfig
    from circuits.transformer.parameters import predictor_from_tensors
    from circuits.transformer.taps import Taps

    config = TransformerConfig(**size._asdict(), activation="gelu-tanh", bias=True, tied=True)
    tensors = weights(size)
    graph, state = nnx.split(predictor_from_tensors(config, renamed(tensors, size), "weights"))
    taps = Taps(capture=["blocks.*.attn.pattern"])

    @jax.jit
    def captured(state: Any, ids: Any) -> dict[str, Any]:
        return jax.vmap(lambda row: nnx.merge(graph, state)(row, taps)[1])(ids)

    def capture(ids: np.ndarray) -> tuple[Callable[[], dict[str, Any]], int | None]:
        program = captured.lower(state, ids).compile()
        analysis = program.memory_analysis()
        return lambda: jax.block_until_ready(program(state, ids)), analysis and analysis.temp_size_in_bytes

    alone = jax.jit(partial(products, heads=size.heads))

    def together(ids: np.ndarray) -> Callable[[], Any]:
        arguments = jax.device_put((tensors["wte.weight"][ids], kernels(tensors, size)))
        return lambda: jax.block_until_ready(alone(*arguments))

    return Capturing(capture, together, f"jax {jax.__version__}")


def peer(size: Size) -> Capturing:
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        torch, transformers = importlib.import_module("torch"), importlib.import_module("transformers")
        bridges = importlib.import_module("transformer_lens.model_bridge")
    except ImportError as error:
        sys.exit(f"capture: {error} in {sys.executable}; name another interpreter with --peer-python")
    from importlib.metadata import version

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    tensors = weights(size)
    shape = {"n_layer": size.layers, "n_head": size.heads, "n_embd": size.width, "vocab_size": size.vocab}
    config = transformers.GPT2Config(attn_implementation="eager", n_positions=size.positions, **shape)
    model = transformers.GPT2LMHeadModel(config)
    given = {f"transformer.{name}": torch.from_numpy(value) for name, value in tensors.items()}
    left = model.load_state_dict(given, strict=False)
    assert (left.missing_keys, left.unexpected_keys) == (["lm_head.weight"], [])  # tied to the token embedding
    with tempfile.TemporaryDirectory() as folder:  # a folder with a configuration stands for a name on the hub
        model.config.save_pretrained(folder)
        bridge = bridges.TransformerBridge.boot_transformers(folder, hf_model=model).eval()
    names = [f"blocks.{i}.attn.hook_pattern" for i in range(size.layers)]
    setting = {"return_type": None, "return_cache_object": False, "logits_to_keep": 1}

    def capture(ids: np.ndarray) -> tuple[Callable[[], dict[str, Any]], int | None]:
        tokens = torch.from_numpy(ids)

        def run() -> dict[str, Any]:
            with torch.inference_mode():
                return bridge.run_with_cache(tokens, names_filter=lambda name: name in names, **setting)[1]

        return run, None

    def alone(ids: np.ndarray) -> Callable[[], Any]:
        x = torch.from_numpy(tensors["wte.weight"][ids])
        layers = [[torch.from_numpy(np.ascontiguousarray(each)) for each in layer] for layer in kernels(tensors, size)]

        def run() -> Any:
            with torch.inference_mode():
                return products(x, layers, size.heads)

        return run

    return Capturing(capture, alone, f"transformer-lens {version('transformer-lens')}, torch {torch.__version__}")
