"""Ablation against models whose weights are removed, against edits one at a time, and on a known circuit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.special import log_softmax

from circuits.probes.interventions.ablation import ablate, mean_activations
from tests.cases import assert_close
from tests.probes.interventions.planted import (
    copy_twins,
    copying_model,
    edited,
    last,
    layers,
    some_twins,
    tiny_model,
)

EVERY_HEAD = np.ones((2, 1, 2), bool)
COUNT = 5


def losses(twins, logits):
    """Loss and accuracy of each example."""
    wanted, logits = np.asarray(twins.clean_answer), np.asarray(logits)
    own = log_softmax(logits, axis=-1)[np.arange(len(wanted)), wanted]
    return -own, np.argmax(logits, axis=-1) == wanted


def test_zero_is_the_last_matrix_without_its_rows():
    """Of each head, its rows of the output projection; of each layer, the whole matrix."""
    model, twins = tiny_model(), some_twins(COUNT)
    graph, state = nnx.split(model)
    run = jax.jit(lambda state, ids: jax.vmap(nnx.merge(graph, state))(ids)[:, 0, -1])
    base, right = losses(twins, run(state, twins.clean_tokens))

    def without(layer, part, rows):
        other = nnx.clone(model)
        kernel = getattr(other.transformer.blocks[layer], part).out.kernel
        kernel[...] = kernel[...].at[rows].set(0)
        return losses(twins, run(nnx.state(other), twins.clean_tokens))

    heads = ablate(model, twins, "attn.z", "zero", block=3)
    assert_close((heads.base_loss, heads.base_accuracy), (base.mean(), right.mean()), 1e-12)
    for layer, head in np.ndindex(2, 2):
        loss, right = without(layer, "attn", slice(4 * head, 4 * head + 4))
        assert_close(heads.loss[layer, head], loss.mean(), 1e-12)
        assert_close(heads.accuracy[layer, head], right.mean(), 0)
        assert_close(heads.loss_change[layer, head], (loss - base).mean(), 1e-12)
        assert_close(heads.loss_error[layer, head], (loss - base).std(ddof=1) / np.sqrt(COUNT), 1e-12)
    for site, part in (("attn_out", "attn"), ("mlp_out", "mlp")):
        whole = ablate(model, twins, site, "zero").loss
        assert_close(whole, np.array([without(layer, part, slice(None))[0].mean() for layer in range(2)]), 1e-12)


@pytest.mark.parametrize("aligned", [False, True])
def test_mean_and_keep_only_a_set(aligned):
    model, twins = tiny_model(), some_twins(COUNT)
    keep = np.zeros((1, 2, 1, 2), bool)
    keep[0, 1, 0, 1] = True
    found = ablate(model, twins, "attn.z", "mean", masks=~keep, aligned=aligned)
    length = twins.clean_tokens.shape[1]
    orders = np.asarray(twins.layout.order) if aligned else np.tile(np.arange(length), (COUNT, 1))
    z = [layers(model, ids, "attn.z")[:, order] for ids, order in zip(twins.clean_tokens, orders, strict=True)]
    mean = np.mean(z, axis=0)
    assert_close(mean_activations(model, twins, "attn.z", aligned=aligned), mean, 1e-12)
    chosen = np.broadcast_to(~keep[0], mean.shape[:-1])[..., None]
    logits = [
        edited(model, ids, "attn.z", chosen, mean[:, np.argsort(order)])
        for ids, order in zip(twins.clean_tokens, orders, strict=True)
    ]
    loss, right = losses(twins, logits)
    assert_close((found.loss, found.accuracy), (loss.mean()[None], right.mean()[None]), 1e-12)


@pytest.mark.parametrize("aligned", [False, True])
def test_resampling_takes_another_example(aligned):
    """With both layers replaced only the last position matters; with the first alone, the others too."""
    model, pair = tiny_model(), some_twins(2)
    masks = np.stack([EVERY_HEAD, EVERY_HEAD & np.array([True, False]).reshape(2, 1, 1), ~EVERY_HEAD])
    found = ablate(model, pair, "attn.z", "resample", masks=masks, aligned=aligned, key=jax.random.key(3))
    logits = [[], []]
    for number, other in ((0, 1), (1, 0)):
        values = layers(model, pair.clean_tokens[other], "attn.z")
        if aligned:
            moved = np.empty_like(values)
            moved[:, np.asarray(pair.layout.order)[number]] = values[:, np.asarray(pair.layout.order)[other]]
            values = moved
        for mask, results in zip(masks, logits, strict=False):
            chosen = np.broadcast_to(mask[..., None], values.shape)
            results.append(edited(model, pair.clean_tokens[number], "attn.z", chosen, values))
    runs = [*logits, [last(model, ids) for ids in pair.clean_tokens]]
    loss = np.array([losses(pair, run)[0].mean() for run in runs])
    assert_close(found.loss, loss, 1e-12)
    assert np.abs(loss[:2] - loss[2]).min() > 1e-4


@pytest.mark.parametrize("method", ["zero", "mean", "resample"])
def test_the_planted_head_is_found_and_no_other(method):
    model, twins = copying_model(), copy_twins(24)
    others = np.ones((2, 2), bool)
    others[1, 0] = False
    masks = np.concatenate([np.eye(4, dtype=bool).reshape(4, 2, 1, 2), others.reshape(1, 2, 1, 2)])
    found = ablate(model, twins, "attn.z", method, masks=masks, key=jax.random.key(0))
    single = others.ravel()
    assert found.base_accuracy == 1
    assert found.accuracy[:4][~single] < 0.5
    assert found.loss_change[:4][~single] > 0.5
    assert_close(found.accuracy[:4][single], np.ones(3), 0)
    assert np.abs(found.loss_change[:4][single]).max() < 0.05
    assert found.accuracy[4] == 1  # the planted head alone


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"site": "resid_pre"}, "site: must be one of attn.z, attn_out, mlp_out"),
        ({"method": "half"}, "method: must be one of zero, mean, resample"),
        ({"method": "resample"}, "key: must be given"),
        ({"method": "resample", "key": jnp.zeros(2, jnp.uint32)}, "twins: must be at least two problems"),
        ({"site": "mlp_out", "masks": EVERY_HEAD}, "masks: must end with axes"),
        ({"method": "zero", "head": 5}, "head: must be an integer between 0 and 1"),
    ],
)
def test_bad_input(changes, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        ablate(tiny_model(), some_twins(1), **changes)
