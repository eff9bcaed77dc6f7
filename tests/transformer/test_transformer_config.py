"""Configs: defaults and derived sizes, and errors that name the field. (A test_config.py stands in tests/training.)"""

import dataclasses

import pytest

from circuits.transformer.config import TransformerConfig


def test_derived_sizes():
    config = TransformerConfig(vocab=5, positions=7, heads=4, width=24)
    assert (config.head_width, config.key_heads, config.hidden) == (6, 4, 96)
    config = TransformerConfig(vocab=5, positions=7, heads=4, width=24, kv_heads=2, mlp_width=10)
    assert (config.head_width, config.key_heads, config.hidden) == (6, 2, 10)


def test_a_config_is_frozen_and_hashable():
    config = TransformerConfig(vocab=5, positions=7)
    assert hash(config) == hash(TransformerConfig(vocab=5, positions=7))
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.layers = 3  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        *(
            ({field: value}, rf"{field}: must be an integer at least 1, got {value}")
            for field in ("vocab", "positions", "layers", "heads", "width", "prediction_heads")
            for value in (0, -1, 1.5, True)
        ),
        *(({field: -1}, rf"{field}: must be an integer at least 0, got -1") for field in ("kv_heads", "mlp_width")),
        ({"heads": 5}, r"heads: must divide the width 24, got 5"),
        ({"kv_heads": 3}, r"kv_heads: must divide the number of heads 4, got 3"),
        ({"kv_heads": 8}, r"kv_heads: must divide the number of heads 4, got 8"),
        (
            {"heads": 8, "position": "rotary"},
            r"heads: must leave an even width a head for rotary positions of 24, got 8",
        ),
        ({"norm": "batch"}, r"norm: must be one of layer, rms, got 'batch'"),
        ({"position": "alibi"}, r"position: must be one of learned, rotary, got 'alibi'"),
        ({"activation": "tanh"}, r"activation: must be one of relu, gelu, gelu-tanh, swiglu, got 'tanh'"),
        ({"dtype": "int8"}, r"dtype: must be one of float64, float32, bfloat16, float16, got 'int8'"),
        ({"param_dtype": "f32"}, r"param_dtype: must be one of float64, float32, bfloat16, float16, got 'f32'"),
        ({"precision": "low"}, r"precision: must be one of default, high, highest, got 'low'"),
        *(
            ({field: value}, rf"{field}: must be positive and finite, got {value}")
            for field in ("norm_epsilon", "rotary_base", "embed_scale")
            for value in (0.0, -1.0, float("inf"), float("nan"))
        ),
    ],
)
def test_errors_name_the_field(changes, message):
    config = TransformerConfig(vocab=5, positions=7, heads=4, width=24)
    for name, value in changes.items():  # around the hook, which would stop a wrong type before the check does
        object.__setattr__(config, name, value)
    with pytest.raises(ValueError, match=f"^{message}$"):
        config.__post_init__()


def test_the_checks_run_when_a_config_is_made():
    with pytest.raises(ValueError, match=r"^heads: must divide the width 24, got 5$"):
        TransformerConfig(vocab=5, positions=7, heads=5, width=24)
