"""Tiny runs. They compile much and compute little."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from circuits.tasks.star.config import StarConfig
from circuits.tasks.walks.config import DagConfig, DagWalks
from circuits.training.config import ObjectiveConfig, OptimiserConfig, TrainConfig
from circuits.training.step import State
from circuits.training.stored import Stored, read_run
from circuits.training.transformer import train
from circuits.transformer.config import Architecture

TASK = StarConfig(nodes=3, labels=8, style="pairs", query="goal-start")
TINY = TrainConfig(
    task=TASK,
    model=Architecture(layers=1, heads=2, width=8, activation="relu"),
    optimiser=OptimiserConfig(learning_rate=0.01),
    steps=8,
    batch=8,
    evaluate_every=3,
    checkpoint_every=4,
    test_examples=16,
)
WALKS = replace(
    TINY,
    task=DagConfig(labels=10, walks=DagWalks(edge_probability=0.3, train_share=0.3, paths_a_pair=2, graph_seed=1)),
    objective=ObjectiveConfig(
        name="mtp",
        heads=2,
        head_kind="transfer",
        injection=True,
        head_weights=(1.0, 0.5),
        weight_schedule="power",
        curriculum=(3,),
    ),
    checkpoint_every=1,
    keep=9,
    test_examples=8,
)
FLAGS = [
    "--task.nodes=3",
    "--task.labels=8",
    "--model.layers=1",
    "--model.heads=2",
    "--model.width=8",
    "--model.embed-scale=0.02",
]
FLAGS += ["--optimiser.learning-rate=0.01", "--optimiser.warmup=0", "--optimiser.b2=0.999", "--steps=8", "--batch=8"]
FLAGS += ["--evaluate-every=3", "--checkpoint-every=4", "--test-examples=16"]
"""Flags that turn the preset tiny-ntp into TINY."""


@pytest.fixture(scope="session")
def tiny() -> TrainConfig:
    return TINY


@pytest.fixture
def flags() -> list[str]:
    return FLAGS.copy()


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainConfig, State]:
    """A run of two seeds with two heads in float64 that no test may change, its config and its last state."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    objective, model = ObjectiveConfig(name="mtp", heads=2), replace(TINY.model, dtype="float64", param_dtype="float64")
    config = replace(TINY, seeds=2, first_seed=5, objective=objective, model=model, task=replace(TASK, one_in=32))
    return folder, config, train(config, folder)


@pytest.fixture(scope="session")
def stored(finished: tuple[Path, TrainConfig, State]) -> list[Stored]:
    return read_run(finished[0])


@pytest.fixture(scope="session")
def walks() -> TrainConfig:
    return WALKS


@pytest.fixture(scope="session")
def walked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, State]:
    """A run on walks that no test may change, and its last state."""
    folder = tmp_path_factory.mktemp("walked") / "run"
    return folder, train(WALKS, folder)


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a Python process: ``circuits`` with the arguments, or ``code``. What still runs at the end is killed."""
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    running: list[subprocess.Popen[str]] = []

    def begin(*arguments: object, code: str = "import sys; from circuits.cli import main; sys.exit(main())"):
        command = [sys.executable, "-c", code, *map(str, arguments)]
        pipe = subprocess.PIPE
        running.append(subprocess.Popen(command, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True))
        return running[-1]

    yield begin
    for process in running:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture
def address() -> str:
    """An address at which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"
