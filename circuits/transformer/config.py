"""The configuration of a decoder-only transformer: frozen records, checked when they are made."""

from dataclasses import MISSING, dataclass, fields
from typing import Any, Literal, get_args

from circuits import checks, display

Norm = Literal["layer", "rms"]
PositionCode = Literal["learned", "rotary"]
Activation = Literal["relu", "gelu", "gelu-tanh", "swiglu"]
Dtype = Literal["float64", "float32", "bfloat16", "float16"]
Precision = Literal["default", "high", "highest"]
ModelKind = Literal["standard", "one-layer"]
HeadKind = Literal["linear", "meta", "transfer", "transfer-mlp", "transfer-block", "sequential"]
TRANSFER_KINDS = ("transfer", "transfer-mlp", "transfer-block")
MAX_POSITIONS = 2**31 - 1
"""Positions are 32-bit integers."""
ALWAYS_DISPLAYED = ("layers", "heads", "width")
"""Fields of a config that are displayed even if they have their default."""


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """The choices that make up a pre-norm decoder-only transformer; vocabulary and length follow from the task.

    Args:
        layers: number of blocks, L.
        heads: attention heads of a block, H; must divide the width.
        width: width of the residual stream, d.
        kv_heads: key-value heads, G, for grouped-query attention; must divide the attention heads. 0 for as many.
        mlp_width: hidden units of an MLP; 0 for four times the width.
        norm: LayerNorm or RMSNorm.
        position: learned vectors added to the embedding, or rotary embeddings of queries and keys.
        activation: activation function of the MLP; swiglu adds a third matrix, the gate.
        bias: whether attention, MLP and norms have biases.
        tied: whether prediction head 0 unembeds with the token embedding.
        embed_scale: standard deviation of the initial embeddings; 0.02 as in GPT-2.
        norm_epsilon: added to the variance in norms.
        rotary_base: base of the rotary frequencies.
        dtype: dtype of the activations.
        param_dtype: dtype of the parameters.
        precision: precision of matrix products on accelerators; highest computes float32 products in float32.
        kind: standard for this transformer, one-layer for the simplified model of the transfer theory.

    Raises:
        ValueError: naming the field that is out of range.

    Example:
        >>> Architecture(layers=2, heads=4, width=64).head_width
        16
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

    @display.safe
    def _repr_html_(self) -> str:
        return display.facts(type(self).__name__, changed_fields(self))

    def __post_init__(self) -> None:
        _check_ranges(self)
        _check_head_width(self)

    @property
    def head_width(self) -> int:
        """Width of one attention head, d / H."""
        return self.width // self.heads

    @property
    def key_heads(self) -> int:
        """Number of key-value heads, G."""
        return self.kv_heads or self.heads

    @property
    def hidden(self) -> int:
        """Hidden units of an MLP."""
        return self.mlp_width or 4 * self.width


def _check_ranges(config: Architecture) -> None:
    for field in ("layers", "heads", "width"):
        checks.integer(field, getattr(config, field), min_value=1)
    for field in ("kv_heads", "mlp_width"):
        checks.integer(field, getattr(config, field), min_value=0)
    choices = {"norm": Norm, "position": PositionCode, "activation": Activation, "precision": Precision}
    for field, options in (choices | {"dtype": Dtype, "param_dtype": Dtype, "kind": ModelKind}).items():
        checks.choice(field, getattr(config, field), get_args(options))
    divides = config.heads % config.key_heads == 0
    checks.require(divides, "kv_heads", f"must divide the number of heads {config.heads}", config.kv_heads)
    for field in ("embed_scale", "norm_epsilon", "rotary_base"):
        _check_positive(config, field)


def changed_fields(config: Any) -> dict[str, Any]:
    """Return the sizes in a config and every field that differs from its default, those without default first."""
    values = {field: getattr(config, field.name) for field in fields(config)}
    changed = [field for field, value in values.items() if value != field.default or field.name in ALWAYS_DISPLAYED]
    changed.sort(key=lambda field: field.default is not MISSING)
    return {field.name: values[field] for field in changed}


def _check_head_width(config: Architecture) -> None:
    """Check the head width d / H."""
    checks.require(config.width % config.heads == 0, "heads", f"must divide the width {config.width}", config.heads)
    even = config.position != "rotary" or config.head_width % 2 == 0
    rule = f"must leave an even head width for rotary positions, of a width of {config.width}"
    checks.require(even, "heads", rule, config.heads)


def _check_positive(config: Architecture, field: str) -> None:
    value = getattr(config, field)
    checks.require(0 < value < float("inf"), field, "must be positive and finite", value)


@dataclass(frozen=True, kw_only=True)
class TransformerConfig(Architecture):
    """An architecture with a vocabulary, a maximum length and k prediction heads.

    The fields from ``head_dim`` to ``window`` exist for pretrained models; their defaults change nothing about
    ``Architecture``.

    Args:
        vocab: size of the vocabulary, V.
        positions: maximum length of a sequence.
        prediction_heads: number k of prediction heads (Eq. 2 of arXiv:2604.11912). 1 is next-token prediction.
        head_dim: width h of one attention head. 0: d / H.
        qkv_bias: whether queries, keys and values have biases. None: as ``bias``.
        out_bias: whether the attention output has a bias. None: as ``bias``.
        mlp_bias: whether the MLP has biases. None: as ``bias``.
        qk_norm: whether RMSNorm is applied to each query and key, before rotary positions (Qwen3).
        rotary_fraction: fraction in (0, 1] of a head's entries that are rotated, starting with the first (GPT-NeoX).
        rotary_factor: divisor of the rotary frequencies, for a longer context than in training.
        rotary_original: training context of Llama 3's scaling, in positions. Frequencies with fewer than ``rotary_low``
            turns over it are divided, those with more than ``rotary_high`` stay, others are interpolated. 0: all are
            divided.
        rotary_low: number of turns, at least 0 and less than ``rotary_high``.
        rotary_high: number of turns.
        parallel: whether attention and MLP read the same stream, x + attention(norm x) + mlp(norm x) (GPT-NeoX).
        window: number of positions that a query attends to, including its own (Mistral). 0: all earlier ones.
        head_kind: kind of prediction heads 1 .. k - 1, see ``circuits.transformer.heads``; must be "linear" for k = 1.
        head_layers: number of blocks in each prediction head of kind transfer-block; 1 for every other kind.
        head_chain: whether each prediction head of a transfer kind starts from the stream of the previous one.
        injection: whether prediction heads of a transfer kind also read the embedding of the next token.

    Raises:
        ValueError: naming the field that is out of range.

    Example:
        >>> config = TransformerConfig(vocab=16, positions=21, prediction_heads=3, layers=2, heads=2, width=8)
        >>> config.head_width, config.hidden
        (4, 32)
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
        checks.integer("head_dim", self.head_dim, min_value=0)
        for field in ("rotary_original", "window"):
            checks.integer(field, getattr(self, field), min_value=0, max_value=MAX_POSITIONS)
        for field in ("qk_norm", "parallel", "head_chain", "injection"):
            value = getattr(self, field)
            checks.require(isinstance(value, bool), field, "must be true or false", value)
        for field in ("qkv_bias", "out_bias", "mlp_bias"):
            value = getattr(self, field)
            checks.require(value is None or isinstance(value, bool), field, "must be true, false or none", value)
        _check_ranges(self)
        if not self.head_dim:
            _check_head_width(self)
        _check_rotary(self)
        _check_prediction_heads(self)

    @property
    def head_width(self) -> int:
        """Width of one attention head, d / H unless ``head_dim`` says otherwise."""
        return self.head_dim or self.width // self.heads

    @property
    def rotary_width(self) -> int:
        """Number of entries of a head that rotary positions rotate."""
        return int(self.head_width * self.rotary_fraction)

    def biased(self, part: Literal["qkv", "out", "mlp"]) -> bool:
        """Return whether the linear maps of a part have biases."""
        chosen = {"qkv": self.qkv_bias, "out": self.out_bias, "mlp": self.mlp_bias}[part]
        return self.bias if chosen is None else chosen


def _check_prediction_heads(config: TransformerConfig) -> None:
    kind = config.head_kind
    checks.choice("head_kind", kind, get_args(HeadKind))
    checks.integer("head_layers", config.head_layers, min_value=1)
    several = config.prediction_heads > 1 or kind == "linear"
    checks.require(several, "head_kind", "must be linear with one prediction head", kind)
    has_layers = config.head_layers == 1 or kind == "transfer-block"
    checks.require(has_layers, "head_layers", f"must be 1 for prediction heads of kind {kind}", config.head_layers)
    for field in ("head_chain", "injection"):
        fits = not getattr(config, field) or kind in TRANSFER_KINDS
        checks.require(fits, field, f"must be false unless head_kind is one of {', '.join(TRANSFER_KINDS)}", kind)


def _check_rotary(config: TransformerConfig) -> None:
    inside = 0 < config.rotary_fraction <= 1
    checks.require(inside, "rotary_fraction", "must be in (0, 1]", config.rotary_fraction)
    _check_positive(config, "rotary_factor")
    _check_positive(config, "rotary_high")
    below = 0 <= config.rotary_low < config.rotary_high
    checks.require(below, "rotary_low", f"must be at least 0 and less than {config.rotary_high}", config.rotary_low)
    if config.position == "rotary":
        field = "head_dim" if config.rotary_fraction == 1 else "rotary_fraction"
        even = config.rotary_width % 2 == 0 and config.rotary_width > 0
        rule = f"must rotate an even number of the {config.head_width} entries of a head, at least 2"
        checks.require(even, field, rule, getattr(config, field))
