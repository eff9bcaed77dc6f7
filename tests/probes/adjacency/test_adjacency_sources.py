"""Matrices read from models against loops over heads and nodes, calls of the model, and finite differences."""

# pyright: reportArgumentType=false

from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from circuits.one_layer.config import OneLayerConfig
from circuits.one_layer.logits import transferred_logits
from circuits.one_layer.module import from_parameters
from circuits.one_layer.parameters import Options, Parameters
from circuits.probes.adjacency.gather import (
    JacobianInputs,
    check_prediction_head,
    constant_matrices,
    default_sources,
    gather_matrices,
    matrices_of_untrained,
    select_matrices,
)
from circuits.probes.adjacency.jacobian import jacobians
from circuits.probes.adjacency.node_space import NamedMatrices, concatenate, node_embedding, node_unembedding
from circuits.probes.adjacency.sources import layer_maps, ov_circuits, transfer_matrices
from circuits.transformer.model import Predictor
from circuits.transformer.taps import Taps
from tests.cases import assert_close
from tests.transformer.models import random_model, random_tokens, small_config

NODES = np.array([4, 0, 7, 2, 10])
SIDES = ("U+", "UT", "E")


@cache
def model_of(name: str) -> Predictor:
    return random_model(small_config(name))


def values(matrices: NamedMatrices) -> np.ndarray:
    return np.asarray(matrices.values)


def array(part) -> np.ndarray:
    return np.asarray(part[...], np.float64)


def naive_norm(norm, rows: np.ndarray) -> np.ndarray:
    """The norm without its division and bias."""
    rows = rows - rows.mean(axis=1, keepdims=True) if norm.config.norm == "layer" else rows
    return rows * array(norm.scale)


def unembedded(model: Predictor, rows: np.ndarray, head: int = 0) -> np.ndarray:
    heads: Any = model.heads
    return rows @ np.asarray(heads.stacked(model.transformer.tokens[...]))[head][:, NODES]


@pytest.mark.parametrize(("name", "fold"), [("gpt", True), ("llama", True), ("llama", False), ("all biased", True)])
def test_ov_circuits_head_by_head(name, fold):
    model, config = model_of(name), model_of(name).config
    head = config.prediction_heads - 1
    found = ov_circuits(model, NODES, fold=fold, head=head)
    assert found.values.shape == (config.layers * config.heads, 5, 5)
    rows, h = array(model.transformer.tokens)[NODES], config.head_width
    for i, block in enumerate(model.transformer.blocks):
        read = naive_norm(block.norm_attn, rows) if fold else rows
        for j in range(config.heads):
            shared = j * config.key_heads // config.heads
            value = array(block.attn.value.kernel)[:, shared * h : (shared + 1) * h]
            written = read @ value @ array(block.attn.out.kernel)[j * h : (j + 1) * h]
            seen = unembedded(model, naive_norm(model.transformer.norm, written) if fold else written, head)
            assert_close(values(found)[found.names.index(f"L{i}H{j}")], seen, atol=1e-10)


@pytest.mark.parametrize("name", ["llama"])
def test_layers_are_their_heads_and_the_stream_and_a_block_on_one_token(name):
    model, config = model_of(name), model_of(name).config
    found, heads = values(layer_maps(model, NODES)), values(ov_circuits(model, NODES))
    assert layer_maps(model, NODES).names == ("L0 linear", "L0 alone", "L1 linear", "L1 alone")
    rows = array(model.transformer.tokens)[NODES]
    direct = unembedded(model, naive_norm(model.transformer.norm, rows))
    for i, block in enumerate(model.transformer.blocks):
        every = heads[i * config.heads : (i + 1) * config.heads].sum(axis=0)
        assert_close(found[2 * i], direct + every, atol=1e-10)
        alone = jax.jit(lambda row, block=block: model.transformer.norm(block(row[None], jnp.zeros(1, jnp.int32))[0]))
        for u, row in enumerate(rows):
            assert_close(found[2 * i + 1][u], unembedded(model, np.asarray(alone(row)))[0], atol=1e-10)


def transferring(**changes: Any) -> Any:
    return random_model(small_config("gpt", prediction_heads=3, head_kind="transfer", **changes), seed=3)


@pytest.mark.parametrize("tied", [True, False])
def test_transfer_matrices_turn_logits_of_step_1_into_those_of_later_steps(tied):
    model = transferring(tied=tied)
    found = transfer_matrices(model, NODES)
    assert found.names == tuple(f"transfer {m} via {side}" for m in (1, 2) for side in SIDES)
    outward = np.asarray(node_unembedding(model, NODES))
    # Streams that U reads in full; any others lose what it does not see.
    coordinates = np.random.default_rng(0).normal(size=(4, 5))
    stream = coordinates @ np.linalg.pinv(outward)
    for m, layer in enumerate(model.heads.further, start=1):
        kernel = array(layer.transfer.kernel)
        by_side = {side: values(found)[found.names.index(f"transfer {m} via {side}")] for side in SIDES}
        assert_close((stream @ outward) @ by_side["U+"], stream @ kernel @ outward, atol=1e-9)
        assert_close(by_side["UT"], outward.T @ kernel @ outward, atol=1e-9)
        assert_close(by_side["E"], array(model.transformer.tokens)[NODES] @ kernel @ outward, atol=1e-9)
        assert np.abs(by_side["U+"] - by_side["U+"].T).max() > 0.1


def test_chained_transfers_multiply():
    chained, apart = (transfer_matrices(transferring(head_chain=chain), NODES) for chain in (True, False))
    assert set(chained.names) - set(apart.names) == {f"transfer 1..2 via {side}" for side in SIDES}
    model = transferring(head_chain=True)
    first, second = (array(layer.transfer.kernel) for layer in model.heads.further)
    truth = np.asarray(node_unembedding(model, NODES)).T @ first @ second @ np.asarray(node_unembedding(model, NODES))
    assert_close(np.asarray(chained.values[chained.names.index("transfer 1..2 via UT")]), truth, atol=1e-9)


def one_layer() -> tuple[OneLayerConfig, Parameters]:
    config = OneLayerConfig(vocab=11, positions=9, prediction_heads=3, param_dtype="float64")
    rng = np.random.default_rng(0)
    content, value, *transfers = jnp.asarray(rng.normal(size=(4, config.vocab, config.vocab)))
    return config, Parameters(content, value, jnp.stack(transfers), jnp.ones(()))


def test_a_one_layer_model_holds_its_matrices_as_they_are():
    config, parameters = one_layer()
    model = from_parameters(config, parameters)
    assert default_sources(model) == ("transfer",)
    found = gather_matrices(model, np.arange(config.vocab), ("transfer",))
    assert found.names == ("content", "value", "transfer 1", "transfer 2")
    first = np.asarray(found.values[0][3] + found.values[1][5])
    truth = transferred_logits(parameters, jnp.asarray(first), config.vocab, Options())
    assert_close(np.stack([first, first @ found.values[2], first @ found.values[3]]), np.asarray(truth), atol=1e-12)
    some = gather_matrices(model, NODES, ("transfer",))
    assert_close(np.asarray(some.values[1]), np.asarray(parameters.value)[np.ix_(NODES, NODES)], atol=0)
    with pytest.raises(ValueError, match=r"^sources: must be transfer for a one-layer model"):
        gather_matrices(model, NODES, ("heads",))


def test_jacobians_are_mean_finite_differences():
    model, tap = random_model(small_config("biased")), "blocks.0.resid_post"
    tokens = np.stack([random_tokens(6, seed) for seed in range(3)])
    found = jacobians(model, NODES, tokens, [tap], position=4, source=2, head=1, chunk=3)
    assert found.names == (f"jacobian of {tap} at position 2",)
    directions, step = array(model.transformer.tokens)[NODES], 1e-5

    @jax.jit
    def mean_logits(moved: jax.Array) -> jax.Array:
        taps = Taps(edit={tap: lambda x: x.at[2].add(moved)})
        return jnp.mean(jax.vmap(lambda row: model(row, taps)[0][1, 4])(jnp.asarray(tokens)), axis=0)

    for u in range(5):
        up, down = (np.asarray(mean_logits(jnp.asarray(s * step * directions[u]))) for s in (1, -1))
        assert_close(values(found)[0][u], (up - down)[NODES] / (2 * step), atol=1e-7)
    assert np.abs(values(found)).max() > 0.01


def test_sources_come_in_one_order():
    model = random_model(small_config("biased"))
    tokens, taps = np.stack([random_tokens(6)] * 3), ("embed", "blocks.0.resid_post")
    own = gather_matrices(model, NODES, ("jacobian", "heads"), JacobianInputs(tokens, 4, (2,)), head=1)
    assert own.names[:1] == ("L0H0",)
    assert own.names[-2:] == tuple(f"jacobian of {tap} at position 2" for tap in taps)
    second = ov_circuits(model, NODES, head=1), jacobians(model, NODES, tokens, taps, position=4, source=2, head=1)
    assert_close(values(own), values(concatenate(list(second))), atol=0)
    assert np.abs(values(second[0]) - values(ov_circuits(model, NODES))).max() > 1e-3
    assert default_sources(model) == ("heads", "layers")
    assert default_sources(transferring()) == ("heads", "layers", "transfer")


def test_prediction_heads_that_make_no_sense():
    transfer, one, gpt = transferring(), from_parameters(*one_layer()), model_of("gpt")
    for model, sources, head, message in (
        (transfer, ("heads", "layers"), 1, "0 for sources heads, layers: further transfer heads do not read the"),
        (transfer, ("transfer", "jacobian"), 1, "0 for transfer matrices"),
        (one, ("transfer",), 1, "0 for a one-layer model"),
        (gpt, ("heads",), 1, "an integer between 0 and 0"),
        (gpt, ("heads",), -1, "an integer between 0 and 0"),
    ):
        with pytest.raises(ValueError, match=f"^head: must be {message}"):
            check_prediction_head(model, sources, head)
        with pytest.raises(ValueError, match=f"^head: must be {message}"):
            gather_matrices(model, NODES, sources, head=head)
        check_prediction_head(model, sources, 0)
    check_prediction_head(transfer, ("jacobian",), 2)


def test_constant_matrices_are_told_apart_and_nan_is_named():
    row = np.repeat(np.arange(3.0)[:, None], 3, axis=1)
    named = NamedMatrices(("flat", "steep"), jnp.stack([row, row.T]))
    assert constant_matrices(named).tolist() == [True, False]
    kept = select_matrices(named, ~constant_matrices(named))
    assert kept.names == ("steep",)
    assert_close(np.asarray(kept.values), row.T[None], atol=0)
    with pytest.raises(ValueError, match=r"^matrix 'steep': must be finite, got nan at \(0, 0\)"):
        constant_matrices(NamedMatrices(named.names, named.values.at[1, 0, 0].set(jnp.nan)))


def test_an_attention_that_looks_at_itself_alone_has_its_map_as_jacobian():
    """At position 0, where only the last norm stands between the stream and U: J = E d norm U."""
    model, taps = model_of("llama"), Taps(capture=["blocks.1.resid_post"])
    row = np.asarray(random_tokens(3))[None]
    found = jacobians(model, NODES, row, ["blocks.1.resid_post"], position=0)
    cache = jax.jit(lambda ids: model(ids, taps)[1])(row[0])
    x, rows = array(cache["blocks.1.resid_post"])[0], array(model.transformer.tokens)[NODES]
    size = np.sqrt(np.mean(x * x) + model.config.norm_epsilon)
    moved = (rows / size - np.outer(rows @ x, x) / (len(x) * size**3)) * array(model.transformer.norm.scale)
    assert_close(values(found)[0], unembedded(model, moved), atol=1e-10)


heads_of = partial(ov_circuits, nodes=NODES)


def test_matrices_of_untrained_are_those_of_fresh_models():
    config, done = small_config("gpt", layers=1, heads=2, width=4), []
    found = matrices_of_untrained(heads_of, config, 3, seed=1, on_progress=done.append)
    assert done == [1, 2, 3]
    assert found.shape == (3, 2, 5, 5)
    assert_close(found[:1], matrices_of_untrained(heads_of, config, 3, seed=1)[:1], atol=0)
    assert all(np.abs(a - b).max() > 1e-6 for a, b in ((found[0], found[1]), (found[1], found[2])))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: ov_circuits(m, np.arange(12)), r"nodes: must be at least one and at most 11 ids in range\(11\)"),
        (lambda m: node_embedding(m, np.array([0, 11])), "nodes: must be at least one and at most 11 ids"),
        (lambda m: node_embedding(m, np.array([3, 3])), "nodes: must be ids that differ"),
        (lambda m: node_unembedding(m, NODES, 1), "head: must be an integer between 0 and 0"),
        (lambda m: transfer_matrices(m, NODES), "head_kind: must be transfer"),
        (lambda m: gather_matrices(m, NODES, ("ov",)), "sources: must be one of heads, transfer, layers, jacobian"),
        (lambda m: gather_matrices(m, NODES, ("jacobian",)), "sources: must not hold jacobian without sequences"),
        (lambda m: gather_matrices(m, NODES, ()), "sources: must hold at least one"),
        (lambda m: measured(m, []), "taps: must hold at least one name"),
        (lambda m: measured(m, ["embed"], position=6), "position: must be an integer between 0 and 5"),
        (lambda m: measured(m, ["embed"], source=5), "source: must be an integer between 0 and 4"),
        (lambda m: measured(m, ["embed"], head=1), "head: must be an integer between 0 and 0"),
        (lambda m: measured(m, ["blocks.0.attn.q"]), r"taps: must be streams of shape \[T, d\]"),
        (lambda m: measured(m, ["blocks.9.resid_pre"]), "taps: pattern must match a tap of the model"),
        (lambda m: matrices_of_untrained(heads_of, m.config, 0), "models: must be an integer at least 1"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        call(model_of("gpt"))


def measured(model: Predictor, taps: list[str], position: int = 4, **changes):
    return jacobians(model, NODES, np.asarray(random_tokens(6))[None], taps, position=position, **changes)


def test_everything_is_traced():
    model = model_of("gpt")
    whole = jax.jit(lambda: ov_circuits(model, NODES).values)()
    assert_close(np.asarray(whole), values(ov_circuits(model, NODES)), atol=1e-12)
