"""Masks, edits and blocks of variants."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from circuits.probes.interventions.sites import (
    SITES,
    check_masks,
    mask_grid,
    masks_to_positions,
    num_heads_at,
    replacement_edits,
)
from circuits.probes.interventions.variants import flatten_variants, map_in_blocks
from circuits.transformer.taps import Taps
from tests.cases import assert_close
from tests.probes.interventions.planted import layers, run, tiny_model
from tests.transformer.models import small_config

CONFIG = small_config(layers=3, heads=4, kv_heads=2)


@pytest.mark.parametrize("by", [(), ("layer",), ("position", "layer"), ("layer", "head", "position")])
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
    heads = {site: num_heads_at(CONFIG, site) for site in SITES}
    assert {site: count for site, count in heads.items() if count > 1} == {
        "attn.q": 4,
        "attn.k": 2,
        "attn.v": 2,
        "attn.z": 4,
    }


def test_an_edit_at_every_site_changes_what_the_mask_says_and_nothing_else():
    model = tiny_model("llama", heads=4, kv_heads=2)
    graph, state = nnx.split(model)
    tokens = jnp.arange(6, dtype=jnp.int32)

    @jax.jit
    def changed(old: dict) -> dict:
        """Logits and the edited activation, for each site."""
        results = {}
        for site, values in old.items():
            names = [f"blocks.{i}.{site}" for i in range(2)]
            heads = num_heads_at(model.config, site)
            mask = np.zeros((2, 6, heads), bool)
            mask[1, 2, heads - 1] = True
            taps = Taps(names, replacement_edits(site, mask, values + 1))
            logits, cache = nnx.merge(graph, state)(tokens, taps)
            results[site] = logits, jnp.stack([cache[name] for name in names])
        return results

    old = {site: layers(model, tokens, site) for site in SITES}
    for site, (logits, new) in changed(old).items():
        expected = np.zeros(old[site].shape)
        expected[(1, 2, -1) if old[site].ndim == 4 else (1, 2)] = 1
        assert_close(np.asarray(new) - old[site], expected, 1e-12)
        assert not np.allclose(logits, run(model, tokens)[0]), site


def test_masks_over_the_aligned_order_are_put_to_positions():
    mask, order = np.zeros((2, 4, 1), bool), jnp.array([2, 0, 3, 1])
    mask[1, 0] = mask[0, 3] = True
    assert np.argwhere(masks_to_positions(mask, order))[:, :2].tolist() == [[0, 1], [1, 2]]
    everywhere = np.ones((2, 1, 1), bool)
    assert np.array_equal(masks_to_positions(everywhere, order), everywhere)


def test_blocks_cover_each_variant_once():
    variants = {"x": np.arange(7.0), "y": np.arange(14.0).reshape(7, 2)}
    for block in (1, 3, 7, 100):
        found = map_in_blocks(lambda v: v["x"] * v["y"], variants, block)
        assert_close(found, variants["x"][:, None] * variants["y"], 0)
    flat, lead = flatten_variants(np.zeros((2, 3, 4, 1, 1)))
    assert (flat.shape, lead) == ((6, 4, 1, 1), (2, 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mask_grid(CONFIG, "attn.w", ()), "site: must be one of resid_pre"),
        (lambda: mask_grid(CONFIG, "attn.z", ("depth",)), "by: must be one of layer, position, head"),
        (lambda: mask_grid(CONFIG, "attn.z", ("head", "head")), "by: must name an axis once"),
        (lambda: mask_grid(CONFIG, "mlp_out", ("head",)), "by: must not name heads at mlp_out"),
        (lambda: check_masks(np.ones((3, 2, 4), bool), CONFIG, "attn.z", 5), r"masks: .* \[3, 5 or 1, 4 or 1\]"),
        (lambda: flatten_variants(np.zeros((0, 3, 1, 1))), "masks: must hold at least one"),
        (lambda: map_in_blocks(lambda v: v, np.zeros(3), 0), "block: must be an integer at least 1"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        call()
