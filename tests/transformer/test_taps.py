"""Taps of the transformer: each one fires, is read and can be edited; without taps the program is the same."""

from dataclasses import FrozenInstanceError
from fnmatch import fnmatchcase
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from circuits.transformer.attention import KeyValue, apply_rotary, fused_attention, rotary_frequencies
from circuits.transformer.layers import ACTIVATIONS
from circuits.transformer.model import tap_names
from circuits.transformer.taps import UNTAPPED, Recorder, Taps
from tests.cases import assert_close
from tests.transformer.models import random_model, random_tokens, small_config

ALL = Taps(capture=("*",))
every_structure = pytest.mark.parametrize("name", ["biased", "llama", "neox", "qwen"])
"""Several heads and biases; a gate; no resid_mid; norms of queries and keys."""


@every_structure
def test_every_name_fires_once_and_in_order(name):
    config = small_config(name)
    fired = []

    class Listener:
        """A tap that wants everything and records the names that it is called with."""

        def __init__(self, prefix=""):
            self.prefix = prefix

        def __call__(self, name, value):
            fired.append(self.prefix + name)
            return value

        def within(self, prefix):
            return Listener(f"{self.prefix}{prefix}.")

        def wants(self, name):
            return True

    model = random_model(config)
    jax.eval_shape(lambda tokens: model._logits(tokens, Listener()), random_tokens())
    assert fired == tap_names(config)
    assert len(set(fired)) == len(fired)
    assert list(_captured(config, ("*",))) == fired
    assert any(name.endswith("mlp.gate") for name in fired) == (config.activation == "swiglu")


@every_structure
def test_an_edit_of_any_name_changes_the_output(name):
    """A hook that is accepted and never fires is the failure to fear, so this goes through all names."""
    model, tokens = random_model(small_config(name, layers=1)), random_tokens(5)
    names = tap_names(model.config)

    @jax.jit
    def run(chosen):
        """Edit the chosen one of all names, in one program."""
        edits = {tap: lambda x, i=i: jnp.where(chosen == i, _stretched(x), x) for i, tap in enumerate(names)}
        return model(tokens, Taps(edit=edits))[0]

    before, after = np.asarray(run(-1)), {tap: np.asarray(run(i)) for i, tap in enumerate(names)}
    assert_close(before, model(tokens), atol=1e-12)
    assert all(np.isfinite(logits).all() for logits in after.values())
    assert not [tap for tap, logits in after.items() if np.max(np.abs(logits - before)) < 1e-3]


def _stretched(x: jax.Array) -> jax.Array:
    """Change direction and size, so that no norm undoes it; minus infinity stays."""
    return 1.5 * x + jnp.broadcast_to(jnp.linspace(0, 1, x.shape[-1], dtype=x.dtype), x.shape)


@pytest.mark.parametrize("name", ["gpt", "llama", "neox"])
def test_captures_are_what_their_names_say(name):
    """Each one follows from those before it by the formula of the model."""
    config = small_config(name)
    model, tokens = random_model(config), random_tokens()
    logits, cache = model(tokens, ALL)
    stream = cache["embed"]
    for i, block in enumerate(model.transformer.blocks):
        part = {key.removeprefix(f"blocks.{i}."): array for key, array in cache.items()}
        groups = config.heads // config.key_heads
        keys, values = (jnp.repeat(part[f"attn.{name}"], groups, axis=1) for name in ("k", "v"))
        scores = jnp.einsum("ihd,jhd->hij", part["attn.q"], keys) / np.sqrt(config.head_width)
        pre = part["mlp.pre"]
        post = jax.nn.silu(part["mlp.gate"]) * pre if "mlp.gate" in part else ACTIVATIONS[config.activation](pre)
        claims = {
            "resid_pre": stream,
            "attn_in": block.norm_attn(stream),
            "attn.v": block.attn.value(part["attn_in"]).reshape(9, config.key_heads, config.head_width),
            "attn.scores": jnp.where(jnp.tri(9, dtype=bool), scores, -jnp.inf),
            "attn.pattern": jax.nn.softmax(part["attn.scores"], axis=-1),
            "attn.z": jnp.einsum("hij,jhd->ihd", part["attn.pattern"], values),
            "attn_out": block.attn.out(part["attn.z"].reshape(9, config.heads * config.head_width)),
            **({} if config.parallel else {"resid_mid": part["resid_pre"] + part["attn_out"]}),
            "mlp_in": block.norm_mlp(part["resid_pre" if config.parallel else "resid_mid"]),
            "mlp.pre": block.mlp.into(part["mlp_in"]),
            "mlp.post": post,
            "mlp_out": block.mlp.out(part["mlp.post"]),
            "resid_post": part["resid_pre"] + part["attn_out"] + part["mlp_out"],
        }
        for key, truth in claims.items():
            assert_close({key: part[key]}, {key: truth}, atol=1e-12)
        stream = part["resid_post"]
    assert_close(cache["final"], model.transformer.norm(stream), atol=1e-12)
    heads = [cache[f"heads.{m}.logits"] for m in range(config.prediction_heads)]
    assert_close(logits, jnp.stack(heads), atol=0)


@settings(max_examples=15)
@given(data=st.data())
def test_a_pattern_captures_the_names_it_matches_in_the_models_order(data):
    config = small_config(data.draw(st.sampled_from(["gpt", "llama"])))
    names = tap_names(config)
    pieces = st.sampled_from([*names, "*", "blocks.?.attn.[qk]", "*.mlp.*", "blocks.1.*", "*resid_*", "heads.*"])
    patterns = data.draw(st.lists(pieces, min_size=1, max_size=4))
    assert list(_captured(config, tuple(patterns))) == [n for n in names if any(fnmatchcase(n, p) for p in patterns)]


def _captured(config, patterns: tuple[str, ...]):
    """Return the cache, of shapes."""
    model = random_model(config)
    return jax.eval_shape(lambda tokens: model(tokens, Taps(capture=patterns)), random_tokens())[1]


def test_captures_under_jit_vmap_and_grad_are_the_eager_ones():
    model = random_model(small_config("llama", layers=1))
    graph, state = nnx.split(model)
    rows = jnp.stack([random_tokens(5, seed) for seed in range(2)])
    eager = [model(row, ALL) for row in rows]
    together = jax.jit(jax.vmap(lambda row: nnx.merge(graph, state)(row, ALL)))(rows)
    assert_close(together, jax.tree.map(lambda *leaves: np.stack(leaves), *eager), atol=1e-12)
    # The order of computation survives, although jit sorts plain dictionaries.
    assert list(together[1]) == tap_names(model.config)

    def loss(state, taps):
        out = nnx.merge(graph, state)(rows[0], taps)
        logits, cache = out if taps else (out, None)
        return jnp.sum(logits**2), cache

    plain, _ = jax.jit(jax.grad(lambda state: loss(state, None), has_aux=True))(state)
    gradient, cache = jax.jit(jax.grad(lambda state: loss(state, ALL), has_aux=True))(state)
    assert_close(cache, eager[0][1], atol=1e-12)
    assert_close(jax.tree.leaves(gradient), jax.tree.leaves(plain), atol=1e-9)


def test_gradients_go_through_edits():
    """∂ output / ∂ (an activation), from an edit that adds a variable."""
    model, tokens = random_model(small_config("llama")), random_tokens(5)
    graph, state = nnx.split(model)

    @jax.jit
    def output(shift):
        taps = Taps(edit={"blocks.0.attn.z": lambda z: z.at[1].add(shift)})
        return jnp.sum(nnx.merge(graph, state)(tokens, taps)[0][0, -1] ** 2)

    zero, step = jnp.zeros((4, 4)), 1e-5
    gradient = jax.jit(jax.grad(output))(zero)
    for i, j in ((0, 0), (2, 3)):
        nudge = zero.at[i, j].set(step)
        assert_close(gradient[i, j], (output(nudge) - output(-nudge)) / (2 * step), atol=1e-7)
    assert float(jnp.min(jnp.abs(gradient))) > 1e-6


@pytest.mark.parametrize("name", ["biased", "llama", "neox", "qwen", "mistral"])
def test_without_taps_the_program_is_that_of_a_model_that_has_none(name):
    """The same lowered text as a forward pass written without any tap, parameter for parameter."""
    graph, state = nnx.split(random_model(small_config(name)))

    def lowered(forward) -> str:
        def program(state, tokens):
            return forward(nnx.merge(graph, state), tokens)

        return jax.jit(program).lower(state, random_tokens()).as_text()

    plain = lowered(_forward_without_taps)
    assert lowered(lambda model, tokens: model(tokens)) == plain
    assert lowered(lambda model, tokens: model(tokens, Taps())[0]) == plain
    # Controls: a capture that is not returned leaves no trace, unless it needs the attention pattern.
    assert lowered(lambda model, tokens: model(tokens, Taps(capture=("final",)))[0]) == plain
    assert lowered(lambda model, tokens: model(tokens, Taps(capture=("*.pattern",)))[0]) != plain


def _forward_without_taps(model, tokens):
    """Compute the model's forward pass from its own parts, with no tap anywhere."""
    config, body = model.config, model.transformer
    positions = jnp.arange(tokens.shape[0], dtype=jnp.int32) + jnp.int32(0)
    x = body.tokens[tokens]
    if config.position == "learned":
        x = x + body.positions[positions]
    for block in body.blocks:
        mid = x + _attention_without_taps(block.attn, block.norm_attn(x), positions)
        x = mid + _mlp_without_taps(block.mlp, block.norm_mlp(x if config.parallel else mid))
    final, embedding = body.norm(x), body.tokens[...]
    return jnp.stack([model.heads(final, m, embedding) for m in range(config.prediction_heads)])


def _attention_without_taps(attn, x, positions):
    config = attn.config
    q = attn.query(x).reshape(-1, config.heads, config.head_width)
    k = attn.key(x).reshape(-1, config.key_heads, config.head_width)
    v = attn.value(x).reshape(-1, config.key_heads, config.head_width)
    if config.qk_norm:
        q, k = attn.query_norm(q), attn.key_norm(k)
    if config.position == "rotary":
        q, k = (apply_rotary(x, positions, rotary_frequencies(config)) for x in (q, k))
    mask = positions[None, :] <= positions[:, None]
    if config.window:
        mask = mask & (positions[None, :] > positions[:, None] - config.window)
    z = fused_attention(q, KeyValue(k, v), mask, config.precision)
    return attn.out(z.reshape(z.shape[0], -1))


def _mlp_without_taps(mlp, x):
    pre = mlp.into(x)
    gated = mlp.activation == "swiglu"
    return mlp.out(jax.nn.silu(mlp.gate(x)) * pre if gated else ACTIVATIONS[mlp.activation](pre))


def test_an_edit_comes_before_the_capture():
    model, tokens = random_model(small_config()), random_tokens()
    name = "blocks.1.mlp.post"
    logits, cache = model(tokens, Taps(capture=("*",), edit={name: jnp.zeros_like}))
    assert_close(cache[name], jnp.zeros((9, 64)), atol=0)
    assert_close(cache["blocks.1.mlp_out"], jnp.zeros((9, 16)), atol=0)
    assert_close(cache["blocks.1.resid_post"], cache["blocks.1.resid_mid"], atol=0)
    assert_close(logits[0], cache["heads.0.logits"], atol=0)


def test_several_edits_of_one_name_come_in_their_order():
    model, tokens = random_model(small_config()), random_tokens()

    def stream(edit):
        return model(tokens, Taps(capture=("blocks.1.resid_pre",), edit=edit))[1]["blocks.1.resid_pre"]

    def add(x):
        return x + 1

    def double(x):
        return 2 * x

    x = stream({})
    assert_close(stream({"blocks.1.resid_pre": add, "blocks.1.*": double}), 2 * (x + 1), atol=0)
    assert_close(stream({"blocks.1.*": double, "blocks.1.resid_pre": add}), 2 * x + 1, atol=0)


def test_an_edit_with_a_wildcard_reaches_every_name_it_matches_and_no_other():
    model, tokens = random_model(small_config()), random_tokens()
    _, cache = model(tokens, Taps(capture=("*",), edit={"blocks.*.attn_out": jnp.zeros_like}))
    for key, value in cache.items():
        assert bool(jnp.all(value == 0)) == key.endswith("attn_out"), key


def test_a_pattern_edited_to_one_position_moves_its_value():
    """The output is computed from the edited pattern, not from a copy of the original."""
    model, tokens = random_model(small_config()), random_tokens()

    def first_alone(pattern):
        return jnp.zeros_like(pattern).at[:, :, 0].set(1)

    taps = Taps(capture=("blocks.0.attn.[vz]",), edit={"blocks.0.attn.pattern": first_alone})
    _, cache = model(tokens, taps)
    v, z = cache["blocks.0.attn.v"], cache["blocks.0.attn.z"]
    assert_close(z, jnp.broadcast_to(v[0], z.shape), atol=0)


@pytest.mark.parametrize("kind", ["capture", "edit"])
@pytest.mark.parametrize(
    ("pattern", "near"),
    [
        ("blocks.0.attn.patern", "blocks.0.attn.pattern"),
        ("blocks.2.resid_pre", "blocks.1.resid_pre"),
        ("block.*.attn.q", "blocks.0.attn.q"),
        ("blocks.*.mlp.gate", "blocks.0.mlp.pre"),
        ("heads.3.logits", "heads.0.logits"),
        ("?", "embed"),
    ],
)
def test_a_pattern_without_a_name_is_an_error_that_lists_near_ones(kind, pattern, near):
    patterns = ("final", pattern)
    taps = Taps(capture=patterns) if kind == "capture" else Taps(edit=dict.fromkeys(patterns, jnp.negative))
    with pytest.raises(ValueError, match=r"^taps: pattern must match a tap") as error:
        random_model(small_config())(random_tokens(), taps)
    message = str(error.value)
    assert f"got {pattern!r}; near names: " in message
    assert near in message.split("near names: ")[1].split(", ")


@pytest.mark.parametrize(
    ("edit", "got"),
    [
        (lambda x: x[:1], r"\(1, 16\), float64"),
        (lambda x: x.astype(jnp.float32), r"\(9, 16\), float32"),
        (lambda x: 0.0, "None, None"),
        (lambda x: None, "None, None"),
    ],
)
def test_an_edit_that_changes_shape_or_dtype_is_an_error_that_names_the_tap(edit, got):
    with pytest.raises(ValueError, match=rf"^edit of blocks.1.resid_mid: .*\(9, 16\).*float64, got {got}$"):
        random_model(small_config())(random_tokens(), Taps(edit={"blocks.1.resid_m*": edit}))


def test_a_string_is_not_a_sequence_of_patterns_and_a_number_not_an_edit():
    with pytest.raises(ValueError, match=r"^capture: must be a sequence of patterns"):
        Taps(capture="final")
    taps = Taps()
    object.__setattr__(taps, "edit", {"final": 0.0})  # around beartype, which stops what is not a function
    with pytest.raises(ValueError, match=r"^edit\['final'\]: must be a function"):
        taps.__post_init__()


def test_taps_are_immutable_and_equal_by_what_they_do():
    edits = {"final": jnp.negative, "embed": jnp.zeros_like}
    taps = Taps(capture=["final"], edit=edits)
    assert taps == Taps(capture=("final",), edit=dict(edits))
    assert hash(taps) == hash(Taps(capture=("final",), edit=dict(edits)))
    others = [Taps(), Taps(capture=("final",)), Taps(capture=("embed",), edit=edits), Taps(edit=edits)]
    others += [Taps(capture=("final",), edit=dict(reversed(edits.items())))]  # edits apply in order
    others += [Taps(capture=("final",), edit=edits | {"embed": jnp.negative})]
    assert all(taps != other for other in others)
    assert len({taps, *others}) == len(others) + 1
    edits.clear()
    assert len(taps.edit) == 2
    with pytest.raises(FrozenInstanceError):
        taps.capture = ()  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(TypeError, match="item assignment"):
        taps.edit["final"] = jnp.negative  # pyright: ignore[reportIndexIssue]


@pytest.mark.parametrize("way", ["jax.jit of the model", "jax.jit, static", "nnx.jit", "nnx.jit, static"])
def test_a_jitted_function_takes_taps_and_compiles_once_for_equal_ones(way):
    model, tokens, traces = random_model(small_config(layers=1)), random_tokens(5), []

    def ablate(z):
        traces.append(z)
        return z.at[:, 1].set(0)

    def call(model, tokens, taps):
        return model(tokens, taps)

    jitted = {
        "jax.jit of the model": jax.jit(model),
        "jax.jit, static": jax.jit(model, static_argnames="taps"),
        "nnx.jit": partial(nnx.jit(call), model),
        "nnx.jit, static": partial(nnx.jit(call, static_argnames="taps"), model),
    }[way]
    results = [jitted(tokens, taps=Taps(capture=["final"], edit={"*.z": ablate})) for _ in range(2)]
    assert len(traces) == 1
    truth = model(tokens, Taps(capture=["final"], edit={"*.z": lambda z: z.at[:, 1].set(0)}))
    for logits, cache in results:
        assert_close((logits, cache["final"]), (truth[0], truth[1]["final"]), atol=1e-12)
    _, cache = jitted(tokens, taps=Taps(capture=["embed"]))
    assert list(cache) == ["embed"]


def test_a_model_that_taps_a_name_it_does_not_advertise_is_an_error():
    recorder = Recorder(Taps(capture=("a.*",)), ["a.b"])
    part = recorder.within("a")
    part("b", jnp.ones(2))
    assert list(recorder.cache) == ["a.b"]
    with pytest.raises(ValueError, match=r"^tap: must be one of the names .*'a.c'$"):
        part("c", jnp.ones(2))


def test_only_what_is_captured_or_edited_is_wanted():
    names = ["a.b", "a.c", "a.d"]
    part = Recorder(Taps(capture=("a.b",), edit={"a.c": jnp.negative}), names).within("a")
    assert [part.wants(name) for name in ("b", "c", "d")] == [True, True, False]
    assert UNTAPPED.within("a") is UNTAPPED
    assert not UNTAPPED.wants("b")


def test_one_call_leaves_nothing_for_the_next():
    model, tokens = random_model(small_config()), random_tokens()
    before = model(tokens)
    _, cache = model(tokens, Taps(capture=("final",), edit={"embed": jnp.zeros_like}))
    _, other = model(tokens, Taps(capture=("embed",)))
    assert (list(cache), list(other)) == (["final"], ["embed"])
    assert_close(model(tokens), before, atol=0)
