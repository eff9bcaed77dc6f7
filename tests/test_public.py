"""Every public name can be imported, says what it takes and returns, and has an example that runs."""

import doctest
import importlib
import inspect

import pytest

PACKAGES = (
    "circuits",
    "circuits.flow",
    "circuits.plotting",
    "circuits.pretrained",
    "circuits.probes",
    "circuits.tasks",
    "circuits.transformer",
    "circuits.transformer.heads",
    "proofs_check",
)
PUBLIC = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in map(importlib.import_module, PACKAGES)
    for name in module.__all__
}
FUNCTIONS = {name: value for name, value in PUBLIC.items() if inspect.isfunction(inspect.unwrap(value))}


def lacking(*sections: str) -> list[str]:
    """The public functions whose docstrings lack a section that they need."""
    faults = []
    for name, function in FUNCTIONS.items():
        text, signature = inspect.getdoc(function) or "", inspect.signature(function)
        needed = {"Args:": bool(signature.parameters), "Example:": True}
        faults += [f"{name}: {section}" for section in sections if needed[section] and section not in text]
    return sorted(faults)


def test_every_name_has_a_docstring():
    assert not [name for name, value in PUBLIC.items() if not inspect.getdoc(value)]


def test_every_function_explains_its_arguments():
    assert not lacking("Args:")


def test_every_function_has_an_example():
    assert not lacking("Example:")


@pytest.mark.parametrize("package", PACKAGES)
def test_the_examples_run(package):
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    finder = doctest.DocTestFinder(recurse=False)
    for name, value in PUBLIC.items():
        if name.rpartition(".")[0] == package and not inspect.ismodule(value):
            module = inspect.getmodule(inspect.unwrap(value)) if callable(value) else None
            for test in finder.find(value, name, module=False, globs=vars(module) | {} if module else {}):
                runner.run(test)
    assert runner.summarize().failed == 0
