"""Runs on walks: resumed to the same bits, evaluated, exported, opened again."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest
from flax import nnx

from circuits.cli import main
from circuits.one_layer.module import OneLayer
from circuits.training import loop, run_folder, tensorboard
from circuits.training.progress import now
from circuits.training.scoring import score, scoring
from circuits.training.step import initial_state, model_of
from circuits.training.stored import read, read_run
from circuits.training.walk_data import groups_of, walks_of
from circuits.transformer.config import Architecture
from circuits.transformer.model import Predictor
from tests.cases import assert_close, rounding


def bits(state) -> list[tuple[str, bytes]]:
    leaves = jax.tree.flatten_with_path(state)[0]
    return [(jax.tree_util.keystr(path), np.asarray(leaf).tobytes()) for path, leaf in leaves]


def timeless(folder) -> list[dict]:
    lines = run_folder.read_metrics(folder)
    return [{k: v for k, v in line.items() if k not in ("tokens_per_second", "device")} for line in lines]


class Stopped(BaseException):
    """What no code catches."""


def test_a_stopped_and_resumed_run_ends_with_the_same_bits(tmp_path, walks, walked):
    """Stopped at 6, it goes on from 5: the second head weighs less than at first, and is trained since step 3."""

    def stop(report: loop.Report) -> None:
        if report.step == 6:
            raise Stopped

    with pytest.raises(Stopped):
        loop.train(walks, tmp_path, show=stop)
    assert bits(loop.train(walks, tmp_path, resume=True)) == bits(walked[1])
    assert timeless(tmp_path) == timeless(walked[0])


def test_a_head_is_not_trained_before_its_turn(walks, walked):
    """Three steps of the curriculum leave the transfer matrix as it was drawn, and a fourth does not."""
    start = model_of(walks, jax.jit(lambda: initial_state(walks, 0).params)())
    models = [start, *(read_run(walked[0], step)[0].model for step in (1, 3, 4))]
    heads = [nnx.to_pure_dict(nnx.state(model))["heads"] for model in models]
    transfer = [np.asarray(one["further"][0]["transfer"]["kernel"]) for one in heads]
    shared = [np.asarray(one["kernels"]) for one in heads]
    # The run draws it by another program than the one here, at some 30 operations a number, and then keeps every bit.
    # A step of Adam would be about as large as the learning rate.
    atol = rounding(transfer[0].dtype, 30, float(np.abs(transfer[0]).max()))
    assert atol < 1e-3 * walks.optimiser.learning_rate
    assert_close(transfer[1], transfer[0], atol=atol)
    assert np.array_equal(transfer[1], transfer[2])
    assert not np.array_equal(transfer[2], transfer[3])
    assert not np.array_equal(shared[0], shared[1])  # the unembedding is the first head's too


def test_steps_may_grow_unless_weights_depend_on_their_number(tmp_path, walks):
    run_folder.claim(tmp_path, walks, resume=False)
    with pytest.raises(ValueError, match=r"steps: must be 8, as in '.*config.json', got 9"):
        loop.train(replace(walks, steps=9), tmp_path, resume=True)
    assert loop.growing(replace(walks, objective=replace(walks.objective, weight_schedule="constant"))) == {"steps"}


def test_what_a_line_of_metrics_says(walks, walked):
    lines = run_folder.read_metrics(walked[0])
    assert [line["step"] for line in lines] == [1, 3, 6, 8]
    names = ("exact", "by_degree", "degree_pairs", "by_hop", "hop_pairs", "steps", "steps_ahead")
    shares = {f"{split}_{name}" for split in ("test", "train") for name in names}
    for line in lines:
        assert line.keys() == {"step", "seed", "loss", "head_losses", "tokens_per_second", "device"} | shares
        assert sum(line["test_degree_pairs"]) == walks.test_examples
        assert line["train_degree_pairs"][2:] == [0, 0]
        assert line["train_by_degree"][2:] == [None, None]
        assert None in line["test_by_hop"]
        # The second head has a target fewer in each line: the loss is less than the mean of the two would give.
        first, second = line["head_losses"]
        weight = 0.5 * (1 - (line["step"] - 1) / 8) if line["step"] > 3 else 0.0
        assert first / 2 < line["loss"] < (first + weight * second) / 2 or weight == 0
        assert weight > 0 or line["loss"] == pytest.approx(first / 2, rel=1e-6)
    assert lines[-1]["head_losses"][0] < lines[0]["head_losses"][0]


def test_a_bar_and_tensorboard_pass_over_groups_without_pairs(walked):
    lines = run_folder.read_metrics(walked[0])
    told = now(loop.Report(8, lines[-1:], []))
    degrees = "/".join("-" if share is None else f"{100 * share:.0f}" for share in lines[-1]["test_by_degree"])
    assert f"(by degree {degrees}%)" in told
    scalars = tensorboard.scalars(lines[-1])
    kept = [place for place, share in enumerate(lines[-1]["train_by_degree"], start=1) if share is not None]
    assert [name for name in scalars if name.startswith("train_by_degree")] == [f"train_by_degree/{n}" for n in kept]
    assert len(kept) < 4


def said(capsys) -> str:
    found = capsys.readouterr()
    return " ".join((found.out + found.err).replace("│", " ").split())


def test_evaluate_and_export(walks, walked, tmp_path, capsys):
    folder, result = walked[0], tmp_path / "found.json"
    assert main(["evaluate", str(folder), "--json", str(result)]) == 0
    printed, (row,) = said(capsys), json.loads(result.read_text())
    made = walks_of(walks.task)
    (stored,) = read_run(folder)
    truth = score(scoring(walks.task, False), stored.model, made.test)
    assert {name: row[name] for name in truth} == truth
    assert row["examples"] == len(made.test) > walks.test_examples  # all of them, and not as few as a run looks at
    assert f"run, seed 0, step 8: {len(made.test)} test pairs of walks in one" in printed
    counts = np.bincount(groups_of(walks.task).degree[tuple(made.test[:, :2].T)])
    for degree, count in enumerate(counts):
        assert (f"degree {degree} {count} " in printed.replace("or more ", "")) == (count > 0)
    assert "degree 3" not in printed
    assert f"all {len(made.test)} {row['exact']:.1%}" in printed
    model = tmp_path / "model"
    assert main(["export", str(folder), "--out", str(model)]) == 0
    files = ["config.json", "graph.txt", "model.safetensors", "tokenizer.json"]
    assert sorted(path.name for path in model.iterdir()) == files
    assert main(["evaluate", str(model), "--examples=5", "--split=train", "--json", str(result)]) == 0
    assert "model: 5 train pairs of walks" in said(capsys)
    (again,) = read(model)
    assert isinstance(again.model, Predictor)
    assert again.model.config == walks.transformer
    assert again.notes["task"] == run_folder.as_json(walks.task)
    assert bits(again.model) == bits(stored.model)


def test_the_one_layer_model_is_trained_and_stored_like_the_others(tmp_path, walks, capsys):
    config = replace(walks, model=Architecture(kind="one-layer"), steps=4, evaluate_every=4)
    loop.train(config, tmp_path / "run")
    (stored,) = read_run(tmp_path / "run")
    assert isinstance(stored.model, OneLayer)
    assert main(["export", str(tmp_path / "run"), "--out", str(tmp_path / "model")]) == 0
    (again,) = read(tmp_path / "model")
    assert bits(again.model) == bits(stored.model)
    rows = walks_of(walks.task).test
    scored = [score(scoring(walks.task, False), each.model, rows) for each in (stored, again)]
    assert scored[0] == scored[1]
    lines = run_folder.read_metrics(tmp_path / "run")
    assert lines[-1]["head_losses"][0] < lines[0]["head_losses"][0]
    capsys.readouterr()
