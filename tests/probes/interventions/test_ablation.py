import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.special import log_softmax

from circuits.probes.interventions.ablation import ablate
from circuits.probes.interventions.ablation import mean_activations
from tests.cases import assert_close
from tests.probes.interventions.planted import COPY, capture, copying_model, one, outcome, random_model, some_twins

TWINS = some_twins(5)
MODEL = random_model()
EVERY_HEAD = np.ones((2, 1, 2), bool)


def scores(twins, logits):
    """Loss and accuracy of each example."""
    wanted = np.asarray(twins.clean_token)
    own = log_softmax(logits, axis=-1)[np.arange(len(wanted)), wanted]
    return -own, logits.argmax(axis=-1) == wanted


def test_zero_is_the_out_projection_without_its_rows():
    found = ablate(MODEL, TWINS, "attn.z", "zero", block=3)
    base, right = scores(TWINS, np.stack([outcome(MODEL, tokens) for tokens in TWINS.layout.tokens]))
    assert_close((found.base_loss, found.base_accuracy), (base.mean(), right.mean()), 1e-12)
    for layer in range(2):
        for head in range(2):
            other = nnx.clone(MODEL)
            kernel = other.transformer.blocks[layer].attn.out.kernel
            kernel[...] = kernel[...].at[4 * head : 4 * head + 4].set(0)
            loss, right = scores(TWINS, np.stack([outcome(other, tokens) for tokens in TWINS.layout.tokens]))
            assert_close(found.loss[layer, head], loss.mean(), 1e-12)
            assert_close(found.accuracy[layer, head], right.mean(), 0)
            assert_close(found.loss_change[layer, head], (loss - base).mean(), 1e-12)
            assert_close(found.loss_error[layer, head], (loss - base).std(ddof=1) / np.sqrt(5), 1e-12)


@pytest.mark.parametrize(("site", "part"), [("attn_out", "attn"), ("mlp_out", "mlp")])
def test_zero_of_a_layer_is_its_last_matrix_at_zero(site, part):
    found = ablate(MODEL, TWINS, site, "zero")
    for layer in range(2):
        other = nnx.clone(MODEL)
        kernel = getattr(other.transformer.blocks[layer], part).out.kernel
        kernel[...] = jnp.zeros_like(kernel[...])
        loss, _ = scores(TWINS, np.stack([outcome(other, tokens) for tokens in TWINS.layout.tokens]))
        assert_close(found.loss[layer], loss.mean(), 1e-12)


@pytest.mark.parametrize("aligned", [False, True])
def test_mean_and_keep_only_a_set(aligned):
    keep = np.zeros((1, 2, 1, 2), bool)
    keep[0, 1, 0, 1] = True
    found = ablate(MODEL, TWINS, "attn.z", "mean", masks=~keep, aligned=aligned)
    orders = np.asarray(TWINS.layout.order) if aligned else np.tile(np.arange(TWINS.corrupt.shape[1]), (5, 1))
    edited = []
    values = [
        np.stack(
            [
                np.asarray(capture(MODEL, tokens, f"blocks.{i}.attn.z"))[order]
                for tokens, order in zip(TWINS.layout.tokens, orders, strict=True)
            ]
        ).mean(axis=0)
        for i in range(2)
    ]
    assert_close(mean_activations(MODEL, TWINS, "attn.z", aligned=aligned), np.stack(values), 1e-12)
    for number, order in enumerate(orders):
        back = np.argsort(order)

        def change(old, layer, back=back):
            kept = jnp.asarray([False, layer == 1])[:, None]
            return jnp.where(kept, old, jnp.asarray(values[layer][back]))

        edit = {f"blocks.{i}.attn.z": lambda old, i=i, change=change: change(old, i) for i in range(2)}
        edited.append(outcome(MODEL, TWINS.layout.tokens[number], edit))
    loss, right = scores(TWINS, np.stack(edited))
    assert_close((found.loss, found.accuracy), (loss.mean()[None], right.mean()[None]), 1e-12)


@pytest.mark.parametrize("aligned", [False, True])
def test_resampling_takes_another_example(aligned):
    pair = jax.tree.map(lambda part: part[:2], TWINS)
    masks = np.stack([EVERY_HEAD, ~EVERY_HEAD])
    found = ablate(MODEL, pair, "attn.z", "resample", masks=masks, aligned=aligned, key=jax.random.key(3))
    edited = []
    for number in range(2):
        twin, other = one(pair, number), one(pair, 1 - number)
        edit = {}
        for i in range(2):
            z = np.asarray(capture(MODEL, other.layout.tokens, f"blocks.{i}.attn.z"))
            if aligned:
                moved = np.empty_like(z)
                moved[np.asarray(twin.layout.order)] = z[np.asarray(other.layout.order)]
                z = moved
            edit[f"blocks.{i}.attn.z"] = lambda _, z=z: jnp.asarray(z)
        edited.append(outcome(MODEL, twin.layout.tokens, edit))
    loss, _ = scores(pair, np.stack(edited))
    assert_close(found.loss, np.array([loss.mean(), found.base_loss]), 1e-12)
    assert abs(loss.mean() - found.base_loss) > 1e-4


@pytest.mark.parametrize("method", ["zero", "mean", "resample"])
def test_the_planted_head_is_found_and_no_other(method):
    model, twins = copying_model(), some_twins(24, COPY, answer=0)
    found = ablate(model, twins, "attn.z", method, key=jax.random.key(0))
    assert found.base_accuracy == 1
    assert found.accuracy[1, 0] < 0.5
    assert found.loss_change[1, 0] > 0.5
    others = np.ones((2, 2), bool)
    others[1, 0] = False
    assert_close(found.accuracy[others], np.ones(3), 0)
    assert np.abs(found.loss_change[others]).max() < 0.05
    alone = ablate(model, twins, "attn.z", method, masks=others[:, None, :], key=jax.random.key(0))
    assert alone.accuracy == 1


ERRORS = [
    (lambda: ablate(MODEL, TWINS, "resid_pre"), "site: must be one of attn.z, attn_out, mlp_out, got 'resid_pre'"),
    (lambda: ablate(MODEL, TWINS, method="half"), "method: must be one of zero, mean, resample, got 'half'"),
    (lambda: ablate(MODEL, TWINS, method="resample"), 'key: must be given for method "resample", got None'),
    (
        lambda: ablate(MODEL, some_twins(1), method="resample", key=jax.random.key(0)),
        "twins: must be at least two problems to resample from one another, got 1",
    ),
    (lambda: ablate(MODEL, TWINS, "mlp_out", masks=EVERY_HEAD), "masks: must end with axes"),
    (lambda: ablate(MODEL, TWINS, method="zero", head=5), "head: must be an integer between 0 and 1, got 5"),
]


@pytest.mark.parametrize(("call", "message"), ERRORS, ids=[message for _, message in ERRORS])
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
