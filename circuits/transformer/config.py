"""The shape of a decoder-only transformer: frozen records, checked when they are made."""

from dataclasses import dataclass
from typing import Literal, get_args

from circuits import checks

Norm = Literal["layer", "rms"]
PositionCode = Literal["learned", "rotary"]
Activation = Literal["relu", "gelu", "gelu-tanh", "swiglu"]
Dtype = Literal["float64", "float32", "bfloat16", "float16"]
Precision = Literal["default", "high", "highest"]
ModelKind = Literal["standard", "one-layer"]
HeadKind = Literal["linear", "meta", "transfer", "transfer-mlp", "transfer-block", "sequential"]
TRANSFERS = ("transfer", "transfer-mlp", "transfer-block")
MOST_PLACES = 2**31 - 1
"""Places are counted in 32 bits."""


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
        kind: the transformer described here, or the simplified model of one layer (``circuits.one_layer.module``).
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
    kind: ModelKind = "standard"

    def __post_init__(self) -> None:
        _check_ranges(self)
        _check_division(self)

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


def _check_ranges(shape: Architecture) -> None:
    for field in ("layers", "heads", "width"):
        checks.integer(field, getattr(shape, field), min_value=1)
    for field in ("kv_heads", "mlp_width"):
        checks.integer(field, getattr(shape, field), min_value=0)
    choices = {"norm": Norm, "position": PositionCode, "activation": Activation, "precision": Precision}
    for field, options in (choices | {"dtype": Dtype, "param_dtype": Dtype, "kind": ModelKind}).items():
        checks.choice(field, getattr(shape, field), get_args(options))
    shared = shape.heads % shape.key_heads == 0
    checks.require(shared, "kv_heads", f"must divide the number of heads {shape.heads}", shape.kv_heads)
    for field in ("embed_scale", "norm_epsilon", "rotary_base"):
        _check_positive(shape, field)


def _check_division(shape: Architecture) -> None:
    """Where the width of a head follows from that of the stream."""
    checks.require(shape.width % shape.heads == 0, "heads", f"must divide the width {shape.width}", shape.heads)
    even = shape.position != "rotary" or shape.head_width % 2 == 0
    checks.require(even, "heads", f"must leave an even width a head for rotary positions of {shape.width}", shape.heads)


def _check_positive(shape: Architecture, field: str) -> None:
    value = getattr(shape, field)
    checks.require(0 < value < float("inf"), field, "must be positive and finite", value)


@dataclass(frozen=True, kw_only=True)
class TransformerConfig(Architecture):
    """An architecture for one vocabulary and one length, with k prediction heads.

    The fields from ``head_dim`` to ``window`` are what models of other people choose; without them the model is as the
    ``Architecture`` says. Raises ValueError naming the field that is out of range.

    Args:
        vocab: size of the vocabulary, V.
        positions: longest sequence, at least 1.
        prediction_heads: k, the heads of Eq. 2; head m predicts the token m places on. 1 is next-token prediction.
        head_dim: width h of one attention head. 0: d / H.
        qkv_bias: biases of queries, keys and values. None: as ``bias``.
        out_bias: bias of attention's output. None: as ``bias``.
        mlp_bias: biases in the MLP. None: as ``bias``.
        qk_norm: RMSNorm over each query and each key, before rotary positions (Qwen3).
        rotary_fraction: of a head's width that is turned, its first entries, in (0, 1] (GPT-NeoX).
        rotary_factor: by which rotary angles are divided, for a longer context than trained on.
        rotary_original: positions trained on. 0: every angle is divided. Otherwise as in Llama 3: those that make less
            than ``rotary_low`` turns over these positions are divided, those that make more than ``rotary_high``
            stay, and between the two it is interpolated.
        rotary_low: turns, at least 0 and less than ``rotary_high``.
        rotary_high: turns.
        parallel: attention and MLP read the same stream, x + attention(norm x) + mlp(norm x) (GPT-NeoX).
        window: of places that a place sees, itself counted (Mistral). 0: all earlier ones.
        head_kind: of the heads after the first, see ``circuits.transformer.heads``; linear with one head alone.
        head_layers: blocks of a further head of kind transfer-block; 1 with every other kind.
        head_chain: transfer kinds: a head starts from the stream of the head before it, not from that of the first.
        injection: transfer kinds: a further head is also given the embedding of a token that is known by then.
    """

    vocab: int
    positions: int
    prediction_heads: int = 1
    head_dim: int = 0
    qkv_bias: bool | None = None
    out_bias: bool | None = None
    mlp_bias: bool | None = None
    qk_norm: bool = False
    rotary_fraction: float = 1.0
    rotary_factor: float = 1.0
    rotary_original: int = 0
    rotary_low: float = 1.0
    rotary_high: float = 4.0
    parallel: bool = False
    window: int = 0
    head_kind: HeadKind = "linear"
    head_layers: int = 1
    head_chain: bool = False
    injection: bool = False

    def __post_init__(self) -> None:
        for field in ("vocab", "positions", "prediction_heads"):
            checks.integer(field, getattr(self, field), min_value=1)
        for field in ("head_dim", "rotary_original", "window"):
            checks.integer(
                field, getattr(self, field), min_value=0, max_value=None if field == "head_dim" else MOST_PLACES
            )
        for field in ("qk_norm", "parallel", "head_chain", "injection"):
            value = getattr(self, field)
            checks.require(isinstance(value, bool), field, "must be true or false", value)
        for field in ("qkv_bias", "out_bias", "mlp_bias"):
            value = getattr(self, field)
            checks.require(value is None or isinstance(value, bool), field, "must be true, false or none", value)
        _check_ranges(self)
        if not self.head_dim:
            _check_division(self)
        _check_rotary(self)
        _check_heads(self)

    @property
    def head_width(self) -> int:
        """Width of one attention head, d / H unless ``head_dim`` says otherwise."""
        return self.head_dim or self.width // self.heads

    @property
    def rotary_width(self) -> int:
        """Entries of a head that rotary positions turn."""
        return int(self.head_width * self.rotary_fraction)

    def biased(self, part: Literal["qkv", "out", "mlp"]) -> bool:
        """Whether the linear maps of a part have biases."""
        chosen = {"qkv": self.qkv_bias, "out": self.out_bias, "mlp": self.mlp_bias}[part]
        return self.bias if chosen is None else chosen


def _check_heads(shape: TransformerConfig) -> None:
    checks.choice("head_kind", shape.head_kind, get_args(HeadKind))
    checks.integer("head_layers", shape.head_layers, min_value=1)
    alone = shape.prediction_heads > 1 or shape.head_kind == "linear"
    checks.require(alone, "head_kind", "must be linear with one prediction head", shape.head_kind)
    blocks = shape.head_layers == 1 or shape.head_kind == "transfer-block"
    checks.require(blocks, "head_layers", f"must be 1 for heads of kind {shape.head_kind}", shape.head_layers)
    for field in ("head_chain", "injection"):
        fits = not getattr(shape, field) or shape.head_kind in TRANSFERS
        checks.require(fits, field, f"must be false unless head_kind is one of {', '.join(TRANSFERS)}", shape.head_kind)


def _check_rotary(shape: TransformerConfig) -> None:
    inside = 0 < shape.rotary_fraction <= 1
    checks.require(inside, "rotary_fraction", "must be in (0, 1]", shape.rotary_fraction)
    _check_positive(shape, "rotary_factor")
    _check_positive(shape, "rotary_high")
    below = 0 <= shape.rotary_low < shape.rotary_high
    checks.require(below, "rotary_low", f"must be at least 0 and less than {shape.rotary_high}", shape.rotary_low)
    if shape.position != "rotary":
        return
    field = "head_dim" if shape.rotary_fraction == 1 else "rotary_fraction"
    even = shape.rotary_width % 2 == 0 and shape.rotary_width > 0
    rule = f"must turn an even number of the {shape.head_width} entries of a head, at least 2"
    checks.require(even, field, rule, getattr(shape, field))
