import re

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuits.tasks import (
    BinaryTree,
    StarGraph,
    TokenFormat,
    decode_ids,
    encode_problem,
    encode_text,
    format_line,
    make_tokenizer,
)
from tests.tasks.draws import draw

FORMAT = TokenFormat(StarGraph(2, 3, 13), "text", "start-goal")
QUERIES = st.sampled_from(["start-goal", "goal-start"])


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("12,3|4,5/12,5=12,3,5", [12, 3, 13, 4, 5, 15, 12, 5, 14, 12, 3, 5]),
        ("12 3 | 4 5 / 12 5 = 12 3 5", [12, 3, 13, 4, 5, 15, 12, 5, 14, 12, 3, 5]),
        ("  12 , 3|4\t5 /12,5 = $$ \n", [12, 3, 13, 4, 5, 15, 12, 5, 14, 16, 16]),
        ("1 2", [1, 2]),
        ("", []),
    ],
)
def test_texts_by_hand(text, ids):
    encoded = encode_text(FORMAT, text)
    assert encoded.tolist() == ids
    assert encoded.dtype == np.int32
    assert make_tokenizer(FORMAT).encode(text).ids == ids


@settings(max_examples=30)
@given(st.integers(2, 4), st.integers(2, 4), st.integers(0, 120), QUERIES, st.integers(0, 2**32 - 1))
def test_a_public_line_of_a_star_has_the_ids_of_its_problem(paths, nodes, spare, query, seed):
    family = StarGraph(paths, nodes, paths * (nodes - 1) + 1 + spare)
    format, problem = TokenFormat(family, "text", query), draw(family, seed)
    line, ids = format_line(problem, query), encode_problem(format, problem)
    assert encode_text(format, line).tolist() == ids.tolist()
    assert encode_text(format, re.sub("([|/=])", r" \1 ", line).replace(",", " ")).tolist() == ids.tolist()
    assert decode_ids(format, ids) == " ".join(re.findall("[0-9]+|[|/=]", line))


@settings(max_examples=20)
@given(st.sampled_from(["text", "pairs"]), QUERIES, st.integers(0, 2**32 - 1))
def test_the_ids_of_a_tree_are_decoded_and_encoded_back(style, query, seed):
    format = TokenFormat(BinaryTree(4, 30), style, query)
    ids = encode_problem(format, draw(format.family, seed))
    text = decode_ids(format, ids)
    assert text.split() == [format.vocabulary[i] for i in ids.tolist()]
    assert encode_text(format, text).tolist() == ids.tolist()


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("12,3|4,13", "13"),
        ("12,3;4,5", "3;4"),
        ("1 2 ? 3", "?"),
        ("1 -2", "-2"),
        ("01 2", "01"),
        ("1,,2", "1,,2"),
        ("1,|2,3", "1,"),
        (",1", ",1"),
        ("1 <unk> 2", "<unk>"),
        ("1 ٤", "٤"),
    ],
)
def test_an_unknown_word_is_named_and_not_omitted(text, word):
    with pytest.raises(
        ValueError, match=f"^text: each word must be a label below N = 13 .*, got {re.escape(repr(word))}$"
    ):
        encode_text(FORMAT, text)
    with pytest.raises(Exception, match="WordLevel error"):
        make_tokenizer(FORMAT).encode(text)


@given(st.text(alphabet="0123456789,|/=$ -x", max_size=12))
def test_any_text_is_refused_or_split_as_by_hand(text):
    # A twin without the library: commas between digits become blanks, symbols get blanks around them.
    spaced = re.sub(r"(?<=[0-9])\s*,\s*(?=[0-9])", " ", text)
    words = re.sub("([|/=$])", r" \1 ", spaced).split()
    known = {word: i for i, word in enumerate(FORMAT.vocabulary)}
    if all(word in known for word in words):
        assert encode_text(FORMAT, text).tolist() == [known[word] for word in words]
    else:
        with pytest.raises(ValueError, match=r"^text: each word"):
            encode_text(FORMAT, text)


def test_the_vocabulary_of_the_tokenizer_is_that_of_the_format():
    tokenizer = make_tokenizer(FORMAT)
    assert tokenizer.get_vocab() == {word: i for i, word in enumerate(FORMAT.vocabulary)}
    assert tokenizer.get_vocab_size() == FORMAT.vocab_size


@pytest.mark.parametrize("kind", [list, np.array, jnp.array])
def test_decoding(kind):
    assert decode_ids(FORMAT, kind([12, 0, 13, 14, 15, 16])) == "12 0 | = / $"


@pytest.mark.parametrize("value", [-1, 17, 2**33])
def test_an_id_out_of_range_is_refused(value):
    with pytest.raises(ValueError, match=f"^ids: must be an integer between 0 and 16, got {value}$"):
        decode_ids(FORMAT, [1, value])
