"""A trained model as a folder that any program can read.

    config.json          {"format": 1, "config": the ``TransformerConfig``, "token_format": or null, "notes": anything};
                         a field of the config that is absent has its default
    model.safetensors    the parameters, named like "transformer.blocks.0.attn.query.kernel"
    tokenizer.json       for Hugging Face's tokenizers, where there is a token format
    graph.txt            an edge list, where the model walks in one graph

The metadata of model.safetensors holds digests of its tensors, of what in config.json says how to read them and of
the graph, so neither a flipped bit nor a folder of two halves is taken for the model. Notes may be edited.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields
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

from circuits import checks
from circuits.files import arrays_checksum, checksum
from circuits.one_layer.module import OneLayer
from circuits.tasks.star.graph import StarGraph
from circuits.tasks.token_format import TokenFormat
from circuits.tasks.tokenizer import tokenizer
from circuits.tasks.tree.graph import BinaryTree
from circuits.tasks.walks.format import WalkFormat
from circuits.tasks.walks.graphs import graph_text
from circuits.transformer.config import Dtype, TransformerConfig
from circuits.transformer.fill import filled
from circuits.transformer.model import Predictor

FORMAT = 1
CONFIG, WEIGHTS, TOKENIZER, GRAPH = "config.json", "model.safetensors", "tokenizer.json", "graph.txt"
FAMILIES = {"star": StarGraph, "tree": BinaryTree}
WALKS = "walks"
Format = TokenFormat | WalkFormat


class Loaded(NamedTuple):
    """A model, how its problems are written where that was saved, and what else was.

    The model is a ``Predictor``, or a ``OneLayer`` where its config is of the kind one-layer; the format is a
    ``TokenFormat`` for star graphs and trees, a ``WalkFormat``, or None.
    """

    model: Any
    format: Any
    notes: dict[str, Any]


def save_model(
    folder: Path,
    model: Predictor | OneLayer,
    format: Format | None,
    notes: Mapping[str, Any],
    dtype: Dtype | None = None,
    graph: nx.DiGraph | None = None,
) -> None:
    """Write a model, each of its files at once; parameters as they are, or rounded to another dtype.

    ``notes`` are values for JSON; ``graph`` is the one that the model walks in. Raises ValueError naming the argument
    that can't be written: another dtype, notes that JSON has no form for, a format of another vocabulary than the
    model's, a graph of other nodes than the format's; and OSError.
    """
    checks.require(dtype is None or dtype in get_args(Dtype), "dtype", f"must be one of {get_args(Dtype)}", dtype)
    if format is not None:
        rule = f"must have the {model.config.vocab} tokens of the model"
        checks.require(format.vocab_size == model.config.vocab, "format", rule, format.vocab_size)
    fits = graph is None or (isinstance(format, WalkFormat) and len(graph) == format.nodes)
    checks.require(fits, "graph", "must have the nodes of the format, one of walks", graph)
    shape = {"config": asdict(model.config), "token_format": _as_dict(format)}
    try:
        text = json.dumps({"format": FORMAT, **shape, "notes": dict(notes)}, indent=2, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"notes: must be values for JSON, got {notes!r} ({error})") from error
    kind = None if dtype is None else jnp.dtype(dtype)
    tensors = {
        ".".join(map(str, path)): np.asarray(jax.device_get(leaf.get_value()), kind, order="C")
        for path, leaf in nnx.to_flat_state(nnx.state(model))
    }
    metadata = {"format": "np", "tensors": arrays_checksum(tensors), "config": checksum(_canonical(shape))}
    beside = {} if format is None else {TOKENIZER: _tokenizer(format).to_str(pretty=True).encode()}
    if graph is not None:
        beside[GRAPH] = graph_text(graph).encode()
        metadata["graph"] = checksum(beside[GRAPH])
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / CONFIG, text.encode() + b"\n")
    for name in (TOKENIZER, GRAPH):
        if name in beside:
            _write(folder / name, beside[name])
        else:
            (folder / name).unlink(missing_ok=True)
    _write(folder / WEIGHTS, safetensors.numpy.save(tensors, metadata))


def load_model(folder: Path) -> Loaded:
    """The model of a folder, its parameters in config.param_dtype. The tokenizer's file is not read.

    Raises ValueError naming the file, and the field or tensor, that is missing, damaged or does not fit.
    """
    shape, notes = _read_config(folder / CONFIG)
    try:
        config = TransformerConfig(**shape["config"])
        format = _as_format(shape["token_format"])
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f"{CONFIG}: must describe a model, got {str(folder / CONFIG)!r} ({error})") from error
    tensors = _read_tensors(folder / WEIGHTS, checksum(_canonical(shape)))
    return Loaded(filled(config, tensors, str(folder / WEIGHTS)), format, notes)


def _read_config(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What says how the tensors are to be read, and the notes."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        checks.require(isinstance(found, dict), "config", "must be a JSON object", found)
        checks.require(found.get("format") == FORMAT, "format", f"must be {FORMAT}", found.get("format"))
        names = {"format", "config", "token_format", "notes"}
        checks.require(found.keys() == names, "fields", f"must be {sorted(names)}", sorted(found))
        needed, optional = _fields()
        rule = f"must be an object with the fields {needed}, and none but these and {optional}"
        given = found["config"].keys() if isinstance(found["config"], dict) else set()
        checks.require(given >= {*needed} and given <= {*needed, *optional}, "config", rule, found["config"])
        whole = found["token_format"] is None or isinstance(found["token_format"], dict)
        checks.require(whole, "token_format", "must be an object or null", found["token_format"])
        checks.require(isinstance(found["notes"], dict), "notes", "must be an object", found["notes"])
    except (OSError, ValueError) as error:
        raise ValueError(f"{CONFIG}: must describe a model, got {str(path)!r} ({error})") from error
    return {name: found[name] for name in ("config", "token_format")}, found["notes"]


def _fields() -> tuple[list[str], list[str]]:
    """Fields of a config that must be there, and those with defaults, which an older file may lack."""
    needed = [field.name for field in fields(TransformerConfig) if field.default is MISSING]
    return needed, [field.name for field in fields(TransformerConfig) if field.default is not MISSING]


def _read_tensors(path: Path, config_digest: str) -> dict[str, np.ndarray]:
    """The tensors, after comparing them, the config and the graph with the digests."""
    try:
        with safetensors.safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no mapping
    except Exception as error:  # safetensors has an error of its own, and numpy's for a dtype it does not know
        raise ValueError(f"{WEIGHTS}: must be a whole safetensors file, got {str(path)!r} ({error})") from error
    stored, found = metadata.get("tensors"), arrays_checksum(tensors)
    rule = f"must hold the tensors {str(path)!r} was written with, of digest {stored}"
    checks.require(stored == found, WEIGHTS, rule, found)
    rule = f"must describe the model that {str(path)!r} was written with, of digest {metadata.get('config')}"
    checks.require(metadata.get("config") == config_digest, CONFIG, rule, config_digest)
    graph, stored = path.with_name(GRAPH), metadata.get("graph")
    rule = f"must be the graph {str(path)!r} was written with, of digest {stored}, and absent where it has none"
    found = checksum(graph.read_bytes()) if graph.is_file() else None
    checks.require(stored == found, GRAPH, rule, found)
    return tensors


def _as_dict(format: Format | None) -> dict[str, Any] | None:
    if format is None:
        return None
    if isinstance(format, WalkFormat):
        return {"graph": WALKS, **asdict(format)}
    kind = next(name for name, family in FAMILIES.items() if isinstance(format.family, family))
    return {"graph": kind, **asdict(format.family), "style": format.style, "query": format.query}


def _as_format(found: Mapping[str, Any] | None) -> Format | None:
    if found is None:
        return None
    checks.choice("graph", found["graph"], (*FAMILIES, WALKS))
    sizes = {name: value for name, value in found.items() if name not in ("graph", "style", "query")}
    if found["graph"] == WALKS:
        return WalkFormat(**sizes)
    return TokenFormat(FAMILIES[found["graph"]](**sizes), found["style"], found["query"])


def _tokenizer(format: Format) -> Tokenizer:
    if isinstance(format, TokenFormat):
        return tokenizer(format)
    words = {word: place for place, word in enumerate(format.vocabulary)}
    made = Tokenizer(WordLevel(words, unk_token=""))  # no word is "", so that an unknown one raises
    made.pre_tokenizer = WhitespaceSplit()  # pyright: ignore[reportAttributeAccessIssue]
    return made


def _canonical(shape: Mapping[str, Any]) -> bytes:
    return json.dumps(shape, sort_keys=True).encode()


def _write(path: Path, content: bytes) -> None:
    """A reader finds the old file or the new one, never a part."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
