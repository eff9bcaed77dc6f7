"""Tiny runs. They compile much and compute little: without most optimisations, and each program once a session."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from circuits.training import loop
from circuits.training.config import (
    ObjectiveConfig,
    OptimiserConfig,
    TaskConfig,
    TrainConfig,
    WalksConfig,
)
from circuits.training.stored import Stored, read_run
from circuits.transformer.config import Architecture

TASK = TaskConfig(nodes=3, labels=8, style="pairs", query="goal-start")
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
    task=TaskConfig(
        graph="dag", labels=10, walks=WalksConfig(edge_probability=0.3, train_share=0.3, paths_a_pair=2, graph_seed=1)
    ),
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
"""What makes TINY of the preset tiny-ntp."""
CACHE = {
    "jax_disable_most_optimizations": True,
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
}

AFTER = {"jax_disable_most_optimizations": False, "jax_compilation_cache_dir": None}


@pytest.fixture(scope="session")
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(scope="session", autouse=True)
def _compile_once(_cache: Path) -> Iterator[None]:
    for values in (CACHE | {"jax_compilation_cache_dir": str(_cache)}, AFTER):
        for name, value in values.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()  # whether there is one is looked up once
        if values is not AFTER:
            yield


@pytest.fixture(scope="session")
def tiny() -> TrainConfig:
    return TINY


@pytest.fixture
def flags() -> list[str]:
    return FLAGS.copy()


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainConfig, loop.State]:
    """A run of two seeds with two heads that nobody may change, its config and its last state."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    objective = ObjectiveConfig(name="mtp", heads=2)
    config = replace(TINY, seeds=2, first_seed=5, objective=objective, task=replace(TASK, one_in=32))
    return folder, config, loop.train(config, folder)


@pytest.fixture(scope="session")
def stored(finished: tuple[Path, TrainConfig, loop.State]) -> list[Stored]:
    return read_run(finished[0])


@pytest.fixture(scope="session")
def walks() -> TrainConfig:
    return WALKS


@pytest.fixture(scope="session")
def walked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, loop.State]:
    """A run on walks that nobody may change, and its last state."""
    folder = tmp_path_factory.mktemp("walked") / "run"
    return folder, loop.train(WALKS, folder)


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(_cache: Path) -> Iterator[Start]:
    """Start a Python process: ``circuits`` with the arguments, or ``code``. What is left at the end is killed."""
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_COMPILATION_CACHE_DIR": str(_cache)}
    environment |= {name.upper(): str(value) for name, value in CACHE.items()}
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
    """Where nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"
