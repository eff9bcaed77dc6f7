"""The config of the one-layer model."""

from dataclasses import dataclass
from typing import Literal, get_args

from circuits import checks, display
from circuits.one_layer.parameters import Options

ParamDtype = Literal["float64", "float32", "bfloat16", "float16"]


@dataclass(frozen=True, kw_only=True)
class OneLayerConfig:
    """Sizes and variant of a one-layer model.

    Args:
        vocab: size of the vocabulary, V: nodes, end token and padding.
        positions: maximum length of a sequence.
        prediction_heads: k; head m = 1 .. k predicts the token m positions ahead.
        chain: whether each further prediction head reads the logits of the previous one, instead of those of the first.
        injection: whether further prediction heads also read the next token, times kappa.
        embed_scale: standard deviation of the initial entries of all matrices; kappa starts at 1.
        param_dtype: dtype of the parameters and of all computation.

    Raises:
        ValueError: naming the field that is out of range.

    Example:
        >>> OneLayerConfig(vocab=6, positions=7, prediction_heads=2, injection=True).options
        Options(chain=False, injection=True)
    """

    vocab: int
    positions: int
    prediction_heads: int = 1
    chain: bool = False
    injection: bool = False
    embed_scale: float = 0.02
    param_dtype: ParamDtype = "float32"

    _repr_html_ = display.html

    def __post_init__(self) -> None:
        for field in ("vocab", "positions", "prediction_heads"):
            checks.integer(field, getattr(self, field), min_value=1)
        for field in ("chain", "injection"):
            value = getattr(self, field)
            checks.require(
                not value or self.prediction_heads > 1, field, "must be false with one prediction head", value
            )
        positive = 0 < self.embed_scale < float("inf")
        checks.require(positive, "embed_scale", "must be positive and finite", self.embed_scale)
        checks.choice("param_dtype", self.param_dtype, get_args(ParamDtype))

    @property
    def options(self) -> Options:
        """The variant of the model."""
        return Options(self.chain, self.injection)
