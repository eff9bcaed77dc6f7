"""The examples in the docstrings of the public names run and print what they say."""

import doctest
from fractions import Fraction

import numpy as np
import pytest
import sympy
from flint import arb

import proofs_check

NAMES = [name for name in dir(proofs_check) if callable(getattr(proofs_check, name))]
IMPORTED = {"np": np, "sympy": sympy, "arb": arb, "Fraction": Fraction}


@pytest.mark.parametrize("name", NAMES)
def test_examples_of_a_public_name(name):
    names = {each: getattr(proofs_check, each) for each in dir(proofs_check)}
    finder = doctest.DocTestFinder(recurse=False)
    (found,) = finder.find(getattr(proofs_check, name), name, globs={**IMPORTED, **names})
    assert found.examples
    output = []
    result = doctest.DocTestRunner().run(found, out=output.append)
    assert result.failed == 0, "".join(output)
