"""A probe compiles once: with the same shapes, other weights, problems, masks and directions reuse its programs."""

import logging
from collections.abc import Callable, Iterator

import jax
import numpy as np
import pytest
from flax import nnx

from circuits.probes import (
    Receiver,
    ablate,
    find_circuit,
    knock_out,
    logit_lens,
    mean_activations,
    measure_language_heads,
    patch,
    patch_masks,
    path_patch,
    repeated_sequences,
)
from circuits.probes.attention import planning
from circuits.probes.nulls import single_head
from circuits.transformer.config import TransformerConfig
from circuits.transformer.model import Predictor
from tests.probes.interventions.planted import FORMAT, some_twins
from tests.probes.planted import rows
from tests.transformer.models import random_model

COUNT = 3
CONFIG = TransformerConfig(vocab=FORMAT.vocab_size, positions=FORMAT.length, layers=1, heads=2, width=8, mlp_width=4)
MODELS = [random_model(CONFIG, seed) for seed in range(2)]
MASKS = [np.full((2, 1, 1, 2), value) for value in (True, False)]
SEQUENCES = [repeated_sequences(9, 4, 2, seed) for seed in range(2)]

CALLS: dict[str, Callable[[int], object]] = {
    "patch": lambda i: patch(MODELS[i], twins(i), "attn.z", ("layer", "head"), direction=("denoise", "noise")[i]),
    "patch_masks": lambda i: patch_masks(MODELS[i], twins(i), "attn.z", MASKS[i], aligned=True),
    "path_patch": lambda i: path_patch(
        MODELS[i], twins(i), [Receiver("q", 0, i), Receiver()], direction=("denoise", "noise")[i]
    ),
    "ablate, zero": lambda i: ablate(MODELS[i], twins(i), "attn.z", "zero", masks=MASKS[i]),
    "ablate, mean": lambda i: ablate(MODELS[i], twins(i), "mlp_out", "mean"),
    "ablate, resample": lambda i: ablate(MODELS[i], twins(i), "attn_out", "resample", key=jax.random.key(i)),
    "mean_activations": lambda i: mean_activations(MODELS[i], twins(i), "attn.z", aligned=True),
    "knock_out": lambda i: knock_out(MODELS[i], twins(i), ["query"], [("path", "goal in query")[i]], masks=MASKS[i]),
    "logit_lens": lambda i: logit_lens(MODELS[i], twins(i).layout),
    "measure_language_heads": lambda i: measure_language_heads(MODELS[i], SEQUENCES[i]),
}


def twins(number: int):
    return some_twins(COUNT, first=COUNT * number)


@pytest.fixture
def compiled(caplog) -> Iterator[Callable[[], list[str]]]:
    """Return the programs compiled since the last call."""

    def names() -> list[str]:
        messages = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return [message for message in messages if message.startswith("Compiling")]

    with caplog.at_level(logging.WARNING, logger="jax"), jax.log_compiles():
        yield names


@pytest.mark.parametrize("name", CALLS)
def test_a_second_call_compiles_nothing(name, compiled):
    CALLS[name](0)
    assert compiled(), "the log of compilations has another format"
    CALLS[name](1)
    assert compiled() == []


def test_models_that_differ_in_their_prediction_heads_share_their_null(monkeypatch):
    drawn, draw = [], planning.untrained_scores

    def counted(*args, **options):
        drawn.append(args)
        return draw(*args, **options)

    monkeypatch.setattr(planning, "untrained_scores", counted)
    planning._null_scores.cache_clear()
    several = random_model(TransformerConfig(**{**vars(CONFIG), "prediction_heads": 3}))
    problems = rows(FORMAT, 4)
    results = [find_circuit(model, problems, FORMAT, level=0.9) for model in (MODELS[0], several)]
    assert len(drawn) == 1
    assert np.array_equal(results[0]["goal"].baseline, results[1]["goal"].baseline)
    find_circuit(MODELS[0], problems[:3], FORMAT, level=0.9)
    find_circuit(MODELS[0], problems, FORMAT, level=0.9, seed=1)
    assert len(drawn) == 3  # other problems and another seed have nulls of their own


def test_an_untrained_model_has_the_same_body_whatever_its_prediction_heads():
    config = TransformerConfig(**{**vars(CONFIG), "prediction_heads": 3, "head_kind": "transfer", "injection": True})
    models = [Predictor(one, nnx.Rngs(jax.random.key(5))) for one in (config, single_head(config))]
    leaves = [jax.tree.leaves(nnx.state(model.transformer)) for model in models]
    assert len(leaves[0]) > 5
    assert all(np.array_equal(a, b) for a, b in zip(*leaves, strict=True))
