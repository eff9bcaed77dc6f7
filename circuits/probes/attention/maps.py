"""The record that attention figures and pages draw: patterns of every layer and head over named positions."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from circuits import checks, display
from circuits.display import Figure

ALIGNED = "parts of the graph: s start, n1, n2, ... the path, g goal, x1, x2, ... nodes off the path"
"""The note on rows and columns of a record in the aligned order."""
MAX_ON_PAGE = 200_000
"""Entries of patterns that are displayed as an interactive page; it holds 3 bytes, with errors 6, for each."""


class AttentionMaps(NamedTuple):
    """Attention of L layers and H heads (1 for the mean over heads), of one sequence or averaged over examples.

    In the aligned order, position i is the same part of the graph in every example, and the pattern may be nonzero
    above the diagonal.
    """

    patterns: Float[np.ndarray, "L H T T"]
    """Attention from query (down) to key (across), from 0 to 1; every row sums to 1."""
    tokens: tuple[str, ...]
    """The text at each position, T strings."""
    roles: tuple[str, ...]
    """The role of each position, such as "start", "goal", "path", "distractor"; "" for none."""
    query: int
    """The query position, where the branching token is predicted."""
    heads: tuple[str, ...]
    """Names of the H heads: "0" .. "H-1", or "mean of 8"."""
    title: str
    notes: dict[str, object]
    """Remarks to display, by name, such as the number of examples: values for JSON."""
    errors: Float[np.ndarray, "L H T T"] | None = None
    """Standard errors of the means over examples."""
    positions: Int[np.ndarray, " T"] | None = None
    """The position in the sequence of each row and column, if it is not the index."""
    examples: Float[np.ndarray, "n L H T T"] | None = None
    """The patterns of the first n examples, one by one."""

    def plot(
        self, *, head: int | str = "mean", scale: str = "linear", columns: int = 4, title: str | None = None
    ) -> Figure:
        """Draw one panel per layer with the query outlined, by ``circuits.plotting.attention_grid``.

        Args:
            head: an attention head from 0; "mean" over all of them; or "all", which puts layers down and heads across.
            scale: of the colours from 0 to 1, "linear" or "root", the square root.
            columns: panels side by side, unless ``head`` is "all".
            title: by default that of the record, and the head.

        Returns:
            A figure with one axes for each panel.

        Raises:
            ValueError: if the record is not consistent, or has no such head, or for another scale.

        Example:
            >>> maps = AttentionMaps(np.ones((2, 1, 1, 1)), ("a",), ("start",), 0, ("0",), "model", {})
            >>> [ax.get_title() for ax in maps.plot().axes[:2]]
            ['Layer 0', 'Layer 1']
        """
        return display.plotting.attention_grid(self, head=head, scale=scale, columns=columns, title=title)

    @display.safe
    def _repr_html_(self) -> str:
        """Return the interactive page in a frame of its own, or the figure if there are very many patterns."""
        if self.patterns.size + (0 if self.examples is None else self.examples.size) > MAX_ON_PAGE:
            return display.paragraph(f"{self.title}: attention from query (down) to key") + display.picture(self.plot())
        return display.plotting.attention_page(self)._repr_html_()


def check_maps(maps: AttentionMaps) -> None:
    """Raise ValueError unless names, roles and query fit the patterns, and these are finite and between 0 and 1."""
    shape = maps.patterns.shape
    square = len(shape) == 4 and shape[2] == shape[3] and min(shape) > 0
    checks.require(square, "patterns", "must be [L, H, T, T], none of them 0", shape)
    _check_weights("patterns", maps.patterns)
    for field, length in (("tokens", shape[2]), ("roles", shape[2]), ("heads", shape[1])):
        count = len(getattr(maps, field))
        checks.require(count == length, field, f"must hold {length} texts", count)
    checks.integer("query", maps.query, min_value=0, max_value=shape[2] - 1)
    if maps.errors is not None:
        checks.shape("errors", maps.errors, shape)
    if maps.examples is not None:
        like = len(maps.examples) > 0 and maps.examples.shape[1:] == shape
        checks.require(like, "examples", f"must be [n, L, H, T, T] with the patterns' {shape}", maps.examples.shape)
        _check_weights("examples", maps.examples)


def _check_weights(argument: str, patterns: np.ndarray) -> None:
    checks.finite(argument, patterns)
    low, high = float(patterns.min()), float(patterns.max())
    checks.require(low >= 0 and high <= 1 + 1e-3, argument, "must lie between 0 and 1", (low, high))
