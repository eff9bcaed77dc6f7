"""The examples in docstrings run and print what they say."""

# pyright: reportAttributeAccessIssue=false

import doctest
from importlib import import_module
from pkgutil import walk_packages

import pytest

from circuits import tasks

MODULES = [module.name for module in walk_packages(tasks.__path__, "circuits.tasks.") if not module.ispkg]
WITHOUT_EXAMPLE = {"write_graph", "write_walks"}  # shown in the examples of read_graph and read_walks


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module(name):
    output = []
    runner = doctest.DocTestRunner()
    for example in doctest.DocTestFinder().find(import_module(name), name):
        runner.run(example, out=output.append)
    assert runner.failures == 0, "".join(output)


def test_public_functions_have_examples_and_no_name_is_hidden_by_a_module():
    functions = {name: getattr(tasks, name) for name in tasks.__all__ if name[0].islower()}
    assert all(callable(function) for function in functions.values())
    without = {name for name, function in functions.items() if ">>>" not in function.__doc__}
    assert without == WITHOUT_EXAMPLE
