"""Knock-out against softmax over the keys that remain, and on a model whose circuit is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.special import log_softmax, softmax

from circuits.probes.interventions.knockout import block_scores, knock_out, layer_windows
from circuits.probes.layout import PATH, ROLES
from circuits.probes.positions import position_masks, position_names
from circuits.transformer.taps import Taps
from tests.cases import assert_close
from tests.probes.interventions.planted import copy_twins, copying_model, one, some_twins, tiny_model

COUNT = 4


def test_blocked_scores_by_hand():
    scores = jnp.asarray([[[2.0, -jnp.inf, -jnp.inf], [1.0, 0.5, -jnp.inf], [1.0, 2.0, 3.0]]])
    pairs = np.array([[[1, 0, 0], [1, 0, 0], [0, 1, 0]]], bool)
    inf = np.inf
    expected = np.array([[[2, -inf, -inf], [-inf, 0.5, -inf], [1, -inf, 3]]])
    assert_close(block_scores(jnp.asarray(pairs), scores), expected, 0)
    everything = block_scores(jnp.ones((1, 3, 3), bool), scores)
    assert_close(softmax(np.asarray(everything), axis=-1)[0], np.eye(3), 0)


def test_names_are_those_of_the_positions():
    names = position_names(3)
    for number in range(COUNT):
        twin = one(some_twins(COUNT), number)
        layout, tokens = twin.layout, np.asarray(twin.clean_tokens)
        masks = dict(zip(names, np.asarray(position_masks(layout)), strict=True))
        assert masks["any"].all()
        assert np.array_equal(masks["path"], np.asarray(layout.roles) == PATH)
        single = {"query": [9], "goal in query": [8], "start in query": [9]}
        assert {name: np.flatnonzero(masks[name]).tolist() for name in single} == single
        first, second = (np.flatnonzero(masks[f"edge 0 {end}"])[0] for end in ("parent", "child"))
        assert second == first + 1
        assert tokens[first] == tokens[9]
        assert tokens[second] == twin.clean_answer
        assert tokens[masks["edge 1 child"]] == tokens[8]


def test_windows():
    assert layer_windows(4, 2)[..., 0, 0].astype(int).tolist() == [[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]
    assert layer_windows(4, 4).all()
    assert layer_windows(4, 4).shape == (1, 4, 1, 1)


def test_knock_out_is_the_softmax_over_what_remains():
    model, twins = tiny_model(), some_twins(COUNT)
    graph, state = nnx.split(model)
    queries, keys = ("query", "path", "any"), ("goal in query", "distractor", "edge 0 child", "any")
    masks = np.zeros((3, 2, 1, 2), bool)
    masks[0] = True
    masks[1, 1], masks[2, 0, 0, 1] = True, True
    found = knock_out(model, twins, queries, keys, masks=masks, block=5)
    assert found.loss.shape == (3, 3, 4)

    def remaining(pattern, pairs):
        """Attention over the keys that remain, scaled to 1; a row without any looks at itself."""
        pattern = jnp.where(pairs, 0, pattern)
        total = pattern.sum(axis=-1, keepdims=True)
        return jnp.where(total == 0, jnp.eye(len(pairs[0])), pattern / jnp.where(total == 0, 1, total))

    @jax.jit
    def logits(ids, pairs):
        edit = {f"blocks.{i}.attn.pattern": lambda pattern, i=i: remaining(pattern, pairs[i]) for i in range(2)}
        return nnx.merge(graph, state)(ids, Taps(edit=edit))[0][0, -1]

    names, losses = position_names(3), np.zeros((COUNT, 3, 3, 4))
    for number in range(COUNT):
        twin = one(twins, number)
        positions = np.asarray(position_masks(twin.layout))
        for place in np.ndindex(3, 3, 4):
            query, key = positions[names.index(queries[place[1]])], positions[names.index(keys[place[2]])]
            pairs = masks[place[0]].reshape(2, 2, 1, 1) & query[:, None] & key
            answer = log_softmax(np.asarray(logits(twin.clean_tokens, pairs)))[twin.clean_answer]
            losses[(number, *place)] = -answer
    assert_close(found.loss, losses.mean(axis=0), 1e-10)
    assert np.isfinite(found.loss_error).all()
    assert np.abs(found.loss_change).max() > 0.01


def test_a_role_that_is_not_there_changes_nothing():
    found = knock_out(tiny_model(), some_twins(COUNT), ROLES, ROLES)
    absent = [ROLES.index("answer"), ROLES.index("symbol")]
    assert_close(found.loss_change[absent], np.zeros((2, 6)), 1e-12)
    assert_close(found.loss_change[:, absent], np.zeros((6, 2)), 1e-12)
    assert (np.abs(np.delete(np.delete(found.loss_change, absent, 0), absent, 1)) > 1e-9).sum() >= 8


def test_the_planted_edge_is_found_and_no_other():
    keys = ("goal in query", "start in query", "edge 0 parent", "edge 0 child", "distractor")
    found = knock_out(copying_model(), copy_twins(16), ["query"], keys, masks=layer_windows(2, 1))
    assert found.base_accuracy == 1
    assert found.accuracy[1, 0, 0] < 0.5
    assert found.accuracy.ravel().tolist().count(1.0) == 9


def test_gradients_are_finite():
    scores = jnp.asarray(np.where(np.tri(4), np.random.default_rng(0).normal(size=(1, 4, 4)), -np.inf))
    pairs = jnp.zeros((1, 4, 4), bool).at[0, :, :2].set(True)
    slope = jax.jit(jax.grad(lambda x: (jax.nn.softmax(block_scores(pairs, x), axis=-1) ** 2).sum()))(scores)
    assert np.isfinite(slope).all()
    assert np.abs(slope).max() > 0


@pytest.mark.parametrize(
    ("queries", "keys", "masks", "message"),
    [
        (["query"], ["end"], None, "keys: must be one of start"),
        ([], ["any"], None, "queries: must hold at least one name"),
        (["edge 2 parent"], ["any"], None, "queries: must be one of"),
        (["any"], ["any"], np.ones((2, 5, 1), bool), r"masks: must end with axes \[2, 1 or 1, 2 or 1\]"),
    ],
)
def test_bad_input(queries, keys, masks, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        knock_out(tiny_model(), some_twins(COUNT), queries, keys, masks=masks)
    with pytest.raises(ValueError, match=r"^width: must be an integer between 1 and 4"):
        layer_windows(4, 5)
