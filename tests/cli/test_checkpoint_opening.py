"""What commands can be pointed at, and what they say of everything else."""

import re
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from circuits.cli.checkpoint import answer_place, by_seed, open_checkpoint, planning_task
from circuits.cli.checkpoint import test_problems as held_out
from circuits.files import check_folder, writing
from circuits.pretrained.hugging_face import load_pretrained
from circuits.tasks import decode_problem
from circuits.training import run_folder
from circuits.training.checkpoints import Checkpoints
from circuits.tasks.star.config import StarConfig
from circuits.tasks.task import build_task
from circuits.tasks.walks.config import DagConfig, DagWalks
from circuits.training.config import TrainConfig
from circuits.training.transformer import initial_states
from circuits.training.stored import read_run
from circuits.transformer.config import Architecture
from circuits.transformer.model import Predictor
from circuits.transformer.weights_file import load_saved_model
from tests.cases import assert_close
from tests.cli.conftest import TASK, TEXT, WORDS, save_tiny


def same(ours, truth):
    assert ours.config == truth.config
    assert_close(nnx.state(ours), nnx.state(truth), atol=0)


def test_a_saved_model_is_that_of_the_library_and_knows_its_task(pairs):
    found = open_checkpoint(pairs)
    same(found.model, load_saved_model(pairs).model)
    assert found.task is not None
    assert (found.name, found.task.config, found.tokenizer) == ("pairs", TASK.config, None)
    assert planning_task(found) == (found.task, TASK.format)
    same(open_checkpoint(pairs, seed=4).model, found.model)


@pytest.mark.parametrize(
    ("step", "seed", "name"),
    [(None, None, "small, seed 5, step 6"), (2, None, "small, seed 5, step 2"), (4, 6, "small, seed 6, step 4")],
)
def test_a_run_gives_the_step_and_seed_asked_for(run, step, seed, name):
    found = open_checkpoint(run, step, seed)
    truth = next(one for one in read_run(run, step or 6) if one.seed == (seed or 5))
    same(found.model, truth.model)
    assert found.task is not None
    assert (found.name, found.task.config) == (name, TASK.config)


def test_steps_and_seeds_of_a_run_differ(run):
    """Else the test above would pass for any of them."""
    taken = [open_checkpoint(run, step, seed).model for step in (2, 4, 6) for seed in (5, 6)]
    embedded = [np.asarray(model.transformer.tokens[...]) for model in taken]
    assert all(not np.array_equal(a, b) for i, a in enumerate(embedded) for b in embedded[:i])


def test_a_folder_in_the_hugging_face_layout_is_a_language_model(language):
    found = open_checkpoint(language)
    same(found.model, load_pretrained(language).model)
    assert (found.name, found.task) == ("gpt", None)
    assert found.tokenizer is not None
    assert found.tokenizer.encode("cat mat zebra").ids == [1, 4, len(WORDS)]
    with pytest.raises(ValueError, match="checkpoint: must be a model trained on planning problems here, got 'gpt'"):
        planning_task(found)


def damaged_weights(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])


def no_task(folder: Path) -> None:
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"task":', '"other":'))


def another_task(folder: Path) -> None:
    config = folder / "config.json"
    config.write_text(re.sub(r'("one_in": )\d+', r'\1"many"', config.read_text()))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (damaged_weights, "model.safetensors: must be a whole safetensors file"),
        (no_task, "checkpoint: must say what it was trained on (notes.task)"),
        (another_task, "notes.task.one_in: must be"),
        (lambda folder: (folder / "config.json").unlink(), "config.json: must describe a model"),
        (lambda folder: (folder / "config.json").write_text("[]"), "config.json: must describe a model"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json: must describe a model"),
    ],
    ids=["cut weights", "no task", "broken task", "no config", "no object", "no JSON"],
)
def test_damage_is_named(pairs, tmp_path, harm, message):
    folder = tmp_path / "copy"
    shutil.copytree(pairs, folder)
    harm(folder)
    with pytest.raises(ValueError, match=re.escape(message)):
        open_checkpoint(folder)


def test_what_is_no_checkpoint_is_named(run, pairs, language, tmp_path):
    (tmp_path / "file").write_text("GGUF")
    (tmp_path / "bad.gguf").write_text("none")
    for path, step, seed, message in (
        (tmp_path / "none", None, None, "checkpoint: must be a folder: a run, or a saved model"),
        (tmp_path / "file", None, None, "checkpoint: must be a folder: a run, or a saved model"),
        (tmp_path, None, None, "config.json: must be the config of a run"),
        (tmp_path / "none.gguf", None, None, "none.gguf"),
        (tmp_path / "bad.gguf", None, None, "bad.gguf"),
        (pairs, 7, None, "step: must be left out for a saved model, which holds one, got 7"),
        (pairs, None, 0, "seed: must be one of [4], got 0"),
        (run, 3, None, "checkpoints: must hold a whole one"),
        (run, None, 7, "seed: must be one of [5, 6], got 7"),
        (language, 1, None, "step and seed: must be left out for a checkpoint that holds one model, got (1, None)"),
        (language, None, 1, "step and seed: must be left out for a checkpoint that holds one model, got (None, 1)"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            open_checkpoint(path, step, seed)


def test_the_first_seed_is_the_smallest(run):
    assert by_seed(read_run(run)[::-1], None).seed == 5


@pytest.mark.parametrize("task", [TASK, TEXT], ids=["pairs", "text"])
def test_problems_are_held_out_and_the_same_each_time(task):
    found = held_out(task, 20)
    assert found.shape == (20, task.format.length)
    assert found.dtype == np.int32
    assert np.array_equal(found[:20], held_out(task, 20))
    assert len(np.unique(found, axis=0)) > 10
    for row in found:
        path = decode_problem(task.format, row).path.tolist()
        assert row[-2:].tolist() == path[1:]
    with pytest.raises(ValueError, match="examples: must be an integer at least 1, got 0"):
        held_out(task, 0)


def test_tokens_of_the_answer_count_from_1():
    assert answer_place(TASK.format, None) is None
    assert [answer_place(TEXT.format, token) for token in (1, 2, 3)] == [0, 1, 2]
    for form, token, most in ((TASK.format, 0, 2), (TASK.format, 3, 2), (TEXT.format, 4, 3), (TEXT.format, -1, 3)):
        with pytest.raises(ValueError, match=rf"^token: must be an integer between 1 and {most}, got {token}$"):
            answer_place(form, token)


def test_a_folder_that_can_be_written_in_is_made_only_when_written(tmp_path):
    check_folder(tmp_path)
    check_folder(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []
    with writing(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "c").touch()
    with writing(tmp_path / "a" / "b"):  # it may be there already
        assert (tmp_path / "a" / "b" / "c").exists()


@pytest.mark.parametrize("name", ["file", "file/below", "file/far/below", "x" * 300])
def test_a_folder_that_cannot_be_is_named(tmp_path, name):
    (tmp_path / "file").touch()
    message = re.escape(f"out: must be a folder to write in, got {str(tmp_path / name)!r}")
    with pytest.raises(ValueError, match=message):
        check_folder(tmp_path / name)
    with pytest.raises(ValueError, match=message), writing(tmp_path / name):
        raise AssertionError("not reached")


def test_a_folder_without_permission_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda *_: False)  # the superuser may write anywhere
    with pytest.raises(ValueError, match="out: must be a folder to write in"):
        check_folder(tmp_path)


def test_a_full_disk_is_named(tmp_path):
    with (
        pytest.raises(ValueError, match=r"out: must be a folder to write in, got '.*' \(No space left"),
        writing(tmp_path),
    ):
        raise OSError(28, "No space left on device")


def test_the_language_model_runs(language):
    """On float32 ids that its tokenizer gives."""
    found = open_checkpoint(language)
    logits = jax.jit(found.model)(jnp.asarray([0, 1, 2], jnp.int32))
    assert logits.shape == (1, 3, 19)
    assert bool(jnp.all(jnp.isfinite(logits)))


DAG = DagConfig(labels=8, walks=DagWalks(edge_probability=0.4, train_share=0.2, paths_a_pair=1))
WALKS = build_task(DAG)


@pytest.fixture
def walks(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("saved") / "walks", WALKS)


def test_a_model_of_walks_opens_with_its_task_and_what_is_of_stars_refuses_it(walks, run, refused, tmp_path):
    found = open_checkpoint(walks)
    assert found.task is not None
    assert (found.task.config, found.tokenizer) == (WALKS.config, None)
    assert isinstance(found.model, Predictor)
    message = "checkpoint: must be a model trained on star graphs or binary trees here, got 'walks in one directed"
    for ask in (lambda: planning_task(found), lambda: held_out(WALKS, 3)):
        with pytest.raises(ValueError, match=re.escape(message)):
            ask()
    out = tmp_path / "out"
    refused(message, "attention", walks, "--out", out)
    refused(message, "probe", "scores", walks, "--out", out)
    refused(message, "probe", "interventions", walks, "--out", out)


def test_a_run_on_walks_has_no_development_of_the_circuit_of_stars(tmp_path_factory, refused, tmp_path):
    folder = tmp_path_factory.mktemp("run")
    config = TrainConfig(
        task=DAG, model=Architecture(layers=1, heads=2, width=8), batch=4, steps=2, checkpoint_every=1, keep=2
    )
    run_folder.claim(folder, config, resume=False)
    state = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(lambda: initial_states(config, WALKS)))
    with Checkpoints(folder / run_folder.CHECKPOINTS, 2, 0) as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, state)
    message = "checkpoint: must be a model trained on star graphs or binary trees here, got 'walks in one directed"
    refused(message, "probe", "development", folder, "--out", tmp_path / "out")


@pytest.mark.parametrize("name", ["star-2x5-ntp", "star-2x5-mtp3"])
def test_the_shipped_models_open_though_their_tasks_lack_later_fields(name):
    folder = Path(__file__).parents[2] / "checkpoints" / name
    assert '"walks"' not in (folder / "config.json").read_text()
    found = open_checkpoint(folder)
    assert found.task is not None
    assert found.task.config == StarConfig(labels=12, style="pairs", query="goal-start")
    assert planning_task(found)[1].vocab_size == 16
