import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from circuits.probes.interventions.patching import DIRECTIONS, patch, patch_masks
from circuits.probes.interventions.sites import last_logits
from circuits.probes.interventions.sites import replacement_edits
from circuits.probes.interventions.sites import capture_layers
from tests.cases import assert_close
from tests.probes.interventions.planted import COPY, capture, copying_model, one, outcome, random_model, some_twins

TWINS = some_twins(5)
MODEL = random_model()


def difference(twin, logits):
    return logits[..., int(twin.clean_token)] - logits[..., int(twin.corrupt_token)]


def naive(model, twins, site, layer, positions, heads, direction, head=0):
    """Per example: the shift and the span of D, and whether the answer flips (NaN where it can't)."""
    rows = []
    for number in range(len(twins.corrupt)):
        twin = one(twins, number)
        base, source = twin.layout.tokens, twin.corrupt
        if direction == "denoise":
            base, source = source, base
        name = f"blocks.{layer}.{site}"
        value = capture(model, source, name)

        def edit(old, value=value, twin=twin):
            new = np.array(old)
            for place in positions(twin):
                if heads is None:
                    new[place] = value[place]
                else:
                    new[place, heads] = value[place, heads]
            return jnp.asarray(new)

        runs = [(base, {}), (base, {name: edit}), (source, {})]
        found = [outcome(model, tokens, replacement_edits, head) for tokens, replacement_edits in runs]
        kept, patched, wanted = (int(np.argmax(logits)) for logits in found)
        base_d, patched_d, source_d = (difference(twin, logits) for logits in found)
        rows.append((patched_d - base_d, source_d - base_d, float(patched == wanted) if kept != wanted else np.nan))
    return np.array(rows).T


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_everything_at_the_bottom_gives_one_and_nothing_gives_zero(direction):
    masks = np.stack([np.ones((2, 1, 1), bool), np.zeros((2, 1, 1), bool)])
    found = patch_masks(MODEL, TWINS, "resid_pre", masks, direction=direction)
    assert_close(found.effect, np.array([1.0, 0.0]), 1e-12)
    assert_close(found.error, np.zeros(2), 1e-7)
    assert found.flips.tolist() == [float(found.counted > 0), 0.0]
    assert abs(found.span) > 1e-3


SWEEPS = [
    ("resid_post", ("layer", "position"), "denoise", False),
    ("mlp_out", ("position", "layer"), "noise", True),
    ("attn.z", ("layer", "head"), "noise", False),
    ("attn.z", ("layer", "head", "position"), "denoise", True),
]


@pytest.mark.parametrize(("site", "by", "direction", "aligned"), SWEEPS)
def test_a_sweep_is_the_loop_over_one_edit_at_a_time(site, by, direction, aligned):
    twins = jax.tree.map(lambda part: part[:3], TWINS)
    found = patch(MODEL, twins, site, by, direction=direction, aligned=aligned, head=1, block=3)
    length = twins.corrupt.shape[1]
    sizes = {"layer": 2, "position": length, "head": 2}
    assert found.effect.shape == tuple(sizes[name] for name in by)
    # The last places of a random sample are enough for the largest sweep.
    for place in itertools.islice(itertools.product(*(range(sizes[name]) for name in by)), 0, None, 3):
        at = dict(zip(by, place, strict=True))

        def positions(twin, at=at):
            if "position" not in at:
                return range(length)
            return [int(twin.layout.order[at["position"]]) if aligned else at["position"]]

        shift, span, flips = naive(MODEL, twins, site, at["layer"], positions, at.get("head"), direction, head=1)
        assert_close(found.effect[place], shift.mean() / span.mean(), 1e-10)
        assert_close(found.shift[place], shift.mean(), 1e-12)
        residual = shift - shift.mean() / span.mean() * span
        assert_close(found.error[place], residual.std(ddof=1) / np.sqrt(3) / abs(span.mean()), 1e-8)
        if found.counted:
            assert_close(found.flips[place], np.nanmean(flips), 1e-12)
        assert found.counted == np.isfinite(flips).sum()
        assert_close(found.span_error, span.std(ddof=1) / np.sqrt(3), 1e-12)


def test_chunks_and_blocks_do_not_matter():
    shown = []
    whole = patch(MODEL, TWINS, "attn_out", chunk=64, block=100)
    parts = patch(MODEL, TWINS, "attn_out", chunk=2, block=7, show=lambda done, total: shown.append((done, total)))
    assert_close(parts, whole, 1e-7)
    assert_close(parts.effect, whole.effect, 1e-12)
    assert shown == [(2, 5), (4, 5), (5, 5)]


def test_the_planted_head_is_found_and_no_other():
    model, twins = copying_model(), some_twins(6, COPY, answer=0)
    expected = np.zeros((2, 2))
    expected[1, 0] = 1
    for direction in DIRECTIONS:
        found = patch(model, twins, "attn.z", ("layer", "head"), direction=direction)
        assert_close(found.effect, expected, 1e-9)
        assert_close(found.flips, expected, 0)
        assert found.counted == 6
    # It is written at the prompt's end, and until then the goal stands where the prompt names it.
    read = patch(model, twins, "resid_pre")
    assert_close(read.effect, np.eye(6)[[4, 4]], 1e-9)
    assert_close(patch(model, twins, "attn_out").effect, np.stack([np.zeros(6), np.eye(6)[5]]), 1e-9)


def test_a_model_that_ignores_the_goal_has_no_span_and_no_effect():
    found = patch(copying_model(strength=0), some_twins(4, COPY, answer=0), "resid_pre", ("layer",))
    assert_close((found.span, found.counted), (0.0, 0), 1e-12)
    assert np.isfinite(found.effect).all()
    assert np.isfinite(found.error).all()
    assert found.flips.max() == 0


def test_half_precision_and_gradients():
    half = random_model(dtype="bfloat16", param_dtype="float32")
    found = patch(half, TWINS, "attn.z", ("layer",))
    assert np.isfinite(found.effect).all()
    twin = one(TWINS, 0)
    values = capture_layers(MODEL, twin.corrupt, "attn.z")
    mask = jnp.zeros((2, 1, 2), bool).at[0, 0, 1].set(True)

    @jax.jit
    def total(values):
        return last_logits(MODEL, twin.layout.tokens, replacement_edits("attn.z", mask, values)).sum()

    slope = jax.grad(total)(values)
    assert np.isfinite(slope).all()
    assert np.abs(slope[0, :, 1]).max() > 0
    assert np.abs(slope[1]).max() == np.abs(slope[0, :, 0]).max() == 0


ERRORS = [
    (lambda: patch(MODEL, TWINS, "z"), "site: must be one of"),
    (lambda: patch(MODEL, TWINS, "attn.z", direction="up"), "direction: must be one of denoise, noise, got 'up'"),
    (lambda: patch(MODEL, TWINS, "attn.z", head=2), "head: must be an integer between 0 and 1, got 2"),
    (lambda: patch_masks(MODEL, TWINS, "attn.z", np.ones((3, 1, 1), bool)), "masks: must end with axes"),
]


@pytest.mark.parametrize(("call", "message"), ERRORS, ids=[message for _, message in ERRORS])
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
