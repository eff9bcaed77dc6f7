"""One-layer models in saved files and training runs, where a ``TransformerConfig`` of kind one-layer describes them."""

from circuits import checks
from circuits.one_layer.config import OneLayerConfig
from circuits.transformer.config import TransformerConfig


def one_layer_config(config: TransformerConfig) -> OneLayerConfig:
    """Return the config of the one-layer model that a config of kind one-layer describes.

    Raises ValueError for another kind of model, and for prediction heads that the one-layer model does not have.
    """
    checks.require(config.kind == "one-layer", "kind", "must be one-layer", config.kind)
    fits = config.head_kind == ("linear" if config.prediction_heads == 1 else "transfer")
    rule = "must be transfer for more than one prediction head of the one-layer model"
    checks.require(fits, "head_kind", rule, config.head_kind)
    return OneLayerConfig(
        vocab=config.vocab,
        positions=config.positions,
        prediction_heads=config.prediction_heads,
        chain=config.head_chain,
        injection=config.injection,
        embed_scale=config.embed_scale,
        param_dtype=config.param_dtype,
    )


def transformer_config(config: OneLayerConfig) -> TransformerConfig:
    """Return the config of kind one-layer that describes a one-layer model in files."""
    return TransformerConfig(
        kind="one-layer",
        vocab=config.vocab,
        positions=config.positions,
        prediction_heads=config.prediction_heads,
        head_kind="transfer" if config.prediction_heads > 1 else "linear",
        head_chain=config.chain,
        injection=config.injection,
        embed_scale=config.embed_scale,
        param_dtype=config.param_dtype,
    )
