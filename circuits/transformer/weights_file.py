"""Save and load a trained model as a folder that any program can read.

    config.json          {"format": 1, "config": {...}, "token_format": {...} or null, "notes": {...}}, with the
                         fields of ``TransformerConfig``; missing ones have their defaults
    model.safetensors    the parameters, named like "transformer.blocks.0.attn.query.kernel"
    tokenizer.json       for Hugging Face's tokenizers, if there is a token format
    graph.txt            the edge list of the graph that the model was trained to walk in, if any

The metadata of model.safetensors holds checksums of its tensors, of the config and token format, and of the graph, so
damaged files and files of different models are rejected. The notes may be edited.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, get_args

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import safetensors
import safetensors.numpy
from flax import nnx
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

from circuits import checks, display
from circuits.files import arrays_checksum, checksum, write_bytes
from circuits.one_layer.module import OneLayer
from circuits.tasks.star.graph import StarGraph
from circuits.tasks.token_format import TokenFormat
from circuits.tasks.tokenizer import make_tokenizer
from circuits.tasks.tree.graph import BinaryTree
from circuits.tasks.walks.format import WalkFormat
from circuits.tasks.walks.graph_files import format_graph
from circuits.transformer.config import Dtype, TransformerConfig
from circuits.transformer.model import Predictor
from circuits.transformer.one_layer import transformer_config
from circuits.transformer.parameters import from_tensors

FORMAT = 1
CONFIG, WEIGHTS, TOKENIZER, GRAPH = "config.json", "model.safetensors", "tokenizer.json", "graph.txt"
FAMILIES = {"star": StarGraph, "tree": BinaryTree}
WALKS = "walks"
Format = TokenFormat | WalkFormat


class SavedModel(NamedTuple):
    """A saved model, the token format of its problems (None if it was saved without one), and its notes.

    The model is a ``OneLayer`` if the config is of kind one-layer.
    """

    model: Predictor | OneLayer
    format: Format | None
    notes: dict[str, Any]

    @display.safe
    def _repr_html_(self) -> str:
        facts = display.facts("Saved model", {"format": self.format} | self.notes)
        return facts + (self.model._repr_html_() or "")


def save_model(
    folder: str | Path,
    model: Predictor | OneLayer,
    format: Format | None,
    notes: Mapping[str, Any],
    dtype: Dtype | None = None,
    graph: nx.DiGraph | None = None,
) -> None:
    """Write a model to a folder, each file atomically.

    Args:
        folder: created if it does not exist; the files of an earlier model in it are replaced.
        model: the model.
        format: how its problems are written as tokens; None for a model that does not read planning problems.
        notes: values for JSON, such as the training step.
        dtype: dtype of the parameters in the file. None: unchanged.
        graph: the graph that the model walks in, for a ``WalkFormat``.

    Raises:
        ValueError: naming the argument: if the notes are not JSON, the format has another vocabulary than the model, or
            the graph has other nodes than the format.
        OSError: if the folder cannot be written.

    Example:
        >>> import tempfile
        >>> from circuits.transformer import Predictor, TransformerConfig
        >>> model = Predictor(TransformerConfig(vocab=7, positions=9, layers=1, heads=2, width=8), nnx.Rngs(0))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_model(folder, model, None, {"step": 100})
        ...     load_saved_model(folder).notes
        {'step': 100}
    """
    folder = Path(folder)
    checks.require(dtype is None or dtype in get_args(Dtype), "dtype", f"must be one of {get_args(Dtype)}", dtype)
    if format is not None:
        rule = f"must have the {model.config.vocab} tokens of the model"
        checks.require(format.vocab_size == model.config.vocab, "format", rule, format.vocab_size)
    fits = graph is None or (isinstance(format, WalkFormat) and len(graph) == format.nodes)
    checks.require(fits, "graph", "must have the nodes of the format, one of walks", graph)
    config = model.config if isinstance(model, Predictor) else transformer_config(model.config)
    described = {"config": asdict(config), "token_format": _format_entry(format)}
    try:
        text = json.dumps({"format": FORMAT, **described, "notes": dict(notes)}, indent=2, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"notes: must be values for JSON, got {notes!r} ({error})") from error
    stored_dtype = None if dtype is None else jnp.dtype(dtype)
    tensors = {
        ".".join(map(str, path)): np.asarray(jax.device_get(leaf.get_value()), stored_dtype, order="C")
        for path, leaf in nnx.to_flat_state(nnx.state(model))
    }
    metadata = {"format": "np", "tensors": arrays_checksum(tensors), "config": checksum(_canonical(described))}
    optional: dict[str, bytes | None] = {TOKENIZER: None, GRAPH: None}
    if format is not None:
        optional[TOKENIZER] = tokenizer_of(format).to_str(pretty=True).encode()
    if graph is not None:
        optional[GRAPH] = edges = format_graph(graph).encode()
        metadata["graph"] = checksum(edges)
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / CONFIG, text.encode() + b"\n")
    for name, content in optional.items():
        if content is None:
            (folder / name).unlink(missing_ok=True)
        else:
            write_bytes(folder / name, content)
    write_bytes(folder / WEIGHTS, safetensors.numpy.save(tensors, metadata))


def load_saved_model(folder: str | Path) -> SavedModel:
    """Return the model in a folder that ``save_model`` wrote, with parameters in ``config.param_dtype``.

    ``circuits.load_model`` loads these folders and every other kind of checkpoint.

    Args:
        folder: the folder.

    Raises:
        ValueError: naming the file, and the field or tensor, that is missing, damaged or does not fit.

    Example:
        >>> import tempfile
        >>> model = Predictor(TransformerConfig(vocab=7, positions=9, layers=1, heads=2, width=8), nnx.Rngs(0))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_model(folder, model, format=None, notes={})
        ...     load_saved_model(folder).model.config == model.config
        True
    """
    folder = Path(folder)
    described, notes = _read_config(folder / CONFIG)
    try:
        config = TransformerConfig(**described["config"])
        format = _format_of(described["token_format"])
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f"{CONFIG}: must describe a model, got {str(folder / CONFIG)!r} ({error})") from error
    tensors = _read_tensors(folder / WEIGHTS, checksum(_canonical(described)))
    return SavedModel(from_tensors(config, tensors, str(folder / WEIGHTS)), format, notes)


def _read_config(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the config and token format, which the checksum covers, and the notes."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        checks.require(isinstance(content, dict), "config", "must be a JSON object", content)
        checks.require(content.get("format") == FORMAT, "format", f"must be {FORMAT}", content.get("format"))
        names = {"format", "config", "token_format", "notes"}
        checks.require(content.keys() == names, "fields", f"must be {sorted(names)}", sorted(content))
        token_format = content["token_format"]
        checks.require(isinstance(token_format, dict | None), "token_format", "must be an object or null", token_format)
        checks.require(isinstance(content["notes"], dict), "notes", "must be an object", content["notes"])
    except (OSError, ValueError) as error:
        raise ValueError(f"{CONFIG}: must describe a model, got {str(path)!r} ({error})") from error
    return {name: content[name] for name in ("config", "token_format")}, content["notes"]


def _read_tensors(path: Path, config_checksum: str) -> dict[str, np.ndarray]:
    """Return the tensors, after checking them, the config and the graph against the checksums."""
    try:
        with safetensors.safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, not a mapping
    except Exception as error:  # safetensors has its own error, and numpy one for a dtype it does not know
        raise ValueError(f"{WEIGHTS}: must be a whole safetensors file, got {str(path)!r} ({error})") from error
    graph = path.with_name(GRAPH)
    for name, key, actual, what in (
        (WEIGHTS, "tensors", arrays_checksum(tensors), "hold the tensors"),
        (CONFIG, "config", config_checksum, "describe the model"),
        (GRAPH, "graph", checksum(graph.read_bytes()) if graph.is_file() else None, "be the graph (None if absent)"),
    ):
        rule = f"must {what} that {str(path)!r} was written with, with checksum {metadata.get(key)}"
        checks.require(actual == metadata.get(key), name, rule, actual)
    return tensors


def _format_entry(format: Format | None) -> dict[str, Any] | None:
    """Return a token format as it is written in config.json."""
    if format is None:
        return None
    if isinstance(format, WalkFormat):
        return {"graph": WALKS, **asdict(format)}
    kind = next(name for name, family in FAMILIES.items() if isinstance(format.family, family))
    return {"graph": kind, **asdict(format.family), "style": format.style, "query": format.query}


def _format_of(entry: Mapping[str, Any] | None) -> Format | None:
    if entry is None:
        return None
    checks.choice("graph", entry["graph"], (*FAMILIES, WALKS))
    sizes = {name: value for name, value in entry.items() if name not in ("graph", "style", "query")}
    if entry["graph"] == WALKS:
        return WalkFormat(**sizes)
    return TokenFormat(FAMILIES[entry["graph"]](**sizes), entry["style"], entry["query"])


def tokenizer_of(format: Format) -> Tokenizer:
    """Return a tokenizer with the vocabulary of a format."""
    if isinstance(format, TokenFormat):
        return make_tokenizer(format)
    words = {word: token for token, word in enumerate(format.vocabulary)}
    walks = Tokenizer(WordLevel(words, unk_token=""))  # no word is "", so an unknown one raises
    walks.pre_tokenizer = WhitespaceSplit()  # pyright: ignore[reportAttributeAccessIssue]
    return walks


def _canonical(described: Mapping[str, Any]) -> bytes:
    return json.dumps(described, sort_keys=True).encode()
