"""Logit lens and linear probes against plain numpy, and on a model whose circuit is known."""

import jax
import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import binomtest

from circuits.probes.positions import position_of
from circuits.probes.residual.linear import (
    LinearProbes,
    fit_linear_probes,
    score_linear_probes,
    wilson_interval,
)
from circuits.probes.residual.stream import graph_nodes, logit_lens, path_nodes, residual_streams
from circuits.tasks import decode_problem
from tests.cases import assert_close
from tests.probes.interventions.planted import (
    FORMAT,
    copy_twins,
    copying_model,
    one,
    run,
    some_twins,
    tiny_model,
)
from tests.probes.planted import rows

POSITIONS = ("query", "edge 0 child", 0)


def streams(ids):
    """The embedding, and what leaves each block."""
    activations = run(tiny_model(), ids)[1]
    return np.stack([activations["embed"], *(activations[f"blocks.{i}.resid_post"] for i in range(2))])


def test_streams_begin_with_the_embedding_and_end_before_the_last_norm():
    model, ids = tiny_model(), some_twins().clean_tokens[0]
    found, final = jax.jit(
        lambda ids: (
            residual_streams(model, ids),
            model.logits(model.transformer.norm(residual_streams(model, ids)[-1]), 1),
        )
    )(ids)
    body = model.transformer
    assert found.shape == (3, 10, 8)
    assert_close(found[0], np.asarray(body.tokens[...])[ids] + np.asarray(body.positions[...])[:10], 1e-12)
    assert_close(final, run(model, ids)[0][1], 1e-12)


def test_nodes_are_those_of_the_problem():
    layouts = some_twins(6).layout
    for number, ids in enumerate(rows(FORMAT, 6, seed=3)):
        layout, true = one(layouts, number), decode_problem(FORMAT, ids)
        assert np.array_equal(path_nodes(layout), true.path)
        assert np.array_equal(path_nodes(layouts)[number], true.path)
        found = np.asarray(graph_nodes(layout)).tolist()
        assert sorted(found) == sorted({int(node) for node in true.edges.ravel()})
        assert found[:3] == true.path.tolist()
        assert (found[3], found[4]) in {(int(u), int(v)) for u, v in true.edges}


def test_the_lens_at_the_last_layer_is_the_model():
    done, layouts = [], some_twins(6).layout
    found = logit_lens(tiny_model(), layouts, chunk=4, on_progress=done.append)
    assert found.probability.shape == found.rank.shape == found.top.shape == (2, 3, 5)
    assert done == [4, 6]
    truth = []
    for number in range(6):
        layout = one(layouts, number)
        logits = run(tiny_model(), layout.tokens)[0][:, -1]
        own = np.asarray(graph_nodes(layout))
        order = np.argsort(-logits, axis=-1).tolist()
        rank = np.array([[row.index(node) for node in own] for row in order], float)
        truth.append((softmax(logits, axis=-1)[:, own], rank, (rank == 0).astype(float)))
    probability, rank, top = (np.stack(parts) for parts in zip(*truth, strict=True))
    assert_close(found.probability[:, -1], probability.mean(axis=0), 1e-12)
    assert_close(found.rank[:, -1], rank.mean(axis=0), 1e-12)
    assert_close(found.top[:, -1], top.mean(axis=0), 1e-12)
    assert_close(found.probability_error[:, -1], probability.std(axis=0, ddof=1) / np.sqrt(6), 1e-12)


def test_the_lens_sees_the_planted_copy_arrive():
    layouts = copy_twins(12).layout
    found = logit_lens(copying_model(), layouts)
    assert_close(found.top[0], np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0]], float), 0)  # start, goal, other
    assert logit_lens(copying_model(), layouts, "goal in query").top[0, :2, 1].tolist() == [1, 1]


def test_ridge_is_the_solution_of_the_normal_equations():
    layouts = some_twins(40).layout
    found = fit_linear_probes(tiny_model(), layouts, POSITIONS, ridge=0.01, chunk=7)
    assert_close(found, fit_linear_probes(tiny_model(), layouts, POSITIONS, ridge=0.01, chunk=40), 1e-9)
    y = np.eye(10)[np.asarray(path_nodes(layouts))].reshape(40, -1)
    states = np.stack([streams(ids) for ids in layouts.tokens])
    for number, name in enumerate(POSITIONS):
        position = np.array([int(position_of(one(layouts, row), name)) for row in range(40)])
        for layer in range(3):
            x = states[np.arange(40), layer, position]
            centred = x - x.mean(axis=0)
            penalty = 0.01 * (centred**2).mean(axis=0).sum() / 8
            # Least squares with √(n penalty) I as 8 further examples.
            longer = np.concatenate([centred, np.sqrt(40 * penalty) * np.eye(8)])
            truth = np.linalg.lstsq(longer, np.concatenate([y - y.mean(axis=0), np.zeros((8, 30))]))[0]
            assert_close(found.kernel[layer, number].reshape(8, 30), truth, 1e-9)
            assert_close(found.bias[layer, number].reshape(-1), y.mean(axis=0) - x.mean(axis=0) @ truth, 1e-9)


def test_a_planted_code_is_found_and_shuffled_labels_are_not():
    train, test = copy_twins(300).layout, copy_twins(100, first=300).layout
    positions = ("query", "goal in query")

    def accuracy(model, **options):
        return score_linear_probes(
            model, fit_linear_probes(model, train, positions, **options), test, positions
        ).accuracy

    # The path is the start and the goal. The prompt's end names the start, until the goal is written over it.
    found = accuracy(copying_model())
    assert found[:2, 0, 0].tolist() == [1, 1]
    assert found[2, 0, 1] == 1
    assert found[:2, 0, 1].max() < 0.5
    assert found[:2, 1, 1].tolist() == [1, 1]
    assert found[:2, 1, 0].max() < 0.5
    assert accuracy(copying_model(), shuffle=jax.random.key(0)).max() < 0.5
    assert accuracy(copying_model(strength=0))[2, 0, 1] < 0.5


def test_a_stream_that_does_not_vary_gives_the_commonest_label():
    model = copying_model(strength=0)
    tokens = model.transformer.tokens[...]
    try:
        model.transformer.tokens[...] = 0 * tokens
        train = copy_twins(50).layout
        fitted = fit_linear_probes(model, train)
        share = score_linear_probes(model, fitted, train).accuracy[:, 0, 1]
    finally:
        model.transformer.tokens[...] = tokens
    assert np.isfinite(fitted.kernel).all()
    goals = np.asarray(path_nodes(train))[:, 1]
    assert_close(share, np.full(3, np.bincount(goals).max() / 50), 1e-12)


@pytest.mark.parametrize(("right", "count", "confidence"), [(0, 5, 0.95), (3, 7, 0.9), (40, 40, 0.99)])
def test_wilson(right, count, confidence):
    low, high = wilson_interval(np.array([right / count]), count, confidence)
    truth = binomtest(right, count).proportion_ci(confidence, method="wilson")
    assert_close((low[0], high[0]), (truth.low, truth.high), 1e-12)


def bad_probes() -> LinearProbes:
    return LinearProbes(np.zeros((3, 2, 8, 3, 10)), np.zeros((3, 2, 3, 10)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: logit_lens(tiny_model(), some_twins().layout, "end"), "position: must be one of query, goal in query"),
        (lambda: fit_linear_probes(tiny_model(), some_twins().layout, ridge=0.0), "ridge: must be positive and finite"),
        (lambda: fit_linear_probes(tiny_model(), some_twins().layout, chunk=0), "chunk: must be an integer at least 1"),
        (lambda: score_linear_probes(tiny_model(), bad_probes(), some_twins().layout), "positions: must be those of"),
        (lambda: wilson_interval(np.zeros(1), 0), "count: must be an integer at least 1"),
        (lambda: wilson_interval(np.zeros(1), 3, 1.0), "confidence: must lie between 0 and 1"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        call()
