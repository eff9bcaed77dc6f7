"""The folder of a saved model: bit for bit, readable by others, and refused when a file is not what was written."""

import json
import random
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

from circuits.files import arrays_checksum, checksum
from circuits.one_layer.module import OneLayer
from circuits.tasks.star.graph import StarGraph
from circuits.tasks.token_format import TokenFormat
from circuits.tasks.tree.graph import BinaryTree
from circuits.tasks.walks.format import WalkFormat, encode_walk, format_walk
from circuits.transformer.config import TransformerConfig
from circuits.transformer.model import Predictor, build
from circuits.transformer.one_layer import one_layer_config
from circuits.transformer.weights_file import load_saved_model, save_model
from tests.transformer.models import random_model, small_config

FORMAT = TokenFormat(StarGraph(2, 3, 7), "text", "start-goal")
NOTES = {"steps": 7, "accuracy": [0.5, None], "from": "a test é"}


def bits(model: Predictor | OneLayer) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    leaves = jax.tree.flatten_with_path(nnx.state(model))[0]
    return {jax.tree_util.keystr(p): (str(a.dtype), a.shape, np.asarray(a).tobytes()) for p, a in leaves}


@pytest.fixture
def folder(tmp_path):
    save_model(tmp_path / "model", random_model(small_config("biased")), FORMAT, NOTES)
    return tmp_path / "model"


@pytest.mark.parametrize("name", ["gpt", "biased", "llama", "neox", "qwen"])
def test_a_model_comes_back_bit_for_bit(tmp_path, name):
    model = random_model(small_config(name))
    save_model(str(tmp_path), model, None, {})
    saved = load_saved_model(str(tmp_path))
    assert (saved.model.config, saved.format, saved.notes) == (model.config, None, {})
    assert bits(saved.model) == bits(model)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_parameters_of_each_dtype(tmp_path, dtype):
    model = random_model(small_config(param_dtype=dtype))
    save_model(tmp_path, model, None, {})
    assert bits(load_saved_model(tmp_path).model) == bits(model)
    with safe_open(tmp_path / "model.safetensors", framework="np") as file:
        assert file.get_tensor("transformer.tokens").dtype == jnp.dtype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_parameters_may_be_rounded(tmp_path, dtype):
    model = random_model(small_config())
    save_model(tmp_path, model, None, {}, dtype=dtype)
    with safe_open(tmp_path / "model.safetensors", framework="np") as file:
        assert file.get_tensor("transformer.tokens").dtype == jnp.dtype(dtype)
    rounded = jax.tree.map(lambda a: jnp.asarray(np.asarray(a).astype(dtype).astype(a.dtype)), nnx.state(model))
    nnx.update(model, rounded)
    assert bits(load_saved_model(tmp_path).model) == bits(model)


@pytest.mark.parametrize("family", [StarGraph(2, 3, 7), BinaryTree(3, 7)])
@pytest.mark.parametrize("style", ["text", "pairs"])
def test_format_notes_and_tokenizer_come_back(tmp_path, family, style):
    format = TokenFormat(family, style, "goal-start")
    save_model(tmp_path, random_model(small_config()), format, NOTES)
    saved = load_saved_model(tmp_path)
    assert (saved.format, saved.notes) == (format, NOTES)
    made = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert made.encode("3 4|=").ids == [3, 4, 7, 8]
    save_model(tmp_path, random_model(small_config(), seed=1), None, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    assert load_saved_model(tmp_path).format is None


def test_walks_and_their_tokenizer_come_back(tmp_path):
    format = WalkFormat(9, 4)
    save_model(tmp_path, random_model(small_config()), format, NOTES)
    saved = load_saved_model(tmp_path)
    assert (saved.format, saved.notes) == (format, NOTES)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["token_format"] == {"graph": "walks", "nodes": 9, "longest": 4}
    made = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    path = [3, 0, 8]
    text = f"{format_walk(path)} <end> <pad>"
    assert made.encode(text).ids == encode_walk(format, path).tolist()
    assert made.decode(made.encode(text).ids) == text
    with pytest.raises(Exception, match="WordLevel error: Missing"):
        made.encode("9")
    with pytest.raises(ValueError, match="format: must have the 11 tokens of the model"):
        save_model(tmp_path, random_model(small_config()), WalkFormat(10, 4), NOTES)
    change = config | {"token_format": {"graph": "walks", "nodes": 9}}
    (tmp_path / "config.json").write_text(json.dumps(change))
    with pytest.raises(ValueError, match=r"config.json: must describe a model, got .*(longest|missing)"):
        load_saved_model(tmp_path)


def test_numbers_without_axes_come_back(tmp_path):
    """The weight of an injection in the one-layer model."""
    config = small_config(prediction_heads=2, head_kind="transfer", injection=True, kind="one-layer")
    graph, state = nnx.split(nnx.eval_shape(lambda: build(config, nnx.Rngs(0))))
    model = nnx.merge(graph, jax.tree.map(lambda leaf: jnp.full(leaf.shape, 0.3, leaf.dtype), state))
    save_model(tmp_path, model, None, {})
    loaded = load_saved_model(tmp_path).model
    assert loaded.config == one_layer_config(config)
    assert bits(loaded) == bits(model)
    assert () in [shape for _, shape, _ in bits(loaded).values()]


def test_others_can_read_it(folder):
    tensors = load_file(folder / "model.safetensors")
    assert tensors["transformer.blocks.0.attn.query.kernel"].shape == (16, 16)
    config = json.loads((folder / "config.json").read_text())
    assert config["format"] == 1
    assert config["config"].keys() == {field.name for field in fields(TransformerConfig)}
    family = {"graph": "star", "paths": 2, "nodes": 3, "labels": 7}
    assert config["token_format"] == {**family, "style": "text", "query": "start-goal"}
    assert config["notes"] == NOTES


def test_arguments_are_checked(tmp_path):
    model = random_model(small_config())
    unchecked: Any = getattr(save_model, "__wrapped__", save_model)  # beartype would be first
    with pytest.raises(ValueError, match="dtype: must be one of"):
        unchecked(tmp_path / "a", model, None, {}, dtype="int8")
    with pytest.raises(ValueError, match="format: must have the 11 tokens of the model"):
        save_model(tmp_path / "a", model, TokenFormat(StarGraph(2, 3, 8), "text", "start-goal"), {})
    for value in (float("nan"), Path("x")):
        with pytest.raises(ValueError, match="notes: must be values for JSON"):
            save_model(tmp_path / "a", model, None, {"a": value})
    assert not (tmp_path / "a").exists()


def test_notes_may_be_edited_and_the_rest_may_not(folder):
    path = folder / "config.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"notes": {"by": "hand"}}))
    assert load_saved_model(folder).notes == {"by": "hand"}
    for change in ({"activation": "gelu"}, {"heads": 2}, {"norm_epsilon": 1e-4}):
        path.write_text(json.dumps(content | {"config": content["config"] | change}))
        with pytest.raises(ValueError, match=r"config.json: must describe the model that '.*' was written with"):
            load_saved_model(folder)
    path.write_text(json.dumps(content | {"token_format": content["token_format"] | {"query": "goal-start"}}))
    with pytest.raises(ValueError, match=r"config.json: must describe the model that '.*' was written with"):
        load_saved_model(folder)


def test_fields_with_defaults_may_be_absent_and_checksums_are_of_what_is_written(folder):
    """As in folders written before those fields existed."""
    new = ["head_dim", "qkv_bias", "qk_norm", "rotary_factor", "parallel", "window"]
    strip_config(folder, new)
    assert load_saved_model(folder).model.config == small_config("biased")
    path = folder / "config.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"config": content["config"] | {"window": 0}}))
    with pytest.raises(ValueError, match=r"config.json: must describe the model that"):
        load_saved_model(folder)
    strip_config(folder, ["vocab"])
    with pytest.raises(ValueError, match=r"config.json: must describe a model, got .*vocab"):
        load_saved_model(folder)


def strip_config(folder: Path, names: list[str]) -> None:
    """Remove fields, and update the checksum."""
    path = folder / "config.json"
    content = json.loads(path.read_text())
    content["config"] = {name: value for name, value in content["config"].items() if name not in names}
    path.write_text(json.dumps(content))
    described = json.dumps({name: content[name] for name in ("config", "token_format")}, sort_keys=True)
    with safe_open(folder / "model.safetensors", framework="np") as file:
        metadata = file.metadata()
    tensors = load_file(folder / "model.safetensors")
    save_file(tensors, folder / "model.safetensors", metadata | {"config": checksum(described.encode())})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": 2}, "format: must be 1, got 2"),
        ({"extra": 2}, "fields: must be .*, got"),
        ({"config": {"layers": 2}}, ".*missing"),
        ({"config": {"vocab": 9, "positions": 9, "depth": 2}}, ".*unexpected keyword argument 'depth'"),
        ({"config": 3}, ".*must be a mapping"),
        ({"notes": 3}, "notes: must be an object, got 3"),
        ({"token_format": {"graph": "ring"}}, "graph: must be one of star, tree, walks, got 'ring'"),
        (
            {"token_format": {"graph": "star", "style": "text", "query": "start-goal"}},
            "missing a required argument|.*missing 3 required",
        ),
        ({"token_format": 3}, "token_format: must be an object or null, got 3"),
    ],
)
def test_a_config_that_describes_no_model_is_named(folder, change, reason):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=rf"config.json: must describe a model, got '.*config.json' \(({reason})"):
        load_saved_model(folder)


def test_a_field_out_of_range_is_named(folder):
    path = folder / "config.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"config": content["config"] | {"layers": 0}}))
    with pytest.raises(ValueError, match=r"config.json: must describe a model, got .*layers: must be an integer"):
        load_saved_model(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_damaged_file_is_never_another_model(folder, name):
    """A sample of bytes flipped, and the file cut at a sample of positions."""
    path, rng = folder / name, random.Random(0)
    whole, expected = path.read_bytes(), bits(load_saved_model(folder).model)
    passed, refused = 0, []
    for at in [*range(8), *rng.sample(range(len(whole)), 24)]:
        for content in (
            whole[:at],
            whole[:at] + bytes([whole[at] ^ 1 << rng.randrange(8)]) + whole[at + 1 :],
        ):
            path.write_bytes(content)
            try:
                saved = load_saved_model(folder)
            except ValueError as error:
                refused.append(str(error))
                continue
            passed += 1  # a byte of the notes, or of the format that safetensors' metadata names
            assert (bits(saved.model), saved.format) == (expected, FORMAT)
    assert passed < 15
    assert all(message.startswith(("config.json: ", "model.safetensors: ")) for message in refused)
    path.unlink()
    with pytest.raises(ValueError, match=rf"{name}: must .*, got '.*{name}' \(.*No such file"):
        load_saved_model(folder)


def change_tensors(folder: Path, change) -> None:
    """Change tensors, and update the checksum."""
    path = folder / "model.safetensors"
    with safe_open(path, framework="np") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata | {"tensors": arrays_checksum(tensors)})


def test_missing_surplus_and_misshapen_tensors_are_named(folder):
    name = "transformer.norm.scale"
    whole = (folder / "model.safetensors").read_bytes()
    for change, message in [
        (lambda tensors: tensors.pop(name), rf"{name}: must be .*absent"),
        (lambda tensors: tensors.update(more=np.ones(3)), r"more: must be absent, got \(3,\)"),
        (lambda tensors: tensors.update({name: np.ones(17)}), rf"{name}: must be \(16,\), got \(17,\)"),
    ]:
        (folder / "model.safetensors").write_bytes(whole)
        change_tensors(folder, change)
        with pytest.raises(ValueError, match=f"model.safetensors: ({message})"):
            load_saved_model(folder)


def test_halves_of_two_folders_are_no_model(folder, tmp_path):
    other = replace(small_config("biased"), activation="gelu")
    save_model(tmp_path / "other", random_model(other), FORMAT, {})
    (tmp_path / "other" / "config.json").replace(folder / "config.json")
    with pytest.raises(ValueError, match=r"config.json: must describe the model that '.*' was written with"):
        load_saved_model(folder)
