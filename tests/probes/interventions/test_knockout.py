import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from circuits.probes.interventions.knockout import knock_out, site_names, site_positions
from circuits.probes.interventions.knockout import block_scores
from circuits.probes.interventions.knockout import layer_windows
from circuits.probes.layout import PATH, ROLES
from tests.cases import assert_close
from tests.probes.interventions.planted import COPY, copying_model, one, outcome, random_model, some_twins

TWINS = some_twins(4)
MODEL = random_model()


def naive(pattern, edge):
    """The softmax over the keys that remain: their weights, scaled to 1; a row without any looks at itself."""
    pattern, edge = np.array(pattern), np.broadcast_to(edge, pattern.shape)
    pattern[edge] = 0
    for head, row in np.argwhere(pattern.sum(axis=-1) == 0):
        pattern[head, row, row] = 1
    return jnp.asarray(pattern / pattern.sum(axis=-1, keepdims=True))


def test_blocked_scores_by_hand():
    scores = jnp.asarray([[[2.0, -jnp.inf, -jnp.inf], [1.0, 0.5, -jnp.inf], [1.0, 2.0, 3.0]]])
    edge = np.array([[[1, 0, 0], [1, 0, 0], [0, 1, 0]]], bool)
    inf = np.inf
    expected = np.array([[[2, -inf, -inf], [-inf, 0.5, -inf], [1, -inf, 3]]])
    assert_close(block_scores(jnp.asarray(edge), scores), expected, 0)
    left = softmax(np.asarray(block_scores(jnp.asarray(edge), scores)), axis=-1)
    assert_close(left[0, 2], np.array([np.exp(-2), 0, 1]) / (1 + np.exp(-2)), 1e-15)
    everything = block_scores(jnp.ones((1, 3, 3), bool), scores)
    assert_close(softmax(np.asarray(everything), axis=-1)[0], np.eye(3), 0)


def test_sites_are_the_positions_that_they_name():
    names = site_names(3)
    for number in range(4):
        layout = one(TWINS, number).layout
        found = dict(zip(names, np.asarray(site_positions(layout)), strict=True))
        assert found["any"].all()
        assert np.flatnonzero(found["path"]).tolist() == np.flatnonzero(np.asarray(layout.roles) == PATH).tolist()
        tokens = np.asarray(layout.tokens)
        single = {"query": [9], "goal in query": [8], "start in query": [9]}
        assert {name: np.flatnonzero(found[name]).tolist() for name in single} == single
        first, second = (np.flatnonzero(found[f"edge 1 {end}"])[0] for end in ("tail", "head"))
        assert second == first + 1
        assert tokens[first] == tokens[9]
        assert tokens[second] == int(one(TWINS, number).clean_token)
        assert tokens[found["edge 2 head"]] == tokens[8]


def test_windows():
    assert layer_windows(4, 2)[..., 0, 0].astype(int).tolist() == [[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]
    assert layer_windows(4, 4).all()
    assert layer_windows(4, 4).shape == (1, 4, 1, 1)


def test_knock_out_is_the_softmax_over_what_remains():
    queries, keys = ("query", "path", "any"), ("goal in query", "distractor", "edge 1 head", "any")
    masks = np.zeros((3, 2, 1, 2), bool)
    masks[0] = True
    masks[1, 1], masks[2, 0, 0, 1] = True, True
    found = knock_out(MODEL, TWINS, queries, keys, masks=masks, block=5)
    assert found.loss.shape == (3, 3, 4)
    names, losses = site_names(3), np.zeros((4, 3, 3, 4))
    for number in range(4):
        twin = one(TWINS, number)
        sites = np.asarray(site_positions(twin.layout))
        for place in np.ndindex(3, 3, 4):
            query, key = sites[names.index(queries[place[1]])], sites[names.index(keys[place[2]])]
            edge = query[:, None] & key
            edit = {
                f"blocks.{i}.attn.pattern": lambda p, e=edge & masks[place[0], i, 0][:, None, None]: naive(p, e)
                for i in range(2)
            }
            logits = outcome(MODEL, twin.layout.tokens, edit)
            losses[(number, *place)] = -log_softmax(logits)[int(twin.clean_token)]
    assert_close(found.loss, losses.mean(axis=0), 1e-10)
    assert np.isfinite(found.loss_error).all()
    assert np.abs(found.loss_change).max() > 0.01


def test_a_role_that_is_not_there_changes_nothing():
    found = knock_out(MODEL, TWINS, ROLES, ROLES)
    absent = [ROLES.index("answer"), ROLES.index("symbol")]
    assert_close(found.loss_change[absent], np.zeros((2, 6)), 1e-12)
    assert_close(found.loss_change[:, absent], np.zeros((6, 2)), 1e-12)
    assert (np.abs(np.delete(np.delete(found.loss_change, absent, 0), absent, 1)) > 1e-9).sum() >= 8


def test_the_planted_edge_is_found_and_no_other():
    model, twins = copying_model(), some_twins(16, COPY, answer=0)
    keys = ("goal in query", "start in query", "edge 1 tail", "edge 1 head", "distractor")
    found = knock_out(model, twins, ["query"], keys, masks=layer_windows(2, 1))
    assert found.base_accuracy == 1
    assert found.accuracy[1, 0, 0] < 0.5
    assert found.accuracy.ravel().tolist().count(1.0) == 9


def test_gradients_are_finite():
    scores = jnp.asarray(np.where(np.tri(4), np.random.default_rng(0).normal(size=(1, 4, 4)), -np.inf))
    edge = jnp.zeros((1, 4, 4), bool).at[0, :, :2].set(True)

    def first_key(scores):
        return (jax.nn.softmax(block_scores(edge, scores), axis=-1) ** 2).sum()

    slope = jax.jit(jax.grad(first_key))(scores)
    assert np.isfinite(slope).all()
    assert np.abs(slope).max() > 0


ERRORS = [
    (lambda: knock_out(MODEL, TWINS, ["query"], ["end"]), "keys: must be one of start, .*, got 'end'"),
    (lambda: knock_out(MODEL, TWINS, [], ["any"]), r"queries: must hold at least one site, got \(\)"),
    (lambda: knock_out(MODEL, TWINS, ["edge 3 tail"], ["any"]), "queries: must be one of"),
    (
        lambda: knock_out(MODEL, TWINS, ["any"], ["any"], masks=np.ones((2, 5, 1), bool)),
        r"masks: must end with axes \[2, 1 or 1, 2 or 1\], got \(2, 5, 1\)",
    ),
    (lambda: layer_windows(4, 5), "width: must be an integer between 1 and 4, got 5"),
]


@pytest.mark.parametrize(("call", "message"), ERRORS, ids=[message[:30] for _, message in ERRORS])
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
