"""Checkpoints: bit for bit, on any number of devices, and never half of one, whatever happens to the files."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from circuits.files import with_checksum
from circuits.training import checkpoints
from circuits.training.checkpoints import Checkpoints

HEAD = """
import json, sys
from pathlib import Path
import jax, jax.numpy as jnp, numpy as np
from circuits.training.checkpoints import Checkpoints
folder = Path(sys.argv[1])
def state(step):
    return {"values": jnp.arange(2000, dtype=jnp.float32) * step, "step": jnp.int32(step)}
"""
"""The start of every child process."""


def child(code: str, *arguments: object, **changes: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HEAD + code, *map(str, arguments)]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"} | changes
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def small(step: int) -> dict[str, jax.Array]:
    """The state of the child processes."""
    return {"values": jnp.arange(2000, dtype=jnp.float32) * step, "step": jnp.asarray(step, jnp.int32)}


def mixed(step: int) -> dict[str, object]:
    """Leaves of every kind: dtypes, scalars, an empty array, values that equal no others but in their bits."""
    params = nnx.state(nnx.Linear(3, 2, rngs=nnx.Rngs(step)))
    return {
        "params": params,
        "optimiser": optax.adamw(1e-3).init(params),
        "key": jax.random.key_data(jax.random.key(step)),
        "list": [jnp.full((2, 3), step, jnp.bfloat16), jnp.asarray([-0.0, jnp.nan, jnp.inf, 5e-324])],
        "empty": jnp.zeros((0, 4), jnp.float32),
        "a/b c": jnp.asarray(step % 2 == 0),
    }


def same(a: object, b: object) -> bool:
    """Of one form, and equal bit for bit."""

    def bits(leaf):
        return str(leaf.dtype), leaf.shape, np.asarray(leaf).tobytes()

    return jax.tree.structure(a) == jax.tree.structure(b) and [*map(bits, jax.tree.leaves(a))] == [
        *map(bits, jax.tree.leaves(b))
    ]


def shapes(state: object) -> object:
    return jax.eval_shape(lambda: state)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Steps 1 and 2, written once; tests that do harm take a copy."""
    folder = tmp_path_factory.mktemp("two")
    with Checkpoints(folder) as kept:
        kept.save(1, mixed(1))
        kept.save(2, mixed(2))
    return folder


@pytest.fixture
def folder(two, tmp_path):
    return shutil.copytree(two, tmp_path / "checkpoints")


def test_a_state_comes_back_bit_for_bit(two):
    assert not same(mixed(1), mixed(2))
    with Checkpoints(two) as kept:
        assert (kept.steps(), kept.latest()) == ([1, 2], 2)
        for like in (shapes(mixed(5)), mixed(5)):
            found = kept.restore(like)
            assert (found.step, found.passed_over) == (2, [])
            assert same(found.state, mixed(2))
        assert same(kept.restore(shapes(mixed(5)), step=1).state, mixed(1))


def test_nothing_is_said_about_it(two, tmp_path, caplog, capfd):
    with Checkpoints(tmp_path) as kept:
        kept.save(1, small(1))
        kept.restore(small(1))
    with Checkpoints(two) as kept:
        kept.restore(mixed(1))
    assert [record for record in caplog.records if record.levelname != "INFO"] == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("keep", "keep_every", "left"), [(1, 0, [6]), (3, 0, [4, 5, 6]), (2, 3, [0, 3, 5, 6]), (9, 2, [*range(7)])]
)
def test_the_last_are_kept_and_those_at_multiples(tmp_path, keep, keep_every, left):
    with Checkpoints(tmp_path, keep, keep_every) as kept:
        for step in range(7):
            kept.save(step, small(step))
        assert kept.steps() == left
        assert sorted(path.name for path in tmp_path.iterdir()) == [*map(str, left)]
        for step in left:
            assert same(kept.restore(small(0), step).state, small(step))


def test_arguments_are_checked(tmp_path):
    with pytest.raises(ValueError, match="keep: must be an integer at least 1, got 0"):
        Checkpoints(tmp_path, keep=0)
    with pytest.raises(ValueError, match="keep_every: must be an integer at least 0, got -1"):
        Checkpoints(tmp_path, keep_every=-1)
    with Checkpoints(tmp_path) as kept:
        with pytest.raises(ValueError, match="step: must be an integer at least 0, got -1"):
            kept.save(-1, small(1))
        with pytest.raises(ValueError, match=r"a\.0: must be a jax array of numbers .*, got 'int'"):
            kept.save(1, {"a": [3]})
        with pytest.raises(ValueError, match=r"key: must be a jax array of numbers .*, got 'PRNGKeyArray'"):
            kept.save(1, {"key": jax.random.key(1)})
        with pytest.raises(ValueError, match=r"a\.b: must be the name of one array, got 'two'"):
            kept.save(1, {"a.b": jnp.ones(2), "a": {"b": jnp.ones(2)}})
        with pytest.raises(ValueError, match=r"state: must hold an array that is not empty, got \[\]"):
            kept.save(1, {})
        assert kept.steps() == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": jnp.ones(3, jnp.float32)}, r"values: must be float32\[2000\], as in '.*/2', got 'float32\[3\]'"),
        ({"values": jnp.ones(2000)}, r"values: must be float32\[2000\], as in '.*/2', got 'float64\[2000\]'"),
        ({"new": jnp.ones(3)}, r"new: must be absent, as in '.*/2', got 'float64\[3\]'"),
        ({"values": {}}, r"values: must be float32\[2000\], as in '.*/2', got 'absent'"),
    ],
)
def test_a_state_of_another_form_is_an_error_not_damage(tmp_path, change, message):
    with Checkpoints(tmp_path) as kept:
        kept.save(1, small(1) | change)  # it would fit, were the last passed over
        kept.save(2, small(2))
        for step in (None, 2):
            with pytest.raises(ValueError, match=message):
                kept.restore(small(1) | change, step)


def harmed(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "gone":
        path.unlink()
        return
    place = random.Random(str(path.name)).randrange(len(content))
    if how == "flipped":
        content[place] ^= 1 << place % 8
    path.write_bytes(content[: {"flipped": None, "cut": place, "empty": 0}[how]])


@pytest.mark.parametrize("how", ["flipped", "cut", "empty", "gone"])
def test_a_damaged_file_is_never_a_wrong_state(folder, how):
    files = sorted(path for path in (folder / "2").rglob("*") if path.is_file())
    assert len(files) > 5
    with Checkpoints(folder) as kept:
        for path in files:
            whole = path.read_bytes()
            harmed(path, how)
            found = kept.restore(shapes(mixed(0)))
            assert found.step == 1
            assert same(found.state, mixed(1))
            assert len(found.passed_over) == 1
            assert found.passed_over[0].startswith(f"{folder}/2 (")
            assert path.name in found.passed_over[0] or path.name == "manifest.json"
            with pytest.raises(ValueError, match=f"checkpoints: must hold a whole one in .*, got {folder}/2 "):
                kept.restore(shapes(mixed(0)), step=2)
            assert kept.steps() == [1, 2]
            path.write_bytes(whole)
        assert kept.restore(shapes(mixed(0))).step == 2


def test_arrays_are_compared_with_their_own_digests(folder):
    """Files that are as they were written, and are not what was saved."""
    mine = json.loads((folder / "2" / "manifest.json").read_text())
    shutil.rmtree(folder / "2" / "state")
    shutil.copytree(folder / "1" / "state", folder / "2" / "state")
    mine["files"] = json.loads((folder / "1" / "manifest.json").read_text())["files"]
    del mine["digest"]
    (folder / "2" / "manifest.json").write_text(json.dumps(with_checksum(mine)))
    with Checkpoints(folder) as kept:
        found = kept.restore(mixed(0))
    assert found.step == 1
    assert found.passed_over == [f"{folder}/2 (ValueError: a/b c: must be as saved, got 'other bytes')"]


def test_a_checkpoint_under_another_step_is_passed_over(folder):
    (folder / "2").rename(folder / "7")
    with Checkpoints(folder) as kept:
        found = kept.restore(mixed(0))
    assert (found.step, found.passed_over) == (1, [f"{folder}/7 (ValueError: step: must be 7, got 2)"])


def test_when_none_is_whole_each_is_named(folder):
    for step in ("1", "2"):
        harmed(folder / step / "manifest.json", "gone")
    with Checkpoints(folder) as kept:
        with pytest.raises(ValueError, match=r"got .*/2 \(FileNotFoundError.*; .*/1 \(FileNotFoundError"):
            kept.restore(mixed(0))
        with pytest.raises(ValueError, match=r"got .*/9 \(FileNotFoundError"):
            kept.restore(mixed(0), step=9)
    with (
        Checkpoints(folder / "none") as kept,
        pytest.raises(ValueError, match=r"must hold a whole one in .*, got none"),
    ):
        kept.restore(mixed(0))


def test_a_run_that_goes_on_from_an_earlier_step_sets_later_ones_aside(tmp_path):
    with Checkpoints(tmp_path) as kept:
        for step in (1, 2, 3):
            kept.save(step, small(step))
        kept.save(2, small(20))
        assert kept.steps() == [1, 2]
        assert same(kept.restore(small(0)).state, small(20))
        kept.save(3, small(30))
        kept.save(2, small(21))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2", "2.aside", "3.aside"]


class Killed(BaseException):
    """What no code catches."""


@pytest.mark.parametrize("moment", range(15))
def test_a_kill_between_any_two_changes_leaves_whole_ones(tmp_path, monkeypatch, moment):
    """At the moment-th of: orbax's write, hashing, sync, each rename, each removal (half done then)."""
    with Checkpoints(tmp_path, keep=2) as kept:
        kept.save(1, small(1))
        kept.save(2, small(2))
        count = 0

        def watched(function, half=lambda *_, **__: None):
            def call(*arguments, **named):
                nonlocal count
                count += 1
                if count > moment:
                    half(*arguments, **named)
                    raise Killed
                return function(*arguments, **named)

            return call

        def remove_one(folder, **_):
            next((path for path in folder.rglob("*") if path.is_file()), folder / "none").unlink(missing_ok=True)

        with monkeypatch.context() as patched:
            patched.setattr(kept._writer, "save", watched(kept._writer.save))
            patched.setattr(checkpoints, "file_checksums", watched(checkpoints.file_checksums))
            patched.setattr(checkpoints.os, "fsync", watched(os.fsync))
            patched.setattr(Path, "rename", watched(Path.rename))
            patched.setattr(shutil, "rmtree", watched(shutil.rmtree, remove_one))
            states, begun = {2: small(20), 3: small(3), 5: small(5)}, []
            with pytest.raises(Killed):
                _ = [(begun.append(step), kept.save(step, state)) for step, state in states.items()]
    with Checkpoints(tmp_path, keep=2) as kept:
        found = kept.restore(small(0))
        assert found.passed_over == []
        assert any(same(found.state, small(value)) for value in (1, 2, 20, 3, 5))
        assert same(found.state, small(found.step)) or (found.step == 2 and same(found.state, small(20)))
        for step in kept.steps():
            kept.restore(small(0), step)
        kept.save(begun[-1], small(6))
        assert kept.latest() == begun[-1]
        assert same(kept.restore(small(0)).state, small(6))
        assert not [path for path in tmp_path.iterdir() if path.name.endswith((".writing", ".deleted"))]


def _stopped_in_a_save(process: subprocess.Popen[str], folder: Path, least: int) -> bool:
    """Stop a process that has saved some step; if it is not in a save, let it go on."""
    if not any((folder / str(step)).exists() for step in range(least, least + 50)):
        return False
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    if any(path.name.endswith(".writing") for path in folder.iterdir()):
        return True
    process.send_signal(signal.SIGCONT)
    return False


def test_a_kill_in_a_loop_of_saves_leaves_whole_ones(tmp_path):
    rng = random.Random(0)
    code = "with Checkpoints(folder, keep=2) as kept:\n"
    code += "    start = (kept.latest() or 0) + 1\n"
    code += "    [kept.save(step, state(step)) for step in range(start, 10**6)]\n"
    last = 0
    with Checkpoints(tmp_path) as kept:
        for _ in range(3):
            process = child(code, tmp_path)
            while not _stopped_in_a_save(process, tmp_path, last + 2):
                assert process.poll() is None, process.communicate()[0]
                time.sleep(rng.uniform(0, 0.03))
            process.send_signal(signal.SIGKILL)
            process.communicate()
            assert [path for path in tmp_path.iterdir() if path.name.endswith(".writing")]
            found = kept.restore(small(0))
            assert found.passed_over == []
            assert found.step == kept.latest()
            assert found.step > last
            assert same(found.state, small(found.step))
            last = found.step


def test_a_full_disk_is_named_and_what_was_there_loads(tmp_path):
    code = """
import resource
with Checkpoints(folder) as kept:
    kept.save(1, state(1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    try:
        kept.save(2, state(2))
    except OSError as error:
        print("OSError", error)
    print("restored", kept.restore(state(0)).step)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    kept.save(3, state(3))
    print("steps", kept.steps(), sorted(path.name for path in folder.iterdir()))
"""
    said = child(code, tmp_path).communicate(timeout=60)[0]
    assert f"OSError checkpoints: must be writable, got '{tmp_path}/2' (" in said
    assert "File too large" in said
    assert "restored 1\n" in said
    assert "steps [1, 3] ['1', '3']" in said


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "a").touch()
    with Checkpoints(tmp_path / "a") as kept, pytest.raises(OSError, match=r"must be writable, got .*/a/1' \(.*Error"):
        kept.save(1, small(1))


def test_processes_and_devices_may_change(tmp_path):
    """Two processes of two devices each read what one device wrote, pass over what is damaged, and write in turn."""
    values = np.arange(48, dtype=np.float32).reshape(4, 12)
    state = {"split": jnp.asarray(values), "same": jnp.asarray(values * 2), "none": jnp.zeros((0, 4))}
    state["count"] = jnp.asarray(7, jnp.int32)
    with Checkpoints(tmp_path / "one") as kept:
        kept.save(1, state)
        kept.save(2, jax.tree.map(lambda leaf: leaf + leaf, state))
    harmed(next((tmp_path / "one" / "2" / "state" / "ocdbt.process_0" / "d").iterdir()), "flipped")
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
with Checkpoints(folder / "one") as kept:
    step, found, passed = kept.restore(like)
    assert (step, len(passed)) == (1, 1), (step, passed)
    assert found["split"].sharding == like["split"].sharding
    assert found["split"].addressable_data(0).shape == (1, 12)
    print("passed", passed)
with Checkpoints(folder / "four", keep=1) as kept:
    kept.save(5, found)
    kept.save(6, found)
    assert kept.steps() == [6]
    assert kept.restore(like).step == 6
print("done")
"""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    flags = "--xla_force_host_platform_device_count=2"
    pair = [child(code, tmp_path, address, number, XLA_FLAGS=flags) for number in (0, 1)]
    said = [process.communicate(timeout=120)[0] for process in pair]
    assert all(text.endswith("done\n") for text in said), said
    assert "must be as saved, got 'other bytes'" in said[0]
    assert "another process failed" in said[1]
    with Checkpoints(tmp_path / "four") as kept:
        found = kept.restore(state)
    assert found.step == 6
    assert same(found.state, state)
    assert found.state["split"].sharding.device_set == {jax.devices()[0]}
