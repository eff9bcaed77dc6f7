"""Checkpoints: bit for bit, on any number of devices, and never half of one, whatever happens to the files."""

# pyright: reportPossiblyUnboundVariable=false

import json
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count, groupby
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from flax import nnx

from circuits.files import read_checked, with_checksum
from circuits.training.checkpoints import Checkpoints

HEAD = """
import json, sys
from pathlib import Path
import jax, jax.numpy as jnp, numpy as np
from circuits.training.checkpoints import Checkpoints
folder = Path(sys.argv[1])
"""
"""The start of every child process."""


def child(code: str, *arguments: object, **changes: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HEAD + code, *map(str, arguments)]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"} | changes
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def small(step: int) -> dict[str, jax.Array]:
    return {"values": jnp.arange(2000, dtype=jnp.float32) * step, "step": jnp.asarray(step, jnp.int32)}


def mixed(step: int) -> dict[str, object]:
    """Leaves of every kind: dtypes, scalars, an empty array, values that equal others in all but their bits."""
    params = nnx.state(nnx.Linear(3, 2, rngs=nnx.Rngs(step)))
    return {
        "params": params,
        "optimiser": optax.adamw(1e-3).init(params),
        "key": jax.random.key_data(jax.random.key(step)),
        "list": [jnp.full((2, 3), step, jnp.bfloat16), jnp.asarray([-0.0, jnp.nan, jnp.inf, 5e-324])],
        "empty": jnp.zeros((0, 4), jnp.float32),
        "a/b c": jnp.asarray(step % 2 == 0),
    }


def first_release(step: int) -> dict[str, object]:
    """The state that the first release saved in format_1.zip."""
    return {
        "values": jnp.arange(6, dtype=jnp.float32).reshape(2, 3) * step,
        "half": jnp.full(3, step, jnp.bfloat16),
        "nested": [jnp.asarray([-0.0, jnp.nan, 5e-324]), jnp.asarray(step, jnp.int32)],
        "empty": jnp.zeros((0, 4), jnp.float32),
    }


def same(a: object, b: object) -> bool:
    """Equal structure, dtypes, shapes and bits."""

    def bits(leaf):
        return str(leaf.dtype), leaf.shape, np.asarray(leaf).tobytes()

    return jax.tree.structure(a) == jax.tree.structure(b) and [*map(bits, jax.tree.leaves(a))] == [
        *map(bits, jax.tree.leaves(b))
    ]


def shapes(state: object) -> object:
    return jax.eval_shape(lambda: state)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Steps 1 and 2 of ``mixed``, written once; tests that do harm take a copy."""
    folder = tmp_path_factory.mktemp("two")
    with Checkpoints(folder) as checkpoints:
        checkpoints.save(1, mixed(1))
        checkpoints.save(2, mixed(2))
    return folder


@pytest.fixture
def folder(two, tmp_path):
    return shutil.copytree(two, tmp_path / "checkpoints")


@pytest.fixture(scope="module")
def two_small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two_small")
    with Checkpoints(folder, keep=2) as checkpoints:
        checkpoints.save(1, small(1))
        checkpoints.save(2, small(2))
    return folder


def test_a_state_comes_back_bit_for_bit(two):
    assert not same(mixed(1), mixed(2))
    with Checkpoints(two) as checkpoints:
        assert (checkpoints.steps(), checkpoints.latest()) == ([1, 2], 2)
        for like in (shapes(mixed(5)), mixed(5)):
            restored = checkpoints.restore(like)
            assert (restored.step, restored.passed_over) == (2, [])
            assert same(restored.state, mixed(2))
        assert same(checkpoints.restore(shapes(mixed(5)), step=1).state, mixed(1))


def test_nothing_is_printed(two, tmp_path, caplog, capfd):
    with Checkpoints(str(tmp_path)) as checkpoints:
        checkpoints.save(1, small(1))
        checkpoints.restore(small(1))
    with Checkpoints(two) as checkpoints:
        checkpoints.restore(mixed(1))
    assert [record for record in caplog.records if record.levelname != "INFO"] == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("keep", "keep_every", "left"), [(1, 0, [6]), (2, 3, [0, 3, 5, 6])])
def test_the_last_are_kept_and_those_at_multiples(tmp_path, keep, keep_every, left):
    with Checkpoints(tmp_path, keep, keep_every) as checkpoints:
        for step in range(7):
            checkpoints.save(step, small(step))
        assert checkpoints.steps() == left
        assert sorted(path.name for path in tmp_path.iterdir()) == [*map(str, left)]
        for step in left:
            assert same(checkpoints.restore(small(0), step).state, small(step))


def test_arguments_are_checked(tmp_path):
    with pytest.raises(ValueError, match="keep: must be an integer at least 1"):
        Checkpoints(tmp_path, keep=0)
    with pytest.raises(ValueError, match="keep_every: must be an integer at least 0"):
        Checkpoints(tmp_path, keep_every=-1)
    with Checkpoints(tmp_path) as checkpoints:
        for step, state, message in (
            (-1, small(1), "step: must be an integer at least 0"),
            (1, {"a": [3]}, r"a\.0: must be a jax array .*, got 'int'"),
            (1, {"key": jax.random.key(1)}, r"key: must be a jax array .*, got 'PRNGKeyArray'"),
            (1, {"a.b": jnp.ones(2), "a": {"b": jnp.ones(2)}}, r"a\.b: must be the name of one array"),
            (1, {"a": jnp.ones((0, 2))}, r"state: must hold an array that is not empty, got \['a'\]"),
        ):
            with pytest.raises(ValueError, match=message):
                checkpoints.save(step, state)
        assert checkpoints.steps() == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": jnp.ones(3, jnp.float32)}, r"values: must be float32\[2000\], as in '.*/2', got 'float32\[3\]'"),
        ({"values": jnp.ones(2000)}, r"values: must be float32\[2000\], as in '.*/2', got 'float64\[2000\]'"),
        ({"new": jnp.ones(3)}, r"new: must be absent, as in '.*/2', got 'float64\[3\]'"),
        ({"values": {}}, r"values: must be float32\[2000\], as in '.*/2', got 'absent'"),
    ],
)
def test_another_structure_shape_or_dtype_is_an_error_not_damage(tmp_path, change, message):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, small(1) | change)  # would be restored if the last checkpoint were passed over
        checkpoints.save(2, small(2))
        for step in (None, 2):
            with pytest.raises(ValueError, match=message):
                checkpoints.restore(small(1) | change, step)


# ------------------------------------------------------------------------------------------------------------- damage

HOW = ("flipped", "cut", "empty", "gone")


def damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "gone":
        path.unlink()
        return
    position = random.Random(str(path.name)).randrange(len(content))
    if how == "flipped":
        content[position] ^= 1 << position % 8
    path.write_bytes(content[: {"flipped": None, "cut": position, "empty": 0}[how]])


def test_a_damaged_file_never_gives_a_wrong_state(folder):
    files = sorted(path for path in (folder / "2").rglob("*") if path.is_file())
    checked = read_checked(folder / "2" / "manifest.json")["files"]
    (biggest,) = (path for path in (folder / "2" / "state" / "d").iterdir())
    cases = [(path, HOW[number % 4]) for number, path in enumerate(files)]
    cases += [(path, how) for path in (biggest, folder / "2" / "manifest.json") for how in HOW]
    passed_over = set()
    with Checkpoints(folder) as checkpoints:
        for path, how in cases:
            content = path.read_bytes()
            damage(path, how)
            restored = checkpoints.restore(shapes(mixed(0)))
            assert same(restored.state, mixed(restored.step))
            assert checkpoints.steps() == [1, 2]
            if restored.step == 1:
                name = path.relative_to(folder / "2").as_posix()
                passed_over.add(name)
                assert len(restored.passed_over) == 1
                assert restored.passed_over[0].startswith(f"{folder}/2 (")
                assert name in restored.passed_over[0] or name == "manifest.json"
            path.write_bytes(content)
        # The manager's own files, which say when the checkpoint was written, are not needed to restore it.
        assert passed_over == {*checked, "manifest.json"}
        assert len(checked) > 5
        damage(biggest, "flipped")
        with pytest.raises(ValueError, match=f"checkpoints: must hold an undamaged one in .*, got {folder}/2 "):
            checkpoints.restore(shapes(mixed(0)), step=2)
        checkpoints.save(3, mixed(3))
        assert checkpoints.restore(shapes(mixed(0))).step == 3


def test_arrays_are_compared_with_their_own_checksums(folder):
    """The files are as they were written, but hold other arrays than were saved."""
    manifest = read_checked(folder / "2" / "manifest.json")
    shutil.rmtree(folder / "2" / "state")
    shutil.copytree(folder / "1" / "state", folder / "2" / "state")
    manifest["files"] = read_checked(folder / "1" / "manifest.json")["files"]
    del manifest["digest"]
    (folder / "2" / "manifest.json").write_text(json.dumps(with_checksum(manifest)))
    with Checkpoints(folder) as checkpoints:
        restored = checkpoints.restore(mixed(0))
    assert restored.step == 1
    assert restored.passed_over == [f"{folder}/2 (ValueError: a/b c: must be as saved, got 'other bytes')"]


def test_a_checkpoint_under_another_step_is_passed_over(folder):
    (folder / "2").rename(folder / "7")
    with Checkpoints(folder) as checkpoints:
        restored = checkpoints.restore(mixed(0))
    assert (restored.step, restored.passed_over) == (1, [f"{folder}/7 (ValueError: step: must be 7, got 2)"])


def test_when_all_are_damaged_each_is_named(folder):
    for step in ("1", "2"):
        damage(folder / step / "manifest.json", "gone")
    with Checkpoints(folder) as checkpoints:
        with pytest.raises(ValueError, match=r"got .*/2 \(FileNotFoundError.*; .*/1 \(FileNotFoundError"):
            checkpoints.restore(mixed(0))
        with pytest.raises(ValueError, match=r"got .*/9 \(FileNotFoundError"):
            checkpoints.restore(mixed(0), step=9)
    with Checkpoints(folder / "none") as checkpoints, pytest.raises(ValueError, match=r"must hold .*, got none"):
        checkpoints.restore(mixed(0))


# -------------------------------------------------------------------------------------------------- older checkpoints


def test_a_run_that_resumes_from_an_earlier_step_sets_later_ones_aside(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(step, small(step))
        checkpoints.save(2, small(20))
        assert checkpoints.steps() == [1, 2]
        assert same(checkpoints.restore(small(0)).state, small(20))
        checkpoints.save(3, small(30))
        checkpoints.save(3, small(31))
    with Checkpoints(tmp_path) as checkpoints:  # another process
        checkpoints.save(2, small(21))
        assert same(checkpoints.restore(small(0)).state, small(21))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2", "2.aside", "3.aside"]


def test_checkpoints_of_the_first_release_are_restored_and_replaced(tmp_path):
    shutil.unpack_archive(Path(__file__).parent / "format_1.zip", tmp_path)
    assert json.loads((tmp_path / "2" / "manifest.json").read_text())["format"] == 1
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        restored = checkpoints.restore(shapes(first_release(0)))
        assert (restored.step, restored.passed_over) == (2, [])
        assert same(restored.state, first_release(2))
        for step in (3, 4):
            checkpoints.save(step, first_release(step))
            assert json.loads((tmp_path / str(step) / "manifest.json").read_text())["format"] == 2
        assert checkpoints.steps() == [3, 4]


# -------------------------------------------------------------------------------------------------------------- kills


class Disk:
    """The calls of this process to the file system, all of which fail from some moment on, as if it had been killed."""

    def __init__(self) -> None:
        self.left: int | None = None
        self.removals = 0

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.left is None or event not in ("os.mkdir", "os.rename", "os.remove", "os.rmdir"):
            return
        if self.left == 0:
            raise OSError(f"killed at {event}")
        self.removals = self.removals + 1 if event in ("os.remove", "os.rmdir") else 0
        if event == "os.rename" or self.removals in (1, 8):  # nothing removed, or half a checkpoint
            self.left -= 1

    @contextmanager
    def dead_after(self, calls: int) -> Iterator[None]:
        self.left = calls
        try:
            yield
        finally:
            self.left = None


@pytest.fixture(scope="module")
def disk() -> Disk:
    hook = Disk()
    sys.addaudithook(hook)
    return hook


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # from threads of orbax that fail
def test_a_kill_between_any_two_changes_of_the_disk_leaves_whole_checkpoints(tmp_path, two_small, disk):
    """While a checkpoint is replaced, another added, and the first one removed."""
    states, latest = {2: small(20), 3: small(3)}, []
    for moment in count():
        folder, begun = shutil.copytree(two_small, tmp_path / str(moment)), []
        with Checkpoints(folder, keep=2) as checkpoints, suppress(OSError), disk.dead_after(moment):
            for step, state in states.items():
                begun.append(step)
                checkpoints.save(step, state)
            break
        with Checkpoints(folder, keep=2) as checkpoints:
            for step in checkpoints.steps():
                state = checkpoints.restore(small(0), step).state
                assert same(state, small(step)) or (step == 2 and same(state, small(20)))
            latest.append(checkpoints.latest())
            if moment % 4 == 0:
                checkpoints.save(begun[-1], small(6))
                assert same(checkpoints.restore(small(0)).state, small(6))
                assert {path.name for path in folder.iterdir()} <= {"1", "2", "3", "2.aside", "3.aside"}
    assert [step for step, _ in groupby(latest)] == [2, 1, 2, 3]
    assert checkpoints.steps() == [2, 3]


def test_a_killed_process_leaves_whole_checkpoints(tmp_path):
    code = """
with Checkpoints(folder, keep=2) as checkpoints:
    for step in range(1, 10**6):
        checkpoints.save(step, {"values": jnp.arange(2000, dtype=jnp.float32) * step, "step": jnp.int32(step)})
"""
    process = child(code, tmp_path)
    checkpoints, rng = Checkpoints(tmp_path), random.Random(0)
    while not _stopped_in_a_save(process, tmp_path):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(rng.uniform(0, 0.03))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert [path for path in tmp_path.iterdir() if path.name.endswith(ocp.utils.TMP_DIR_SUFFIX)]
    restored = checkpoints.restore(small(0))
    assert (restored.step, restored.passed_over) == (checkpoints.latest(), [])
    assert restored.step >= 3
    assert same(restored.state, small(restored.step))


def _stopped_in_a_save(process: subprocess.Popen[str], folder: Path) -> bool:
    """Stop a process that has saved a few steps; if it is not in a save, let it continue."""
    if (Checkpoints(folder).latest() or 0) < 3:
        return False
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    if any(path.name.endswith(ocp.utils.TMP_DIR_SUFFIX) for path in folder.iterdir()):
        return True
    process.send_signal(signal.SIGCONT)
    return False


def test_a_full_disk_is_named_and_earlier_checkpoints_load(tmp_path, capfd):
    states = [small(step) for step in range(4)]
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, states[1])
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        try:
            with pytest.raises(OSError, match=f"checkpoints: must be writable, got '{tmp_path}/2' .*File too large"):
                checkpoints.save(2, states[2])
            assert checkpoints.restore(states[0]).step == 1
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        checkpoints.save(3, states[3])
        assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "3"]


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "a").touch()
    with Checkpoints(tmp_path / "a") as checkpoints, pytest.raises(OSError, match=r"must be writable, got .*/a/1' \("):
        checkpoints.save(1, small(1))


# ---------------------------------------------------------------------------------------------------------- processes


def test_processes_and_devices_may_change(tmp_path):
    """Two processes of two devices each read what one device wrote, pass over what is damaged, and write in turn."""
    values = np.arange(48, dtype=np.float32).reshape(4, 12)
    state = {"split": jnp.asarray(values), "same": jnp.asarray(values * 2), "none": jnp.zeros((0, 4))}
    state["count"] = jnp.asarray(7, jnp.int32)
    with Checkpoints(tmp_path / "one") as checkpoints:
        checkpoints.save(1, state)
        checkpoints.save(2, jax.tree.map(lambda leaf: leaf + leaf, state))
    damage(next((tmp_path / "one" / "2" / "state" / "ocdbt.process_0" / "d").iterdir()), "flipped")
    code = """
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
jax.config.update("jax_enable_x64", True)
here = dict(coordinator_bind_address=sys.argv[2]) if sys.argv[3] == "0" else {}
jax.distributed.initialize(sys.argv[2], 2, int(sys.argv[3]), **here)
mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
def leaf(shape, dtype, *axes):
    return jax.ShapeDtypeStruct(shape, dtype, sharding=NamedSharding(mesh, P(*axes)))
like = {"split": leaf((4, 12), jnp.float32, "data"), "same": leaf((4, 12), jnp.float32),
        "none": leaf((0, 4), jnp.float64), "count": leaf((), jnp.int32)}
with Checkpoints(folder / "one") as checkpoints:
    step, state, passed_over = checkpoints.restore(like)
    assert (step, len(passed_over)) == (1, 1), (step, passed_over)
    assert state["split"].sharding == like["split"].sharding
    assert state["split"].addressable_data(0).shape == (1, 12)
    print("passed over", passed_over)
with Checkpoints(folder / "four", keep=1) as checkpoints:
    checkpoints.save(7, jax.tree.map(lambda leaf: leaf + leaf, state))
    checkpoints.save(5, state)
    checkpoints.save(6, state)
    assert checkpoints.steps() == [6]
    assert checkpoints.restore(like).step == 6
print("done")
"""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    flags = "--xla_force_host_platform_device_count=2"
    pair = [child(code, tmp_path, address, number, XLA_FLAGS=flags) for number in (0, 1)]
    printed = [process.communicate(timeout=120)[0] for process in pair]
    assert all(text.endswith("done\n") for text in printed), printed
    assert "must be as saved, got 'other bytes'" in printed[0]
    assert "another process failed" in printed[1]
    with Checkpoints(tmp_path / "four") as checkpoints:
        restored = checkpoints.restore(state)
    assert restored.step == 6
    assert same(restored.state, state)
    assert restored.state["split"].sharding.device_set == {jax.devices()[0]}
