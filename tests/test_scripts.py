"""Every figure script draws from committed data, and every benchmark runs at toy size."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from matplotlib.figure import Figure

ROOT = Path(__file__).parents[1]
HELPERS = {"common", "measure", "capture_sides"}
FIGURES = sorted(path for path in ROOT.glob("figures/*.py") if path.stem not in HELPERS)
BENCHMARKS = sorted(path for path in ROOT.glob("benchmarks/*.py") if path.stem not in HELPERS)
WRITTEN = {
    "attention_emerging": {"attention_emerging.gif"},
    "reverse_circuit": {"reverse_circuit.png", "what_each_layer_knows.png"},
    "transfer_matrices": {"transfer_matrices.png", "transfer_matrices_without_injection.png"},
    "walks_accuracy": {"walks_accuracy.png", "walks_accuracy_by_hop.png"},
}
"""What a figure script writes, if not one figure of its own name."""
SLOW = {"adjacency", "capture", "flow", "gradients", "speculative"}


def load(path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import a script, whose helpers are beside it."""
    monkeypatch.syspath_prepend(str(path.parent))
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def times(folder: Path) -> dict[Path, int]:
    """When each file was last written; bytecode is in a folder of its own."""
    return {file: file.stat().st_mtime_ns for file in folder.iterdir() if file.is_file()}


def check_figures(path: Path, toy: bool, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    savefig = Figure.savefig

    def quick(self: Figure, *to: Any, **options: Any) -> None:
        """Draw once and small: no layout."""
        self.set_layout_engine("none")
        savefig(self, *to, **options | {"dpi": 20})

    monkeypatch.setattr(Figure, "savefig", quick)
    before = times(path.parent)
    load(path, monkeypatch).main(toy=toy, out=out)
    assert {file.name for file in out.iterdir()} == WRITTEN.get(path.stem, {f"{path.stem}.png"})
    assert before == times(path.parent)


@pytest.mark.parametrize("path", FIGURES, ids=lambda path: path.stem)
def test_a_figure_is_drawn_from_committed_data(path, tmp_path, monkeypatch):
    check_figures(path, path.stem == "attention_emerging", tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("path", [p for p in FIGURES if p.with_suffix(".npz").exists()], ids=lambda path: path.stem)
def test_stored_data_is_computed(path, tmp_path, monkeypatch):
    check_figures(path, True, tmp_path, monkeypatch)


@pytest.mark.parametrize(
    "path", [pytest.param(p, marks=[pytest.mark.slow] * (p.stem in SLOW), id=p.stem) for p in BENCHMARKS]
)
def test_a_benchmark_reports(path, monkeypatch, capsys):
    load(path, monkeypatch).main(["--toy"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines
    for line in lines:
        assert {"name", "ours", "unit", "device"} <= line.keys()
        assert ("peer" in line) == ("ratio" in line)
