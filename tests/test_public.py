"""Every public name can be imported, says what it takes and returns, and has an example that runs."""

import doctest
import importlib
import inspect

import pytest

PACKAGES = (
    "circuits",
    "circuits.disentangled",
    "circuits.flow",
    "circuits.one_layer",
    "circuits.plotting",
    "circuits.pretrained",
    "circuits.probes",
    "circuits.tasks",
    "circuits.training",
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
EXAMPLES_TESTED_ELSEWHERE = {"circuits.tasks", "proofs_check"}


def lacking(section: str) -> list[str]:
    """Return the public functions whose docstrings lack a section; those without parameters need no Args."""
    needing = (name for name, value in FUNCTIONS.items() if section != "Args:" or inspect.signature(value).parameters)
    return [name for name in needing if section not in (inspect.getdoc(FUNCTIONS[name]) or "")]


def test_every_name_has_a_docstring():
    documented = {name: value for name, value in PUBLIC.items() if inspect.isclass(value) or name in FUNCTIONS}
    assert not [name for name, value in documented.items() if not inspect.getdoc(value)]


def test_every_function_explains_its_arguments():
    assert not lacking("Args:")


def test_every_function_has_an_example_and_none_is_skipped():
    assert not lacking("Example:")
    assert not [name for name, value in FUNCTIONS.items() if "+SKIP" in (inspect.getdoc(value) or "")]


@pytest.mark.parametrize("package", sorted(set(PACKAGES) - EXAMPLES_TESTED_ELSEWHERE))
def test_the_examples_run(package):
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    finder = doctest.DocTestFinder(recurse=False)
    for name, value in PUBLIC.items():
        if name.rpartition(".")[0] == package and not inspect.ismodule(value):
            module = inspect.getmodule(inspect.unwrap(value)) if callable(value) else None
            for test in finder.find(value, name, module=False, globs=vars(module) | {} if module else {}):
                runner.run(test)
    assert runner.summarize().failed == 0
