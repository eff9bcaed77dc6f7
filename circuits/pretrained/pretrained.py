"""What is loaded of a pretrained model."""

from typing import Any, NamedTuple

from tokenizers import Tokenizer

from circuits.transformer.model import Predictor


class Pretrained(NamedTuple):
    """A pretrained model, its tokenizer (None if it has none that can be read), and notes of its source for JSON."""

    model: Predictor
    tokenizer: Tokenizer | None
    notes: dict[str, Any]
