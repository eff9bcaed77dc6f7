"""What a run's folder and a saved model say about themselves, and the models in them."""

import jax
import numpy as np
import pytest
from flax import nnx

from circuits.training.records import as_json
from circuits.training.shapes import transformer_config
from circuits.training.stored import kept_steps, read, read_run
from circuits.transformer.weights_file import save_model


def equal(model, state, row: int) -> bool:
    ours, theirs = (jax.tree.leaves(part) for part in (nnx.state(model), state.params))
    return all(np.array_equal(a, b[row]) for a, b in zip(ours, theirs, strict=True)) and len(ours) > 5


def test_a_run_is_its_last_state(finished, stored):
    folder, config, state = finished
    assert [one.name for one in stored] == ["run, seed 5, step 8", "run, seed 6, step 8"]
    for row, one in enumerate(stored):
        assert equal(one.model, state, row)
        assert not equal(one.model, state, 1 - row)
        assert (one.task.config, one.teacherless) == (config.task, False)
        assert one.model.config == transformer_config(config, one.task)
        task = as_json(config.task)
        assert one.notes == {"step": 8, "seed": 5 + row, "objective": "mtp", "heads": 2, "task": task}
    assert [one.notes["step"] for one in read(folder, 4)] == [4, 4]
    assert not equal(read(folder, 4)[0].model, state, 0)
    assert kept_steps(folder) == [4, 8]


def test_a_saved_model_says_the_same(tmp_path, stored, finished):
    one = stored[1]
    save_model(tmp_path / "model", one.model, one.task.format, one.notes)
    (found,) = read(tmp_path / "model")
    assert found._replace(model=one.model, name=one.name, task=one.task) == one
    assert (found.name, found.task.config) == ("model", one.task.config)
    assert equal(found.model, finished[2], 1)
    with pytest.raises(ValueError, match="step: must be left out for a saved model"):
        read(tmp_path / "model", 4)


def test_a_teacherless_model_stays_one(tmp_path, stored):
    task = stored[0].task
    save_model(tmp_path, stored[0].model, task.format, {"objective": "teacherless", "task": as_json(task.config)})
    (found,) = read(tmp_path)
    assert found.teacherless
    assert (found.task.config, found.seed) == (task.config, 0)


def test_what_is_neither(tmp_path, finished, stored):
    with pytest.raises(ValueError, match=r"checkpoint: must be a folder"):
        read(tmp_path / "nothing")
    with pytest.raises(ValueError, match=r"config.json: must be the config of a run"):
        read(tmp_path)
    with pytest.raises(ValueError, match=r"checkpoints: must hold .*/7 \(FileNotFoundError"):
        read_run(finished[0], 7)
    save_model(tmp_path, stored[0].model, None, {})
    with pytest.raises(ValueError, match="checkpoint: must have been saved with its task"):
        read(tmp_path)
    task = as_json(stored[0].task.config) | {"one_in": "some"}
    save_model(tmp_path, stored[0].model, stored[0].task.format, {"task": task})
    with pytest.raises(ValueError, match=r"notes\.task\.one_in: "):
        read(tmp_path)
