"""Tiny checkpoints of every kind that a command can be pointed at; nobody may change them."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

from circuits.cli import main
from circuits.tasks.star.config import StarConfig
from circuits.tasks.task import Task, build_task
from circuits.training import run_folder
from circuits.training.checkpoints import Checkpoints
from circuits.training.config import TrainConfig
from circuits.training.records import as_json
from circuits.training.transformer import initial_states
from circuits.transformer.config import Architecture, TransformerConfig
from circuits.transformer.weights_file import save_model
from tests.transformer.models import random_model

REFERENCE = Path(__file__).parents[1] / "pretrained" / "reference"
STARS = StarConfig(nodes=3, labels=8, style="pairs", query="goal-start", one_in=8)
TASK = build_task(STARS)
TEXT = build_task(replace(STARS, style="text", query="start-goal"))
WORDS = ("the", "cat", "sat", "on", "mat", "and", "a", "dog", "ran", "to", "it", "by", "in", "of", "so", "up")
"""Ids 0 to 15 of the language model's 19."""


@pytest.fixture
def no_saving(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Figures are made as ever, but not rendered, which takes seconds; unless a test asks for it."""

    def light(figure: Figure, buffer: BytesIO, **_: object) -> None:
        assert figure.axes
        buffer.write(b"a figure")

    if "rendered" not in request.fixturenames:
        monkeypatch.setattr(Figure, "savefig", light)


@pytest.fixture
def rendered() -> None:
    """Asks for real figures."""


def save_tiny(folder: Path, task: Task) -> Path:
    """Two layers of two heads of noise."""
    form = task.format
    config = TransformerConfig(
        vocab=form.vocab_size, positions=form.length, layers=2, heads=2, width=8, mlp_width=8, prediction_heads=2
    )
    notes = {"task": as_json(task.config), "objective": "mtp", "seed": 4, "step": 7}
    save_model(folder, random_model(config, seed=len(folder.name)), form, notes)
    return folder


@pytest.fixture(scope="package")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("saved") / "pairs", TASK)


@pytest.fixture(scope="package")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("saved") / "text", TEXT)


@pytest.fixture(scope="package")
def language(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in the Hugging Face layout, with a tokenizer of 16 words."""
    folder = tmp_path_factory.mktemp("saved") / "gpt"
    shutil.copytree(REFERENCE / "gpt2", folder)
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate((*WORDS, "?"))}, unk_token="?"))
    tokenizer.pre_tokenizer = WhitespaceSplit()  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="package")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two seeds with three checkpoints."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    config = TrainConfig(
        task=STARS,
        model=Architecture(layers=1, heads=2, width=8, activation="relu"),
        steps=6,
        batch=8,
        seeds=2,
        first_seed=5,
        evaluate_every=6,
        checkpoint_every=2,
        keep=1,
        keep_every=2,
        test_examples=8,
    )
    return noise_run(folder, config, (2, 4, 6))


def noise_run(folder: Path, config: TrainConfig, steps: Sequence[int]) -> Path:
    """Leave a run as training would, with random numbers as its states after some steps: nothing is compiled."""
    run_folder.claim(folder, config, resume=False)
    shapes = jax.eval_shape(lambda: initial_states(config, build_task(config.task)))
    rng = np.random.default_rng(0)

    def noise(leaf: jax.ShapeDtypeStruct) -> jax.Array:
        return jnp.asarray(0.5 * rng.normal(size=leaf.shape), leaf.dtype)

    with Checkpoints(folder / run_folder.CHECKPOINTS, config.keep, config.keep_every) as checkpoints:
        for step in steps:
            checkpoints.save(step, jax.tree.map(noise, shapes))
    return folder


Refused = Callable[..., None]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Refused:
    """Show that arguments exit with 2 and this message, and that nothing is made."""

    def check(message: str, *arguments: object) -> None:
        before = sorted(tmp_path.rglob("*"))
        capsys.readouterr()
        assert main([str(part) for part in arguments]) == 2, arguments
        printed = capsys.readouterr()
        said = " ".join((printed.out + printed.err).replace("│", " ").split())
        assert message in said, said
        assert "wrote" not in said
        assert sorted(tmp_path.rglob("*")) == before

    return check
