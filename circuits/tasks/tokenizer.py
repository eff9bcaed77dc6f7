"""A Hugging Face tokenizer for the vocabulary of a token format."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from jaxtyping import Int
from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Sequence as PreTokenizers
from tokenizers.pre_tokenizers import Split

from circuits import checks
from circuits.tasks.token_format import TokenFormat
from circuits.typing import AnyArray

# A comma separates two labels and nothing else, so a missing label does not go unnoticed.
_GAP = r"(?<=[0-9])\s*,\s*(?=[0-9])|\s+"
_SYMBOL = r"[|=/$]"


def make_tokenizer(format: TokenFormat) -> Tokenizer:
    """Return a Hugging Face tokenizer, which splits text at blanks, at commas between labels and around each symbol.

    "12,3|4,5/12,5=12,3,5" and "12 3 | 4 5 / 12 5 = 12 3 5" have the same ids. Decoding joins tokens with blanks.
    ``encode`` raises for a word that is not in the vocabulary; there is no token for unknown words.

    Args:
        format: the vocabulary.

    Example:
        >>> from circuits.tasks import StarGraph
        >>> make_tokenizer(TokenFormat(StarGraph(2, 3, 10), "text", "start-goal")).encode("3,7|6,0").ids
        [3, 7, 10, 6, 0]
    """
    # WordLevel replaces unknown words by unk_token, and raises if that is not in the vocabulary: "" cannot be a word.
    words = {word: token for token, word in enumerate(format.vocabulary)}
    result = Tokenizer(WordLevel(words, unk_token=""))
    gaps, symbols = Split(Regex(_GAP), "removed"), Split(Regex(_SYMBOL), "isolated")
    # The stubs of the library lack the setter.
    result.pre_tokenizer = PreTokenizers([gaps, symbols])  # pyright: ignore[reportAttributeAccessIssue]
    return result


def encode_text(format: TokenFormat, text: str) -> Int[np.ndarray, " T"]:
    """Return the ids of a text, which may be any part of a problem, such as its prompt. Only single words are checked.

    A whole problem in style text has the ids of ``encode_problem``. In style pairs the text must be written without
    symbols; ``read_sequences`` reads the public text format into either style.

    Args:
        format: the vocabulary.
        text: labels and symbols.

    Returns:
        The ids, int32.

    Raises:
        ValueError: naming the first word that is not in the vocabulary.

    Example:
        >>> from circuits.tasks import StarGraph
        >>> encode_text(TokenFormat(StarGraph(2, 3, 10), "text", "start-goal"), "/3,0=").tolist()
        [12, 3, 0, 11]
    """
    shared = _cached_tokenizer(format)
    rule = f"each word must be a label below N = {format.family.labels} or one of | = / $"
    for word, _ in shared.pre_tokenizer.pre_tokenize_str(text):
        checks.require(shared.token_to_id(word) is not None, "text", rule, word)
    return np.asarray(shared.encode(text).ids, dtype=np.int32)


def decode_ids(format: TokenFormat, ids: Sequence[int] | Int[AnyArray, " T"]) -> str:
    """Return the tokens of ids, separated by blanks.

    Args:
        format: the vocabulary.
        ids: token ids of any number.

    Raises:
        ValueError: if an id is outside the vocabulary (the tokenizer itself would omit it).

    Example:
        >>> from circuits.tasks import StarGraph
        >>> decode_ids(TokenFormat(StarGraph(2, 3, 10), "text", "start-goal"), [12, 3, 0, 11])
        '/ 3 0 ='
    """
    values = np.asarray(ids, dtype=np.int64).tolist()
    for value in values:
        checks.integer("ids", value, 0, format.vocab_size - 1)
    return _cached_tokenizer(format).decode(values)


@cache
def _cached_tokenizer(format: TokenFormat) -> Tokenizer:
    return make_tokenizer(format)
