"""The table of axes and shapes that taps see, against real captures of every kind of prediction heads."""

from fnmatch import fnmatchcase

import jax.numpy as jnp
import numpy as np
import pytest

from circuits.transformer.taps import Taps
from tests.transformer.head_kinds import KINDS, of_kind
from tests.transformer.models import random_model

DISTINCT = {"vocab": 9, "width": 8, "heads": 4, "kv_heads": 2, "head_dim": 6, "mlp_width": 12}
SIZES = {"position": 5, "query": 5, "key": 5, "vocab": 9, "width": 8, "head": 4, "key_head": 2}
SIZES |= {"head_width": 6, "hidden": 12}
TOKENS = jnp.arange(5, dtype=jnp.int32)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [*((kind, {}) for kind in KINDS), ("linear", {"parallel": True}), ("mlp", {"activation": "swiglu"})],
)
def test_axes_and_shapes_are_those_of_real_captures(kind, changes):
    model = random_model(of_kind(kind, layers=1, **DISTINCT | changes))
    _, cache = model(TOKENS, Taps(capture=("*",)))
    shapes = model.tap_shapes(5)
    assert {name: entry.shape for name, entry in shapes.items()} == {name: x.shape for name, x in cache.items()}
    assert list(shapes) == list(cache)
    for name, (axes, shape) in shapes.items():
        assert tuple(SIZES[axis] for axis in axes) == shape, name
        if name.endswith("pattern"):
            pattern = np.moveaxis(np.asarray(cache[name]), [axes.index("query"), axes.index("key")], [-2, -1])
            np.testing.assert_allclose(pattern.sum(axis=-1), 1)
            assert not np.triu(pattern, 1).any()
        if name.endswith(("attn.z", "attn.q")):
            assert axes == ("position", "head", "head_width")


def test_the_table_prints_one_line_for_all_blocks():
    model = random_model(of_kind("sequential", layers=3, **DISTINCT))
    shapes = model.tap_shapes(5)
    lines = dict(line.split(maxsplit=1) for line in repr(shapes).splitlines())
    assert lines["blocks.*.attn.z"] == "[position 5, head 4, head_width 6]"
    assert lines["heads.1.blocks.0.attn.pattern"] == "[head 4, query 5, key 5]"
    matched = {name: [line for line in lines if fnmatchcase(name, line)] for name in shapes}
    assert all(len(found) == 1 and lines[found[0]] == repr(shapes[name]) for name, found in matched.items())


@pytest.mark.parametrize("length", [0, 13])
def test_a_length_that_does_not_fit_is_an_error(length):
    with pytest.raises(ValueError, match="tokens: must be 1 to 12 tokens"):
        random_model(of_kind("linear")).tap_shapes(length)
