"""Checkpoints of a training state, written by orbax, with digests that tell a whole one from a damaged one.

    {step}/state            the arrays as orbax lays them out, to be read on any number of processes and devices
    {step}/manifest.json    dtype, shape and digest of each array, the digest of each file, and that of all this
    {step}.aside            a checkpoint that a save has superseded, see ``Checkpoints.save``

A folder gets the name of its step when it is finished, so one that is named by a step was whole once. Its files may
have suffered since, and orbax notices only some of that: a flipped bit may come back as another number. So files are
compared with their digests before orbax sees them, and arrays after.
"""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

from circuits import checks
from circuits.files import array_entry, check_entries, file_checksums, read_checked, with_checksum

FORMAT = 1
STATE, MANIFEST = "state", "manifest.json"
WRITING, DELETED, ASIDE = ".writing", ".deleted", ".aside"


class Restored(NamedTuple):
    """A state, the step it was saved at, and which later checkpoints were passed over and why."""

    step: int
    state: Any
    passed_over: list[str]


class Checkpoints:
    """The checkpoints of one run: the last ``keep``, and each whose step is a multiple of ``keep_every`` (0: none).

    All processes of a run make one on the same folder and make the same calls. One run writes, others may read
    meanwhile. A context manager, for orbax has threads. Raises ValueError naming the argument that is out of range.
    """

    def __init__(self, folder: Path, keep: int = 3, keep_every: int = 0) -> None:
        checks.integer("keep", keep, 1)
        checks.integer("keep_every", keep_every, 0)
        self._folder, self._keep, self._keep_every = folder.absolute(), keep, keep_every
        self._writer = ocp.Checkpointer(ocp.PyTreeCheckpointHandler())

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def save(self, step: int, state: Any) -> None:
        """Write a tree of jax arrays, return when it is there, and drop what is no longer to be kept.

        A kill at any moment leaves the others, and this one whole or not at all. Checkpoints of this step and of
        later ones are of a past that the run left when it went on from an earlier step: they are set aside.

        Raises ValueError for a state that can't be written, OSError naming the folder when writing fails.
        """
        checks.integer("step", step, 0)
        arrays = _arrays(state, jax.Array)
        filled = {name: array for name, array in arrays.items() if array.size}  # orbax has no room for empty ones
        checks.require(bool(filled), "state", "must hold an array that is not empty", sorted(arrays))
        there, beside = self._folder / str(step), self._folder / f"{step}{WRITING}"
        entries = _entries(arrays)

        def write() -> None:
            self._writer.save(beside / STATE, args=ocp.args.PyTreeSave(filled), force=True)
            if jax.process_index() == 0:
                self._commit(step, entries)

        _, reason = _together(write)
        if reason:
            raise OSError(f"checkpoints: must be writable, got {str(there)!r} ({reason})")

    def _commit(self, step: int, entries: dict[str, Any]) -> None:
        """Add the manifest to what orbax wrote, give the folder its name, and tidy up."""
        beside = self._folder / f"{step}{WRITING}"
        manifest = {"format": FORMAT, "step": step, "arrays": entries, "files": file_checksums(beside, STATE)}
        with (beside / MANIFEST).open("w", encoding="utf-8") as file:
            json.dump(with_checksum(manifest), file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        for superseded in (old for old in self.steps() if old >= step):
            shutil.rmtree(self._folder / f"{superseded}{ASIDE}", ignore_errors=True)
            (self._folder / str(superseded)).rename(self._folder / f"{superseded}{ASIDE}")
        beside.rename(self._folder / str(step))
        self._tidy()

    def steps(self) -> list[int]:
        """The steps of the checkpoints, in order, be they whole or damaged."""
        names = [path.name for path in self._folder.iterdir() if path.is_dir()] if self._folder.is_dir() else []
        return sorted(int(name) for name in names if name.isdecimal() and str(int(name)) == name)

    def latest(self) -> int | None:
        """The last of the steps."""
        return max(self.steps(), default=None)

    def restore(self, like: Any, step: int | None = None) -> Restored:
        """The state of a step, or of the last whose checkpoint is whole, bit for bit. Nothing is deleted.

        ``like`` has the state's form. Its leaves are arrays or ``jax.ShapeDtypeStruct``; the state gets their
        shardings, whatever it had when it was saved.

        Raises ValueError naming each damaged checkpoint, and how, when none is whole or the one asked for is not;
        and naming the array when a whole checkpoint has another form than ``like``.
        """
        asked, passed_over = _arrays(like, jax.Array | jax.ShapeDtypeStruct), []
        for candidate in self.steps()[::-1] if step is None else [step]:
            try:
                found = _read(self._folder / str(candidate), candidate, asked)
            except _Damaged as error:
                passed_over.append(str(error))
            else:
                state = jax.tree.unflatten(jax.tree.structure(like), [found[name] for name in asked])
                return Restored(candidate, state, passed_over)
        listed = "; ".join(passed_over) or "none"
        raise ValueError(f"checkpoints: must hold a whole one in {str(self._folder)!r}, got {listed}")

    def _tidy(self) -> None:
        for old in self.steps()[: -self._keep]:
            if not self._keep_every or old % self._keep_every:
                # Renamed first, for a kill would leave half of it under a name that counts.
                (self._folder / str(old)).rename(self._folder / f"{old}{DELETED}")
        for path in self._folder.iterdir():
            if path.name.endswith((DELETED, WRITING)):
                shutil.rmtree(path)


class _Damaged(Exception):
    """A checkpoint is not what was saved."""


def _read(folder: Path, step: int, asked: Mapping[str, Any]) -> dict[str, jax.Array]:
    """The arrays of one checkpoint. Raises _Damaged, or ValueError when it is whole and of another form."""
    entries = _agreed(folder, lambda: _manifest(folder, step))["arrays"]
    for name in sorted(entries.keys() | asked.keys()):
        saved = f"{entries[name]['dtype']}{entries[name]['shape']}" if name in entries else "absent"
        wanted = f"{asked[name].dtype}{list(asked[name].shape)}" if name in asked else "absent"
        checks.require(saved == wanted, name, f"must be {saved}, as in {str(folder)!r}", wanted)
    found = _agreed(folder, lambda: _load(folder / STATE, asked))
    _agreed(folder, lambda: check_entries(entries, _entries(found)))
    return found


def _agreed(folder: Path, read: Callable[[], Any]) -> Any:
    """What a function returns, if it does on all processes. Raises _Damaged otherwise."""
    found, reason = _together(read)
    if reason:
        raise _Damaged(f"{folder} ({reason})")
    return found


def _together(action: Callable[[], Any]) -> tuple[Any, str]:
    """What an action returns, and "" or why it failed on some process: one that went on alone would wait for ever."""
    found, reason = None, ""
    try:
        found = action()
    except Exception as error:  # orbax and its store have errors of many kinds for a damaged file or a full disk
        reason = _line(error)
    if jax.process_count() > 1 and not np.all(multihost_utils.process_allgather(np.asarray(not reason))):
        reason = reason or "another process failed"
    return found, reason


def _manifest(folder: Path, step: int) -> dict[str, Any]:
    """The manifest, after one process has compared the files with it."""
    found = read_checked(folder / MANIFEST)
    checks.require(found["format"] == FORMAT, "format", f"must be {FORMAT}", found["format"])
    checks.require(found["step"] == step, "step", f"must be {step}", found["step"])
    if jax.process_index() == 0:
        check_entries(found["files"], file_checksums(folder, STATE))
    return found


def _load(folder: Path, asked: Mapping[str, Any]) -> dict[str, jax.Array]:
    """The arrays as orbax reads them, right or wrong, on the first device where no sharding is asked for."""
    default = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    leaves = {
        name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding or default)
        for name, leaf in asked.items()
    }
    filled = {name: leaf for name, leaf in leaves.items() if leaf.size}
    restore_args = ocp.checkpoint_utils.construct_restore_args(filled)
    # The handler alone: a Checkpointer ends with a barrier, which a process that raises would never reach.
    reader: Any = ocp.PyTreeCheckpointHandler()  # its type asks for orbax's own kind of path, and any will do
    found = reader.restore(folder, args=ocp.args.PyTreeRestore(filled, restore_args))
    return {
        name: found[name] if name in filled else jax.device_put(np.empty(leaf.shape, leaf.dtype), leaf.sharding)
        for name, leaf in leaves.items()
    }


def _arrays(state: Any, kind: Any) -> dict[str, Any]:
    """The leaves of a tree by name. Raises ValueError for a leaf that is no array of numbers, or two of one name."""
    found = {}
    for path, leaf in jax.tree.flatten_with_path(state)[0]:
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        numbers = isinstance(leaf, kind) and isinstance(leaf.dtype, np.dtype)
        checks.require(numbers, name, "must be a jax array of numbers (of a key, its data)", type(leaf).__name__)
        checks.require(name not in found, name, "must be the name of one array", "two")
        found[name] = leaf
    return found


def _entries(arrays: Mapping[str, jax.Array]) -> dict[str, dict[str, Any]]:
    """Dtype, shape and digest of each array, in an order that all processes share."""
    return {name: array_entry(name, _whole(arrays[name])) for name in sorted(arrays)}


def _whole(array: jax.Array) -> np.ndarray:
    """The values of an array, wherever its parts are: collected from all processes where none has the whole."""
    if array.is_fully_addressable:
        return np.asarray(array)
    if array.is_fully_replicated:
        return np.asarray(array.addressable_data(0))
    return np.asarray(multihost_utils.process_allgather(array, tiled=True))


def _line(error: Exception) -> str:
    """An error in one line, for orbax and its store tell long stories."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
