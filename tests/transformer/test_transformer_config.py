"""Configs: defaults and derived sizes, and errors that name the field. (A test_config.py stands in tests/training.)"""

import dataclasses

import pytest

from circuits.transformer.config import TransformerConfig


def test_derived_sizes():
    config = TransformerConfig(vocab=5, positions=7, heads=4, width=24)
    assert (config.head_width, config.key_heads, config.hidden) == (6, 4, 96)
    config = TransformerConfig(vocab=5, positions=7, heads=4, width=24, kv_heads=2, mlp_width=10)
    assert (config.head_width, config.key_heads, config.hidden) == (6, 2, 10)
    config = TransformerConfig(vocab=5, positions=7, heads=5, width=24, head_dim=10, rotary_fraction=0.4)
    assert (config.head_width, config.rotary_width) == (10, 4)


@pytest.mark.parametrize("whole", [False, True])
def test_biases_of_parts_are_those_of_the_whole_unless_chosen(whole):
    config = TransformerConfig(vocab=5, positions=7, bias=whole)
    assert [config.biased(part) for part in ("qkv", "out", "mlp")] == [whole] * 3
    config = TransformerConfig(vocab=5, positions=7, bias=whole, qkv_bias=not whole, mlp_bias=not whole)
    assert [config.biased(part) for part in ("qkv", "out", "mlp")] == [not whole, whole, not whole]


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
        *(
            ({field: value}, rf"{field}: must be an integer {span}, got {value}")
            for field, span in {
                "head_dim": "at least 0",
                "window": "between 0 and 2147483647",
                "rotary_original": "between 0 and 2147483647",
            }.items()
            for value in (-1, 2.0, True)
        ),
        ({"window": 2**31}, r"window: must be an integer between 0 and 2147483647, got 2147483648"),
        *(
            ({field: value}, rf"{field}: must be true or false, got {value}")
            for field in ("qk_norm", "parallel")
            for value in (1, None)
        ),
        *(
            ({field: 1}, rf"{field}: must be true, false or none, got 1")
            for field in ("qkv_bias", "out_bias", "mlp_bias")
        ),
        *(
            ({"rotary_fraction": value}, rf"rotary_fraction: must be in \(0, 1\], got {value}")
            for value in (0.0, -0.5, 1.5, float("nan"))
        ),
        (
            {"position": "rotary", "rotary_fraction": 0.5},
            r"rotary_fraction: must turn an even number of the 6 entries of a head, at least 2, got 0.5",
        ),
        (
            {"position": "rotary", "rotary_fraction": 0.1},
            r"rotary_fraction: must turn an even number of the 6 entries of a head, at least 2, got 0.1",
        ),
        (
            {"position": "rotary", "head_dim": 7},
            r"head_dim: must turn an even number of the 7 entries of a head, at least 2, got 7",
        ),
        ({"rotary_low": -0.5}, r"rotary_low: must be at least 0 and less than 4.0, got -0.5"),
        ({"rotary_low": 4.0}, r"rotary_low: must be at least 0 and less than 4.0, got 4.0"),
        ({"norm": "batch"}, r"norm: must be one of layer, rms, got 'batch'"),
        ({"position": "alibi"}, r"position: must be one of learned, rotary, got 'alibi'"),
        ({"activation": "tanh"}, r"activation: must be one of relu, gelu, gelu-tanh, swiglu, got 'tanh'"),
        ({"dtype": "int8"}, r"dtype: must be one of float64, float32, bfloat16, float16, got 'int8'"),
        ({"param_dtype": "f32"}, r"param_dtype: must be one of float64, float32, bfloat16, float16, got 'f32'"),
        ({"precision": "low"}, r"precision: must be one of default, high, highest, got 'low'"),
        *(
            ({field: value}, rf"{field}: must be positive and finite, got {value}")
            for field in ("norm_epsilon", "rotary_base", "embed_scale", "rotary_factor", "rotary_high")
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
