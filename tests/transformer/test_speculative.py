"""Self-speculative decoding: equal to greedy decoding for every kind of heads, and its counts those of a plain loop."""

import math
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from circuits.transformer import generate
from circuits.transformer import speculative as module
from circuits.transformer.config import TransformerConfig
from circuits.transformer.generate import greedy, pad_after_end
from circuits.transformer.model import Predictor, build
from circuits.transformer.speculative import SpeculativeOutput, acceptance_rates, speculative_greedy
from tests.cases import assert_close
from tests.transformer.head_kinds import HEADS, KINDS, POSITIONS, VOCAB, naive_kind, of_kind, planted
from tests.transformer.models import pure, random_model

LENGTH = 4
COUNT = POSITIONS + 1 - LENGTH
"""Up to the model's last position, which passes overrun."""
SAME_SHAPE = {"layers": 1}
ROWS, END = 32, 4
QUICK = ("linear", "chained injected block")
every_kind = pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in KINDS]
)


def prompts(rows: int = ROWS, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).integers(0, VOCAB, (rows, LENGTH)), jnp.int32)


@cache
def _program(config: TransformerConfig, end: int | None = None, pad: int | None = None):
    """Return a program of greedy and speculative answers of a batch, compiled once for all models of a config."""
    graph = nnx.graphdef(nnx.eval_shape(lambda: Predictor(config, nnx.Rngs(0))))

    def both(state, prompts):
        model = nnx.merge(graph, state)
        plain = jax.vmap(lambda prompt: greedy(model, prompt, COUNT, end, pad))(prompts)
        return plain, jax.vmap(lambda prompt: speculative_greedy(model, prompt, COUNT, end, pad))(prompts)

    return jax.jit(both)


def decode_both(model: Predictor, rows: jax.Array, end: int | None = None, pad: int | None = None):
    plain, found = _program(model.config, end, pad)(nnx.state(model), rows)
    return np.asarray(plain), jax.tree.map(np.asarray, found)


def nearly_right(name: str, seed: int = 3, noise: float = 0.45, heads: int = HEADS) -> Predictor:
    """Return a planted model with noise, whose drafts are mostly right, as after training, yet depend on all inputs.

    There is less noise outside the heads, so that the text is mostly the one that they expect.
    """
    model = planted(name, heads=heads)

    def noisy(path: Any, leaf: jax.Array, random_model: jax.Array) -> jax.Array:
        level = noise if "heads" in jax.tree_util.keystr(path) else 0.2
        return leaf + level * (random_model - jnp.round(random_model))

    return jax.tree_util.tree_map_with_path(noisy, model, random_model(model.config, seed))


def check(plain: np.ndarray, found: SpeculativeOutput) -> None:
    assert np.array_equal(found.tokens, plain)
    assert np.array_equal(1 + found.passes + found.accepted.sum(axis=1), [COUNT] * len(plain))
    assert np.all(found.accepted <= found.offered)
    assert np.all(found.offered[:, 1:] == np.minimum(found.offered[:, 1:], found.accepted[:, :-1]))
    table = acceptance_rates(found)
    assert table.per_pass == pytest.approx(len(plain) * (COUNT - 1) / found.passes.sum(), rel=1e-14)
    assert_close(table.cumulative, found.accepted.sum(axis=0) / found.passes.sum(), atol=1e-15)


def mostly_right(found: SpeculativeOutput) -> bool:
    """Return whether more drafts are right than the share of 1 / V by chance."""
    return int(found.accepted.sum()) > 0.5 * int(found.offered.sum())


@every_kind
def test_tokens_are_those_of_greedy_and_counts_those_of_a_naive_loop(name):
    config = of_kind(name, **SAME_SHAPE)
    for model, trained in ((random_model(config), False), (nearly_right(name), True)):
        rows = prompts(seed=trained)
        plain, found = decode_both(model, rows)
        check(plain, found)
        assert len({tuple(answer) for answer in plain.tolist()}) > 3
        assert mostly_right(found) or not trained
        parameters = pure(model)
        # Rows with many right drafts, after which most positions are new to the heads, and one with few.
        for row in np.argsort(found.accepted[:, -1])[[0, -1]]:
            truth = naive_counts(config, parameters, rows[row].tolist())
            assert [found.passes[row], *found.offered[row], *found.accepted[row]] == truth


def naive_counts(config: TransformerConfig, parameters, prompt: list[int]) -> list[int]:
    """Return passes, offered and accepted drafts, from whole forward passes of the twin without a cache."""
    best = lambda text, head, position: int(np.argmax(naive_kind(config, parameters, text)[head, position]))  # noqa: E731
    text, passes = list(prompt), 0
    text.append(best(text, 0, -1))
    offered, accepted = [0] * (HEADS - 1), [0] * (HEADS - 1)
    while len(text) < LENGTH + COUNT:
        position, guess = len(text) - 2, list(text)
        for head in range(1, HEADS):
            guess.append(best(guess, head, position))
        passes += 1
        for offset in range(HEADS):
            own = best(text, 0, -1)
            text.append(own)
            if offset == HEADS - 1 or len(text) == LENGTH + COUNT:
                break
            offered[offset] += 1
            if guess[len(text) - 1] != own:
                break
            accepted[offset] += 1
    return [passes, *offered, *accepted]


@every_kind
def test_drafts_that_are_always_right_or_always_wrong(name):
    rows = prompts()
    counting = (np.asarray(rows)[:, -1:] + 1 + np.arange(COUNT)) % VOCAB
    plain, found = decode_both(planted(name), rows)
    assert np.array_equal(plain, counting)
    check(plain, found)
    assert set(found.passes.tolist()) == {math.ceil((COUNT - 1) / HEADS)}
    assert acceptance_rates(found).conditional.tolist() == [1.0] * (HEADS - 1)
    plain, found = decode_both(planted(name, off=3), rows)
    assert np.array_equal(plain, counting)
    check(plain, found)
    assert set(found.passes.tolist()) == {COUNT - 1}
    assert found.accepted.sum() == 0
    assert np.isnan(acceptance_rates(found).conditional[1])


@pytest.mark.parametrize(
    "mutant",
    [
        lambda drafts, chosen: drafts == drafts,
        pytest.param(lambda drafts, chosen: drafts == chosen[1:], marks=pytest.mark.slow),
    ],
)
def test_decoding_that_does_not_verify_is_detected(mutant, monkeypatch):
    config, rows = of_kind("linear", **SAME_SHAPE), prompts()
    models = [random_model(config, seed) for seed in range(4)]
    truth = [decode_both(model, rows)[0] for model in models]

    def decode(model, rows):
        return jax.vmap(lambda prompt: speculative_greedy(model, prompt, COUNT).tokens)(rows)

    monkeypatch.setattr(module, "confirmed", mutant)
    broken = jax.jit(decode)
    assert not all(np.array_equal(broken(model, rows), plain) for model, plain in zip(models, truth, strict=True))


@pytest.mark.slow
def test_one_head_speculates_on_nothing():
    plain, found = decode_both(random_model(of_kind("linear", prediction_heads=1, layers=1)), prompts())
    check(plain, found)
    assert np.all(found.passes == COUNT - 1)


@pytest.mark.parametrize("pad", [None, 5])
def test_after_an_end_token_there_is_padding(pad):
    free = np.asarray(decode_both(random_model(of_kind("linear", **SAME_SHAPE), 1), prompts())[0])
    padded = jax.vmap(lambda row: pad_after_end(row, END, pad))(jnp.asarray(free)).tolist()
    for own, text in zip(free.tolist(), padded, strict=True):
        length = own.index(END) + 1 if END in own else COUNT
        assert text == own[:length] + [END if pad is None else pad] * (COUNT - length)


def _round(model, state, last):
    return module._round(model, last, None, state)


@pytest.mark.parametrize(
    "name", ["sequential", *(pytest.param(name, marks=pytest.mark.slow) for name in ("meta", "chained injected block"))]
)
def test_kv_caches_of_heads_are_those_computed_from_scratch(name):
    """After passes in which all drafts were right, when most positions are new: a window too short leaves holes."""
    capacity = POSITIONS + 2 * (HEADS - 1)
    model = nearly_right(name, noise=0.2)

    def fresh_caches(model, state):
        caches = model.heads.empty_cache(capacity)
        return module._draft(model, state.ids, state.base, jnp.int32(0), state.position, caches)[1]

    begin, verify, redraft = (
        jax.jit(jax.vmap(function, (None, 0)))
        for function in (module._begin, partial(_round, last=LENGTH + COUNT - 2), fresh_caches)
    )
    state = verify(model, verify(model, begin(model, prompts(4))))
    fresh = redraft(model, state)
    full = np.flatnonzero(np.asarray(state.accepted)[:, -1] == 2)
    assert len(full)
    for row in full:
        upto = slice(0, int(state.position[row]) + 1)
        caches, truth = jax.tree.map(lambda array, row=row, upto=upto: array[row, upto], (state.head_caches, fresh))
        assert_close(caches, truth, atol=1e-12)


def test_an_end_token_stops_both():
    """Also where it is drafted, rightly: in a text that counts up it comes after 1 to 8 tokens."""
    rows = prompts()
    for model in (planted("linear"), random_model(of_kind("linear", **SAME_SHAPE), 1)):
        free, _ = decode_both(model, rows)
        plain, found = decode_both(model, rows, END, 5)
        assert np.array_equal(plain, jax.vmap(lambda row: pad_after_end(row, END, 5))(jnp.asarray(free)))
        assert np.array_equal(found.tokens, plain)
        lengths = [own.index(END) + 1 if END in own else COUNT for own in free.tolist()]
        assert len(set(lengths)) > 3
        assert found.accepted.sum() > 10
        assert np.array_equal(1 + found.passes + found.accepted.sum(axis=1), lengths)


@pytest.mark.parametrize(
    ("count", "end", "pad", "message"),
    [
        (0, None, None, "max_new_tokens: must be an integer at least 1"),
        (COUNT + 1, None, None, f"max_new_tokens: must leave prompt and answer at most {POSITIONS + 1}"),
        (2, VOCAB, None, "end: must be an integer between 0 and 7"),
        (2, 1, -1, "pad: must be an integer between 0 and 7"),
        (2, None, 1, "pad: must be none without an end"),
    ],
)
def test_requests_out_of_range_are_errors(count, end, pad, message):
    model = random_model(of_kind("linear", **SAME_SHAPE))
    for decode in (greedy, speculative_greedy):
        with pytest.raises(ValueError, match=message):
            decode(model, prompts(1)[0], count, end, pad)


def test_no_pass_is_made_after_an_end_token(monkeypatch):
    passes, best_tokens = [], generate.best_tokens

    def counted(model, final):
        jax.debug.callback(lambda: passes.append(0))
        return best_tokens(model, final)

    monkeypatch.setattr(generate, "best_tokens", counted)
    model, row = planted("linear"), jnp.array([0, 0, 0, END - 3], jnp.int32)
    decode = jax.jit(lambda model, row: greedy(model, row, COUNT, END, 5))
    assert decode(model, row).tolist() == [END - 2, END - 1, END] + [5] * (COUNT - 3)
    jax.effects_barrier()
    assert len(passes) == 3


@pytest.mark.parametrize("pick", [lambda model: build(model.config, nnx.Rngs(0)), lambda model: model.transformer])
def test_models_without_drafts_are_errors(pick):
    shape = TransformerConfig(vocab=VOCAB, positions=POSITIONS, layers=1, heads=1, width=8, kind="one-layer")
    model = nnx.eval_shape(lambda: pick(Predictor(shape, nnx.Rngs(0))))
    message = f"model: must be a transformer with prediction heads, got '{type(model).__name__}'"
    with pytest.raises(ValueError, match=message):
        speculative_greedy(model, prompts(1)[0], 2)


@pytest.mark.slow
@pytest.mark.parametrize("heads", [2, 5])
@pytest.mark.parametrize("name", KINDS)
def test_a_thousand_prompts_of_every_kind(name, heads):
    config = of_kind(name, prediction_heads=heads, **SAME_SHAPE)
    for seed in range(2):
        check(*decode_both(random_model(config, seed), prompts(250, seed)))
        plain, found = decode_both(nearly_right(name, heads=heads), prompts(250, seed + 2))
        check(plain, found)
        assert mostly_right(found)
