"""The record of a pretrained model."""

from typing import Any, NamedTuple

from tokenizers import Tokenizer

from circuits.transformer.model import Predictor


class Pretrained(NamedTuple):
    """A pretrained model, its tokenizer (None if absent or unsupported), and notes from its source, as JSON values."""

    model: Predictor
    tokenizer: Tokenizer | None
    notes: dict[str, Any]
