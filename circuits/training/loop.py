"""The training loop: take steps, evaluate, and save snapshots and checkpoints.

Each kind of model provides a ``Training``, a record of pure functions of its state. The run folder, resuming, the
schedule and the reaction to Ctrl-C are the same for all models.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, Float

from circuits.training import run_folder
from circuits.training.checkpoints import Checkpoints
from circuits.training.parallel import device_name, on_first_process


class Schedule(NamedTuple):
    """The numbers of steps after which to evaluate, save a snapshot of the parameters, and save a checkpoint."""

    evaluations: frozenset[int]
    snapshots: frozenset[int]
    checkpoints: frozenset[int]


class Training(NamedTuple):
    """The part of training that depends on the model. Every leaf of a state has the seeds as its first axis.

    config: a frozen record with at least ``steps`` and ``first_seed``.
    abstract: shapes, dtypes and shardings of the state.
    initial: returns the state before the first step.
    advance: ``advance(state, start, stop)`` returns the state after step ``stop``, and the losses of the last step.
    evaluate: ``evaluate(state, losses)`` returns the metrics, one record for each seed, as values for JSON.
    snapshot: returns the parameters to save in snapshots, by name. None: no snapshots.
    schedule: when to evaluate, and to save snapshots and checkpoints.
    keep, keep_every: which checkpoints to keep, see ``Checkpoints``.
    stride: maximum number of steps in one call of ``advance``. Ctrl-C takes effect between calls. None: no limit.
    tokens_per_step: number of tokens that the models of all seeds read in a step.
    growing: fields of the config that may grow when a run is resumed.
    files: the task's own files by name.
    status: returns a line about the records of an evaluation.
    legend: explains that line.
    """

    config: Any
    abstract: Any
    initial: Callable[[], Any]
    advance: Callable[[Any, int, int], tuple[Any, Any]]
    evaluate: Callable[[Any, Any], list[dict[str, Any]]]
    snapshot: Callable[[Any], dict[str, np.ndarray]] | None
    schedule: Schedule
    keep: int
    keep_every: int
    stride: int | None
    tokens_per_step: int
    growing: frozenset[str]
    files: Mapping[str, str]
    status: Callable[[list[dict[str, Any]]], str]
    legend: str


class Report(NamedTuple):
    """An evaluation: a record for each seed, and notes about resuming the run."""

    step: int
    records: list[dict[str, Any]]
    notes: list[str]


class Run(NamedTuple):
    """A run that is ready to train, with its last checkpoint restored. ``state`` is None at step 0."""

    training: Training
    folder: Path
    checkpoints: Checkpoints
    step: int
    state: Any
    notes: list[str]


class Interrupted(KeyboardInterrupt):
    """Training was interrupted; after the first step, a checkpoint was saved."""

    def __init__(self, step: int) -> None:
        super().__init__(f"interrupted at step {step}" + ", where a checkpoint was saved" * (step > 0))
        self.step = step


def open_run(training: Training, folder: Path, resume: bool) -> Run:
    """Claim the folder of a run, and restore its last undamaged checkpoint if there is one.

    Raises ValueError for a folder that holds another run or cannot be written, and for a damaged run.
    """
    config = training.config
    claim = partial(run_folder.claim, folder, config, resume, training.files, training.growing)
    on_first_process("folder", claim)
    checkpoints = Checkpoints(folder / run_folder.CHECKPOINTS, training.keep, training.keep_every)
    step, state, notes = 0, None, []
    if checkpoints.latest() is not None:
        restored = checkpoints.restore(training.abstract)
        step, state = restored.step, restored.state
        notes = [f"skipped damaged checkpoint {damage}" for damage in restored.passed_over]
    # A run without a checkpoint starts again, so even its evaluation before the first step is deleted.
    on_first_process("folder", partial(run_folder.rewind, folder, step if step else -1))
    if step:
        notes.append(f"resuming from step {step}")
    return Run(training, folder, checkpoints, step, state, notes)


def finish(run: Run, show: Callable[[Report], None] = lambda report: None) -> Any:
    """Train until the last step, and return the last state.

    A run that is killed and resumed on the same devices ends with exactly the parameters of an uninterrupted run.

    Raises ArithmeticError if a loss or a parameter is no longer finite, OSError if a file cannot be written, and
    Interrupted on Ctrl-C, after saving a checkpoint.
    """
    training, folder, checkpoints, step, state, notes = run
    evaluations, snapshots, saves = training.schedule
    state = training.initial() if state is None else state
    largest, losses = jax.jit(largest_entry, out_shardings=_replicated_like(training.abstract)), None
    with checkpoints, interruptions() as interrupted:
        since, counted = time.perf_counter(), step

        def save() -> None:
            check_finite(np.asarray(largest(state)), training.config.first_seed, step)
            checkpoints.save(step, state)

        for stop in sorted(evaluations | snapshots | saves):
            if stop < step or (stop == step and step):
                continue
            while step < stop:
                if interrupted.is_set():
                    if step and checkpoints.latest() != step:
                        save()
                    raise Interrupted(step)
                following = stop if training.stride is None else min(stop, step + training.stride)
                state, losses = training.advance(state, step, following)
                step = following
            if step in evaluations:
                jax.block_until_ready(state)
                speed = (step - counted) * training.tokens_per_step / (time.perf_counter() - since)
                common = {"tokens_per_second": round(speed), "device": device_name()}
                records = [{"step": step, **record, **common} for record in training.evaluate(state, losses)]
                check_records(records)
                # Before writing, because ``show`` may raise to stop the run.
                show(Report(step, records, notes))
                on_first_process("folder", partial(run_folder.append_metrics, folder, records))
            if step in snapshots and training.snapshot is not None:
                run_folder.write_snapshot(folder, step, training.snapshot(state))
            if step in saves:
                save()
            since, counted = time.perf_counter(), step  # evaluations do not count as training
    return state


@contextmanager
def interruptions() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C sets, to stop after the current step. A second Ctrl-C interrupts at once.

    With several processes, which would not agree on the step, or outside the main thread, Ctrl-C keeps its meaning.
    """
    event = threading.Event()
    before = signal.getsignal(signal.SIGINT)
    ours = threading.current_thread() is threading.main_thread() and jax.process_count() == 1
    if not ours or before is not signal.default_int_handler:
        yield event
        return

    def handle(number: int, frame: Any) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    signal.signal(signal.SIGINT, handle)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)


def every(steps: int, last: int) -> frozenset[int]:
    """Return the multiples of ``steps`` below ``last``, and ``last``."""
    return frozenset({*range(steps, last, steps), last})


def check_records(records: list[dict[str, Any]]) -> None:
    """Raise ArithmeticError naming the metric and the seed that are not finite."""
    for record in records:
        for name, value in record.items():
            if isinstance(value, float) and not isfinite(value):
                where = f"for seed {record['seed']} at step {record['step']}"
                raise ArithmeticError(f"{name}: must be finite, got {value} {where}")


def check_finite(values: Float[np.ndarray, " seeds"], first_seed: int, step: int) -> None:
    """Raise ArithmeticError naming the seed whose state is not finite."""
    for seed, value in enumerate(values, start=first_seed):
        if not np.isfinite(value):
            raise ArithmeticError(f"state: must be finite, got {value} for seed {seed} at step {step}")


def largest_entry(state: Any) -> Float[Array, " seeds"]:
    """Return the largest absolute value in the state of each seed, or NaN if the state has one."""
    rows = [jnp.abs(leaf.astype(jnp.float32)).reshape(leaf.shape[0], -1) for leaf in jax.tree.leaves(state)]
    return jnp.max(jnp.stack([jnp.max(row, axis=1) for row in rows if row.shape[1]]), axis=0)


def _replicated_like(state: Any) -> NamedSharding | None:
    sharding = jax.tree.leaves(state)[0].sharding
    return NamedSharding(sharding.mesh, PartitionSpec()) if isinstance(sharding, NamedSharding) else None
