"""The config of the star-graph task."""

from dataclasses import dataclass
from typing import ClassVar

from circuits.tasks.config import ProblemsConfig


@dataclass(frozen=True, kw_only=True)
class StarConfig(ProblemsConfig):
    """Star graphs: paths that share their start; the goal is the end of one of them.

    Args:
        paths: number of paths of a star.

    Raises:
        ValueError: naming the field that is out of range.
    """

    graph: ClassVar[str] = "star"
    paths: int = 2
