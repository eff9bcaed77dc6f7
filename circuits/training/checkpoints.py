"""Checkpoints of a training state: orbax's ``CheckpointManager``, with checksums that detect damaged files.

    {step}/state            the arrays as orbax writes them, readable on any number of processes and devices
    {step}/manifest.json    dtype, shape and checksum of each array, checksum of each file, checksum of the manifest
    {step}.aside            a superseded checkpoint, see ``Checkpoints.save``
    deleted/                checkpoints that are being removed

The manager writes a checkpoint under a temporary name, renames it once it is complete, deletes old checkpoints, and
removes incomplete ones of a killed process. It does not detect later damage to files: a flipped bit may be read as
another number. So files are compared with their checksums before orbax reads them, and arrays afterwards.

Format 1, written by the first release, has the same layout without the manager's own files.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from orbax.checkpoint.checkpoint_managers import AnyPreservationPolicy, EveryNSteps, LatestN

from circuits import checks
from circuits.files import array_entry, check_entries, file_checksums, read_checked, with_checksum, write_text

FORMAT, READABLE_FORMATS = 2, (1, 2)
STATE, MANIFEST, ASIDE, DELETED = "state", "manifest.json", ".aside", "deleted"


class Restored(NamedTuple):
    """A state, the step at which it was saved, and a message about each later checkpoint that is damaged."""

    step: int
    state: Any
    passed_over: list[str]


class Checkpoints:
    """The checkpoints of one run: the last ``keep``, and every one whose step is a multiple of ``keep_every``.

    Only one run may write to a folder; others may read meanwhile. If the run has several processes, all of them make
    the same calls.

    Args:
        folder: where the checkpoints are; made by the first ``save``.
        keep: number of latest checkpoints to keep.
        keep_every: also keep checkpoints whose step is a multiple of this. 0: none.

    Raises:
        ValueError: for an argument out of range.

    Example:
        >>> import jax.numpy as jnp, tempfile
        >>> with tempfile.TemporaryDirectory() as folder, Checkpoints(folder) as checkpoints:
        ...     checkpoints.save(5, {"weights": jnp.ones(3)})
        ...     checkpoints.restore({"weights": jnp.zeros(3)}).state["weights"].tolist()
        [1.0, 1.0, 1.0]
    """

    def __init__(self, folder: str | Path, keep: int = 3, keep_every: int = 0) -> None:
        checks.integer("keep", keep, 1)
        checks.integer("keep_every", keep_every, 0)
        self._folder, self._keep, self._keep_every = Path(folder).absolute(), keep, keep_every
        self._handler = _WithManifest()
        self._manager: ocp.CheckpointManager | None = None  # made by the first ``save``: it deletes files

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def save(self, step: int, state: Any) -> None:
        """Write a state to disk, and delete old checkpoints.

        A process killed at any moment leaves earlier checkpoints intact, and this one complete or absent. If the run
        was resumed from an earlier step, existing checkpoints of this and later steps are renamed to ``{step}.aside``.

        Args:
            step: steps taken so far.
            state: a tree of jax arrays.

        Raises:
            ValueError: for a step or a state that cannot be saved.
            OSError: if writing fails; names the folder.
        """
        checks.integer("step", step, 0)
        arrays = _named_arrays(state, jax.Array)
        nonempty = {name: array for name, array in arrays.items() if array.size}  # orbax refuses empty arrays
        checks.require(bool(nonempty), "state", "must hold an array that is not empty", sorted(arrays))
        self._handler.manifest = {"format": FORMAT, "step": step, "arrays": _entries(arrays)}
        if self._manager is not None and (self._manager.latest_step() or 0) >= step:
            self._close()
        for action in (partial(self._prepare, step), partial(self._write, step, nonempty)):
            _, error = _on_all_processes(action)
            if error:
                self._close()
                raise OSError(f"checkpoints: must be writable, got {str(self._folder / str(step))!r} ({error})")

    def steps(self) -> list[int]:
        """Return the steps of all checkpoints, including damaged ones, in order."""
        names = [path.name for path in self._folder.iterdir() if path.is_dir()] if self._folder.is_dir() else []
        return sorted(int(name) for name in names if name.isdecimal() and str(int(name)) == name)

    def latest(self) -> int | None:
        """Return the last of these steps, None if there is no checkpoint."""
        return max(self.steps(), default=None)

    def restore(self, like: Any, step: int | None = None) -> Restored:
        """Return the state of a step, or of the last undamaged checkpoint, bit for bit. Deletes nothing.

        Args:
            like: a tree of arrays or ``jax.ShapeDtypeStruct`` with the structure, shapes and dtypes of the state. The
                restored arrays get its shardings, which may differ from those at the time of saving.
            step: the step to restore.

        Raises:
            ValueError: if no undamaged checkpoint is left, naming the damage of each; naming the array if a checkpoint
                has another structure, shape or dtype than ``like``.
        """
        wanted, passed_over = _named_arrays(like, jax.Array | jax.ShapeDtypeStruct), []
        for candidate in self.steps()[::-1] if step is None else [step]:
            try:
                arrays = _read(self._folder / str(candidate), candidate, wanted)
            except _Damaged as error:
                passed_over.append(str(error))
            else:
                state = jax.tree.unflatten(jax.tree.structure(like), [arrays[name] for name in wanted])
                return Restored(candidate, state, passed_over)
        listed = "; ".join(passed_over) or "none"
        raise ValueError(f"checkpoints: must hold an undamaged one in {str(self._folder)!r}, got {listed}")

    def _prepare(self, step: int) -> None:
        """Before the manager reads the folder, rename superseded checkpoints and finish an interrupted removal."""
        if self._manager is None and jax.process_index() == 0:
            shutil.rmtree(self._folder / DELETED, ignore_errors=True)
            for superseded in (old for old in self.steps() if old >= step):
                shutil.rmtree(self._folder / f"{superseded}{ASIDE}", ignore_errors=True)
                (self._folder / str(superseded)).rename(self._folder / f"{superseded}{ASIDE}")

    def _write(self, step: int, arrays: dict[str, jax.Array]) -> None:
        if self._manager is None:
            policies = [LatestN(self._keep), *([EveryNSteps(self._keep_every)] if self._keep_every else [])]
            options = ocp.CheckpointManagerOptions(
                preservation_policy=AnyPreservationPolicy(policies),
                enable_async_checkpointing=False,
                cleanup_tmp_directories=True,
                todelete_subdir=DELETED,  # so that a kill leaves no half-deleted checkpoint under a step's name
                save_root_metadata=False,
                lightweight_initialize=True,  # without the manager's metadata, which older checkpoints lack
            )
            registry = ocp.handlers.DefaultCheckpointHandlerRegistry()
            registry.add(STATE, ocp.args.PyTreeSave, self._handler)
            self._manager = ocp.CheckpointManager(self._folder, options=options, handler_registry=registry)
        self._manager.save(step, args=ocp.args.Composite(**{STATE: ocp.args.PyTreeSave(arrays)}), force=True)
        if jax.process_index() == 0:
            shutil.rmtree(self._folder / DELETED, ignore_errors=True)

    def _close(self) -> None:
        if self._manager is not None:
            self._manager.close()
            self._manager = None


class _WithManifest(ocp.PyTreeCheckpointHandler):
    """Orbax's handler of trees of arrays; writes the manifest before the checkpoint gets its final name."""

    manifest: dict[str, Any]

    def finalize(self, directory: Any) -> None:
        super().finalize(directory)
        folder = Path(directory)
        files = {f"{STATE}/{name}": value for name, value in file_checksums(folder, ".").items()}
        write_text(folder.parent / MANIFEST, json.dumps(with_checksum({**self.manifest, "files": files}), indent=1))


class _Damaged(Exception):
    """A checkpoint differs from the state that was saved."""


def _read(folder: Path, step: int, wanted: Mapping[str, Any]) -> dict[str, jax.Array]:
    """Return the arrays of one checkpoint. Raises _Damaged, and ValueError if ``wanted`` has other arrays."""
    entries = _undamaged(folder, lambda: _read_manifest(folder, step))["arrays"]
    for name in sorted(entries.keys() | wanted.keys()):
        saved = f"{entries[name]['dtype']}{entries[name]['shape']}" if name in entries else "absent"
        asked = f"{wanted[name].dtype}{list(wanted[name].shape)}" if name in wanted else "absent"
        checks.require(saved == asked, name, f"must be {saved}, as in {str(folder)!r}", asked)
    arrays = _undamaged(folder, lambda: _load(folder / STATE, wanted))
    _undamaged(folder, lambda: check_entries(entries, _entries(arrays)))
    return arrays


def _undamaged(folder: Path, read: Callable[[], Any]) -> Any:
    """Return the result of ``read``. Raises _Damaged on all processes if it fails on any."""
    result, error = _on_all_processes(read)
    if error:
        raise _Damaged(f"{folder} ({error})")
    return result


def _on_all_processes(action: Callable[[], Any]) -> tuple[Any, str]:
    """Return the result of an action, and the error if it failed on any process, so that all of them can stop."""
    result, message = None, ""
    try:
        result = action()
    except Exception as error:  # orbax and its store raise errors of many kinds, and long ones
        message = " ".join(f"{type(error).__name__}: {error}".split())
        message = message if len(message) <= 300 else f"{message[:150]} ... {message[-150:]}"
    if jax.process_count() > 1 and not np.all(multihost_utils.process_allgather(np.asarray(not message))):
        message = message or "another process failed"
    return result, message


def _read_manifest(folder: Path, step: int) -> dict[str, Any]:
    """Return the manifest, once process 0 has compared the files with it."""
    manifest = read_checked(folder / MANIFEST)
    rule = f"must be one of {READABLE_FORMATS}"
    checks.require(manifest["format"] in READABLE_FORMATS, "format", rule, manifest["format"])
    checks.require(manifest["step"] == step, "step", f"must be {step}", manifest["step"])
    if jax.process_index() == 0:
        check_entries(manifest["files"], file_checksums(folder, STATE))
    return manifest


def _load(folder: Path, wanted: Mapping[str, Any]) -> dict[str, jax.Array]:
    """Return the arrays as orbax reads them, on the first device if ``wanted`` has no sharding."""
    default = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    targets = {
        name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding or default)
        for name, leaf in wanted.items()
    }
    nonempty = {name: target for name, target in targets.items() if target.size}
    restore_args = ocp.checkpoint_utils.construct_restore_args(nonempty)
    # Without the manager, which would wait at a barrier that a failing process never reaches.
    handler: Any = ocp.PyTreeCheckpointHandler()  # annotated with orbax's own path type, but accepts any path
    arrays = handler.restore(folder, args=ocp.args.PyTreeRestore(nonempty, restore_args))
    empty = {name: target for name, target in targets.items() if not target.size}
    return arrays | {name: jax.device_put(np.empty(one.shape, one.dtype), one.sharding) for name, one in empty.items()}


def _named_arrays(state: Any, kind: Any) -> dict[str, Any]:
    """Return the leaves of a tree by name. Raises ValueError for a leaf that is not numeric, and for equal names."""
    arrays = {}
    for path, leaf in jax.tree.flatten_with_path(state)[0]:
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        numbers = isinstance(leaf, kind) and isinstance(leaf.dtype, np.dtype)
        checks.require(numbers, name, "must be a jax array of numbers (of a key, its data)", type(leaf).__name__)
        checks.require(name not in arrays, name, "must be the name of one array", "two")
        arrays[name] = leaf
    return arrays


def _entries(arrays: Mapping[str, jax.Array]) -> dict[str, dict[str, Any]]:
    """Return dtype, shape and checksum of each array, in the same order on all processes."""
    return {name: array_entry(name, _values(arrays[name])) for name in sorted(arrays)}


def _values(array: jax.Array) -> np.ndarray:
    """Return the values of an array, gathered from all processes if each has only a part."""
    if array.is_fully_addressable:
        return np.asarray(array)
    if array.is_fully_replicated:
        return np.asarray(array.addressable_data(0))
    return np.asarray(multihost_utils.process_allgather(array, tiled=True))
