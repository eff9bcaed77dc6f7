import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from circuits.probes.interventions.sites import SITES, check_masks
from circuits.probes.interventions.sites import replacement_edits
from circuits.probes.interventions.sites import capture_layers
from circuits.probes.interventions.sites import masks_to_positions
from circuits.probes.interventions.sites import mask_grid
from circuits.probes.interventions.sites import num_heads_at
from circuits.probes.interventions.variants import flatten_variants
from circuits.probes.interventions.variants import map_in_blocks
from circuits.transformer.taps import Taps
from tests.cases import assert_close
from tests.probes.interventions.planted import random_model
from tests.transformer.models import shape

CONFIG = shape(layers=3, heads=4, kv_heads=2)


@pytest.mark.parametrize(
    "by", [(), ("layer",), ("position", "layer"), ("layer", "head"), ("layer", "head", "position")]
)
def test_grid_has_one_entry_of_each_named_axis_and_all_of_the_others(by):
    sizes = {"layer": 3, "position": 5, "head": 4}
    masks = mask_grid(CONFIG, "attn.z", by, 5)
    inner = (3, 5 if "position" in by else 1, 4 if "head" in by else 1)
    assert masks.shape == (*(sizes[name] for name in by), *inner)
    for place in itertools.product(*(range(sizes[name]) for name in by)):
        at = dict(zip(by, place, strict=True))
        expected = np.zeros(inner, bool)
        expected[tuple(at.get(name, slice(None)) for name in sizes)] = True
        assert np.array_equal(masks[place], expected)


def test_heads_of_sites():
    assert {site: num_heads_at(CONFIG, site) for site in SITES if num_heads_at(CONFIG, site) > 1} == {
        "attn.q": 4,
        "attn.k": 2,
        "attn.v": 2,
        "attn.z": 4,
    }


def test_an_edit_at_every_site_changes_what_the_mask_says_and_nothing_else():
    model = random_model("llama", heads=4, kv_heads=2)
    tokens = jnp.arange(6, dtype=jnp.int32)
    for site in SITES:
        heads = num_heads_at(model.config, site)
        mask = np.zeros((2, 6, heads), bool)
        mask[1, 2, heads - 1] = True
        old = capture_layers(model, tokens, site)
        names = [f"blocks.{i}.{site}" for i in range(2)]
        logits, cache = model(tokens, Taps(names, replacement_edits(site, mask, old + 1)))
        changed = np.stack([cache[name] for name in names]) - np.asarray(old)
        expected = np.zeros(old.shape)
        expected[(1, 2, heads - 1) if old.ndim == 4 else (1, 2)] = 1
        assert_close(changed, expected, 1e-12)
        assert not np.allclose(logits, model(tokens)), site


def test_masks_over_places_are_put_to_positions():
    mask, order = np.zeros((2, 4, 1), bool), jnp.array([2, 0, 3, 1])
    mask[1, 0] = mask[0, 3] = True
    assert np.argwhere(masks_to_positions(mask, order))[:, :2].tolist() == [[0, 1], [1, 2]]
    everywhere = np.ones((2, 1, 1), bool)
    assert np.array_equal(masks_to_positions(everywhere, order), everywhere)


def test_blocks_cover_each_variant_once():
    variants = {"x": np.arange(7.0), "y": np.arange(14.0).reshape(7, 2)}
    for block in (1, 3, 4, 7, 100):
        found = map_in_blocks(lambda v: v["x"] * v["y"], variants, block)
        assert_close(found, variants["x"][:, None] * variants["y"], 0)
    flat, lead = flatten_variants(np.zeros((2, 3, 4, 1, 1)), inner=3)
    assert (flat.shape, lead) == ((6, 4, 1, 1), (2, 3))


ERRORS = [
    (lambda: mask_grid(CONFIG, "attn.w", ()), "site: must be one of resid_pre, .*, got 'attn.w'"),
    (lambda: mask_grid(CONFIG, "attn.z", ("depth",)), "by: must be one of layer, position, head, got 'depth'"),
    (lambda: mask_grid(CONFIG, "attn.z", ("head", "head")), r"by: must name an axis once, got \('head', 'head'\)"),
    (
        lambda: mask_grid(CONFIG, "mlp_out", ("head",)),
        r"by: must not name heads at mlp_out, which has none, got \('head',\)",
    ),
    (
        lambda: check_masks(np.ones((3, 2, 4), bool), CONFIG, "attn.z", 5),
        r"masks: must end with axes \[3, 5 or 1, 4 or 1\], got \(3, 2, 4\)",
    ),
    (lambda: flatten_variants(np.zeros((0, 3, 1, 1)), 3), r"masks: must hold at least one, got \(0, 3, 1, 1\)"),
    (lambda: map_in_blocks(lambda v: v, np.zeros(3), 0), "block: must be an integer at least 1, got 0"),
]


@pytest.mark.parametrize(("call", "message"), ERRORS, ids=[message[:25] for _, message in ERRORS])
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
