"""The examples in docstrings run and print what they say."""

# pyright: reportAttributeAccessIssue=false

import doctest
from importlib import import_module
from pkgutil import walk_packages

import pytest

from circuits import tasks

MODULES = [module.name for module in walk_packages(tasks.__path__, "circuits.tasks.") if not module.ispkg]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module(name):
    output = []
    runner = doctest.DocTestRunner()
    for example in doctest.DocTestFinder().find(import_module(name), name):
        runner.run(example, out=output.append)
    assert runner.failures == 0, "".join(output)


def test_no_name_is_hidden_by_a_module():
    assert all(callable(getattr(tasks, name)) for name in tasks.__all__)
