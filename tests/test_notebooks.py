"""Every notebook runs from first cell to last, in a fresh kernel of this interpreter, and carries no outputs."""

import sys
from pathlib import Path
from typing import Any

import jupytext
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_notebook

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.py"))
SECONDS_PER_CELL = 300
COMPILES_MUCH = ("01_the_circuit_by_hand",)
"""Notebooks that compile many programs and run each of them once, so that optimising these takes longer."""


def execute(notebook: Any) -> Any:
    """Run all cells in the repository root. What a cell raises, this raises, with the cell's traceback.

    Without folders to search, the manager takes the kernel that ipykernel describes itself, which runs
    ``sys.executable``, whatever kernels are installed for the user.
    """
    client = NotebookClient(notebook, timeout=SECONDS_PER_CELL, resources={"metadata": {"path": str(ROOT)}})
    # Given to the constructor, the manager would be the caller's to shut down.
    client.km = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))
    return client.execute()


@pytest.fixture(autouse=True)
def no_settings_of_the_user(tmp_path, monkeypatch):
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, monkeypatch):
    if path.stem in COMPILES_MUCH:
        monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    execute(jupytext.read(path))


def test_there_is_a_notebook():
    assert NOTEBOOKS


def test_only_scripts_are_kept_so_no_outputs():
    assert {path.suffix for path in FOLDER.iterdir() if path.is_file()} <= {".py"}
    for path in NOTEBOOKS:
        cells = jupytext.read(path).cells
        assert {cell.cell_type for cell in cells} == {"code", "markdown"}
        assert not [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]


def test_a_cell_that_fails_fails_the_test():
    here = new_code_cell("import os, sys\nprint(sys.executable, os.getcwd())")
    notebook = new_notebook(cells=[here, new_code_cell("tokens = [3, 7]\nassert tokens == [7, 3], 'not the path'")])
    with pytest.raises(CellExecutionError, match=r"(?s)assert tokens == \[7, 3\].*AssertionError.*not the path"):
        execute(notebook)
    assert notebook.cells[0].outputs[0].text.split() == [sys.executable, str(ROOT)]
