"""Logits and patterns against what transformers computed from the same folders (``make_reference``), without torch.

Wrong variants of each model must miss the bound by far, or the agreement would mean nothing. Their logits come from the
naive twin of the transformer, which compiles nothing.
"""

import json
import shutil
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx

from circuits.pretrained import load_pretrained
from circuits.transformer.model import Predictor
from circuits.transformer.taps import Taps
from tests.cases import assert_close
from tests.transformer.models import pure
from tests.transformer.naive_transformer import naive_logits

HERE = Path(__file__).parent / "reference"
NAMES = sorted(path.name for path in HERE.iterdir())
WRONG = [
    ("gpt2", {"activation_function": "gelu"}),
    ("gpt2", {"layer_norm_epsilon": 1e-3}),
    ("llama", {"rope_parameters": {"rope_type": "default", "rope_theta": 30.0}}),
    ("llama", {"rope_parameters": {"rope_type": "linear", "rope_theta": 30.0, "factor": 8.0}}),
    ("mistral", {"sliding_window": None}),
    ("mistral", {"sliding_window": 5}),
    ("qwen2", {"rope_parameters": {"rope_type": "default", "rope_theta": 5000.0}}),
    ("qwen2", {"rms_norm_eps": 1e-4}),
    ("qwen3", {"rope_parameters": {"rope_type": "default", "rope_theta": 5000.0}}),
    ("gpt_neox", {"use_parallel_residual": False}),
    ("gpt_neox", {"rope_parameters": {"rope_type": "default", "rope_theta": 10000, "partial_rotary_factor": 0.5}}),
    ("gpt_neox", {"hidden_act": "gelu_new"}),
]


def test_every_family_is_here():
    assert NAMES == ["gpt2", "gpt_neox", "llama", "mistral", "qwen2", "qwen3"]


@cache
def expected(name: str) -> dict[str, np.ndarray]:
    return safetensors.numpy.load_file(HERE / name / "expected.safetensors")


def computed(model: Predictor, tokens: np.ndarray) -> dict[str, np.ndarray]:
    taps = Taps(capture=("blocks.*.attn.pattern",))
    logits, cache = nnx.jit(lambda model, ids: model(ids, taps))(model, jnp.asarray(tokens))
    patterns = [cache[f"blocks.{i}.attn.pattern"] for i in range(model.config.layers)]
    return {"tokens": tokens, "logits": np.asarray(logits[0]), "patterns": np.asarray(jnp.stack(patterns))}


@pytest.mark.parametrize("name", NAMES)
def test_float64(name):
    truth = expected(name)
    assert truth["logits"].dtype == np.float64
    assert truth["logits"].std() > 0.3
    model = load_pretrained(HERE / name, dtype="float64").model
    assert_close(computed(model, truth["tokens"]), truth, atol=1e-10)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_float32(name):
    truth = expected(name)
    assert_close(computed(load_pretrained(HERE / name).model, truth["tokens"]), truth, atol=1e-5)


@pytest.mark.parametrize(("name", "change"), WRONG, ids=str)
def test_a_wrong_config_is_seen(tmp_path, name, change):
    shutil.copytree(HERE / name, tmp_path, dirs_exist_ok=True)
    config = json.loads((HERE / name / "config.json").read_text())
    assert change.keys() <= config.keys()
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    model = load_pretrained(tmp_path, dtype="float64").model
    assert _is_far(model, pure(model), name)


@pytest.mark.parametrize(
    ("name", "part", "wrong"),
    [
        ("qwen3", "query_norm.scale", np.ones_like),
        ("qwen3", "key_norm.scale", lambda x: x[::-1]),
        ("qwen2", "value.bias", np.zeros_like),
        ("gpt2", "query.kernel", np.transpose),
        ("gpt2", "out.bias", np.zeros_like),
        ("gpt_neox", "key.kernel", lambda x: x.reshape(16, 8, 2).swapaxes(1, 2).reshape(16, 16)),
        ("gpt_neox", "out.kernel", np.transpose),
        ("gpt_neox", "query.bias", np.zeros_like),
        ("llama", "key.kernel", lambda x: x.reshape(8, 2, 16)[:, ::-1].reshape(8, 32)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_tensor_is_seen(name, part, wrong):
    """One parameter of the first layer's attention as a careless reader would lay it out."""
    model = load_pretrained(HERE / name, dtype="float64").model
    parameters = pure(model)
    assert not _is_far(model, parameters, name)
    owner, leaf = part.split(".")
    attention = parameters["transformer"]["blocks"][0]["attn"]
    attention[owner][leaf] = np.asarray(wrong(attention[owner][leaf]))
    assert _is_far(model, parameters, name)


def _is_far(model: Predictor, parameters: dict, name: str) -> bool:
    """Return whether logits are off by a million times the bound of float64, and more than that of float32."""
    truth = expected(name)
    doubles = jax.tree.map(np.float64, parameters)
    logits = naive_logits(model.config, doubles, truth["tokens"].tolist())[0]
    return float(np.max(np.abs(logits - truth["logits"]))) > 1e-4
