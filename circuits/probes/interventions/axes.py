"""Names and labels for the axes of a sweep, by which its effects are drawn."""

from dataclasses import dataclass

import jax
import numpy as np

from circuits.probes.interventions.pairs import PlanningTwins
from circuits.probes.layout import aligned_names


@jax.tree_util.register_static
@dataclass(frozen=True)
class Axis:
    """One axis of a sweep.

    Args:
        name: such as "layer".
        labels: a label for each entry.
        roles: the role of each entry, if entries are positions in the aligned order.
    """

    name: str
    labels: tuple[str, ...]
    roles: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name} [{len(self.labels)}]"


def numbered(name: str, count: int) -> Axis:
    """Return an axis whose labels are 0 .. count - 1."""
    return Axis(name, tuple(map(str, range(count))))


def unnamed(shape: tuple[int, ...]) -> tuple[Axis, ...]:
    """Return axes for effects of which nothing is known but the shape."""
    return tuple(numbered(f"axis {number}", count) for number, count in enumerate(shape))


def position_axis(twins: PlanningTwins, aligned: bool) -> Axis:
    """Return the axis of positions as written, or of the entries of the aligned order."""
    if not aligned:
        return numbered("position", twins.clean_tokens.shape[-1])
    return Axis("position", *aligned_names(jax.tree.map(lambda part: np.asarray(part)[0], twins.layout)))
