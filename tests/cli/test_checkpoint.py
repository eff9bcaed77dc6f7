"""What ``circuits attention`` and ``circuits probe`` can be pointed at; ``tests/test_models.py`` has the rest."""

import re

import jax
import jax.numpy as jnp
import pytest

from circuits.cli.checkpoint import open_checkpoint, planning_format
from circuits.tasks.task import build_task
from circuits.tasks.walks.config import DagConfig, DagWalks
from circuits.training import run_folder
from circuits.training.checkpoints import Checkpoints
from circuits.training.config import TrainConfig
from circuits.training.transformer import initial_states
from circuits.transformer.config import Architecture
from circuits.transformer.model import Predictor
from tests.cli.conftest import TASK, save_tiny

WALKS = DagConfig(labels=8, walks=DagWalks(edge_probability=0.4, train_share=0.2, paths_a_pair=1))


def test_a_checkpoint_is_a_path_or_the_name_of_a_shipped_one(pairs, run):
    assert planning_format(open_checkpoint(pairs)) == TASK.format
    assert open_checkpoint(str(run), 4, 6).name == "small, seed 6, step 4"
    assert planning_format(open_checkpoint("star-2x5-ntp")).vocab_size == 16


@pytest.mark.parametrize(
    ("checkpoint", "step", "message"),
    [
        ("star-2x5", None, "checkpoint: must exist, or be the name of a shipped checkpoint such as star-2x5-"),
        ("disentangled-mtp", None, "checkpoint: must hold a transformer"),
        ("star-2x5-ntp", 7, "step: must be left out"),
    ],
)
def test_what_cannot_be_opened_is_named_by_its_option(checkpoint, step, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        open_checkpoint(checkpoint, step)


def test_probes_of_planning_refuse_models_of_walks(refused, tmp_path, tmp_path_factory):
    message = "checkpoint: must be a model trained on star graphs or binary trees, got 'walks in one directed"
    saved, out = save_tiny(tmp_path_factory.mktemp("saved") / "walks", build_task(WALKS)), tmp_path / "out"
    assert isinstance(open_checkpoint(saved).model, Predictor)
    for command in (("attention",), ("probe", "scores"), ("probe", "interventions")):
        refused(message, *command, saved, "--out", out)
    folder = tmp_path_factory.mktemp("run")
    config = TrainConfig(
        task=WALKS, model=Architecture(layers=1, heads=2, width=8), batch=4, steps=2, checkpoint_every=1, keep=2
    )
    run_folder.claim(folder, config, resume=False)
    shapes = jax.eval_shape(lambda: initial_states(config, build_task(WALKS)))
    state = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    with Checkpoints(folder / run_folder.CHECKPOINTS, 2, 0) as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, state)
    refused(message, "probe", "development", folder, "--out", out)


def test_probes_of_planning_refuse_language_models(language):
    with pytest.raises(ValueError, match=r"^checkpoint: must be a model trained on planning problems, got 'gpt'"):
        planning_format(open_checkpoint(language))
