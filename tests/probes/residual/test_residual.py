import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import binomtest

from circuits.probes.residual.linear import LinearProbes, fit_linear_probes, score_linear_probes, wilson_interval
from circuits.probes.residual.stream import graph_nodes, logit_lens, path_nodes, position, residual_streams
from circuits.tasks.token_format import decode_problem
from tests.cases import assert_close
from tests.probes.interventions.planted import COPY, FORM, copying_model, one, random_model, some_problems, some_twins

MODEL = random_model()
LAYOUTS = some_twins(6).layout


def test_streams_begin_with_the_embedding_and_end_before_the_last_norm():
    ids = LAYOUTS.tokens[0]
    found = residual_streams(MODEL, ids)
    body = MODEL.transformer
    assert found.shape == (3, 10, 8)
    assert_close(found[0], body.tokens[ids] + body.positions[jnp.arange(10)], 1e-12)
    assert_close(MODEL.logits(body.norm(found[-1]), 1), MODEL(ids)[1], 1e-12)


def test_nodes_and_targets_are_those_of_the_problem():
    problems = some_problems(6)
    for number, ids in enumerate(np.asarray(problems)):
        layout, true = one(LAYOUTS, number), decode_problem(FORM, ids)
        assert np.array_equal(path_nodes(layout), true.path)
        assert np.array_equal(path_nodes(LAYOUTS)[number], true.path)
        found = np.asarray(graph_nodes(FORM, layout)).tolist()
        assert sorted(found) == sorted({int(node) for node in true.edges.ravel()})
        assert found[:3] == true.path.tolist()
        assert (found[3], found[4]) in {(int(u), int(v)) for u, v in true.edges}


def test_the_lens_at_the_last_layer_is_the_model():
    shown = []
    found = logit_lens(MODEL, FORM, LAYOUTS, chunk=4, show=lambda done, total: shown.append((done, total)))
    assert found.probability.shape == found.rank.shape == found.top.shape == (2, 3, 5)
    assert shown == [(4, 6), (6, 6)]
    truth = []
    for number in range(6):
        layout = one(LAYOUTS, number)
        logits = np.asarray(MODEL(layout.tokens)[:, -1])
        own = np.asarray(graph_nodes(FORM, layout))
        order = np.argsort(-logits, axis=-1).tolist()
        rank = np.array([[row.index(node) for node in own] for row in order], float)
        truth.append((softmax(logits, axis=-1)[:, own], rank, (rank == 0).astype(float)))
    probability, rank, top = (np.stack(parts) for parts in zip(*truth, strict=True))
    assert_close(found.probability[:, -1], probability.mean(axis=0), 1e-12)
    assert_close(found.rank[:, -1], rank.mean(axis=0), 1e-12)
    assert_close(found.top[:, -1], top.mean(axis=0), 1e-12)
    assert_close(found.probability_error[:, -1], probability.std(axis=0, ddof=1) / np.sqrt(6), 1e-12)


def test_the_lens_sees_the_planted_copy_arrive():
    layouts = some_twins(12, COPY, answer=0).layout
    found = logit_lens(copying_model(), COPY, layouts)
    assert_close(found.top[0], np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0]], float), 0)  # start, goal, other
    at_goal = logit_lens(copying_model(), COPY, layouts, "goal in query")
    assert at_goal.top[0, :2, 1].tolist() == [1, 1]


PLACES = ("query", "goal in query", "edge 1 head", 0)


def test_places():
    layout = one(LAYOUTS, 0)
    found = [int(position(layout, where)) for where in (*PLACES, "start in query", "edge 2 tail")]
    expected = [9, 8, int(layout.heads[0]), int(layout.order[0]), 9, int(layout.tails[1])]
    assert found == expected


def test_ridge_is_the_solution_of_the_normal_equations():
    layouts = some_twins(40).layout
    found = fit_linear_probes(MODEL, layouts, PLACES, ridge=0.01, chunk=7)
    whole = fit_linear_probes(MODEL, layouts, PLACES, ridge=0.01, chunk=40)
    assert_close(found, whole, 1e-9)
    path = np.asarray(path_nodes(layouts))
    y = np.eye(10)[path].reshape(40, -1)
    states = np.asarray(jax.vmap(lambda ids: residual_streams(MODEL, ids))(layouts.tokens))
    for place, where in enumerate(PLACES):
        at = np.array([int(position(one(layouts, number), where)) for number in range(40)])
        for layer in range(3):
            x = states[np.arange(40), layer, at]
            centred = x - x.mean(axis=0)
            penalty = 0.01 * (centred**2).mean(axis=0).sum() / 8
            # Least squares with √(n penalty) I as 8 further examples.
            longer = np.concatenate([centred, np.sqrt(40 * penalty) * np.eye(8)])
            truth = np.linalg.lstsq(longer, np.concatenate([y - y.mean(axis=0), np.zeros((8, 30))]))[0]
            assert_close(found.kernel[layer, place].reshape(8, 30), truth, 1e-9)
            assert_close(found.bias[layer, place].reshape(-1), y.mean(axis=0) - x.mean(axis=0) @ truth, 1e-9)


def test_a_planted_code_is_found_and_shuffled_labels_are_not():
    train, test = some_twins(300, COPY, answer=0).layout, some_twins(100, COPY, answer=0, seed=4).layout
    places = ("query", "goal in query")
    found = score_linear_probes(copying_model(), fit_linear_probes(copying_model(), train, places), test, places)
    # Targets are the start and the goal. The prompt's end names the start, until the goal is written over it.
    assert found.accuracy[:2, 0, 0].tolist() == [1, 1]
    assert found.accuracy[2, 0, 1] == 1
    assert found.accuracy[:2, 0, 1].max() < 0.5
    assert found.accuracy[:2, 1, 1].tolist() == [1, 1]
    assert found.accuracy[:2, 1, 0].max() < 0.5
    shuffled = fit_linear_probes(copying_model(), train, places, shuffle=jax.random.key(0))
    control = score_linear_probes(copying_model(), shuffled, test, places)
    assert control.accuracy.max() < 0.5
    untrained = copying_model(strength=0)
    assert (
        score_linear_probes(untrained, fit_linear_probes(untrained, train, places), test, places).accuracy[2, 0, 1]
        < 0.5
    )


def test_a_stream_that_does_not_vary_gives_the_commonest_label():
    model = copying_model()
    model.transformer.tokens[...] = jnp.zeros_like(model.transformer.tokens[...])
    train = some_twins(50, COPY, answer=0).layout
    fitted = fit_linear_probes(model, train)
    assert np.isfinite(fitted.kernel).all()
    goals = np.asarray(path_nodes(train))[:, 1]
    share = score_linear_probes(model, fitted, train).accuracy[:, 0, 1]
    assert_close(share, np.full(3, np.bincount(goals).max() / 50), 1e-12)


@pytest.mark.parametrize(("right", "count", "confidence"), [(0, 5, 0.95), (3, 7, 0.9), (40, 40, 0.99)])
def test_wilson(right, count, confidence):
    low, high = wilson_interval(np.array([right / count]), count, confidence)
    truth = binomtest(right, count).proportion_ci(confidence, method="wilson")
    assert_close((low[0], high[0]), (truth.low, truth.high), 1e-12)


def bad_probes() -> LinearProbes:
    return LinearProbes(np.zeros((3, 2, 8, 3, 10)), np.zeros((3, 2, 3, 10)))


ERRORS = [
    (lambda: logit_lens(MODEL, FORM, LAYOUTS, "end"), "where: must be one of query, goal in query, .*, got 'end'"),
    (lambda: logit_lens(MODEL, FORM, LAYOUTS, 10), "where: must be an integer between 0 and 9, got 10"),
    (lambda: fit_linear_probes(MODEL, LAYOUTS, ridge=0.0), r"ridge: must be positive and finite, got 0\.0"),
    (lambda: fit_linear_probes(MODEL, LAYOUTS, chunk=0), "chunk: must be an integer at least 1, got 0"),
    (
        lambda: score_linear_probes(MODEL, bad_probes(), LAYOUTS),
        r"places: must be those of the probes, got \('query',\)",
    ),
    (lambda: wilson_interval(np.zeros(1), 0), "count: must be an integer at least 1, got 0"),
    (lambda: wilson_interval(np.zeros(1), 3, 1.0), r"confidence: must lie between 0 and 1, got 1\.0"),
]


@pytest.mark.parametrize(("call", "message"), ERRORS, ids=[message[:30] for _, message in ERRORS])
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
