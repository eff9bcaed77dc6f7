"""Every kind of checkpoint through one function, shipped ones by name; held-out problems and accuracy."""

import re
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import load_file

from circuits import models
from circuits.models import accuracy, held_out_problems, load_model, shipped_checkpoints
from circuits.pretrained import load_pretrained
from circuits.tasks.splits import is_test
from circuits.tasks.star.config import StarConfig
from circuits.tasks.task import build_task
from circuits.tasks.token_format import decode_problem
from circuits.training import run_folder
from circuits.training.checkpoints import Checkpoints
from circuits.training.config import TrainConfig
from circuits.training.records import as_json
from circuits.training.stored import read_run
from circuits.training.transformer import initial_states
from circuits.transformer.config import Architecture, TransformerConfig
from circuits.transformer.weights_file import load_saved_model, save_model
from tests.cases import assert_close
from tests.transformer.models import random_model

REFERENCE = Path(__file__).parent / "pretrained" / "reference"
STARS = StarConfig(paths=2, nodes=3, labels=7, style="pairs", query="goal-start", one_in=8)
TASK = build_task(STARS)
SHIPPED = ["dag-injection", "dag-ntp", "dag-transfer", "disentangled-mtp", "disentangled-ntp"]
SHIPPED += [f"star-2x5-{kind}{seed}" for kind in ("mtp3", "ntp") for seed in ("", "-seed-1", "-seed-2")]


def tensors(model: nnx.Module) -> dict[str, np.ndarray]:
    return {".".join(map(str, path)): np.asarray(leaf) for path, leaf in nnx.to_flat_state(nnx.state(model))}


def same(ours: nnx.Module, truth: nnx.Module) -> None:
    assert nnx.graphdef(ours) == nnx.graphdef(truth)
    assert_close(tensors(ours), tensors(truth), atol=0)


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    folder, format = tmp_path_factory.mktemp("saved") / "pairs", TASK.format
    config = TransformerConfig(
        vocab=format.vocab_size, positions=format.length, layers=1, heads=2, width=8, prediction_heads=2
    )
    notes = {"task": as_json(STARS), "objective": "mtp", "seed": 4, "step": 7}
    save_model(folder, random_model(config), format, notes)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """Return a run of two seeds with three checkpoints, of random parameters."""
    folder, rng = tmp_path_factory.mktemp("runs") / "small", np.random.default_rng(0)
    config = TrainConfig(
        task=STARS, model=Architecture(layers=1, heads=2, width=8), steps=6, batch=8, seeds=2, first_seed=5,
        evaluate_every=6, checkpoint_every=2, keep=3, test_examples=8,
    )  # fmt: skip
    run_folder.claim(folder, config, resume=False)
    shapes = jax.eval_shape(lambda: initial_states(config, TASK))
    with Checkpoints(folder / run_folder.CHECKPOINTS, config.keep, 0) as checkpoints:
        for step in (2, 4, 6):
            state = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape).astype(leaf.dtype)), shapes)
            checkpoints.save(step, state)
    return folder


def test_the_shipped_checkpoints():
    assert shipped_checkpoints() == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_checkpoint_loads_by_name_bit_for_bit_from_anywhere(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    loaded = load_model(name)
    assert loaded.name == name
    if name.startswith("disentangled"):
        stored = load_file(models.CHECKPOINTS / f"{name}.safetensors")
        ours = {
            f"{block}_{number}": np.asarray(array)
            for number, layer in enumerate(loaded.model, start=1)
            for block, array in layer._asdict().items()
        }
        assert (loaded.task, loaded.tokenizer, loaded.notes["step"]) == (None, None, "40000")
    else:
        stored, ours = load_file(models.CHECKPOINTS / name / "model.safetensors"), tensors(loaded.model)
        assert loaded.task is not None
        assert loaded.task.config.graph == name.split("-")[0]
        assert loaded.tokenizer is not None
        assert loaded.tokenizer.get_vocab_size() == loaded.model.config.vocab
    assert ours.keys() == stored.keys()
    assert all(ours[key].tobytes() == stored[key].tobytes() and ours[key].dtype == stored[key].dtype for key in stored)


def test_tasks_of_shipped_models_have_the_defaults_of_fields_added_since():
    task = load_model("star-2x5-ntp").task
    assert task is not None
    assert task.config == StarConfig(labels=12, style="pairs", query="goal-start")


@pytest.mark.parametrize("kind", [str, Path])
def test_a_saved_model(saved, kind):
    loaded = load_model(kind(saved))
    same(loaded.model, load_saved_model(saved).model)
    assert loaded.task is not None
    assert (loaded.name, loaded.task.config, loaded.notes["step"]) == ("pairs", STARS, 7)
    assert load_model(saved, seed=4).name == "pairs"
    assert load_model(saved / "model.safetensors").name == "pairs"


def test_a_saved_model_without_a_task(tmp_path):
    model = random_model(TransformerConfig(vocab=5, positions=4, layers=1, heads=1, width=4))
    save_model(tmp_path / "bare", model, None, {})
    loaded = load_model(tmp_path / "bare")
    assert (loaded.task, loaded.tokenizer, loaded.notes) == (None, None, {})


@pytest.mark.parametrize(
    ("step", "seed", "name"),
    [(None, None, "small, seed 5, step 6"), (2, None, "small, seed 5, step 2"), (4, 6, "small, seed 6, step 4")],
)
def test_a_run_gives_the_chosen_step_and_seed(run, step, seed, name):
    loaded = load_model(str(run), step=step, seed=seed)
    truth = {stored.seed: stored.model for stored in read_run(run, step or 6)}
    same(loaded.model, truth[seed or 5])
    assert loaded.task is not None
    assert (loaded.name, loaded.task.config) == (name, STARS)


def test_steps_and_seeds_of_the_run_differ(run):
    """Otherwise the test above would pass for any of them."""
    options = [(2, 5), (4, 5), (4, 6), (6, 5)]
    kernels = [tensors(load_model(run, step=step, seed=seed).model)["heads.kernels"] for step, seed in options]
    assert len({kernel.tobytes() for kernel in kernels}) == len(options)


def test_a_folder_in_the_hugging_face_layout():
    loaded = load_model(REFERENCE / "gpt2")
    same(loaded.model, load_pretrained(REFERENCE / "gpt2").model)
    assert (loaded.name, loaded.task, loaded.tokenizer) == ("gpt2", None, None)
    assert loaded.notes["model_type"] == "gpt2"


def test_a_gguf_file(tmp_path):
    pytest.importorskip("gguf")
    from tests.pretrained.gguf_files import tiny

    file, model = tiny(tmp_path / "tiny.gguf")
    loaded = load_model(file)
    same(loaded.model, model)
    assert (loaded.name, loaded.task, loaded.notes["name"]) == ("tiny.gguf", None, "tiny")
    assert loaded.tokenizer is not None


def test_errors_name_what_is_wrong(run, saved, tmp_path):
    (tmp_path / "text").write_text("GGUF")
    (tmp_path / "bad.gguf").write_text("none")
    (tmp_path / "other.safetensors").write_bytes((saved / "model.safetensors").read_bytes())
    (tmp_path / "empty").mkdir()
    for source, options, message in (
        ("no-such-thing", {}, "source: must exist, or be the name of a shipped checkpoint such as"),
        ("star-2x5-mtp", {}, "such as star-2x5-mtp3, "),
        (tmp_path / "nothing", {}, "source: must exist"),
        (tmp_path / "text", {}, "source: must be a run, a saved model"),
        (tmp_path / "empty", {}, "source: must be a run, a saved model"),
        (tmp_path / "bad.gguf", {}, "bad.gguf"),
        (tmp_path / "other.safetensors", {}, "path: must hold ['content_1'"),
        (saved, {"step": 7}, "step: must be left out"),
        (saved, {"seed": 0}, "seed: must be left out"),
        (REFERENCE / "gpt2", {"seed": 0}, "seed: must be left out"),
        ("disentangled-mtp", {"step": 1}, "step: must be left out"),
        (run, {"step": 3}, "checkpoints: must hold"),
        (run, {"seed": 7}, "seed: must be one of [5, 6]"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            load_model(source, **options)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda text: text.replace('"one_in": 8', '"one_in": "many"'), "notes.task.one_in: must be"),
        (lambda text: text.replace('"layers": 1', '"layers": 2'), "config.json: must describe the model"),
        (lambda text: "[]", "config.json: must describe a model"),
        (lambda text: "{", "config.json: must describe a model"),
    ],
)
def test_a_damaged_config_is_named(saved, tmp_path, harm, message):
    folder = shutil.copytree(saved, tmp_path / "copy")
    (folder / "config.json").write_text(harm((folder / "config.json").read_text()))
    with pytest.raises(ValueError, match=re.escape(message)):
        load_model(folder)


def test_held_out_problems_are_those_of_the_models_own_split(saved):
    """With one test graph in 8, not in 64 as by default: another split would hand out training graphs."""
    loaded = load_model(saved)
    rows = held_out_problems(loaded, 20)
    assert rows.shape == (20, TASK.format.length)
    assert rows.dtype == np.int32
    assert np.array_equal(rows, held_out_problems(loaded, 20))
    problems = [decode_problem(TASK.format, row) for row in rows]
    assert all(is_test(problem, 8) for problem in problems)
    assert not all(is_test(problem, 64) for problem in problems)


def test_accuracy_counts_right_answers(saved):
    loaded = load_model(saved)
    rows = held_out_problems(loaded, 16)
    figures = accuracy(loaded, 16)
    assert figures == accuracy(loaded, rows)
    assert 0 <= figures["exact"] < 1
    by_token = np.asarray(figures["by_token"])
    assert by_token.shape == (TASK.format.answer_length,)


def test_models_without_a_task_have_no_problems():
    loaded = load_model("disentangled-mtp")
    for ask in (held_out_problems, accuracy):
        with pytest.raises(ValueError, match="loaded: must be a model with a task"):
            ask(loaded, 3)
    with pytest.raises(ValueError, match="count: must be an integer at least 1"):
        held_out_problems(loaded, 0)
