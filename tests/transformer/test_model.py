"""The transformer against its naive twin; causality, the cache of keys and values, counts and initial variances."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from circuits.transformer.attention import KeyValue
from circuits.transformer.config import TransformerConfig
from circuits.transformer.generate import greedy
from circuits.transformer.model import Predictor
from circuits.transformer.taps import Taps
from tests.cases import assert_close
from tests.transformer.models import SHAPES, VOCAB, compiled, drawn, sequence, shape
from tests.transformer.naive_transformer import naive_logits

PATTERNS = Taps(capture=("blocks.*.attn.pattern",))
every_shape = pytest.mark.parametrize("name", SHAPES)


@every_shape
def test_naive_loops_agree(name):
    config = shape(name)
    model, tokens = drawn(config), sequence()
    parameters = jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(model)))
    truth = naive_logits(config, parameters, [int(token) for token in tokens])
    assert truth.shape == (config.prediction_heads, len(tokens), VOCAB)
    assert np.std(truth) > 0.3
    fused, reference = _both_paths(model, tokens)
    assert_close(fused, truth, atol=1e-10)
    assert_close(reference, truth, atol=1e-10)
    assert_close(fused, reference, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["biased", "llama"])
def test_low_precision_stays_near_float64(name, dtype):
    """Both paths within a few roundings of the largest logit, some layers deep; they need not round alike."""
    low, tokens = drawn(shape(name, layers=1, dtype=dtype, param_dtype="float32")), sequence()
    high = _in_float64(low, shape(name, layers=1))
    fused, reference = _both_paths(low, tokens)
    truth = high(tokens)
    assert fused.dtype == reference.dtype == jnp.dtype(dtype)
    bound = 8 * float(jnp.finfo(dtype).eps) * float(jnp.max(jnp.abs(truth)))
    assert_close(_double(fused), truth, atol=bound)
    assert_close(_double(reference), truth, atol=bound)
    assert_close(_double(fused), _double(reference), atol=bound)


@pytest.mark.parametrize("name", ["gpt", "llama", "one key head", "neox", "qwen"])
def test_no_position_sees_a_later_token(name):
    model, tokens = drawn(shape(name)), sequence()
    graph, state = nnx.split(model)
    # One program, a sequence at a time: rows of one batch need not round alike, but earlier positions must be equal.
    logits = jax.jit(lambda row: nnx.merge(graph, state)(row))
    changed = [tokens.at[place].set((tokens[place] + 1) % VOCAB) for place in range(len(tokens))]
    before, *after = map(logits, [tokens, *changed])
    for place, new in enumerate(after):
        assert_close(new[:, :place], before[:, :place], atol=0)
        gaps = jnp.max(jnp.abs(new - before)[:, place:], axis=(0, 2))
        assert float(jnp.min(gaps)) > 1e-3, f"token {place} is not read at {place + int(jnp.argmin(gaps))}"


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("gpt", (3, 1, 1, 3)),
        ("llama", (1,) * 8),
        ("one key head", (3, 1, 1, 3)),
        ("approximate", (3, 4)),
        ("neox", (2, 1, 4)),
        ("qwen", (3, 1, 1, 3)),
        ("mistral", (2, 1, 1, 4)),
    ],
    ids=str,
)
def test_cached_keys_and_values_give_the_full_forward(name, parts):
    transformer = drawn(shape(name)).transformer
    tokens = sequence(sum(parts))
    graph, state = nnx.split(transformer)

    @jax.jit
    def continued(tokens, past, start):
        return nnx.merge(graph, state)(tokens, past, start)

    # Places that are not filled yet must not be read, whatever stands there.
    past = tuple(KeyValue(layer.keys + 1e3, layer.values - 1e3) for layer in transformer.empty_past())
    start, streams = 0, []
    for size in parts:
        stream, past = continued(tokens[start : start + size], past, jnp.int32(start))
        streams.append(stream)
        start += size
    full, full_past = nnx.jit(lambda model: model(tokens))(transformer)
    assert_close(jnp.concatenate(streams), full, atol=1e-12)
    filled = jax.tree.map(lambda array: array[: len(tokens)], past)
    assert_close(filled, full_past, atol=1e-12)


def test_a_window_hides_what_is_further_back():
    """With windows of 3, a token reaches 2 places a layer: 4 of 9 places after it see it in two layers."""
    model, tokens = drawn(shape("mistral")), sequence()
    before, after = compiled(model, tokens)[0], compiled(model, tokens.at[1].set((tokens[1] + 1) % VOCAB))[0]
    moved = (jnp.max(jnp.abs(after - before), axis=-1) > 1e-6).tolist()
    assert moved == [False] + [True] * 5 + [False] * 3


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
def test_each_choice_matters(name, change):
    """The same parameters under another choice give other logits: a field that nothing reads would not."""
    one, other = drawn(shape(name)), drawn(shape(name, **change))
    assert_close(jax.tree.leaves(nnx.state(one)), jax.tree.leaves(nnx.state(other)), atol=0)
    assert float(jnp.max(jnp.abs(compiled(one, sequence()) - compiled(other, sequence())))) > 1e-3


def test_empty_past_has_room_for_every_place_and_key_head():
    config = shape("llama", dtype="bfloat16")
    past = drawn(config).transformer.empty_past()
    assert len(past) == config.layers
    assert all(a.shape == (config.positions, 2, 4) and a.dtype == jnp.bfloat16 for a in jax.tree.leaves(past))


@every_shape
def test_logits_of_one_head_are_its_row(name):
    config = shape(name)
    model, tokens = drawn(config), sequence()
    final, _ = model.transformer(tokens)
    rows = [model.logits(final, head) for head in range(config.prediction_heads)]
    assert_close(jnp.stack(rows), compiled(model, tokens), atol=1e-12)


def test_a_tied_first_head_has_no_kernel_of_its_own():
    kernels = {
        tied: nnx.eval_shape(lambda tied=tied: Predictor(shape("biased", tied=tied), nnx.Rngs(0))).heads.kernels
        for tied in (False, True)
    }
    assert kernels[False].shape == (3, 16, VOCAB)
    assert kernels[True].shape == (2, 16, VOCAB)


def test_learned_positions_tell_places_apart_and_rotary_ones_have_no_table():
    assert not hasattr(drawn(shape("llama")).transformer, "positions")
    model = drawn(shape())
    logits = compiled(model, jnp.zeros(5, jnp.int32))
    assert float(jnp.min(jnp.max(jnp.abs(jnp.diff(logits, axis=1)), axis=(0, 2)))) > 1e-2


def test_the_large_model_has_25_million_parameters():
    """12 d² and two norms a block; one more norm; embedding, positions, and one head: no biases."""
    config = TransformerConfig(vocab=104, positions=64, layers=8, heads=8, width=512)
    count = _count(nnx.eval_shape(lambda: Predictor(config, nnx.Rngs(0))))
    assert count == 8 * (12 * 512**2 + 2 * 512) + 512 + (104 + 64 + 104) * 512 == 25_313_792


def test_parameters_follow_the_shape():
    d, h, hidden = 16, 4, 64
    llama = 2 * (d * d + 2 * d * 2 * h + d * d + 3 * d * hidden + 2 * d) + d + 3 * VOCAB * d
    assert _count(drawn(shape("llama"))) == llama
    attention = 4 * (d * d + d)
    biased = 2 * (attention + 2 * d * 20 + 20 + d + 4 * d) + 2 * d + (VOCAB + 9 + 3 * VOCAB) * d
    assert _count(drawn(shape("biased"))) == biased
    qkv = d * 36 + 36 + 2 * (d * 12 + 12)
    qwen = 2 * (qkv + 2 * 6 + 36 * d + 3 * d * hidden + 2 * d) + d + 2 * VOCAB * d
    assert _count(drawn(shape("qwen"))) == qwen
    neox = 2 * (3 * (d * 32 + 32) + 32 * d + d + 2 * d * hidden + hidden + d + 4 * d) + 2 * d + 2 * VOCAB * d
    assert _count(drawn(shape("neox"))) == neox


@pytest.mark.parametrize("kind", ["bfloat16", "float16"])
def test_dtypes_are_those_of_the_config(kind):
    """Half precision is computed without an implicit promotion: conftest makes one an error."""
    model = drawn(shape("llama", layers=1, dtype=kind, param_dtype="float32"))
    assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(model))} == {jnp.dtype("float32")}
    logits, cache = compiled(model, sequence(4), Taps(capture=("*",)))
    assert {array.dtype for array in (logits, *cache.values())} == {jnp.dtype(kind)}
    assert bool(jnp.all(jnp.isfinite(logits)))
    stored = drawn(shape("biased", layers=1, dtype="float32", param_dtype=kind))
    assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(stored))} == {jnp.dtype(kind)}
    assert compiled(stored, sequence(4)).dtype == jnp.float32


def test_initial_variances():
    """Entries have variance 1 / size_in; those that write to the stream, 1 / (2 L size_in). Embeddings are as set."""
    layers = 3
    model = _initial(shape(width=64, vocab=400, positions=300, layers=layers, embed_scale=0.05))
    body, last = model.transformer, model.transformer.blocks[layers - 1]
    claims = {
        "tokens": (body.tokens, 0.05**2),
        "positions": (body.positions, 0.05**2),
        "heads": (model.heads.kernels, 1 / 64),
        "query": (last.attn.query.kernel, 1 / 64),
        "key": (last.attn.key.kernel, 1 / 64),
        "value": (last.attn.value.kernel, 1 / 64),
        "attention out": (last.attn.out.kernel, 1 / (2 * layers * 64)),
        "into": (last.mlp.into.kernel, 1 / 64),
        "mlp out": (last.mlp.out.kernel, 1 / (2 * layers * 256)),
    }
    for name, (kernel, variance) in claims.items():
        # 4096 normal entries at least: their variance is within 2.3 % (one standard deviation).
        assert float(jnp.var(kernel[...])) == pytest.approx(variance, rel=0.12), name
        assert abs(float(jnp.mean(kernel[...]))) < 0.06 * variance**0.5, name


def test_the_initial_stream_does_not_grow_with_depth():
    tokens = sequence()
    sizes = {}
    for layers in (1, 6):
        model = _initial(shape(width=64, layers=layers))
        _, cache = compiled(model, tokens, Taps(capture=(f"blocks.{layers - 1}.resid_post",)))
        sizes[layers] = float(jnp.var(cache[f"blocks.{layers - 1}.resid_post"]))
    assert sizes[6] == pytest.approx(sizes[1], rel=0.35)


@pytest.mark.parametrize("length", [0, 10])
def test_too_long_or_empty_sequences_are_named(length):
    with pytest.raises(ValueError, match=rf"tokens: must be 1 to 9 tokens \(config.positions\), got {length}"):
        drawn(shape())(jnp.zeros(length, jnp.int32))


def test_the_same_seed_gives_the_same_parameters():
    one, two, other = (_initial(shape(width=64), seed) for seed in (3, 3, 4))
    assert_close(jax.tree.leaves(nnx.state(one)), jax.tree.leaves(nnx.state(two)), atol=0)
    assert not np.array_equal(one.transformer.tokens[...], other.transformer.tokens[...])


def test_torch_agrees():
    """A peer written in another library: F.scaled_dot_product_attention, nn.LayerNorm, nn.Linear."""
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    config = shape("biased", activation="gelu", layers=3)
    model, tokens = drawn(config), sequence()
    parameters = jax.tree.map(lambda a: torch.tensor(np.asarray(a)), nnx.to_pure_dict(nnx.state(model)))

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


def _initial(config: TransformerConfig, seed: int = 0) -> Predictor:
    """The model as its own initialisation draws it."""
    return Predictor(config, nnx.Rngs(seed))


def _count(model: Predictor) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model)))


def _both_paths(model: Predictor, tokens: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Logits by the fused path, and by the one that shows its patterns."""
    graph, state = nnx.split(model)

    @jax.jit
    def both(state):
        model = nnx.merge(graph, state)
        shown, cache = model(tokens, PATTERNS)
        assert len(cache) == model.config.layers
        return model(tokens), shown

    return both(state)


def _in_float64(model: Predictor, config: TransformerConfig) -> Predictor:
    double = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), nnx.state(model))
    return nnx.merge(nnx.graphdef(nnx.eval_shape(lambda: Predictor(config, nnx.Rngs(0)))), double)


def _double(x: jax.Array) -> np.ndarray:
    return np.asarray(x.astype(jnp.float64))


def test_ids_outside_the_vocabulary_are_errors():
    config = TransformerConfig(vocab=5, positions=4, layers=1, heads=1, width=4)
    model = Predictor(config, nnx.Rngs(0))
    tokens = jnp.arange(3, dtype=jnp.int32)
    for call, name in ((model, "tokens"), (lambda ids: greedy(model, ids, 1), "prompt")):
        for wrong in (5, -1):
            with pytest.raises(ValueError, match=rf"{name}: must hold ids in range\(5\)"):
                call(tokens.at[1].set(wrong))
    assert jax.vmap(model)(tokens[None]).shape == (1, 1, 3, 5)
