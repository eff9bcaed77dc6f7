"""Patching against a loop over one edit at a time, and on a model whose circuit is known."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from circuits.probes.interventions.patching import patch, patch_masks
from circuits.probes.interventions.sites import capture_layers, last_logits, replacement_edits
from tests.cases import assert_close
from tests.probes.interventions.planted import (
    copy_twins,
    copying_model,
    edited,
    last,
    layers,
    one,
    some_twins,
    tiny_model,
)


def naive(model, twins, site, layer, positions, heads, direction, head=0):
    """Per example: the shift and the span of D, and whether the answer flips (NaN where it can't)."""
    rows = []
    for number in range(len(twins.corrupt_tokens)):
        twin = one(twins, number)
        base, source = twin.clean_tokens, twin.corrupt_tokens
        if direction == "denoise":
            base, source = source, base
        values = layers(model, source, site)
        chosen = np.zeros(values.shape[:-1], bool)
        chosen[layer, positions(twin)] = True if heads is None else np.arange(values.shape[2]) == heads
        runs = [last(model, base, head), edited(model, base, site, chosen[..., None], values, head)]
        runs.append(last(model, source, head))
        base_best, patched_best, source_best = (int(np.argmax(logits)) for logits in runs)
        base_d, patched_d, source_d = (logits[twin.clean_answer] - logits[twin.corrupt_answer] for logits in runs)
        flip = float(patched_best == source_best) if base_best != source_best else np.nan
        rows.append((patched_d - base_d, source_d - base_d, flip))
    return np.array(rows).T


def test_everything_at_the_bottom_gives_one_and_nothing_gives_zero():
    masks = np.stack([np.ones((2, 1, 1), bool), np.zeros((2, 1, 1), bool)])
    found = patch_masks(tiny_model(), some_twins(), "resid_pre", masks, direction="noise")
    assert_close(found.effect, np.array([1.0, 0.0]), 1e-12)
    assert_close(found.error, np.zeros(2), 1e-7)
    assert found.flips.tolist() == [float(found.counted > 0), 0.0]
    assert abs(found.span) > 1e-3


@pytest.mark.parametrize(
    ("site", "by", "direction", "aligned"),
    [
        ("mlp_out", ("position", "layer"), "noise", False),
        ("attn.z", ("layer", "head", "position"), "denoise", True),
    ],
)
def test_a_sweep_is_the_loop_over_one_edit_at_a_time(site, by, direction, aligned):
    model, twins = tiny_model(), some_twins(4)
    found = patch(model, twins, site, by, direction=direction, aligned=aligned, head=1, block=3)
    length = twins.corrupt_tokens.shape[1]
    sizes = {"layer": 2, "position": length, "head": 2}
    assert found.effect.shape == tuple(sizes[name] for name in by)
    for place in itertools.product(*(range(sizes[name]) for name in by)):
        at = dict(zip(by, place, strict=True))

        def positions(twin, at=at):
            if "position" not in at:
                return list(range(length))
            return [int(twin.layout.order[at["position"]]) if aligned else at["position"]]

        shift, span, flips = naive(model, twins, site, at["layer"], positions, at.get("head"), direction, head=1)
        assert_close(found.effect[place], shift.mean() / span.mean(), 1e-10)
        assert_close(found.shift[place], shift.mean(), 1e-12)
        residual = shift - shift.mean() / span.mean() * span
        assert_close(found.error[place], residual.std(ddof=1) / np.sqrt(4) / abs(span.mean()), 1e-8)
        if found.counted:
            assert_close(found.flips[place], np.nanmean(flips), 1e-12)
        assert found.counted == np.isfinite(flips).sum()
        assert_close(found.span_error, span.std(ddof=1) / np.sqrt(4), 1e-12)


def test_chunks_and_blocks_do_not_matter():
    done = []
    model, twins = tiny_model(), some_twins(4)
    sweep = {"site": "mlp_out", "by": ("position", "layer"), "direction": "noise", "aligned": True, "head": 1}
    whole = patch(model, twins, **sweep, block=3)  # of the sweep above
    parts = patch(model, twins, **sweep, chunk=2, block=100, on_progress=done.append)
    assert_close(parts, whole, 1e-7)
    assert_close(parts.effect, whole.effect, 1e-12)
    assert done == [2, 4]


def test_the_planted_head_is_found_and_no_other():
    model, twins = copying_model(), copy_twins(6)
    expected = np.zeros((2, 2))
    expected[1, 0] = 1
    found = patch(model, twins, "attn.z", ("layer", "head"))
    assert_close(found.effect, expected, 1e-9)
    assert_close(found.flips, expected, 0)
    assert found.counted == 6
    # It is written at the prompt's end, and until then the goal stands where the prompt names it.
    assert_close(patch(model, twins, "resid_pre").effect, np.eye(6)[[4, 4]], 1e-9)


def test_a_model_that_ignores_the_goal_has_no_span_and_no_effect():
    found = patch(copying_model(strength=0), copy_twins(6), "resid_pre")
    assert_close((found.span, found.counted), (0.0, 0), 1e-12)
    assert np.isfinite(found.effect).all()
    assert np.isfinite(found.error).all()
    assert found.flips.max() == 0


def test_half_precision_and_gradients():
    half = tiny_model(dtype="bfloat16", param_dtype="float32")
    assert np.isfinite(patch(half, some_twins(), "attn.z", ("layer",)).effect).all()
    model, twin = tiny_model(), one(some_twins(), 0)
    mask = jnp.zeros((2, 1, 2), bool).at[0, 0, 1].set(True)

    @jax.jit
    @jax.grad
    def slope(values):
        return last_logits(model, twin.clean_tokens, replacement_edits("attn.z", mask, values)).sum()

    gradient = slope(jax.jit(lambda ids: capture_layers(model, ids, "attn.z"))(twin.corrupt_tokens))
    assert np.isfinite(gradient).all()
    assert np.abs(gradient[0, :, 1]).max() > 0
    assert np.abs(gradient[1]).max() == np.abs(gradient[0, :, 0]).max() == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"site": "z"}, "site: must be one of"),
        ({"direction": "up"}, "direction: must be one of denoise, noise"),
        ({"head": 2}, "head: must be an integer between 0 and 1"),
        ({"masks": np.ones((3, 1, 1), bool)}, "masks: must end with axes"),
    ],
)
def test_bad_input(changes, message):
    arguments = {"site": "attn.z", "masks": np.ones((2, 1, 1), bool)} | changes
    with pytest.raises(ValueError, match=f"^{message}"):
        patch_masks(tiny_model(), some_twins(), **arguments)
