"""Execute the notebooks and write them, with their outputs, to build/notebooks/*.ipynb.

Each runs in its folder in a fresh kernel, two at a time. A notebook is executed again if it or the package changed.
"""

import argparse
import asyncio
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from circuits.files import write_bytes

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "notebooks"
EXECUTED = ROOT / "build" / "notebooks"
PACKAGES = ("circuits", "proofs_check", "checkpoints")
JOBS = 2
SECONDS_PER_CELL = 600
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


async def execute(notebook: Any, folder: Path = SOURCES) -> Any:
    """Run all cells in a folder. Raises CellExecutionError, with the cell's traceback, if one fails.

    A manager without kernel folders takes the kernel that ipykernel itself describes, which runs ``sys.executable``.
    """
    client = NotebookClient(
        notebook,
        timeout=SECONDS_PER_CELL,
        record_timing=False,
        extra_arguments=["--IPKernelApp.log_level=ERROR"],  # no warning that the kernel talks to us through TCP
        resources={"metadata": {"path": str(folder)}},
    )
    # A manager passed to the constructor would have to be shut down by the caller.
    client.km = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))
    return await client.async_execute()


def stale(source: Path, executed: Path) -> bool:
    """Return whether a notebook has to be executed: it or a file of the package is newer than its outputs."""
    if not executed.exists():
        return True
    files = [path for name in PACKAGES for path in (ROOT / name).rglob("*") if path.suffix not in ("", ".pyc")]
    return max(path.stat().st_mtime for path in (source, *files)) > executed.stat().st_mtime


def listing(folder: Path) -> set[Path]:
    """Return the files in a folder, except for bytecode."""
    return {path for path in folder.rglob("*") if "__pycache__" not in path.parts}


async def execute_all(sources: Iterable[Path]) -> bool:
    """Execute notebooks and write those that run to the end; return whether all did and none wrote into its folder."""
    slots = asyncio.Semaphore(JOBS)

    async def one(source: Path) -> bool:
        async with slots:
            started, before = time.time(), time.perf_counter()
            try:
                notebook = await execute(jupytext.read(source))
            except CellExecutionError as error:
                print(f"{source.name}: a cell failed\n{COLOURS.sub('', str(error))}", file=sys.stderr, flush=True)
                return False
            for number, cell in enumerate(notebook.cells):
                cell["id"] = f"cell-{number}"
            EXECUTED.mkdir(parents=True, exist_ok=True)
            path = EXECUTED / f"{source.stem}.ipynb"
            write_bytes(path, nbformat.writes(notebook).encode())
            os.utime(path, (started, started))  # what changed during the run is newer than the outputs
            print(f"{source.name}: {time.perf_counter() - before:.0f} s", flush=True)
            return True

    earlier = listing(SOURCES)
    results = await asyncio.gather(*map(one, sources))
    added = sorted(str(path) for path in listing(SOURCES) - earlier)
    if added:
        print(f"A notebook must write nothing into its folder, but these are new: {', '.join(added)}", file=sys.stderr)
    return all(results) and not added


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="numbers or beginnings of names, such as 05; by default all")
    parser.add_argument("--force", action="store_true", help="execute them even if nothing changed")
    options = parser.parse_args()
    names = tuple(options.names) or ("",)
    sources = [path for path in sorted(SOURCES.glob("*.py")) if path.name.startswith(names)]
    if not sources:
        parser.error(f"names: must be beginnings of names in {SOURCES}, got {', '.join(names)}")
    wanted = [path for path in sources if options.force or stale(path, EXECUTED / f"{path.stem}.ipynb")]
    print(f"{len(wanted)} of {len(sources)} notebooks to execute, results in {EXECUTED}", flush=True)
    with tempfile.TemporaryDirectory() as own:  # no settings of the user, and no history in the user's home
        for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
            os.environ[name] = own
        sys.exit(not asyncio.run(execute_all(wanted)))


if __name__ == "__main__":
    main()
