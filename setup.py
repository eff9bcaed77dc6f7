"""The packages; everything else about the distribution is in pyproject.toml.

The shipped checkpoints have their folder next to the packages, and are installed inside ``circuits``.
"""

from setuptools import find_namespace_packages, setup

setup(
    packages=[*find_namespace_packages(include=["circuits*", "proofs_check*"]), "circuits.checkpoints"],
    package_dir={"circuits.checkpoints": "checkpoints"},
)
