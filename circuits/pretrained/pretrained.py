"""The record of a pretrained model."""

from typing import Any, NamedTuple

from tokenizers import Tokenizer

from circuits import display
from circuits.transformer.model import Predictor


class Pretrained(NamedTuple):
    """A pretrained model, its tokenizer (None if absent or unsupported), and notes from its source, as JSON values."""

    model: Predictor
    tokenizer: Tokenizer | None
    notes: dict[str, Any]

    @display.safe
    def _repr_html_(self) -> str:
        vocabulary = "none" if self.tokenizer is None else f"{self.tokenizer.get_vocab_size():,} tokens"
        facts = display.facts("Pretrained model", {"tokenizer": vocabulary} | self.notes)
        return facts + (self.model._repr_html_() or "")
