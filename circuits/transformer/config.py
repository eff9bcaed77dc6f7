"""The shape of a decoder-only transformer: frozen records, checked when they are made."""

from dataclasses import dataclass
from typing import Literal, get_args

from circuits import require

Norm = Literal["layer", "rms"]
PositionCode = Literal["learned", "rotary"]
Activation = Literal["relu", "gelu", "gelu-tanh", "swiglu"]
Dtype = Literal["float64", "float32", "bfloat16", "float16"]
Precision = Literal["default", "high", "highest"]


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What is chosen about a pre-norm decoder-only transformer; the rest follows from the task.

    Raises ValueError naming the field that is out of range.

    Args:
        layers: number of blocks, L.
        heads: attention heads a block, H; must divide the width.
        width: of the residual stream, d.
        kv_heads: heads of keys and values for grouped queries; must divide ``heads``. 0: as many as ``heads``.
        mlp_width: hidden units of an MLP. 0: four times the width.
        norm: LayerNorm, or RMSNorm.
        position: learned vectors added at the embedding, or rotary angles on queries and keys.
        activation: of the MLP; swiglu has a third matrix, its gate.
        bias: biases in attention, MLP and norms.
        tied: the first prediction head reads with the token embedding.
        embed_scale: standard deviation of the initial embeddings; 0.02 as in GPT-2.
        norm_epsilon: added to the variance.
        rotary_base: of the rotary angles.
        dtype: of the activations.
        param_dtype: of the parameters.
        precision: of matrix products on accelerators; "highest" keeps float32 products in float32.
    """

    layers: int = 8
    heads: int = 8
    width: int = 512
    kv_heads: int = 0
    mlp_width: int = 0
    norm: Norm = "layer"
    position: PositionCode = "learned"
    activation: Activation = "gelu"
    bias: bool = False
    tied: bool = False
    embed_scale: float = 0.02
    norm_epsilon: float = 1e-5
    rotary_base: float = 10_000.0
    dtype: Dtype = "float32"
    param_dtype: Dtype = "float32"
    precision: Precision = "highest"

    def __post_init__(self) -> None:
        for field in ("layers", "heads", "width"):
            require.integer(field, getattr(self, field), least=1)
        for field in ("kv_heads", "mlp_width"):
            require.integer(field, getattr(self, field), least=0)
        choices = {"norm": Norm, "position": PositionCode, "activation": Activation, "precision": Precision}
        for field, options in (choices | {"dtype": Dtype, "param_dtype": Dtype}).items():
            require.choice(field, getattr(self, field), get_args(options))
        require.that(self.width % self.heads == 0, "heads", f"must divide the width {self.width}", self.heads)
        shared = self.heads % self.key_heads == 0
        require.that(shared, "kv_heads", f"must divide the number of heads {self.heads}", self.kv_heads)
        even = self.position != "rotary" or self.head_width % 2 == 0
        require.that(even, "heads", f"must leave an even width a head for rotary positions of {self.width}", self.heads)
        for field in ("embed_scale", "norm_epsilon", "rotary_base"):
            value = getattr(self, field)
            require.that(0 < value < float("inf"), field, "must be positive and finite", value)

    @property
    def head_width(self) -> int:
        """Width of one attention head, d / H."""
        return self.width // self.heads

    @property
    def key_heads(self) -> int:
        """Heads of keys and values."""
        return self.kv_heads or self.heads

    @property
    def hidden(self) -> int:
        """Hidden units of an MLP."""
        return self.mlp_width or 4 * self.width


@dataclass(frozen=True, kw_only=True)
class TransformerConfig(Architecture):
    """An architecture for one vocabulary and one length, with k parallel prediction heads.

    Raises ValueError naming the field that is out of range.

    Args:
        vocab: size of the vocabulary, V.
        positions: longest sequence, at least 1.
        prediction_heads: k, the heads of Eq. 2; head m predicts the token m places on. 1 is next-token prediction.
    """

    vocab: int
    positions: int
    prediction_heads: int = 1

    def __post_init__(self) -> None:
        for field in ("vocab", "positions", "prediction_heads"):
            require.integer(field, getattr(self, field), least=1)
        super().__post_init__()
