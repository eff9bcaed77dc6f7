"""Notebooks are stored without outputs and import little; executing them stops at a failing cell."""

import asyncio
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import jupytext
import pytest
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_notebook

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.py"))
MAX_IMPORT_LINES = 6
SOLUTION = {"tags": ["hide-cell"], "jupyter": {"source_hidden": True, "outputs_hidden": True}}

spec = importlib.util.spec_from_file_location("execute_notebooks", ROOT / "docs" / "execute_notebooks.py")
assert spec is not None
assert spec.loader is not None
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)


@pytest.fixture(autouse=True)
def own_settings(tmp_path, monkeypatch):
    """No settings of the user."""
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs_and_imports_little(path):
    cells = jupytext.read(path).cells
    assert {cell.cell_type for cell in cells} == {"code", "markdown"}
    assert not [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]
    lines = [line for cell in cells if cell.cell_type == "code" for line in cell.source.splitlines()]
    imports = [line for line in lines if line.lstrip().startswith(("import ", "from "))]
    assert 0 < len(imports) <= MAX_IMPORT_LINES
    assert not [line for line in imports if line.endswith("(")]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_opens_with_a_question_and_has_one_exercise_with_a_collapsed_solution(path):
    cells = jupytext.read(path).cells
    assert "?**" in cells[0].source
    hidden = [cell for cell in cells if dict(cell.metadata) == SOLUTION]
    assert len(hidden) == 1
    assert "assert" in hidden[0].source
    assert "## Exercise" in cells[cells.index(hidden[0]) - 1].source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_saving_an_unchanged_notebook_changes_nothing(path):
    assert jupytext.writes(jupytext.read(path), "py:percent") == path.read_text(encoding="utf-8")


def test_only_scripts_and_settings_of_jupyterlab_are_committed():
    tracked = subprocess.run(["git", "ls-files", "."], cwd=FOLDER, capture_output=True, text=True)
    if tracked.returncode:
        pytest.skip("the tests are not in a git repository")
    others = [name for name in tracked.stdout.splitlines() if Path(name).suffix != ".py"]
    assert set(others) <= {".jupyter/labconfig/default_setting_overrides.json"}


def test_jupyterlab_opens_scripts_as_notebooks():
    settings = json.loads((FOLDER / ".jupyter" / "labconfig" / "default_setting_overrides.json").read_text())
    assert settings["@jupyterlab/docmanager-extension:plugin"]["defaultViewers"]["python"] == "Jupytext Notebook"


def test_a_cell_that_fails_fails_the_execution_with_its_traceback():
    environment = new_code_cell("import os, sys\nprint(sys.executable, os.getcwd())")
    failing = new_code_cell("tokens = [3, 7]\nassert tokens == [7, 3], 'not the path'")
    notebook = new_notebook(cells=[environment, failing])
    with pytest.raises(CellExecutionError, match=r"(?s)assert tokens == \[7, 3\].*AssertionError.*not the path"):
        asyncio.run(tool.execute(notebook))
    assert notebook.cells[0].outputs[0].text.split() == [sys.executable, str(FOLDER)]


def test_executed_notebooks_hold_outputs_and_failures_and_written_files_are_reported(tmp_path, monkeypatch, capsys):
    for name in ("SOURCES", "EXECUTED"):
        monkeypatch.setattr(tool, name, tmp_path / name)
    tool.SOURCES.mkdir()
    scripts = {"good": "2 + 3", "bad": "1 / 0", "writes": "open('left', 'w').close()"}
    for name, cell in scripts.items():
        (tool.SOURCES / f"{name}.py").write_text(f"# %%\n{cell}\n")
    good, bad, writes = (tool.SOURCES / f"{name}.py" for name in scripts)

    async def execute(notebook, folder=tool.SOURCES, real=tool.execute):
        return await real(notebook, folder)

    monkeypatch.setattr(tool, "execute", execute)
    assert asyncio.run(tool.execute_all([good]))
    executed = tool.EXECUTED / "good.ipynb"
    assert jupytext.read(executed).cells[0].outputs[0].data["text/plain"] == "5"
    assert not asyncio.run(tool.execute_all([good, bad]))
    assert "bad.py: a cell failed" in (message := capsys.readouterr().err)
    assert "ZeroDivisionError" in message
    assert not (tool.EXECUTED / "bad.ipynb").exists()
    assert not asyncio.run(tool.execute_all([writes]))
    assert str(tool.SOURCES / "left") in capsys.readouterr().err


def test_a_notebook_is_stale_if_it_or_the_package_is_newer(tmp_path, monkeypatch):
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    source, module, executed = tmp_path / "a.py", tmp_path / "circuits" / "m.py", tmp_path / "a.ipynb"
    module.parent.mkdir()
    for path in (source, module):
        path.write_text("")
        os.utime(path, (100, 100))
    assert tool.stale(source, executed)
    executed.write_text("")
    os.utime(executed, (200, 200))
    assert not tool.stale(source, executed)
    os.utime(module, (300, 300))
    assert tool.stale(source, executed)
    os.utime(module, (100, 100))
    os.utime(source, (300, 300))
    assert tool.stale(source, executed)
