"""The two models behind one interface: gradients of the objective they claim, names, and what they read."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from circuits.disentangled import full
from circuits.disentangled.mix import OBJECTIVES
from circuits.disentangled.models import full_model, prompts, reduced_model
from circuits.tasks.star.graph import StarGraph
from tests.cases import assert_close

GRAPHS, MTP = StarGraph(2, 3, 10), OBJECTIVES["mtp"]
BATCH = prompts(GRAPHS, jax.random.key(9), 8)


def test_gradients_of_the_full_model_are_of_the_objective():
    """Autodiff of each mean loss, combined by hand, against the gradient that training takes.

    The reduced model's are tested, with every mix, in ``test_reduced_batch``.
    """
    models = {name: full_model(GRAPHS, OBJECTIVES[name], 0.5) for name in ("mtp", "mtp-without-replay")}
    params = models["mtp"].initial(jax.random.key(0))

    @jax.jit
    @jax.jacrev
    def slopes(params):
        return [jnp.mean(part) for part in jax.vmap(partial(full.losses, params))(*BATCH)]

    plan, replay, goal = slopes(params)
    truth = {
        "mtp": jax.tree.map(lambda a, b, c: 0.25 * a + 0.25 * b + 0.5 * c, plan, replay, goal),
        "mtp-without-replay": jax.tree.map(lambda a, c: 0.25 * a + 0.5 * c, plan, goal),
    }
    for name, model in models.items():
        loss, gradient = jax.jit(model.gradient)(params, *BATCH)
        assert_close(gradient, truth[name], atol=1e-6)
        assert {leaf.dtype for leaf in jax.tree.leaves((loss, gradient))} == {jnp.dtype("float32")}


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("reduced", ("content_1", "position_1", "content_2", "position_2")),
        ("full", ("weight_1", "weight_2", "head_0", "head_1")),
    ],
)
def test_names_are_those_of_the_leaves(name, names):
    model = (full_model if name == "full" else reduced_model)(GRAPHS, MTP, 0.01)
    params = model.initial(jax.random.key(0))
    assert model.names == names
    leaves = jax.tree.leaves(params)
    if name == "reduced":
        assert leaves[0] is params[0].content
        assert leaves[3] is params[1].position
    else:
        assert leaves[0] is params.weight_1
        assert leaves[3] is params.head_1


def test_a_held_block_starts_at_zero_and_all_else_as_in_the_free_model():
    held, free = (reduced_model(GRAPHS, MTP, 0.01, hold).initial(jax.random.key(0)) for hold in (True, False))
    assert not np.any(held[0].content)
    assert np.all(free[0].content)
    assert_close((held[0].position, held[1]), (free[0].position, free[1]), atol=0)
    _, gradient = jax.jit(reduced_model(GRAPHS, MTP, 0.01).gradient)(free, *BATCH)
    assert np.any(gradient[0].content)
