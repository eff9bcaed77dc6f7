"""Logits and every attention pattern against transformers, the reference implementation of these families."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from circuits.pretrained import load_pretrained
from circuits.transformer.generate import greedy
from circuits.transformer.taps import Taps
from tests.cases import assert_close
from tests.pretrained.hugging_face import CASES, GPT2, LLAMA, all_in_float64, outputs, random_model, save, tokens

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
# Deprecations of other projects are not errors here.
pytestmark = pytest.mark.filterwarnings("default")
every_case = pytest.mark.parametrize(("kind", "settings"), CASES.values(), ids=CASES)


def ours(folder, ids, **options):
    """Return logits [T, V] and patterns [L, H, T, T] of the folder's model."""
    model = load_pretrained(folder, **options).model
    taps = Taps(capture=("blocks.*.attn.pattern",))
    logits, cache = nnx.jit(lambda model, ids: model(ids, taps))(model, jnp.asarray(ids))
    patterns = [cache[f"blocks.{i}.attn.pattern"] for i in range(model.config.layers)]
    return np.asarray(logits[0]), np.asarray(jnp.stack(patterns))


@every_case
def test_float32(tmp_path, kind, settings):
    model = random_model(kind, settings)
    truth = outputs(model, tokens())
    assert truth[0].std() > 0.3
    assert_close(ours(save(model, tmp_path), tokens()), truth, atol=1e-5)


@every_case
def test_float64(tmp_path, monkeypatch, kind, settings):
    with all_in_float64(monkeypatch):
        model = random_model(kind, settings, torch.float64)
        truth = outputs(model, tokens())
    assert truth[0].dtype == np.float64
    save(model, tmp_path)
    assert_close(ours(tmp_path, tokens(), dtype="float64"), truth, atol=1e-10)
    assert_close(ours(tmp_path, tokens(8), dtype="float64", positions=8), _short(truth, 8), atol=1e-10)


def _short(truth, length):
    return truth[0][:length], truth[1][:, :, :length, :length]


@pytest.mark.parametrize("kind", ["gpt2", "llama", "gpt_neox", "qwen3"])
def test_shards(tmp_path, kind):
    model = random_model(*CASES[kind])
    save(model, tmp_path, max_shard_size="5KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    assert_close(ours(tmp_path, tokens()), outputs(model, tokens()), atol=1e-5)


@pytest.mark.parametrize("half", ["bfloat16", "float16"])
@pytest.mark.parametrize("kind", ["gpt2", "llama", "gpt_neox"])
def test_half_precision_weights(tmp_path, kind, half):
    """The same weights in float32 on both sides: weights in half precision are computed with in full precision."""
    model = random_model(*CASES[kind], dtype=getattr(torch, half))
    save(model, tmp_path)
    found = load_pretrained(tmp_path).model
    assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(found))} == {jnp.dtype(half)}
    # Read back, since a model cast to half precision has its rotary angles cast too.
    again = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path, dtype=torch.float32, attn_implementation="eager"
    )
    truth = outputs(again.eval(), tokens())
    assert_close(ours(tmp_path, tokens()), truth, atol=1e-5)
    assert_close(ours(tmp_path, tokens(), param_dtype="float32"), truth, atol=1e-5)


def test_configs_of_transformers_4(tmp_path):
    """The same models described by the older fields."""
    for kind, settings, older in [
        ("llama 3", {}, {"rope_theta": 30.0, "rope_scaling": "rope_parameters"}),
        ("llama linear", {}, {"rope_theta": 50.0, "rope_scaling": {"type": "linear", "factor": 3.0}}),
        ("gpt_neox half rotary", {}, {"rotary_emb_base": 50, "rotary_pct": 0.5, "rope_scaling": None}),
    ]:
        model = random_model(CASES[kind][0], CASES[kind][1] | settings)
        save(model, tmp_path)
        config = json.loads((tmp_path / "config.json").read_text())
        said = config.pop("rope_parameters")
        if older["rope_scaling"] == "rope_parameters":
            older["rope_scaling"] = {name: value for name, value in said.items() if name != "rope_theta"}
        (tmp_path / "config.json").write_text(json.dumps(config | older))
        assert_close(ours(tmp_path, tokens()), outputs(model, tokens()), atol=1e-5)


def test_a_model_without_unembedding(tmp_path):
    """Names lack their prefix, and the head is tied."""
    for kind, settings in (("gpt2", GPT2), ("llama", LLAMA | {"tie_word_embeddings": True})):
        model = random_model(kind, settings)
        save(model.base_model, tmp_path)
        assert_close(ours(tmp_path, tokens()), outputs(model, tokens()), atol=1e-5)


@pytest.mark.parametrize("name", ["gpt2", "llama 3", "mistral", "qwen3", "gpt_neox"])
def test_greedy_text(tmp_path, name):
    model = random_model(*CASES[name])
    found = load_pretrained(save(model, tmp_path)).model
    prompt = tokens(5)
    truth = model.generate(
        torch.tensor(prompt[None]).long(), max_new_tokens=8, do_sample=False, eos_token_id=None, pad_token_id=0
    )
    text = nnx.jit(greedy, static_argnames="max_new_tokens")(found, jnp.asarray(prompt), max_new_tokens=8)
    assert text.tolist() == truth[0, 5:].tolist()


def test_a_wrong_variant_is_seen(tmp_path):
    """The bound would not let pass what these tests are there to find."""
    model = random_model(*CASES["qwen3"])
    truth = outputs(model, tokens())
    config = json.loads((save(model, tmp_path) / "config.json").read_text())
    for change in ({"rope_parameters": {"rope_type": "default", "rope_theta": 11000.0}}, {"rms_norm_eps": 1e-3}):
        (tmp_path / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(AssertionError, match="entries beyond"):
            assert_close(ours(tmp_path, tokens()), truth, atol=1e-5)
