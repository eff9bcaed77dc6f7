"""Every kind of prediction heads: logits against plain numpy, causality, taps, parameter counts, losses and memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from circuits.one_layer.module import OneLayer
from circuits.transformer.config import TransformerConfig
from circuits.transformer.heads import SharedHeads
from circuits.transformer.model import build, tap_names
from circuits.transformer.objectives import batch_losses, target_shares
from circuits.transformer.parameters import from_tensors, parameter_shapes
from circuits.transformer.taps import Taps
from tests.cases import assert_close
from tests.transformer.head_kinds import HEADS, KINDS, VOCAB, naive_kind, of_kind, reach
from tests.transformer.models import pure, random_model

T, PAD, END = 6, 7, 6
OTHERS = ("transfer", "injected transfer", "mlp")
"""Kinds all of whose parts are in others too."""


def some(*quick: str, slow: tuple[str, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", [*quick, *(pytest.param(name, marks=pytest.mark.slow) for name in slow)])


def texts(rows: int, seed: int = 0, length: int = T) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, VOCAB, (rows, length)).astype(np.int32)


@some(*(name for name in KINDS if name not in OTHERS), slow=OTHERS)
def test_logits_are_those_of_numpy_and_no_head_sees_a_token_too_early(name):
    config = of_kind(name)
    model, tokens = random_model(config), texts(1)[0]
    changed = [np.where(np.arange(T) == position, (tokens + 1) % VOCAB, tokens) for position in range(T)]
    graph, state = nnx.split(model)
    program = jax.jit(jax.vmap(lambda row: nnx.merge(graph, state)(row)))
    logits = program(jnp.asarray([tokens, *changed]))
    truth = naive_kind(config, pure(model), tokens.tolist())
    assert truth.shape == (HEADS, T, VOCAB)
    assert np.std(truth, axis=(1, 2)).min() > 0.1
    assert_close(logits[0], truth, atol=1e-10)
    moved = np.max(np.abs(np.asarray(logits[1:] - logits[:1])), axis=-1) > 1e-9  # [changed position, head, position]
    for head in range(HEADS):
        later = np.arange(T)[:, None] <= np.arange(T)[None] + reach(config, head)
        assert np.array_equal(moved[:, head], later), head


def test_the_twin_tells_kinds_apart():
    """Each choice of the head's config gives other logits from the same parameters, in the twin as in the model."""
    for name, change in [("chained transfer", {"head_chain": False}), ("injected blocks", {"head_chain": True})]:
        config, other = of_kind(name), of_kind(name, **change)
        parameters, tokens = pure(random_model(config)), texts(1)[0].tolist()
        gap = naive_kind(config, parameters, tokens) - naive_kind(other, parameters, tokens)
        assert np.max(np.abs(gap[0])) == 0
        assert np.max(np.abs(gap[2])) > 1e-3


@some("sequential", slow=("injected transfer", "chained injected mlp", "injected blocks"))
def test_every_tap_of_a_head_fires_in_order_and_its_edit_reaches_the_logits(name):
    model, tokens = random_model(of_kind(name, layers=1, prediction_heads=2)), jnp.asarray(texts(1)[0])
    before, cache = model(tokens, Taps(capture=("*",)))
    names = tap_names(model.config)
    assert list(cache) == names
    assert len(set(names)) == len(names)
    for m in range(2):
        assert_close(cache[f"heads.{m}.logits"], before[m], atol=0)
        read = cache.get(f"heads.{m}.stream", cache["final"])
        assert_close(model.logits(read, m), before[m], atol=1e-13)
    for tap in [tap for tap in names if tap.startswith("heads.1")]:
        after, _ = model(tokens, Taps(edit={tap: _stretched}))
        assert float(jnp.max(jnp.abs(after[1] - before[1]))) > 1e-4, tap
        assert_close(after[0], before[0], atol=0)


def _stretched(x: jax.Array) -> jax.Array:
    return 1.5 * x + jnp.broadcast_to(jnp.linspace(0, 1, x.shape[-1], dtype=x.dtype), x.shape)


def test_meta_heads_cost_no_parameters_and_transfers_d_squared_each():
    """n - 1 trunk layers removed for parity: as many blocks, so parameters, as a next-token model."""
    sizes = {name: parameter_shapes(of_kind(name)) for name in KINDS}
    count = {name: sum(int(np.prod(shape)) for shape in shapes.values()) for name, shapes in sizes.items()}
    plain = {"prediction_heads": 1, "layers": 2 + HEADS - 1}
    ntp = sum(int(np.prod(shape)) for shape in parameter_shapes(of_kind("linear", **plain)).values())
    assert count["meta"] == ntp
    d, block = VOCAB, 4 * VOCAB**2 + 2 * VOCAB**2 + 2 * VOCAB
    base = ntp - (HEADS - 1) * block
    assert count["transfer"] == count["chained transfer"] == base + (HEADS - 1) * d * d
    assert count["injected transfer"] == count["transfer"] + HEADS - 1
    assert count["mlp"] == base + (HEADS - 1) * 2 * d * d
    assert count["sequential"] == base + (HEADS - 1) * (block + 2 * d * d + 2 * d)
    assert count["injected blocks"] == base + (HEADS - 1) * (2 * block + d + 1)
    assert count["chained injected block"] == base - d * VOCAB + (HEADS - 1) * (block + d + 1)
    assert count["linear"] == base + (HEADS - 1) * d * VOCAB


def test_initial_kappas_and_models_from_tensors():
    config = of_kind("injected transfer")
    assert jax.jit(lambda: SharedHeads(config, nnx.Rngs(0)).kappa[...])().tolist() == [1.0] * (HEADS - 1)
    model = random_model(of_kind("injected blocks"))
    flat = nnx.to_flat_state(nnx.state(model))
    again = from_tensors(
        model.config, {".".join(map(str, path)): np.asarray(leaf.get_value()) for path, leaf in flat}, "here"
    )
    assert_close(jax.tree.leaves(nnx.state(again)), jax.tree.leaves(nnx.state(model)), atol=0)
    one = TransformerConfig(vocab=5, positions=6, layers=1, heads=1, kind="one-layer")
    zeros = {name: np.zeros(shape) for name, shape in parameter_shapes(one).items()}
    assert isinstance(from_tensors(one, zeros, "here"), OneLayer)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"head_kind": "best"}, "head_kind: must be one of"),
        ({"head_kind": "meta", "prediction_heads": 1}, "head_kind: must be linear"),
        ({"head_kind": "transfer-block", "head_layers": 0}, "head_layers: must be an integer"),
        ({"head_kind": "meta", "head_layers": 2}, "head_layers: must be 1"),
        ({"head_chain": True}, "head_chain: must be false unless"),
        ({"head_kind": "sequential", "injection": True}, "injection: must be false unless"),
        ({"injection": 1}, "injection: must be true or false"),
        ({"kind": "large"}, "kind: must be one of"),
    ],
)
def test_choices_that_do_not_fit_are_errors(changes, message):
    # Around beartype, which knows the words of a choice too.
    config = TransformerConfig(vocab=5, positions=4, layers=1, heads=1, width=4, prediction_heads=2)
    for field, value in changes.items():
        object.__setattr__(config, field, value)
    with pytest.raises(ValueError, match=f"^{message}"):
        config.__post_init__()


def naive_losses(config, parameters, rows, first, pad, weights) -> tuple[np.ndarray, np.ndarray]:
    """Return the heads' sums over their targets, divided by the number of the first head's; and shares of targets."""
    totals, counts = np.zeros(HEADS), np.zeros(HEADS)
    for row in rows.tolist():
        logits = naive_kind(config, parameters, row[:-1])
        for m in range(HEADS):
            for t in range(first, T - 1):
                if t + m + 1 < T and row[t + m + 1] != pad:
                    scores, target = logits[m, t], row[t + m + 1]
                    totals[m] += weights[target] * (np.log(np.sum(np.exp(scores))) - scores[target])
                    counts[m] += 1
    whole = counts[0] if pad is not None else len(rows) * (T - 1 - first)
    return totals / whole, counts / counts[0]


@pytest.mark.parametrize("name", ["linear", "chained injected block"])
def test_losses_with_padding_and_token_weights_are_those_of_loops(name):
    config = of_kind(name)
    model, rows, first = random_model(config), texts(3, seed=1), 1
    rows[0, 3:], rows[1, 5:], rows[2, 4] = PAD, PAD, 0
    rows[0, 2], rows[1, 4] = END, END
    weights = np.linspace(0.5, 2, VOCAB)
    ours = jax.jit(lambda model, rows, weights: batch_losses(model, rows, rows, first, weights, PAD))
    found = ours(model, jnp.asarray(rows), jnp.asarray(weights))
    truth, shares = naive_losses(config, pure(model), rows, first, PAD, weights)
    assert np.all(truth > 0.3)
    assert shares[2] < shares[1] < 1
    assert_close(found, truth, atol=1e-10)
    assert_close(target_shares(jnp.asarray(rows), HEADS, first, PAD), shares.astype(np.float32), atol=1e-7)
    # A batch of padding alone costs nothing.
    assert ours(model, jnp.full((3, T), PAD, jnp.int32), jnp.asarray(weights)).tolist() == [0.0] * HEADS


def test_losses_of_a_one_layer_model_are_those_of_its_logits():
    config = TransformerConfig(
        vocab=VOCAB, positions=T, prediction_heads=2, head_kind="transfer", kind="one-layer", embed_scale=1.0,
        param_dtype="float64",
    )  # fmt: skip
    model, rows = build(config, nnx.Rngs(0)), texts(2, seed=3)
    both = jax.jit(lambda model, rows: (batch_losses(model, rows, rows, 2), jax.vmap(model)(rows[:, :-1])))
    found, logits = (np.asarray(part) for part in both(model, jnp.asarray(rows)))
    truth = np.zeros(2)
    for row, each in zip(rows, logits, strict=True):
        for m in range(2):
            for t in range(2, T - 1 - m):
                truth[m] += np.log(np.sum(np.exp(each[m, t]))) - each[m, t, row[t + m + 1]]
    assert_close(found, truth / (2 * (T - 3)), atol=1e-12)


def test_gradients_of_the_losses_are_those_of_all_logits_at_once():
    """Recomputing activations of heads, and one head at a time, change no gradient; every parameter gets one."""
    rows = jnp.asarray(texts(2, seed=2))
    graph, state = nnx.split(random_model(of_kind("chained injected block", layers=1, heads=1)))

    def plain(state):
        log_p = jax.nn.log_softmax(jax.vmap(nnx.merge(graph, state))(rows[:, :-1])[:, :, 1:], axis=-1)
        chosen = [jnp.take_along_axis(log_p[:, m, : T - 2 - m], rows[:, 2 + m :, None], axis=-1) for m in range(HEADS)]
        return -sum(jnp.sum(each) for each in chosen) / (2 * (T - 2))

    def both(state):
        ours = jax.grad(lambda state: jnp.sum(batch_losses(nnx.merge(graph, state), rows, rows, 1)))
        return ours(state), jax.grad(plain)(state)

    found, truth = jax.jit(both)(state)
    assert_close(found, truth, atol=1e-11)
    leaves = jax.tree.flatten_with_path(found)[0]
    assert not [jax.tree_util.keystr(path) for path, leaf in leaves if leaf.size and not np.any(leaf)]


def test_memory_of_shared_heads_is_that_of_one_whatever_k_is():
    """The compiler's count for the whole loss and its gradient; the logits of a head dwarf all else here."""
    many, logits = _temporary("transfer", 4), 4 * 64 * 4096 * 4
    assert logits <= many < 3 * logits
    assert _temporary("transfer", 4, plain=True) > 4 * logits


def _temporary(name: str, heads: int, plain: bool = False) -> int:
    shape = {"vocab": 4096, "positions": 64, "layers": 1, "dtype": "float32", "param_dtype": "float32"}
    config = of_kind(name, **shape, prediction_heads=heads)
    graph, state = nnx.split(nnx.eval_shape(lambda: build(config, nnx.Rngs(0))))

    def loss(state, rows):
        model = nnx.merge(graph, state)
        if plain:
            return jnp.sum(jax.nn.logsumexp(jax.vmap(model)(rows[:, :-1]), axis=-1))
        return jnp.sum(batch_losses(model, rows, rows, 0))

    rows = jax.ShapeDtypeStruct((4, 65), jnp.int32)
    analysis = jax.jit(jax.grad(loss)).lower(state, rows).compile().memory_analysis()
    assert analysis is not None
    return analysis.temp_size_in_bytes
