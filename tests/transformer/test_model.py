"""The transformer against its naive twin; causality, the KV cache, counts and initial variances."""

from collections.abc import Callable
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from circuits.transformer.config import TransformerConfig
from circuits.transformer.generate import greedy
from circuits.transformer.model import Predictor
from circuits.transformer.taps import Taps
from tests.cases import assert_close
from tests.transformer.models import CONFIGS, VOCAB, compiled, pure, random_model, random_tokens, small_config
from tests.transformer.naive_transformer import naive_logits

PATTERNS = Taps(capture=("blocks.*.attn.pattern",))
DEEP = ("gpt", "one key head", "mistral")
"""Configs that are tested with several layers; with the others one is enough."""


def config_of(name: str) -> TransformerConfig:
    return small_config(name) if name in DEEP else small_config(name, layers=1)


@cache
def program(name: str):
    """Return one jitted function of a config's model: logits by both attention paths, and by head."""
    model = random_model(config_of(name))

    @jax.jit
    def run(tokens):
        tapped, cache = model(tokens, PATTERNS)
        assert len(cache) == model.config.layers
        final, _ = model.transformer(tokens)
        heads = [model.logits(final, head) for head in range(model.config.prediction_heads)]
        return model(tokens), tapped, jnp.stack(heads)

    return run


@cache
def naive(name: str) -> np.ndarray:
    config = config_of(name)
    return naive_logits(config, pure(random_model(config)), random_tokens().tolist())


@pytest.mark.parametrize("name", CONFIGS)
def test_logits_are_those_of_naive_loops(name):
    tokens, truth = random_tokens(), naive(name)
    assert truth.shape == (config_of(name).prediction_heads, len(tokens), VOCAB)
    assert np.std(truth) > 0.3
    fused, reference, by_head = program(name)(tokens)
    assert_close(fused, truth, atol=1e-10)
    assert_close(reference, truth, atol=1e-10)
    assert_close(fused, reference, atol=1e-12)
    assert_close(by_head, fused, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("neox", {"parallel": False}),
        ("neox", {"rotary_fraction": 0.5}),
        ("neox", {"rotary_factor": 1.0}),
        ("qwen", {"norm_epsilon": 0.3}),
        ("mistral", {"window": 4}),
        ("mistral", {"window": 0}),
        ("mistral", {"rotary_original": 0}),
        ("mistral", {"rotary_low": 0.5}),
        ("mistral", {"rotary_high": 8.0}),
    ],
    ids=str,
)
def test_agreement_with_the_twin_depends_on_each_choice(name, change):
    """The same parameters under another choice give other logits, so a model that ignores the field disagrees."""
    config = config_of(name)
    other = naive_logits(
        TransformerConfig(**vars(config) | change), pure(random_model(config)), random_tokens().tolist()
    )
    assert np.max(np.abs(other - naive(name))) > 1e-3


@pytest.mark.parametrize(("name", "dtype"), [("biased", "float32"), ("biased", "bfloat16"), ("llama", "bfloat16")])
def test_low_precision_stays_near_float64(name, dtype):
    """Both paths within a few roundings of the largest logit; they need not round alike."""
    low, tokens = random_model(small_config(name, layers=1, dtype=dtype, param_dtype="float32")), random_tokens()
    fused, reference = nnx.jit(lambda model: (model(tokens), model(tokens, PATTERNS)[0]))(low)
    assert fused.dtype == reference.dtype == jnp.dtype(dtype)
    parameters = jax.tree.map(np.float64, pure(low))
    truth = naive_logits(small_config(name, layers=1), parameters, tokens.tolist())
    bound = 8 * float(jnp.finfo(dtype).eps) * float(np.max(np.abs(truth)))
    fused, reference = (np.asarray(x.astype(jnp.float64)) for x in (fused, reference))
    assert_close(fused, truth, atol=bound)
    assert_close(reference, truth, atol=bound)
    assert_close(fused, reference, atol=bound)


@pytest.mark.parametrize("name", ["gpt", "llama", "one key head", "neox", "qwen"])
def test_no_position_sees_a_later_token(name):
    # A sequence at a time: rows of one batch need not round alike, but earlier positions must be equal.
    run, tokens = program(name), np.asarray(random_tokens())
    before = np.asarray(run(tokens)[0])
    for position in range(len(tokens)):
        changed = np.where(np.arange(len(tokens)) == position, (tokens + 1) % VOCAB, tokens).astype(np.int32)
        after = np.asarray(run(changed)[0])
        assert_close(after[:, :position], before[:, :position], atol=0)
        gaps = np.max(np.abs(after - before)[:, position:], axis=(0, 2))
        assert np.min(gaps) > 1e-3, f"token {position} is not read at {position + int(np.argmin(gaps))}"


def test_a_window_hides_earlier_positions():
    """With windows of 3, a token reaches 2 positions a layer: two layers carry it to 4 later positions."""
    run, tokens = program("mistral"), np.asarray(random_tokens())
    changed = np.where(np.arange(len(tokens)) == 1, (tokens + 1) % VOCAB, tokens).astype(np.int32)
    before, after = (np.asarray(run(row)[0][0]) for row in (tokens, changed))
    moved = (np.max(np.abs(after - before), axis=-1) > 1e-6).tolist()
    assert moved == [False] + [True] * 5 + [False] * 3


@pytest.mark.parametrize(
    ("name", "parts"), [("gpt", (3, 1, 1, 3)), ("llama", (1,) * 8), ("mistral", (2, 1, 1, 2))], ids=str
)
def test_cached_keys_and_values_give_the_full_forward(name, parts):
    transformer = random_model(config_of(name)).transformer
    tokens = random_tokens(sum(parts))
    graph, state = nnx.split(transformer)

    @jax.jit
    def step(tokens, kv_cache, start):
        return nnx.merge(graph, state)(tokens, kv_cache, start)

    # Positions that are not written yet must not be read, whatever they hold.
    kv_cache = jax.tree.map(lambda array: np.full(array.shape, 1e3), transformer.empty_cache())
    start, streams = 0, []
    for size in parts:
        stream, kv_cache = step(np.asarray(tokens)[start : start + size], kv_cache, np.int32(start))
        streams.append(np.asarray(stream))
        start += size
    full, full_cache = nnx.jit(lambda model: model(tokens))(transformer)
    assert_close(np.concatenate(streams), full, atol=1e-12)
    assert_close(jax.tree.map(lambda array: np.asarray(array)[: len(tokens)], kv_cache), full_cache, atol=1e-12)


def test_an_empty_cache_has_the_capacity_of_every_position_and_key_head():
    config = small_config("llama", dtype="bfloat16")
    kv_cache = random_model(config).transformer.empty_cache()
    assert len(kv_cache) == config.layers
    assert all(a.shape == (config.positions, 2, 4) and a.dtype == jnp.bfloat16 for a in jax.tree.leaves(kv_cache))


def test_a_tied_first_head_has_no_kernel_of_its_own():
    for tied, count in ((False, 3), (True, 2)):
        assert random_model(small_config("biased", tied=tied)).heads.kernels.shape == (count, 16, VOCAB)


def test_learned_positions_differ_and_rotary_ones_have_no_table():
    assert not hasattr(random_model(small_config("llama")).transformer, "positions")
    logits = np.asarray(program("gpt")(jnp.zeros(9, jnp.int32))[0])
    assert np.min(np.max(np.abs(np.diff(logits, axis=1)), axis=(0, 2))) > 1e-2


def test_the_large_model_has_25_million_parameters():
    """12 d² and two norms a block; one more norm; embedding, positions, and one head: no biases."""
    config = TransformerConfig(vocab=104, positions=64, layers=8, heads=8, width=512)
    count = _count(nnx.eval_shape(lambda: Predictor(config, nnx.Rngs(0))))
    assert count == 8 * (12 * 512**2 + 2 * 512) + 512 + (104 + 64 + 104) * 512 == 25_313_792


def test_parameter_counts_follow_the_config():
    d, h, hidden = 16, 4, 64
    llama = 2 * (d * d + 2 * d * 2 * h + d * d + 3 * d * hidden + 2 * d) + d + 3 * VOCAB * d
    assert _count(random_model(small_config("llama"))) == llama
    attention = 4 * (d * d + d)
    biased = 2 * (attention + 2 * d * 20 + 20 + d + 4 * d) + 2 * d + (VOCAB + 9 + 3 * VOCAB) * d
    assert _count(random_model(small_config("biased"))) == biased
    qkv = d * 36 + 36 + 2 * (d * 12 + 12)
    qwen = 2 * (qkv + 2 * 6 + 36 * d + 3 * d * hidden + 2 * d) + d + 2 * VOCAB * d
    assert _count(random_model(small_config("qwen"))) == qwen
    neox = 2 * (3 * (d * 32 + 32) + 32 * d + d + 2 * d * hidden + hidden + d + 4 * d) + 2 * d + 2 * VOCAB * d
    assert _count(random_model(small_config("neox"))) == neox


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_dtypes_are_those_of_the_config(dtype):
    """Half precision is computed without implicit promotion, which conftest makes an error."""
    model = random_model(small_config("llama", layers=1, dtype=dtype, param_dtype="float32"))
    assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(model))} == {jnp.dtype("float32")}
    logits, cache = compiled(model, random_tokens(4), Taps(capture=("*",)))
    assert {array.dtype for array in (logits, *cache.values())} == {jnp.dtype(dtype)}
    assert bool(jnp.all(jnp.isfinite(logits)))
    stored = random_model(small_config("biased", layers=1, dtype="float32", param_dtype=dtype))
    assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(stored))} == {jnp.dtype(dtype)}
    assert jax.eval_shape(stored, random_tokens(4)).dtype == jnp.float32


def test_initial_variances():
    """Entries have variance 1 / size_in; those that write to the stream, 1 / (2 L size_in). Embeddings are as set."""
    model = _initial()
    body, last = model.transformer, model.transformer.blocks[2]
    expected = {
        "tokens": (body.tokens, 0.05**2),
        "positions": (body.positions, 0.05**2),
        "heads": (model.heads.kernels, 1 / 64),
        "query": (last.attn.query.kernel, 1 / 64),
        "key": (last.attn.key.kernel, 1 / 64),
        "value": (last.attn.value.kernel, 1 / 64),
        "attention out": (last.attn.out.kernel, 1 / (2 * 3 * 64)),
        "into": (last.mlp.into.kernel, 1 / 64),
        "mlp out": (last.mlp.out.kernel, 1 / (2 * 3 * 256)),
    }
    for name, (kernel, variance) in expected.items():
        # 4096 normal entries at least: their variance is within 2.3 % (one standard deviation).
        assert float(jnp.var(kernel[...])) == pytest.approx(variance, rel=0.12), name
        assert abs(float(jnp.mean(kernel[...]))) < 0.06 * variance**0.5, name


def test_the_initial_stream_does_not_grow_with_depth():
    variances = {}
    for layers in (1, 3):
        name = f"blocks.{layers - 1}.resid_post"
        _, cache = compiled(_initial(layers=layers), random_tokens(), Taps(capture=(name,)))
        variances[layers] = float(jnp.var(cache[name]))
    assert variances[3] == pytest.approx(variances[1], rel=0.35)


def test_the_same_seed_gives_the_same_parameters():
    one, two, other = (_initial(seed, layers=1) for seed in (3, 3, 4))
    assert_close(jax.tree.leaves(nnx.state(one)), jax.tree.leaves(nnx.state(two)), atol=0)
    assert not np.array_equal(one.transformer.tokens[...], other.transformer.tokens[...])


@pytest.mark.parametrize("length", [0, 10])
def test_too_long_and_empty_sequences_are_errors(length):
    with pytest.raises(ValueError, match=r"tokens: must be 1 to 9 tokens"):
        random_model(small_config())(jnp.zeros(length, jnp.int32))


def test_a_batch_and_ids_outside_the_vocabulary_are_errors():
    model, tokens = random_model(small_config()), jnp.arange(3, dtype=jnp.int32)
    unchecked = getattr(Predictor.__call__, "__wrapped__", Predictor.__call__)  # beartype refuses a batch before
    with pytest.raises(ValueError, match=r"tokens: must be one sequence"):
        unchecked(model, tokens[None])
    for call, name in ((model, "tokens"), (lambda ids: greedy(model, ids, 1), "prompt")):
        for wrong in (VOCAB, -1):
            with pytest.raises(ValueError, match=rf"{name}: must hold ids in range\({VOCAB}\)"):
                call(tokens.at[1].set(wrong))
    assert jax.eval_shape(jax.vmap(model), tokens[None]).shape == (1, 1, 3, VOCAB)


def test_torch_agrees():
    """A peer written in another library: F.scaled_dot_product_attention, nn.LayerNorm, nn.Linear."""
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    config = small_config("biased", activation="gelu", layers=3)
    model, tokens = random_model(config), random_tokens()
    parameters = jax.tree.map(torch.tensor, pure(model))

    def norm(part, x):
        return functional.layer_norm(x, x.shape[-1:], part["scale"], part["bias"], config.norm_epsilon)

    def affine(part, x):
        return functional.linear(x, part["kernel"].T, part["bias"])

    def attention(part, x):
        q, k, v = (affine(part[n], x).view(len(x), config.heads, -1).transpose(0, 1) for n in ("query", "key", "value"))
        z = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return affine(part["out"], z.transpose(0, 1).reshape(len(x), -1))

    body = parameters["transformer"]
    x = functional.embedding(torch.tensor(np.asarray(tokens)), body["tokens"]) + body["positions"][: len(tokens)]
    for number in range(config.layers):
        block = body["blocks"][number]
        x = x + attention(block["attn"], norm(block["norm_attn"], x))
        x = x + affine(block["mlp"]["out"], functional.gelu(affine(block["mlp"]["into"], norm(block["norm_mlp"], x))))
    logits = torch.stack([norm(body["norm"], x) @ kernel for kernel in parameters["heads"]["kernels"]])
    assert_close(compiled(model, tokens), logits.numpy(), atol=1e-10)


@cache
def _initialise(layers: int) -> Callable[[jax.Array], Predictor]:
    config = small_config(width=64, vocab=400, positions=300, layers=layers, embed_scale=0.05)
    return nnx.jit(lambda key: Predictor(config, nnx.Rngs(key)))


def _initial(seed: int = 0, layers: int = 3) -> Predictor:
    """Return a model with its own initial parameters."""
    return _initialise(layers)(jax.random.key(seed))


def _count(model: Predictor) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model)))
