"""Imports run one way: from what stands later in LAYERS to what stands earlier, never back."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = [
    ("circuits.typing", "circuits.require"),
    ("circuits.tasks",),
    ("circuits.disentangled",),
    ("circuits.flow",),
    ("circuits.one_layer",),
    ("circuits.taps",),
    ("circuits.transformer",),
    ("circuits.pretrained",),
    ("circuits.probes",),
    (
        "circuits.plotting",
        "circuits.plotting_adjacency",
        "circuits.plotting_attention",
        "circuits.plotting_dynamics",
        "circuits.plotting_lines",
        "circuits.plotting_sweeps",
        "circuits.html",
    ),
    ("circuits.cli",),
    ("circuits.transformer.training", "circuits.transformer.sweeps"),
    ("circuits.training",),
    ("circuits.commands",),
    ("circuits",),
    ("proofs_check.ledger",),
    ("proofs_check.methods",),
    ("proofs_check.planning",),
    ("proofs_check.transfer",),
    ("proofs_check.sources",),
    ("proofs_check",),
    ("proofs_check.attack",),
    ("figures", "benchmarks", "notebooks", "examples", "tests"),
]
FILES = [
    path
    for folder in ("circuits", "proofs_check", "figures", "benchmarks", "examples")
    for path in ROOT.glob(f"{folder}/**/*.py")
]


def level(module: str) -> int:
    """The layer of the longest prefix of a module's name that LAYERS names."""
    names = {name: number for number, layer in enumerate(LAYERS) for name in layer}
    parts = module.split(".")
    prefixes = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    found = next((names[prefix] for prefix in prefixes if prefix in names), None)
    assert found is not None, f"{module} stands in no layer"
    return found


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path) -> set[str]:
    """Our own modules that a file imports, wherever in the file the import stands."""
    ours = {"circuits", "proofs_check", "tests", "figures", "benchmarks", "examples"}
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                is_module = (ROOT / Path(*inner.split("."))).with_suffix(".py").exists() or (
                    ROOT / Path(*inner.split("."))
                ).is_dir()
                found.add(inner if is_module else str(node.module))
    return {name for name in found if name.split(".")[0] in ours}


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_run_downward(path):
    own = level(module_of(path))
    upward = {name for name in imported(path) if level(name) > own}
    assert not upward, f"{module_of(path)} imports upward: {sorted(upward)}"


def test_the_rule_can_fail():
    assert level("circuits.disentangled.circuit") < level("circuits.flow.population") < level("proofs_check.ledger.run")
    assert (
        level("proofs_check.ledger.run") < level("proofs_check.methods.exact") < level("proofs_check.planning.lemma_3")
    )
    assert level("circuits.transformer.model") < level("circuits.cli") < level("circuits.transformer.training.loop")
    lemma_3 = imported(ROOT / "proofs_check" / "planning" / "lemma_3.py")
    assert lemma_3 >= {"circuits.disentangled.weights", "proofs_check.methods.setting"}


def test_no_pickles_and_no_torch():
    for path in FILES:
        words = {alias.split(".")[0] for alias in _all_imports(path)}
        assert not words & {"pickle", "torch", "dill", "joblib"}, path


def _all_imports(path: Path) -> set[str]:
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)]
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
