"""Folder order is import order: a folder imports only from folders above it in the lists below."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
CIRCUITS = (
    *("typing", "checks", "cores", "files", "display", "tasks", "disentangled", "flow", "one_layer", "transformer"),
    *("training", "pretrained", "models", "probes", "plotting", "cli"),
)
PROOFS = ("ledger", "methods", "planning", "transfer", "sources", "verification", "prose", "command", "attack")
OUTSIDE = ("figures", "benchmarks", "examples")
ORDER = [
    *(f"circuits.{name}" for name in CIRCUITS),
    *(f"proofs_check.{name}" for name in PROOFS),
    *OUTSIDE,
]
ANYWHERE = {"circuits", "proofs_check"}
"""The public names of a package: lazy, and never imported by the package itself."""
UPWARD = {"circuits.display": {"circuits.plotting"}}
"""The one exception: records draw themselves through ``display.plotting``, whose names are imported on first use."""
FILES = [path for folder in (*ANYWHERE, *OUTSIDE) for path in ROOT.glob(f"{folder}/**/*.py")]


def folder_of(module: str) -> str:
    parts = module.split(".")
    return parts[0] if parts[0] in OUTSIDE else ".".join(parts[:2])


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(source: str) -> set[str]:
    """Every module and name that a source imports, wherever in it the import stands."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def level(folder: str) -> int:
    """The place of a folder in the order; a public name of a package stands behind the package's last folder."""
    if folder in ORDER:
        return ORDER.index(folder)
    return max(number for number, name in enumerate(ORDER) if name.split(".")[0] == folder.split(".")[0])


def upward(folder: str, source: str) -> list[str]:
    """What a file of a folder imports from folders that stand behind its own."""
    ours = {name for name in imports(source) if name.split(".")[0] in {*ANYWHERE, *OUTSIDE}}
    return sorted(name for name in ours - UPWARD.get(folder, set()) if level(folder_of(name)) > level(folder))


def test_imports_run_downward():
    faults = {
        module_of(path): wrong
        for path in FILES
        if folder_of(module_of(path)) not in ANYWHERE
        if (wrong := upward(folder_of(module_of(path)), path.read_text()))
    }
    assert not faults


def test_every_folder_is_in_the_order():
    unknown = {folder_of(module_of(path)) for path in FILES} - set(ORDER) - ANYWHERE - {"circuits.__main__"}
    assert not unknown


def test_the_rule_can_fail():
    assert upward("circuits.flow", "from circuits.training import data") == ["circuits.training.data"]
    assert upward("circuits.flow", "def f():\n    import proofs_check.prose") == ["proofs_check.prose"]
    assert upward("proofs_check.planning", "from circuits.flow.solve import solve") == []


def test_no_pickles_and_no_torch():
    forbidden = {"pickle", "torch", "dill", "joblib"}
    faults = {str(path) for path in FILES if {name.split(".")[0] for name in imports(path.read_text())} & forbidden}
    assert not faults
