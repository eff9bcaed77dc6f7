"""The pinned packages: names and versions alone, for every Python from the lowest that the project supports."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
PINS = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()


def test_a_pin_is_a_name_and_a_version():
    assert not [line for line in PINS if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line)]


def test_pinned_packages_accept_the_first_python_that_we_support():
    """A package that needs a later patch release, 3.11.5, cannot be installed everywhere."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    first = project["requires-python"].removeprefix(">=") + ".0"
    needs = {}
    for line in PINS:
        name = line.partition("==")[0]
        try:
            needs[name] = metadata(name)["Requires-Python"] or ""
        except PackageNotFoundError:  # an environment with fewer extras
            continue
    assert len(needs) > 50
    assert not {name: rule for name, rule in needs.items() if not SpecifierSet(rule).contains(first)}
