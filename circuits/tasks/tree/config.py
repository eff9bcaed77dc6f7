"""The config of the binary-tree task."""

from dataclasses import dataclass
from typing import ClassVar

from circuits.tasks.config import ProblemsConfig


@dataclass(frozen=True, kw_only=True)
class TreeConfig(ProblemsConfig):
    """Complete binary trees; the goal is a leaf.

    Raises:
        ValueError: naming the field that is out of range.
    """

    graph: ClassVar[str] = "tree"
