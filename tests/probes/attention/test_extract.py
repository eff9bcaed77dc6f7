"""Mean attention maps of problems and maps of one text, against a loop over problems, rows and columns."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from circuits.probes import streaming
from circuits.probes.attention import extract
from circuits.probes.attention.extract import attention_maps, text_attention_maps
from circuits.probes.attention.maps import AttentionMaps, check_maps
from circuits.probes.layout import query_position
from circuits.tasks import BinaryTree, StarGraph, TokenFormat
from circuits.transformer.config import TransformerConfig
from circuits.transformer.model import Predictor
from circuits.transformer.taps import Taps
from tests.cases import assert_close, rounding
from tests.probes.naive_layout import naive_layout
from tests.probes.planted import rows
from tests.transformer.models import operations, random_model

FORMATS = {
    "star pairs": TokenFormat(StarGraph(2, 3, 7), "pairs", "goal-start"),
    "star text": TokenFormat(StarGraph(2, 3, 7), "text", "start-goal"),
    "tree": TokenFormat(BinaryTree(3, 8), "pairs", "goal-start"),
}
COUNT = 9


@cache
def model(name: str) -> Predictor:
    format = FORMATS[name]
    sizes: dict[str, Any] = {"layers": 2, "heads": 2, "width": 8, "mlp_width": 4}
    return random_model(TransformerConfig(vocab=format.vocab_size, positions=format.length, **sizes))


@cache
def patterns(name: str, query: int) -> np.ndarray:
    """[n, L, H, Q, Q], positions as written."""
    taps, (graph, state) = Taps(capture=["blocks.*.attn.pattern"]), nnx.split(model(name))
    read = jax.jit(lambda ids: jnp.stack(list(nnx.merge(graph, state)(ids, taps)[1].values())))
    return np.stack([np.asarray(read(row[: query + 1]), np.float64) for row in rows(FORMATS[name], COUNT)])


@cache
def aligned_patterns(name: str, query: int) -> np.ndarray:
    """The same in the order that a reader of the words finds, entry by entry."""
    result = np.zeros_like(patterns(name, query))
    for number, row in enumerate(rows(FORMATS[name], COUNT)):
        order = naive_layout(FORMATS[name], row.tolist(), query).order
        for i, t in enumerate(order):
            for j, s in enumerate(order):
                result[number, :, :, i, j] = patterns(name, query)[number, :, :, t, s]
    return result


@cache
def maps(name: str, token: int | None = None, **changes: Any) -> AttentionMaps:
    problems = rows(FORMATS[name], COUNT)
    query = None if token is None else query_position(FORMATS[name], token)
    return attention_maps(model(name), problems, FORMATS[name], query=query, title="t", **changes)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("aligned", [True, False])
def test_means_and_their_errors_are_those_of_a_loop(name, aligned):
    query = query_position(FORMATS[name])
    found = maps(name, aligned=aligned)
    each = aligned_patterns(name, query) if aligned else patterns(name, query)
    check_maps(found)
    assert found.errors is not None
    assert_close(found.patterns, each.mean(axis=0), atol=1e-6)
    assert_close(found.errors, each.std(axis=0, ddof=1) / np.sqrt(COUNT), atol=1e-6)
    assert_close(found.patterns.sum(axis=-1), np.ones((2, 2, query + 1)), atol=1e-5)
    assert (found.query, found.heads, found.title) == (query, ("0", "1"), "t")
    assert found.notes["examples"] == COUNT
    # The two orders differ, or nothing would tell them apart.
    assert np.abs(found.patterns - maps(name, aligned=not aligned).patterns).max() > 1e-3


def test_the_mean_over_heads():
    found = maps("star text", per_head=False)
    assert found.heads == ("mean of 2",)
    assert found.errors is not None
    each = aligned_patterns("star text", found.query).mean(axis=2, keepdims=True)
    assert_close(found.patterns, each.mean(axis=0), atol=1e-6)
    # The error of the mean over heads is not the mean of their errors.
    assert_close(found.errors, each.std(axis=0, ddof=1) / np.sqrt(COUNT), atol=1e-6)


def test_the_first_problems_may_be_kept():
    found = maps("star pairs", keep_examples=2)
    assert found.examples is not None
    check_maps(found)
    assert_close(found.examples, aligned_patterns("star pairs", found.query)[:2], atol=1e-6)
    assert maps("star pairs").examples is None
    with pytest.raises(ValueError, match="keep_examples: must be an integer between 0 and 9"):
        maps("star pairs", keep_examples=COUNT + 1)


def test_any_token_of_the_answer_may_be_predicted():
    for token in (0, 1):
        found = maps("star pairs", token=token)
        assert_close(found.patterns, aligned_patterns("star pairs", found.query).mean(axis=0), atol=1e-6)
        assert found.notes["predicted token"] == f"token {token} of the answer (counted from 0)"


def test_names_as_written_are_those_that_all_problems_share():
    pairs = maps("star pairs", token=1, aligned=False)
    assert pairs.tokens == (*("u", "v") * 4, "g", "s", "n1")
    assert pairs.roles == (*["edges"] * 8, "goal", "start", "answer")
    text = maps("star text", token=2, aligned=False)
    assert text.tokens == (*("u", "v", "·") * 4, "s", "g", "·", "n0", "n1")
    assert text.roles == (*("edges", "edges", "symbol") * 4, "start", "goal", "symbol", "answer", "answer")


@pytest.mark.parametrize("name", FORMATS)
def test_aligned_names_fit_every_problem(name):
    found = maps(name, aligned=True)
    for row in rows(FORMATS[name], COUNT):
        naive = naive_layout(FORMATS[name], row.tolist(), found.query)
        assert found.roles == tuple(naive.roles[t] for t in naive.order)
    assert found.tokens[:4] == (("s", "n1", "·", "n1") if name == "star text" else ("s", "n1", "n1", "g"))


def test_chunks_change_neither_means_nor_memory(monkeypatch):
    """All examples at once, or three at a time: the same moments, of no more than a chunk of patterns.

    Two programs compute the patterns, in float32. Moments are added up in float64, and neither a mean nor the standard
    error of nine examples moves further than the examples do.
    """
    whole, done, sizes = maps("star pairs", aligned=True), [], []
    each, stream = streaming._chunk_moments, streaming.stream

    def noted(function, graph, state, shared, batch):
        sizes.append(len(batch[0]))
        return each(function, graph, state, shared, batch)

    monkeypatch.setattr(streaming, "_chunk_moments", noted)
    monkeypatch.setattr(extract, "stream", lambda *args, on_progress: stream(*args, chunk=3, on_progress=on_progress))
    name = "star pairs"
    parts = attention_maps(model(name), rows(FORMATS[name], COUNT), FORMATS[name], on_progress=done.append)
    assert done == [3, 6, 9]
    assert sizes == [3, 3, 3]
    assert whole.errors is not None
    assert parts.errors is not None
    config = model(name).config
    atol = rounding(config.dtype, operations(config, whole.query + 1))
    assert_close(parts.patterns, whole.patterns, atol=atol)
    assert_close(parts.errors, whole.errors, atol=atol)
    # Leaving out one example of nine moves the means by far more.
    examples = aligned_patterns(name, whole.query)
    assert np.abs(examples[1:].mean(axis=0) - examples.mean(axis=0)).max() > 100 * atol


def test_one_problem_has_no_error():
    format = FORMATS["star pairs"]
    found = attention_maps(model("star pairs"), rows(format, COUNT)[4:5], format)
    assert found.errors is None
    assert_close(found.patterns, aligned_patterns("star pairs", found.query)[4], atol=1e-6)


@pytest.mark.parametrize(
    ("problems", "query", "message"),
    [
        (np.zeros((0, 12), np.int32), None, "problems: must be at least one"),
        (np.zeros((2, 11), np.int32), None, r"tokens: must have shape \(12,\)"),
        (np.zeros((2, 12), np.int32), 8, "query: must be an integer between 9 and 10"),
        (np.zeros((2, 12), np.int32), 11, "query: must be an integer between 9 and 10"),
    ],
)
def test_problems_and_queries_that_do_not_fit(problems, query, message):
    with pytest.raises(ValueError, match=message):
        attention_maps(model("star pairs"), problems, FORMATS["star pairs"], query=query)


@pytest.mark.parametrize("per_head", [True, False])
def test_a_text_is_shown_as_the_model_reads_it(per_head):
    ids = np.array([3, 1, 0, 2, 3], np.int32)
    words = ["d", "b", "a", "c", "d"]
    found = text_attention_maps(model("star pairs"), ids, words, title="text", per_head=per_head)
    taps, (graph, state) = Taps(capture=["blocks.*.attn.pattern"]), nnx.split(model("star pairs"))
    cache = jax.jit(lambda ids: nnx.merge(graph, state)(ids, taps)[1])(ids)
    truth = np.stack([np.asarray(cache[f"blocks.{i}.attn.pattern"], np.float64) for i in range(2)])
    check_maps(found)
    assert_close(found.patterns, truth if per_head else truth.mean(axis=1, keepdims=True), atol=1e-6)
    assert_close(found.patterns.sum(axis=-1), np.ones(found.patterns.shape[:3]), atol=1e-5)
    assert np.all(np.triu(found.patterns, 1) == 0)
    assert (found.tokens, found.query, found.title) == (tuple(words), 4, "text")
    assert found.heads == (("0", "1") if per_head else ("mean of 2",))
    assert found.errors is None


@pytest.mark.parametrize(
    ("ids", "words", "message"),
    [
        ([1, 2], ["a"], "words: must be 2, one for each token"),
        ([1, 11], ["a", "b"], r"tokens: must hold ids in range\(11\)"),
        ([1] * 13, ["a"] * 13, "tokens: must be 1 to 12 tokens"),
        ([], [], "tokens: must be 1 to 12 tokens"),
    ],
)
def test_texts_that_do_not_fit(ids, words, message):
    with pytest.raises(ValueError, match=message):
        text_attention_maps(model("star pairs"), np.array(ids, np.int32), words)
