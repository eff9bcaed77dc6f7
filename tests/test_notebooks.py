"""Every notebook runs in its folder, from first cell to last, in a fresh kernel, and is stored without outputs."""

import subprocess
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

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.py"))
SECONDS_PER_CELL = 300
MAX_IMPORT_LINES = 6


def execute(notebook: Any, folder: Path = FOLDER) -> Any:
    """Run all cells in a folder; raises what a cell raises, with the cell's traceback.

    A manager without kernel folders takes the kernel that ipykernel itself describes, which runs ``sys.executable``.
    """
    client = NotebookClient(notebook, timeout=SECONDS_PER_CELL, resources={"metadata": {"path": str(folder)}})
    # A manager passed to the constructor would have to be shut down by the caller.
    client.km = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))
    return client.execute()


@pytest.fixture(autouse=True)
def own_settings(tmp_path, monkeypatch):
    """No settings of the user."""
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path))


def files() -> set[Path]:
    return {path for path in FOLDER.rglob("*") if "__pycache__" not in path.parts}


@pytest.mark.slow  # `make notebooks`
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_where_it_lies_and_writes_nothing_there(path):
    before = files()
    execute(jupytext.read(path))
    assert files() == before


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs_and_imports_little(path):
    cells = jupytext.read(path).cells
    assert {cell.cell_type for cell in cells} == {"code", "markdown"}
    assert not [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]
    lines = [line for cell in cells if cell.cell_type == "code" for line in cell.source.splitlines()]
    imports = [line for line in lines if line.lstrip().startswith(("import ", "from "))]
    assert 0 < len(imports) <= MAX_IMPORT_LINES
    assert not [line for line in imports if line.endswith("(")]


def test_only_scripts_are_committed():
    tracked = subprocess.run(["git", "ls-files", "."], cwd=FOLDER, capture_output=True, text=True)
    if tracked.returncode:
        pytest.skip("the tests are not in a git repository")
    assert {Path(name).suffix for name in tracked.stdout.splitlines()} == {".py"}


def test_a_cell_that_fails_fails_the_test():
    environment = new_code_cell("import os, sys\nprint(sys.executable, os.getcwd())")
    failing = new_code_cell("tokens = [3, 7]\nassert tokens == [7, 3], 'not the path'")
    notebook = new_notebook(cells=[environment, failing])
    with pytest.raises(CellExecutionError, match=r"(?s)assert tokens == \[7, 3\].*AssertionError.*not the path"):
        execute(notebook)
    assert notebook.cells[0].outputs[0].text.split() == [sys.executable, str(FOLDER)]
