"""Devices and processes: the losses of one device to rounding, and checkpoints that any number of them can read."""

from dataclasses import replace

import jax
import pytest

from circuits.training import run_folder
from circuits.training.devices import Devices
from circuits.training.parallel import mesh
from circuits.training.stored import read_run
from circuits.training.transformer import train
from tests.cases import assert_close

ROUNDING = 1e-5


def losses(folder) -> list[tuple[int, float, list[float]]]:
    return [(line["step"], line["loss"], line["head_losses"]) for line in run_folder.read_metrics(folder)]


@pytest.fixture(scope="module")
def alone(tmp_path_factory, finished):
    """Six steps on one device, each with its loss."""
    folder, config = tmp_path_factory.mktemp("alone") / "run", replace(finished[1], seeds=1, steps=6)
    config = replace(config, evaluate_every=1, checkpoint_every=3)
    return folder, config, train(config, folder)


FOUR = """
import os, sys
from dataclasses import replace
from pathlib import Path
import jax
from jax._src import xla_bridge
from circuits.training import run_folder, transformer
from circuits.training.config import TrainConfig
from circuits.training.devices import Devices
from circuits.training.parallel import start
jax.config.update("jax_enable_x64", True)
four = Devices(cpu_devices=4)
assert not xla_bridge.backends_are_initialized()
start(four)
assert not xla_bridge.backends_are_initialized()
assert os.environ["NPROC"] == "64"
assert jax.device_count() == 4
threads = next(line for line in open("/proc/self/status") if line.startswith("Threads"))
print("threads", threads.split()[1])
config = run_folder.read_config(Path(sys.argv[1]), TrainConfig)
for axis in map(int, sys.argv[3:]):
    state = transformer.train(config, Path(sys.argv[2]) / str(axis), replace(four, model_axis=axis))
    shapes = [(leaf.shape, leaf.addressable_data(0).shape) for leaf in jax.tree.leaves(state.params)]
    print("split", sum(whole != part for whole, part in shapes), "of", len(shapes))
print("on", {line["device"] for line in run_folder.read_metrics(Path(sys.argv[2]) / str(axis))})
"""


@pytest.mark.slow
@pytest.mark.parametrize("axis", [2, 1])
def test_four_devices_of_one_process_have_the_losses_of_one(tmp_path, alone, start, axis):
    """The batch over four; or over two, and each matrix over two."""
    folder, config, state = alone
    said = start(folder, tmp_path, axis, code=FOUR).communicate(timeout=300)[0]
    lines = said.splitlines()
    assert lines[-1].startswith("on {'4 x "), said
    assert int(lines[-3].split()[1]) >= 64, "XLA makes the threads that NPROC asks for"
    leaves = jax.tree.leaves(state.params)
    matrices = sum(leaf.ndim > 2 for leaf in leaves)
    assert lines[-2] == f"split {matrices * (axis - 1)} of {len(leaves)}"
    assert matrices > 5
    there = tmp_path / str(axis)
    assert_close(losses(there), losses(folder), atol=ROUNDING)
    assert losses(folder)[-1][1] < losses(folder)[0][1] - 0.05
    # A run may go on with other devices: what four wrote, one reads.
    more = replace(config, steps=8)
    grown = train(more, there, resume=True)
    whole = train(more, tmp_path / "whole")
    # Adam divides by the gradient, and so enlarges the rounding of small ones.
    assert_close(jax.tree.leaves(grown.params), jax.tree.leaves(whole.params), atol=1e-3)
    assert [step for step, *_ in losses(there)] == list(range(1, 9))
    assert_close(losses(there), losses(tmp_path / "whole"), atol=ROUNDING)


def pair(start, address: str, *arguments: object) -> list[str]:
    """What two processes of two devices each said; both ended well."""
    places = "--devices.processes=2", f"--devices.coordinator={address}", "--devices.cpu-devices=2"
    both = [start("train", "tiny-ntp", *arguments, *places, f"--devices.process={number}") for number in (0, 1)]
    said = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    return said


@pytest.mark.slow
@pytest.mark.parametrize(("steps", "model_axis"), [(8, 1), (30, 2)])
def test_two_processes_of_two_devices_have_the_losses_of_one(tmp_path, tiny, flags, start, address, steps, model_axis):
    """An evaluation at each step; then one process goes on with what the two left."""
    config = replace(tiny, steps=steps, evaluate_every=1)
    train(config, tmp_path / "whole")
    more = [f"--steps={steps}", "--evaluate-every=1", f"--devices.model-axis={model_axis}"]
    said = pair(start, address, *flags, *more, "--out", tmp_path / "two")
    # The library that joins processes tells of each connection, from several threads at once.
    assert [f"wrote {tmp_path}/two" in text for text in said] == [True, False], "only the first process speaks"
    assert "loss" not in said[1]
    assert_close(losses(tmp_path / "two"), losses(tmp_path / "whole"), atol=ROUNDING)
    (model,) = read_run(tmp_path / "two")
    assert model.notes["step"] == steps
    longer = replace(config, steps=steps + 2)
    train(longer, tmp_path / "two", resume=True)
    train(longer, tmp_path / "whole", resume=True)
    assert [step for step, *_ in losses(tmp_path / "two")] == list(range(1, steps + 3))
    assert_close(losses(tmp_path / "two"), losses(tmp_path / "whole"), atol=ROUNDING)


@pytest.mark.slow
def test_two_processes_go_on_with_what_one_left(tmp_path, tiny, flags, start, address):
    train(replace(tiny, steps=4, evaluate_every=1), tmp_path / "one")
    pair(start, address, *flags, "--evaluate-every=1", "--resume", "--out", tmp_path / "one")
    assert [step for step, *_ in losses(tmp_path / "one")] == list(range(1, 9))
    train(replace(tiny, evaluate_every=1), tmp_path / "whole")
    assert_close(losses(tmp_path / "one"), losses(tmp_path / "whole"), atol=ROUNDING)


@pytest.mark.slow
def test_a_run_that_the_first_process_refuses_ends_the_others(tmp_path, tiny, flags, start, address):
    run_folder.claim(tmp_path / "run", tiny, resume=False)
    places = "--devices.processes=2", f"--devices.coordinator={address}", "--devices.cpu-devices=2"
    arguments = "train", "tiny-ntp", *flags, *places, "--out", tmp_path / "run"
    both = [start(*arguments, f"--devices.process={number}") for number in (0, 1)]
    said = [process.communicate(timeout=120)[0] for process in both]
    assert "folder: must be new or empty, for it holds a run" in said[0]
    assert both[0].returncode == 2
    assert both[1].returncode != 0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        *(({name: 0}, f"{name}: must be an integer at least 1, got 0") for name in ("cpu_devices", "model_axis")),
        ({"processes": 0}, "processes: must be an integer at least 1, got 0"),
        ({"process": 1}, "process: must be an integer between 0 and 0, got 1"),
        ({"processes": 2, "coordinator": "host"}, "coordinator: must be HOST:PORT for several processes, got 'host'"),
    ],
)
def test_devices_that_cannot_be(fields, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        Devices(**fields)


def test_a_mesh_must_divide_the_devices_and_the_batch(monkeypatch):
    assert mesh(Devices(), 7).shape == {"data": 1, "model": 1}
    with pytest.raises(ValueError, match=r"^model_axis: must divide the 1 devices, got 2$"):
        mesh(Devices(model_axis=2), 8)
    monkeypatch.setattr(jax, "device_count", lambda: 6)
    with pytest.raises(ValueError, match=r"^batch / accumulate: must be a multiple of the 3 devices .*, got 8$"):
        mesh(Devices(model_axis=2), 8)


def test_the_mesh_follows_the_machine_s_topology(monkeypatch):
    """The order of devices is left to jax, which knows how they are connected."""
    asked = []
    make_mesh = jax.make_mesh

    def asking(shape, names, **options):
        asked.append((shape, names))
        return make_mesh(shape, names, **options)

    monkeypatch.setattr(jax, "make_mesh", asking)
    mesh(Devices(), 8)
    assert asked == [((1, 1), ("data", "model"))]
