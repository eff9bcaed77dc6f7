"""Configs: derived sizes, and errors that name the field."""

# pyright: reportArgumentType=false

import dataclasses
from typing import Any

import pytest

from circuits.transformer.config import TransformerConfig

SMALL: dict[str, Any] = {"vocab": 5, "positions": 7, "heads": 4, "width": 24}


def test_derived_sizes():
    config = TransformerConfig(**SMALL)
    assert (config.head_width, config.key_heads, config.hidden) == (6, 4, 96)
    config = TransformerConfig(**SMALL, kv_heads=2, mlp_width=10)
    assert (config.head_width, config.key_heads, config.hidden) == (6, 2, 10)
    config = TransformerConfig(**SMALL | {"heads": 5}, head_dim=10, rotary_fraction=0.4)
    assert (config.head_width, config.rotary_width) == (10, 4)


@pytest.mark.parametrize("bias", [False, True])
def test_biases_of_parts_follow_bias_unless_chosen(bias):
    config = TransformerConfig(**SMALL, bias=bias)
    assert [config.biased(part) for part in ("qkv", "out", "mlp")] == [bias] * 3
    config = TransformerConfig(**SMALL, bias=bias, qkv_bias=not bias, mlp_bias=not bias)
    assert [config.biased(part) for part in ("qkv", "out", "mlp")] == [not bias, bias, not bias]


def test_a_config_is_frozen_and_hashable():
    config = TransformerConfig(**SMALL)
    assert hash(config) == hash(TransformerConfig(**SMALL))
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.layers = 3  # pyright: ignore[reportAttributeAccessIssue]


POSITIVE_INTEGERS = ("vocab", "positions", "layers", "heads", "width", "prediction_heads")
POSITIVE = ("norm_epsilon", "rotary_base", "embed_scale", "rotary_factor", "rotary_high")
CHOICES = ("norm", "position", "activation", "dtype", "param_dtype", "precision")


@pytest.mark.parametrize(
    ("field", "values", "rule", "rest"),
    [
        *((field, (0, -1, 1.5, True), "must be an integer at least 1", {}) for field in POSITIVE_INTEGERS),
        *((field, (-1,), "must be an integer at least 0", {}) for field in ("kv_heads", "mlp_width")),
        ("head_dim", (-1, 2.0, True), "must be an integer at least 0", {}),
        *((f, (-1, 2.0, True, 2**31), "must be an integer between 0", {}) for f in ("window", "rotary_original")),
        *((field, (1, None), "must be true or false", {}) for field in ("qk_norm", "parallel")),
        *((field, (1,), "must be true, false or none", {}) for field in ("qkv_bias", "out_bias", "mlp_bias")),
        *((field, (0.0, -1.0, float("inf"), float("nan")), "must be positive and finite", {}) for field in POSITIVE),
        *((field, ("other", 0), "must be one of", {}) for field in CHOICES),
        ("heads", (5,), "must divide the width 24", {}),
        ("heads", (8,), "must leave an even head width", {"position": "rotary"}),
        ("kv_heads", (3, 8), "must divide the number of heads 4", {}),
        ("rotary_fraction", (0.0, -0.5, 1.5, float("nan")), r"must be in \(0, 1\]", {}),
        ("rotary_fraction", (0.5, 0.1), "must rotate an even number of the 6", {"position": "rotary"}),
        ("head_dim", (7,), "must rotate an even number of the 7", {"position": "rotary"}),
        ("rotary_low", (-0.5, 4.0), "must be at least 0 and less than 4.0", {}),
    ],
)
def test_errors_name_field_rule_and_value(field, values, rule, rest):
    for value in values:
        config = TransformerConfig(**SMALL)
        for name, other in (rest | {field: value}).items():  # around beartype, which stops a wrong type before
            object.__setattr__(config, name, other)
        with pytest.raises(ValueError, match=f"^{field}: {rule}") as error:
            config.__post_init__()
        assert str(error.value).endswith(f", got {value!r}")


def test_the_checks_run_when_a_config_is_made():
    with pytest.raises(ValueError, match=r"^heads: must divide the width"):
        TransformerConfig(**SMALL | {"heads": 5})
