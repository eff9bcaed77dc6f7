"""Folders in the Hugging Face layout: fields, layouts, links, tokenizers, placement; and clear errors for the rest."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx
from jax.sharding import Mesh
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from circuits.pretrained import load_pretrained, sharded
from circuits.pretrained.tensor_files import file_tensors
from circuits.transformer.model import Predictor
from tests.cases import assert_close

REFERENCE = Path(__file__).parent / "reference"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path):
    """Return a writable copy of a reference, by its name."""

    def copy(name: str) -> Path:
        shutil.copytree(REFERENCE / name, tmp_path / name)
        return tmp_path / name

    return copy


def change_config(folder: Path, **changes) -> None:
    """Set fields, or remove them where the value is ``...``."""
    path = folder / "config.json"
    fields = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in fields.items() if value is not ...}))


def change_tensors(folder: Path, change) -> None:
    path = folder / "model.safetensors"
    tensors = safetensors.numpy.load(path.read_bytes())
    change(tensors)
    path.write_bytes(safetensors.numpy.save({k: np.ascontiguousarray(v) for k, v in tensors.items()}))


def split(folder: Path, parts: int = 2) -> dict[str, str]:
    """Split the file into shards, and return the map of their index."""
    tensors = safetensors.numpy.load((folder / "model.safetensors").read_bytes())
    files = {}
    for number in range(parts):
        name = f"model-{number}.safetensors"
        mine = {key: tensors[key] for key in sorted(tensors)[number::parts]}
        (folder / name).write_bytes(safetensors.numpy.save(mine))
        files |= dict.fromkeys(mine, name)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": files}))
    return files


def parameters(model: Predictor) -> dict[str, np.ndarray]:
    return {".".join(map(str, path)): np.asarray(leaf) for path, leaf in nnx.to_flat_state(nnx.state(model))}


def refusal(folder: Path, **options) -> str:
    with pytest.raises(ValueError, match=r"^[^\n]+: must ") as caught:
        load_pretrained(folder, **options)
    return str(caught.value)


def test_what_is_returned(folder):
    loaded = load_pretrained(str(folder("llama")))
    config = loaded.model.config
    assert loaded.tokenizer is None
    assert loaded.notes["model_type"] == "llama"
    assert loaded.notes["positions"] == config.positions == 40
    assert (config.head_width, config.key_heads, config.rotary_original) == (16, 2, 20)
    assert (config.dtype, config.param_dtype, config.prediction_heads) == ("float32", "float32", 1)


@pytest.mark.parametrize("name", ["gpt2", "gpt_neox", "qwen2"])
def test_shards_are_the_whole(folder, name):
    here = folder(name)
    whole = parameters(load_pretrained(here).model)
    split(here, 3)
    assert_close(parameters(load_pretrained(here).model), whole, atol=0)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_the_context_may_be_cut(folder, name):
    here = folder(name)
    whole, short = load_pretrained(here).model, load_pretrained(here, positions=6).model
    assert short.config == replace(whole.config, positions=6)
    expected = parameters(whole)
    if name == "gpt2":
        expected["transformer.positions"] = expected["transformer.positions"][:6]
    assert_close(parameters(short), expected, atol=0)
    for wrong in (0, whole.config.positions + 1):
        assert refusal(here, positions=wrong).startswith("positions: must be an integer between 1 and ")


@pytest.mark.parametrize("kind", ["float64", "float32", "bfloat16", "float16"])
def test_parameters_of_each_dtype(folder, kind):
    here = folder("gpt_neox")
    change_tensors(here, lambda tensors: tensors.update({k: v.astype(jnp.dtype(kind)) for k, v in tensors.items()}))
    stored = file_tensors(here / "model.safetensors")
    assert {array.dtype for array in stored.values()} == {jnp.dtype(kind)}
    found = parameters(load_pretrained(here).model)
    assert {array.dtype for array in found.values()} == {jnp.dtype(kind)}
    up = parameters(load_pretrained(here, param_dtype="float64").model)
    assert_close({k: v.astype(float) for k, v in found.items()}, up, atol=0)


def test_several_dtypes_are_read_in_float32(folder):
    here = folder("llama")
    change_tensors(here, lambda t: t.update({"model.norm.weight": t["model.norm.weight"].astype(jnp.bfloat16)}))
    assert load_pretrained(here).model.config.param_dtype == "float32"


def test_masks_and_frequencies_stored_with_the_parameters_are_ignored(folder):
    for name, buffers in {
        "gpt2": {"transformer.h.0.attn.bias": np.tri(4), "transformer.h.1.attn.masked_bias": np.ones(())},
        "llama": {"model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(8, np.float32)},
        "gpt_neox": {"gpt_neox.layers.1.attention.bias": np.ones((1, 4), bool)},
    }.items():
        here = folder(name)
        before = parameters(load_pretrained(here).model)
        change_tensors(here, lambda tensors, buffers=buffers: tensors.update(buffers))
        assert_close(parameters(load_pretrained(here).model), before, atol=0)
        change_tensors(here, lambda tensors: tensors.update(extra=np.ones(2)))
        assert "tensors: must be those of a 2-layer model and no others, got ['extra']" in refusal(here)


def test_an_unembedding_that_should_be_the_embedding_is_compared(folder):
    here = folder("gpt2")
    change_tensors(here, lambda t: t.update({"lm_head.weight": t["transformer.wte.weight"]}))
    assert load_pretrained(here).model.config.tied
    change_tensors(here, lambda t: t.update({"lm_head.weight": t["lm_head.weight"] + np.float32(1e-6)}))
    assert "lm_head.weight: must equal transformer.wte.weight, to which the config ties it" in refusal(here)
    change_config(here, tie_word_embeddings=False)
    assert not load_pretrained(here).model.config.tied
    change_tensors(here, lambda t: t.pop("lm_head.weight"))
    assert "lm_head.weight: must be (19, 8), got 'absent'" in refusal(here)


def test_an_older_name_of_the_unembedding(folder):
    here = folder("gpt_neox")
    before = parameters(load_pretrained(here).model)
    names = safetensors.numpy.load((here / "model.safetensors").read_bytes()).keys()
    old, new = ("embed_out.weight", "lm_head.weight")
    old, new = (old, new) if old in names else (new, old)
    change_tensors(here, lambda t: t.update({new: t.pop(old)}))
    assert_close(parameters(load_pretrained(here).model), before, atol=0)


def test_a_tokenizer(folder):
    here = folder("llama")
    Tokenizer(WordLevel({"a": 0, "b": 1}, unk_token="a")).save(str(here / "tokenizer.json"))
    tokenizer = load_pretrained(here).tokenizer
    assert tokenizer is not None
    assert tokenizer.encode("b").ids == [1]
    for wrong in (b"{", b"\xff", b'{"model": 3}', b"[" * 10000):
        (here / "tokenizer.json").write_bytes(wrong)
        assert refusal(here).startswith("tokenizer.json: must describe a tokenizer, got ")


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("llama", {"model_type": "gemma2"}, "model_type: must be one of ['gpt2', 'gpt_neox', 'llama'"),
        ("llama", {"model_type": ...}, "model_type: must be one of "),
        ("llama", {"hidden_act": "gelu"}, "hidden_act: must be one of silu, swish"),
        ("llama", {"hidden_size": ...}, "hidden_size: must be given"),
        ("llama", {"hidden_size": 8.0}, "hidden_size: must be an integer between 1 and "),
        ("llama", {"hidden_size": True}, "hidden_size: must be an integer between 1 and "),
        ("llama", {"num_hidden_layers": "2"}, "num_hidden_layers: must be an integer between 1 and "),
        ("llama", {"rms_norm_eps": 0}, "rms_norm_eps: must be a positive number below 1e300"),
        ("llama", {"rms_norm_eps": 10**400}, "rms_norm_eps: must be a positive number below 1e300"),
        ("llama", {"attention_bias": 1}, "attention_bias: must be true or false"),
        ("llama", {"tie_word_embeddings": None}, "tie_word_embeddings: must be true or false"),
        ("llama", {"max_position_embeddings": 2**31}, "max_position_embeddings: must be an integer between 1 and 21"),
        ("llama", {"quantization_config": {"bits": 4}}, "quantization_config: must be None: nothing else is"),
        ("llama", {"rope_interleaved": True}, "rope_interleaved: must be False or None: nothing else is implemented"),
        ("llama", {"rope_parameters": {"rope_type": "yarn", "factor": 2.0}}, "rope_type: must be one of default, lin"),
        ("llama", {"rope_parameters": ..., "rope_scaling": {"type": "dynamic", "factor": 2.0}}, "rope_type: must be"),
        ("llama", {"rope_parameters": {"rope_type": "linear"}}, "factor: must be given"),
        ("llama", {"rope_parameters": {"rope_type": "default", "mscale": 2.0}}, "rope_parameters: must have no par"),
        ("llama", {"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor: must be 1"),
        ("llama", {"partial_rotary_factor": 0.5}, "partial_rotary_factor: must be 1"),
        ("llama", {"rope_parameters": [1]}, "rope_parameters: must be an object or null"),
        ("llama", {"rope_theta": 5.0}, "rope_theta: must be the same under all of its names"),
        ("llama", {"rope_scaling": {"rope_type": "default"}}, "rope_scaling: must equal rope_parameters {"),
        ("llama", {"original_max_position_embeddings": 9}, "original_max_position_embeddings: must be in rope_para"),
        ("llama", {"head_dim": 15}, "head_dim: must rotate an even number of the 15"),
        ("llama", {"num_key_value_heads": 3}, "kv_heads: must divide the number of heads 4"),
        ("gpt2", {"scale_attn_weights": False}, "scale_attn_weights: must be True: nothing else is implemented"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx: must be False: nothing"),
        ("gpt2", {"add_cross_attention": True}, "add_cross_attention: must be False: nothing else is implemented"),
        ("gpt2", {"activation_function": "tanh"}, "activation_function: must be one of gelu, gelu_new, gelu_fast"),
        ("gpt2", {"pruned_heads": {"0": [1]}}, "pruned_heads: must be None or {}: nothing else is implemented"),
        ("mistral", {"num_key_value_heads": ...}, "num_key_value_heads: must be given"),
        ("mistral", {"sliding_window": 0}, "sliding_window: must be an integer between 1 and "),
        ("mistral", {"layer_types": ["full_attention"] * 2}, "layer_types: must all be sliding_attention"),
        ("qwen2", {"use_sliding_window": True}, "use_sliding_window: must be False: nothing else is implemented"),
        ("qwen2", {"layer_types": ["sliding_attention"] * 2}, "layer_types: must all be full_attention"),
        ("qwen3", {"head_dim": ...}, "head_dim: must be given"),
        ("gpt_neox", {"hidden_act": "silu"}, "hidden_act: must be one of gelu, gelu_new"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_config_that_asks_for_something_else_is_named(folder, name, changes, message):
    here = folder(name)
    change_config(here, **changes)
    assert refusal(here).startswith(f"config.json: {message}")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocab_size": 10**12}, "model.embed_tokens.weight: must be (1000000000000, 8), got (19, 8)"),
        ({"num_hidden_layers": 10**9}, "layers: must be an integer between 1 and 21, got 1000000000"),
        ({"num_hidden_layers": 1}, "tensors: must be those of a 1-layer model and no others, got ['model.layers.1."),
        ({"num_hidden_layers": 3}, "model.layers.2.input_layernorm.weight: must be (8,), got 'absent'"),
        ({"intermediate_size": 10**11}, "model.layers.0.mlp.up_proj.weight: must be (100000000000, 8), got (12, 8)"),
        ({"num_attention_heads": 8}, "model.layers.0.self_attn.q_proj.weight: must be (128, 8), got (64, 8)"),
        ({"attention_bias": True}, "model.layers.0.self_attn.q_proj.bias: must be (64,), got 'absent'"),
    ],
    ids=str,
)
def test_sizes_are_those_of_the_tensors(folder, changes, message):
    here = folder("llama")
    change_config(here, **changes)
    assert message in refusal(here)


def test_the_number_of_key_heads_and_the_window_as_the_reference_has_them(folder):
    """Absent is not null: the reference's defaults are 4096 for Mistral's window, and all heads for Llama's keys."""
    here = folder("mistral")
    change_config(here, sliding_window=...)
    assert load_pretrained(here).model.config.window == 4096
    change_config(here, sliding_window=None)
    assert load_pretrained(here).model.config.window == 0
    here = folder("llama")
    change_config(here, num_key_value_heads=...)
    assert "k_proj.weight: must be (64, 8), got (32, 8)" in refusal(here)


def test_pickles_are_never_read(folder):
    here = folder("llama")
    (here / "model.safetensors").unlink()
    (here / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    message = refusal(here)
    assert "must hold model.safetensors or model.safetensors.index.json (pickled weights are never read)" in message
    assert "pytorch_model.bin" in message
    (here / "pytorch_model.bin").unlink()
    assert "pickled" not in refusal(here)
    assert refusal(here / "absent").startswith("folder: must be a directory, got ")
    (here / "config.json").unlink()
    assert refusal(here).startswith("config.json: must be a file of ")


@pytest.mark.parametrize("name", ["../out.safetensors", "/etc/passwd", "a/b", "..", ".", "", "a\\b", "C:x", "x\0y"])
def test_a_shard_has_a_plain_name(folder, name):
    here = folder("llama")
    files = split(here)
    (here.parent / "out.safetensors").write_bytes((here / "model-0.safetensors").read_bytes())
    changed = {key: name if value == "model-0.safetensors" else value for key, value in files.items()}
    (here / "model.safetensors.index.json").write_text(json.dumps({"weight_map": changed}))
    assert refusal(here) == f"file name: must be a plain name inside the folder, got {name!r}"


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_links_may_not_lead_out(folder, name):
    here = folder("llama")
    outside, inside = here.parent / f"outside-{name}", here / f"inside-{name}"
    if name == "tokenizer.json":
        Tokenizer(WordLevel({"a": 0}, unk_token="a")).save(str(here / name))
    (here / name).rename(outside)
    (here / name).symlink_to(outside)
    assert refusal(here).startswith(f"{name}: must not lead out of ")
    (here / name).unlink()
    outside.rename(inside)
    (here / name).symlink_to(inside.name)
    load_pretrained(here)
    inside.unlink()
    assert refusal(here).startswith(f"{name}: must be a file of ")
    (here / name).unlink()
    os.mkfifo(here / name)
    assert refusal(here).startswith(f"{name}: must be a regular file")
    (here / name).unlink()
    (here / name).mkdir()
    assert refusal(here).startswith(f"{name}: must be a regular file")


def test_the_folder_itself_may_be_a_link(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder("llama"))
    assert load_pretrained(tmp_path / "link").model.config.layers == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda files: files.pop("model.norm.weight"), "must list the tensors of model-"),
        (lambda files: files.update(more="model-0.safetensors"), "must list the tensors of model-0.safetensors and"),
        (lambda files: files.update({"model.norm.weight": 3}), "must have a weight_map from tensors to files"),
        (lambda files: files.clear(), "must have a weight_map from tensors to files"),
        (lambda files: files.update(more="absent.safetensors"), "absent.safetensors: must be a file of"),
    ],
)
def test_an_index_lists_exactly_what_its_files_hold(folder, change, message):
    here = folder("llama")
    files = split(here)
    change(files)
    (here / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    assert message in refusal(here)


def test_a_model_does_not_follow_its_file(folder):
    here = folder("llama")
    model = load_pretrained(here).model
    before = parameters(model)
    with (here / "model.safetensors").open("r+b") as file:
        file.seek(-4000, os.SEEK_END)
        file.write(bytes(4000))
    assert_close(parameters(model), before, atol=0)


def test_our_reading_of_the_format_is_that_of_the_library(folder):
    for name in ("gpt2", "gpt_neox"):
        path = folder(name) / "model.safetensors"
        ours, theirs = file_tensors(path), safetensors.numpy.load_file(path)
        assert_close({k: ours[k] for k in sorted(ours)}, {k: theirs[k] for k in sorted(theirs)}, atol=0)
        assert not any(array.flags.owndata or array.flags.writeable for array in ours.values())


def test_a_placement_must_keep_shape_and_dtype(folder):
    here = folder("llama")
    half = refusal(here, placement=lambda _, values: jnp.asarray(np.asarray(values, np.float16)))
    assert half.startswith("placement: must return shape (")
    assert half.endswith("'float16')")
    assert "placement: must return shape" in refusal(here, placement=lambda _, values: jnp.asarray(np.ravel(values)))


def test_a_mesh_of_one_device(folder):
    mesh = Mesh(np.array(jax.devices()[:1]), ("model",))
    here = folder("gpt2")
    found = load_pretrained(here, placement=sharded(mesh, "float32")).model
    assert_close(parameters(found), parameters(load_pretrained(here).model), atol=0)
    with pytest.raises(ValueError, match="axis: must be one of"):
        sharded(mesh, "float32", axis="tensor")


def test_each_device_reads_its_slice_alone(folder):
    """On four devices, in a process of its own: shards, what was read for each, and the same parameters."""
    code = """
import sys
import jax, numpy as np
from flax import nnx
from jax.sharding import Mesh
from circuits.pretrained import load_pretrained, sharded
mesh = Mesh(np.array(jax.devices()).reshape(2, 2), ("data", "model"))
read = []
class Watched(np.ndarray):
    def __getitem__(self, index):
        part = super().__getitem__(index)
        read.append((self.shape, part.shape))
        return part
put = sharded(mesh, "float32")
folder = sys.argv[1]
model = load_pretrained(folder, placement=lambda name, values: put(name, np.asarray(values).view(Watched))).model
kernel = model.transformer.blocks[0].mlp.into.kernel[...]
assert {part.data.shape for part in kernel.addressable_shards} == {(kernel.shape[0], kernel.shape[1] // 2)}
odd = model.heads.kernels[...]
assert odd.shape == (1, 16, 19) and odd.sharding.is_fully_replicated
halves = [(whole, part) for whole, part in read if len(whole) > 1 and whole[-1] % 2 == 0]
assert len(halves) > 10 and all(part == (*whole[:-1], whole[-1] // 2) for whole, part in halves)
plain = load_pretrained(folder).model
for ours, truth in zip(*(jax.tree.leaves(nnx.state(m)) for m in (model, plain)), strict=True):
    np.testing.assert_array_equal(ours, truth)
print("done")
"""
    here = folder("gpt_neox")
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", code, str(here)]
    done = subprocess.run(command, env=os.environ | flags, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stdout == "done\n", done.stderr
