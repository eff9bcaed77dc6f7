"""Accuracies against texts answered one token at a time by the naive transformer."""

from itertools import pairwise

import jax
import numpy as np
import pytest
from flax import nnx

from circuits.tasks.star.config import StarConfig
from circuits.tasks.task import Task, build_task
from circuits.tasks.tree.config import TreeConfig
from circuits.tasks.walks.config import DagConfig, DagWalks
from circuits.training import evaluation
from circuits.training.evaluation import score
from circuits.transformer.config import TransformerConfig
from circuits.transformer.model import Predictor
from tests.cases import assert_close
from tests.transformer.models import random_model
from tests.transformer.naive_transformer import naive_logits

TASKS = {
    "star": build_task(StarConfig(nodes=3, labels=8)),
    "tree": build_task(TreeConfig(nodes=4, labels=15, style="pairs", query="goal-start")),
    "two nodes": build_task(StarConfig(nodes=2, labels=5, style="pairs")),
}
HEADS = 2


def model_for(task: Task, heads: int = HEADS) -> Predictor:
    shape = {"layers": 1, "heads": 2, "width": 8, "activation": "relu", "dtype": "float64", "param_dtype": "float64"}
    sizes = {"vocab": task.format.vocab_size, "positions": task.format.length - 1}
    return random_model(TransformerConfig(**shape, **sizes, prediction_heads=heads), seed=3)


def best(model: Predictor, tokens: list[int]) -> list[list[int]]:
    """The most likely token of each head at each position."""
    parameters = jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(model)))
    return [[row.index(max(row)) for row in head] for head in naive_logits(model.config, parameters, tokens).tolist()]


def answered(model: Predictor, task: Task, prompt: list[int], teacherless: bool) -> list[int]:
    if teacherless:
        assert task.dummy_token is not None
        return best(model, prompt + [task.dummy_token] * (task.format.answer_length - 1))[0][len(prompt) - 1 :]
    tokens = list(prompt)
    for _ in range(task.format.answer_length):
        tokens.append(best(model, tokens)[0][-1])
    return tokens[len(prompt) :]


def cases(model: Predictor, task: Task, teacherless: bool) -> list[list[int]]:
    """Random prompts; as answer the model's own, with one token changed, or two, or none."""
    form, rng, rows = task.format, np.random.default_rng(1), []
    for number in range(10):
        prompt = rng.integers(0, form.vocab_size, form.prompt_length).tolist()
        answer = answered(model, task, prompt, teacherless)
        for position in {0: [], 1: [0], 2: [form.answer_length - 1], 3: [0, 1], 4: [1]}[number % 5]:
            answer[position] = (answer[position] + 1) % form.vocab_size
        rows.append(prompt + answer)
    return rows


@pytest.mark.parametrize(("name", "teacherless"), [("star", False), ("tree", False), ("star", True)])
def test_shares_are_those_of_texts_compared_one_by_one(monkeypatch, name, teacherless):
    monkeypatch.setattr(evaluation, "CHUNK", 4)  # ten problems are two chunks and a half
    task = TASKS[name]
    model, start = model_for(task), task.format.prompt_length
    right = {key: [] for key in ("exact", "hard", "by_token", "forced", "ahead")}
    rows = cases(model, task, teacherless)
    for row in rows:
        prompt, answer = row[:start], row[start:]
        mine = answered(model, task, prompt, teacherless)
        seen = prompt + [task.dummy_token] * task.format.answer_length if teacherless else row
        guesses = best(model, seen[:-1])
        right["exact"].append(mine == answer)
        right["hard"].append(all(mine[position] == answer[position] for position in task.format.branching_positions))
        right["by_token"].append([a == b for a, b in zip(mine, answer, strict=True)])
        right["forced"].append([a == b for a, b in zip(guesses[0][start - 1 :], answer, strict=True)])
        right["ahead"].append([guesses[m][start - 1] == answer[m] for m in range(HEADS)])
    found = score(model, task, np.asarray(rows, np.int32), teacherless)
    assert list(found) == list(right)
    for key, flags in right.items():
        assert_close(np.asarray(found[key]), np.mean(flags, axis=0), atol=1e-6)
    assert found["exact"] == pytest.approx(0.2)
    assert found["exact"] < found["hard"] < 1
    assert found["exact"] <= min(found["by_token"]) < max(found["by_token"])
    assert found["by_token"][0] == found["forced"][0] == found["ahead"][0]
    assert np.array_equal(found["by_token"], found["forced"]) == teacherless


def test_without_a_branching_token_there_is_no_figure_of_it():
    """The only token of the answer is the goal, which the query names."""
    task = TASKS["two nodes"]
    rows = np.random.default_rng(0).integers(0, 5, (6, task.format.length)).astype(np.int32)
    found = score(model_for(task, heads=1), task, rows)
    assert "hard" not in found
    assert task.status(found) == ""
    assert (len(found["by_token"]), len(found["ahead"])) == (1, 1)
    report = task.report(found, 6)
    assert [row[0][:7] for row in report.sections[0]] == ["token 0", "whole a"]


def test_a_model_that_knows_nothing_is_below_an_edge_follower():
    """Uniform guesses name one of 12 tokens; an edge-follower finds the first node in half of all problems."""
    task = TASKS["star"]
    problems = np.random.default_rng(0).integers(0, 8, (200, task.format.length)).astype(np.int32)
    found = score(model_for(task), task, problems)
    assert found["exact"] < 0.1
    assert max(found["by_token"]) < 0.3
    report = task.report(found, 200)
    assert report.columns == ("", "greedy", "by chance", "given the true tokens", "following edges")
    # The start is known, the first node is a guess between two paths, and edges lead from there to the goal.
    assert [row[2] for row in report.sections[0]] == ["100.0%", "50.0%", "50.0%", "50.0%"]
    assert [row[4] for row in report.sections[0]] == ["100.0%", "50.0%", "100.0%", ""]
    assert [row[0] for row in report.sections[0]][:2] == ["token 0", "token 1 (branching)"]


def test_walks_are_judged_by_the_greedy_answer():
    """An untrained model finds no walk; its steps are those of the naive transformer."""
    task = build_task(DagConfig(labels=16, walks=DagWalks(edge_probability=0.3, train_share=0.2, paths_a_pair=1)))
    assert task.graph is not None
    model, rows = model_for(task, heads=1), task.problems("test", 4)
    steps = edges = 0
    for row in rows.tolist():
        answer = answered(model, task, row[:2], teacherless=False)
        nodes = answer[: next((i for i, token in enumerate(answer) if token >= 16), len(answer))]
        pairs = list(pairwise(nodes))
        steps, edges = steps + len(pairs), edges + sum(task.graph.has_edge(*pair) for pair in pairs)
    found = score(model, task, rows)
    assert steps > 0
    assert (found["exact"], found["steps"]) == (0.0, edges / steps)
    assert not {"forced", "ahead"} & found.keys()
