"""A small drawing of a planning problem as SVG: its tree from left to right, with the path from start to goal."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from circuits import checks, display
from circuits.display import OTHER_ROLE, ROLE_COLOURS, Markup

STEP = 62
"""Pixels from a node to its successors."""
GAP = 34
"""Pixels between neighbouring leaves."""
RADIUS = 13
MAX_NODES = 64


def family_html(family: Any) -> str:
    """Return the sizes of a family of graphs, and its canonical graph."""
    sizes = {name: getattr(family, name) for name in (*family.__dataclass_fields__, "edge_count", "node_count")}
    edges, path = family.canonical_edges.tolist(), family.canonical_path.tolist()
    return display.facts(type(family).__name__, sizes) + tree_drawing(edges, 0, path, "the canonical graph")


def tree_drawing(edges: Sequence[Sequence[int]], start: int, path: Sequence[int], text: str) -> Markup:
    """Return the tree with its path in colours; ``text`` describes it to those who do not see it.

    Raises ValueError for a graph that is not a tree rooted at the start, or is too large.
    """
    checks.require(len(edges) < MAX_NODES, "edges", f"must be fewer than {MAX_NODES}", len(edges))
    successors: dict[int, list[int]] = {}
    for u, v in edges:
        successors.setdefault(u, []).append(v)
    if path:  # the path first, so that it is drawn in a straight line above the others
        successors = {u: sorted(children, key=lambda v: v not in path) for u, children in successors.items()}
    centres = _place(successors, start)
    checks.require(len(centres) == len(edges) + 1, "edges", "must form a tree rooted at the start", edges)
    roles = dict.fromkeys(path, "path") | {path[-1]: "goal"} if path else {}
    colours = {node: ROLE_COLOURS.get(roles.get(node, ""), OTHER_ROLE) for node in centres}
    colours[start] = ROLE_COLOURS["start"]
    width, height = (max(values) + RADIUS + 6 for values in zip(*centres.values(), strict=True))
    lines = "".join(_arrow(centres[u], centres[v], u in path and v in path) for u, v in edges)
    circles = "".join(
        f'<circle cx="{x}" cy="{y}" r="{RADIUS}" fill="white" stroke="{colours[node]}" stroke-width="3"/>'
        f'<text x="{x}" y="{y + 4}" text-anchor="middle" font-size="12" fill="black">{node}</text>'
        for node, (x, y) in centres.items()
    )
    return Markup(
        f'<svg role="img" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'style="background: white; font-family: sans-serif"><title>{text}</title>{lines}{circles}</svg>'
    )


def _place(successors: dict[int, list[int]], root: int) -> dict[int, tuple[int, int]]:
    """Return the centre of every node: leaves one below the other, and each parent next to its first successor."""
    centres: dict[int, tuple[int, int]] = {}
    pending, row = [(root, 0)], 0
    while pending:
        node, depth = pending.pop()
        checks.require(node not in centres, "edges", "must have no cycle", node)
        centres[node] = (RADIUS + 6 + depth * STEP, RADIUS + 6 + row * GAP)
        children = successors.get(node, [])
        row += not children
        pending += [(child, depth + 1) for child in reversed(children)]
    return centres


def _arrow(tail: tuple[int, int], head: tuple[int, int], on_path: bool) -> str:
    ends = np.array([tail, head], float)
    along = (ends[1] - ends[0]) / np.linalg.norm(ends[1] - ends[0])
    across = np.array([-along[1], along[0]])
    first, tip = ends[0] + along * (RADIUS + 2), ends[1] - along * (RADIUS + 2)
    base = tip - 7 * along
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in (tip, base + 3.5 * across, base - 3.5 * across))
    colour, width = (ROLE_COLOURS["path"], 2.5) if on_path else (OTHER_ROLE, 1.2)
    return (
        f'<line x1="{first[0]:.1f}" y1="{first[1]:.1f}" x2="{base[0]:.1f}" y2="{base[1]:.1f}" stroke="{colour}" '
        f'stroke-width="{width}"/><polygon points="{points}" fill="{colour}"/>'
    )
