"""Attention patterns of a user's own Flax model, against softmax by hand; the model stays unchanged."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from circuits.pretrained.flax_attention import capture_attention
from tests.cases import assert_close, rounding

D, H, T = 8, 2, 5
CAUSAL = np.tril(np.ones((T, T), bool))


def attention(rngs: nnx.Rngs, **options: Any) -> nnx.MultiHeadAttention:
    fields: dict[str, Any] = {"decode": False, "param_dtype": jnp.float32, "bias_init": nnx.initializers.normal(1.0)}
    return nnx.MultiHeadAttention(H, D, rngs=rngs, **(fields | options))


class Block(nnx.Module):
    def __init__(self, rngs: nnx.Rngs, **options: Any) -> None:
        self.attn = attention(rngs, **options)
        self.mlp = nnx.Linear(D, D, param_dtype=jnp.float32, rngs=rngs)

    def __call__(self, x: Any, mask: Any = None) -> Any:
        x = x + self.attn(x, mask=mask)
        return x + jnp.sin(self.mlp(x))


class Stack(nnx.Module):
    def __init__(self, seed: int = 0, blocks: int = 3, **options: Any) -> None:
        rngs = nnx.Rngs(seed)
        self.blocks = nnx.List([Block(rngs, **options) for _ in range(blocks)])

    def __call__(self, x: Any, mask: Any = None) -> Any:
        for block in self.blocks:
            x = block(x, mask)
        return x


class Scanned(nnx.Module):
    """Three blocks in one, with their parameters stacked."""

    def __init__(self, seed: int = 0) -> None:
        @nnx.split_rngs(splits=3)
        @nnx.vmap
        def make(rngs: nnx.Rngs) -> Block:
            return Block(rngs)

        self.blocks = make(nnx.Rngs(seed))

    def __call__(self, x: Any) -> Any:
        @nnx.scan(in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)
        def through(x: Any, block: Block) -> Any:
            return block(x)

        return through(x, self.blocks)


def inputs(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=(*shape, D)), jnp.float32)


def bias_of(part: Any) -> Any:
    return part.bias[...]


def by_hand(module: nnx.MultiHeadAttention, x: Any, y: Any, mask: np.ndarray | None = None) -> np.ndarray:
    """Return softmax(q k / √h) of one sequence, entry by entry."""
    q, k = (
        np.einsum("td,dhe->the", np.asarray(a), np.asarray(part.kernel[...])) + np.asarray(bias_of(part))
        for part, a in ((module.query, x), (module.key, y))
    )
    weights = np.zeros((H, len(q), len(k)))
    for h, t, s in np.ndindex(*weights.shape):
        attended = mask is None or mask[t, s]
        weights[h, t, s] = np.exp(q[t, h] @ k[s, h] / np.sqrt(D // H)) if attended else 0
    return weights / weights.sum(axis=-1, keepdims=True)


def leaves(model: nnx.Module) -> dict[str, np.ndarray]:
    found = jax.tree.flatten_with_path(nnx.to_pure_dict(nnx.state(model)))[0]
    plain = [(p, jax.random.key_data(a) if jnp.issubdtype(a.dtype, jax.dtypes.prng_key) else a) for p, a in found]
    return {jax.tree_util.keystr(path): np.asarray(array) for path, array in plain}


def untouched(model: nnx.Module, before: dict[str, np.ndarray], graph: Any) -> None:
    after = leaves(model)
    assert after.keys() == before.keys()
    assert all(np.array_equal(after[name], before[name]) for name in before)
    assert nnx.split(model)[0] == graph
    assert not any(isinstance(value, nnx.Intermediate) for _, value in nnx.iter_graph(model))


def test_every_module_against_softmax_by_hand():
    model, x = Stack(), inputs(T)
    before, graph = leaves(model), nnx.split(model)[0]
    out, found = capture_attention(model, lambda m: m(x, CAUSAL))
    assert list(found) == ["blocks.0.attn", "blocks.1.attn", "blocks.2.attn"]
    stream = x
    for i, block in enumerate(model.blocks):
        truth = by_hand(block.attn, stream, stream, CAUSAL)
        assert_close(found[f"blocks.{i}.attn"], truth, atol=2e-6)
        wrong = by_hand(block.attn, stream, stream)
        assert np.abs(np.asarray(found[f"blocks.{i}.attn"]) - wrong).max() > 0.01
        stream = block(stream, CAUSAL)
    assert_close(out, stream, atol=2e-6)
    untouched(model, before, graph)
    assert type(model.blocks[0].attn) is nnx.MultiHeadAttention


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["blocks.1.attn"], ["blocks.1.attn"]),
        (["blocks.[02].attn"], ["blocks.0.attn", "blocks.2.attn"]),
        (["*.2.*", "blocks.0*"], ["blocks.0.attn", "blocks.2.attn"]),
    ],
)
def test_only_the_chosen_paths(paths, names):
    model, x = Stack(), inputs(T)
    everything = capture_attention(model, lambda m: m(x))[1]
    found = capture_attention(model, lambda m: m(x), paths)[1]
    # Where no weights are asked for, flax takes another function for attention. Of each block, a way through it adds up
    # entries of queries, of scores, of a row and its values, of attention's output and of the MLP.
    atol = rounding(jnp.float32, len(model.blocks) * (D + D // H + 2 * T + D + D))
    assert_close(found, {name: everything[name] for name in names}, atol=atol)


def test_a_batch_and_queries_that_read_other_keys():
    module, x, y = attention(nnx.Rngs(0)), inputs(3, T), inputs(3, 7, seed=1)
    _, found = capture_attention(module, lambda m: m(x, y))
    truth = np.stack([by_hand(module, a, b) for a, b in zip(x, y, strict=True)])
    assert_close(found, {"": truth}, atol=2e-6)


@pytest.mark.parametrize(
    "transform", ["inside jax.jit", "inside nnx.jit", "around nnx.jit", "around nnx.remat", "vmap"]
)
def test_under_transformations(transform):
    model, x = Stack(), inputs(2, T)
    truth = capture_attention(model, lambda m: m(x))
    before, graph = leaves(model), nnx.split(model)[0]
    if transform == "inside jax.jit":
        found = jax.jit(lambda x: capture_attention(model, lambda m: m(x)))(x)
    elif transform == "inside nnx.jit":
        found = nnx.jit(lambda model, x: capture_attention(model, lambda m: m(x)))(model, x)
    elif transform == "vmap":
        found = jax.vmap(lambda x: capture_attention(model, lambda m: m(x)))(x)
    else:
        wrap: Any = nnx.jit if transform == "around nnx.jit" else nnx.remat
        found = capture_attention(model, lambda m: wrap(lambda m, x: m(x))(m, x))
    assert_close(found, truth, atol=2e-6)
    untouched(model, before, graph)


def test_blocks_that_are_scanned_have_an_axis_for_the_blocks():
    model, x = Scanned(), inputs(T)
    out, found = capture_attention(model, lambda m: m(x))
    assert {name: a.shape for name, a in found.items()} == {"blocks.attn": (3, H, T, T)}
    graph, state = nnx.split(model.blocks)
    stream = x
    for i in range(3):
        block = nnx.merge(graph, jax.tree.map(lambda a, i=i: a[i], state))
        assert_close(found["blocks.attn"][i], by_hand(block.attn, stream, stream), atol=2e-6)
        stream = block(stream)
    assert_close(out, stream, atol=2e-6)


def test_dropout_draws_what_the_model_would_and_leaves_its_stream_alone():
    model, x = Stack(dropout_rate=0.5, deterministic=False), inputs(T)
    before, graph = leaves(model), nnx.split(model)[0]
    out, found = capture_attention(model, lambda m: m(x))
    assert_close(found["blocks.0.attn"], by_hand(model.blocks[0].attn, x, x), atol=2e-6)
    untouched(model, before, graph)
    assert_close(out, model(x), atol=2e-6)
    assert float(jnp.abs(out - model(x)).max()) > 1e-3, "the next draw is another one"


@jax.numpy_dtype_promotion("standard")  # flax compares positions of two integer types
def test_decoding_reads_the_cache_and_leaves_it_alone():
    model, x = attention(nnx.Rngs(0), decode=True), inputs(T)
    model.init_cache((T, D), jnp.float32)
    model(x[:1])
    before, graph = leaves(model), nnx.split(model)[0]
    _, found = capture_attention(model, lambda m: m(x[1:2]))
    assert_close(found[""][:, :, :2], by_hand(model, x[1:2], x[:2]), atol=2e-6)
    assert not np.asarray(found[""][:, :, 2:]).any()
    untouched(model, before, graph)


def test_a_module_called_twice_has_two_patterns():
    model, x = attention(nnx.Rngs(0)), inputs(T)
    (first, _), found = capture_attention(model, lambda m: (m(x), m(2 * x)))
    assert_close(found, {":0": by_hand(model, x, x), ":1": by_hand(model, 2 * x, 2 * x)}, atol=2e-6)
    assert_close(first, model(x), atol=2e-6)


def test_weights_of_an_earlier_call_are_not_returned():
    model, x = Stack(), inputs(T)
    first: Any = model.blocks[0].attn
    with pytest.warns(DeprecationWarning, match="sow"):
        first(3 * x, sow_weights=True)
    left = np.asarray(first.attention_weights.get_value()[0])
    _, found = capture_attention(model, lambda m: m(x))
    assert_close(found["blocks.0.attn"], by_hand(model.blocks[0].attn, x, x), atol=2e-6)
    assert len(first.attention_weights.get_value()) == 1
    assert np.abs(np.asarray(found["blocks.0.attn"]) - left).max() > 0.01


def test_a_class_of_the_users_own_and_grouped_keys():
    class Mine(nnx.MultiHeadAttention):
        def __call__(self, inputs_q: Any, *args: Any, **options: Any) -> Any:
            return super().__call__(2 * inputs_q, *args, **options)

    model, x = Mine(H, D, decode=False, param_dtype=jnp.float32, num_kv_heads=1, rngs=nnx.Rngs(0)), inputs(T)
    _, found = capture_attention(model, lambda m: m(x))
    assert found[""].shape == (H, T, T)
    assert_close(found[""].sum(axis=-1), np.ones((H, T)), atol=2e-6)


def hidden(query: Any, key: Any, value: Any, mask: Any = None, **_: Any) -> Any:
    return jax.nn.dot_product_attention(query[None], key[None], value[None])[0]


REFUSED = {
    "no such path": (["blocks.7.attn"], r"must match an nnx.MultiHeadAttention, got 'blocks.7.attn'; near paths: .*'blocks.0.attn' \(MultiHeadAttention\)"),  # noqa: E501
    "another module": (["blocks.1.mlp"], r"got 'blocks.1.mlp'; which matches 'blocks.1.mlp' \(Linear\)"),
    "one of two": (["*", "blocks.0.mlp"], "got 'blocks.0.mlp'"),
    "a text": ("*", r"paths: must be a sequence of patterns, got '\*'"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_paths_that_match_nothing(name):
    paths, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        capture_attention(Stack(), lambda m: m(inputs(T)), paths)


def test_a_model_without_attention_says_what_it_has():
    with pytest.raises(ValueError, match=r"got '\*'; which matches .*'' \(Linear\)"):
        capture_attention(nnx.Linear(D, D, rngs=nnx.Rngs(0)), lambda m: m(inputs(T)))


def test_calls_that_cannot_be_captured():
    model, x = Stack(), inputs(2, T)
    with pytest.raises(ValueError, match=r"paths: must be paths of modules that the call runs.*'blocks.0.attn'"):
        capture_attention(model, lambda m: model(x))
    with pytest.raises(ValueError, match=r"that the call runs.*\['blocks.1.attn', 'blocks.2.attn'\]"):
        capture_attention(model, lambda m: m.blocks[0](x))
    over_rows: dict[str, Any] = {
        "jax.vmap": lambda m: jax.vmap(lambda x: m(x))(x),
        "nnx.vmap": lambda m: nnx.vmap(lambda m, x: m(x), in_axes=(None, 0))(m, x),
        "jax.jit": lambda m: jax.jit(lambda x: m(x))(x),
    }
    for call in over_rows.values():
        with pytest.raises(ValueError, match="call: must run the model"):
            capture_attention(model, call)
    nnx.split(model)


def test_an_attention_function_that_hides_its_weights():
    model, x = Stack(attention_fn=hidden), inputs(T)
    with pytest.raises(ValueError, match=r"attention_fn: must store its weights.*hidden"):
        capture_attention(model, lambda m: m(x))
    shown = Stack(attention_fn=partial(nnx.dot_product_attention, bias=jnp.ones((1, T, T), jnp.float32)))
    assert len(capture_attention(shown, lambda m: m(x))[1]) == 3


def test_an_error_of_the_call_itself_is_passed_on():
    with pytest.raises(ValueError, match="Incompatible input dimension"):
        capture_attention(Stack(), lambda m: m(jnp.ones((T, D + 1), jnp.float32)))
