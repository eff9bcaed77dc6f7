"""A Hugging Face tokenizer for the vocabulary of a token format, from and to readable text."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from jaxtyping import Int
from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Sequence as InTurn
from tokenizers.pre_tokenizers import Split

from circuits import checks
from circuits.tasks.token_format import TokenFormat
from circuits.typing import AnyArray

# A comma separates two labels and nothing else, so that a lost label does not go unseen.
_GAP = r"(?<=[0-9])\s*,\s*(?=[0-9])|\s+"
_SYMBOL = r"[|=/$]"


def tokenizer(format: TokenFormat) -> Tokenizer:
    """Words are split at blanks, at single commas between labels, and around each of ``| = / $``.

    So "12,3|4,5/12,5=12,3,5" and "12 3 | 4 5 / 12 5 = 12 3 5" have the same ids. Decoding joins by blanks. A
    word that is not in the vocabulary makes ``encode`` raise, for there is no token for the unknown.
    """
    # WordLevel falls back on unk_token, and raises where the vocabulary has no such word: "" can be no word.
    words = {word: place for place, word in enumerate(format.vocabulary)}
    made = Tokenizer(WordLevel(words, unk_token=""))
    gaps, symbols = Split(Regex(_GAP), "removed"), Split(Regex(_SYMBOL), "isolated")
    # The stubs leave out that the setter exists.
    made.pre_tokenizer = InTurn([gaps, symbols])  # pyright: ignore[reportAttributeAccessIssue]
    return made


def encode_text(format: TokenFormat, text: str) -> Int[np.ndarray, " T"]:
    """The ids of a text, whole or in part (a prompt alone, say); int32. Only its words are checked.

    A full text in style text has the ids of ``tokens``. In style pairs the text has to be written without the
    symbols; ``read_sequences`` turns public text into either style.

    Raises ValueError naming the first word that is not in the vocabulary.
    """
    made = _shared(format)
    labels = format.family.labels
    for word, _ in made.pre_tokenizer.pre_tokenize_str(text):
        rule = f"each word must be a label below N = {labels} or one of | = / $"
        checks.require(made.token_to_id(word) is not None, "text", rule, word)
    return np.asarray(made.encode(text).ids, dtype=np.int32)


def decode_ids(format: TokenFormat, ids: Sequence[int] | Int[AnyArray, " T"]) -> str:
    """The words of ids in {0..N+3}, separated by blanks.

    Raises ValueError naming ``ids`` when one is out of range, which the tokenizer itself would leave out.
    """
    values = np.asarray(ids, dtype=np.int64).tolist()
    for value in values:
        checks.integer("ids", value, 0, format.vocab_size - 1)
    return _shared(format).decode(values)


@cache
def _shared(format: TokenFormat) -> Tokenizer:
    return tokenizer(format)
