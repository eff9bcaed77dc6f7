"""A single letter in a shape annotation means one thing: it is in the glossary of ``circuits.typing``."""

import ast
import re
from pathlib import Path

from circuits import typing

ROOT = Path(__file__).parents[1]
GLOSSARY = set(re.findall(r"^    (\w)   ", str(typing.__doc__), re.MULTILINE))


def axes(source: str) -> set[str]:
    """The axis names of all shape annotations such as ``Float[Array, "n T"]``."""
    tuples = (node.slice for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Subscript))
    texts = (node.elts[1] for node in tuples if isinstance(node, ast.Tuple) and len(node.elts) == 2)
    shapes = (node.value for node in texts if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return {name.lstrip("*#") for shape in shapes for name in shape.split()}


def test_single_letters_are_in_the_glossary():
    assert {"T", "N", "d", "k"} <= GLOSSARY
    assert axes('def f(x: Float[Array, "*B Y"] | int) -> dict[str, Int[ndarray, " n"]]: ...') == {"B", "Y", "n"}
    paths = [*ROOT.glob("circuits/**/*.py"), *ROOT.glob("proofs_check/**/*.py")]
    letters = {str(path): {name for name in axes(path.read_text()) if re.fullmatch("[A-Za-z]", name)} for path in paths}
    assert not {path: names - GLOSSARY for path, names in letters.items() if names - GLOSSARY}
