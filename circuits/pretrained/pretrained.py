"""What a file or folder of somebody else's trained model becomes."""

from typing import Any, NamedTuple

from tokenizers import Tokenizer

from circuits.transformer.model import Predictor


class Pretrained(NamedTuple):
    """A trained model, its tokenizer where there is one, and what else its source says: values for JSON."""

    model: Predictor
    tokenizer: Tokenizer | None
    notes: dict[str, Any]
