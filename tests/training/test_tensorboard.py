"""What is written to TensorBoard, with a writer that only remembers."""

import sys
from types import SimpleNamespace

import pytest

from circuits.training import tensorboard
from circuits.training.loop import Report


class Remembering:
    def __init__(self, folder):
        self.folder, self.told, self.flushed = folder, [], 0
        Remembering.last = self

    def add_scalar(self, name, value, step):
        self.told.append((name, value, step))

    def flush(self):
        self.flushed += 1


def test_every_number_of_every_seed(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboardX", SimpleNamespace(SummaryWriter=Remembering))
    show = tensorboard.writer(tmp_path / "events")
    records = [
        {"step": 5, "seed": seed, "loss": seed + 0.5, "test_forced": [0.1, 0.2], "device": "x"} for seed in (0, 1)
    ]
    show(Report(5, records, []))
    told = {name: (value, step) for name, value, step in Remembering.last.told}
    assert told == {
        "loss/seed 0": (0.5, 5),
        "loss/seed 1": (1.5, 5),
        **{f"test_forced/{i}/seed {seed}": ((i + 1) / 10, 5) for i in (0, 1) for seed in (0, 1)},
    }
    assert Remembering.last.folder == str(tmp_path / "events")
    assert Remembering.last.flushed == 1


def test_a_missing_package_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ValueError, match="tensorboard: must be off unless tensorboardX is installed"):
        tensorboard.writer(tmp_path)
