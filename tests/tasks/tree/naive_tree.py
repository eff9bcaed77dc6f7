"""Independent, slow twins that know a complete binary tree by its definition, written with lists and recursion."""

import numpy as np

from circuits.tasks import Problem

Edges = list[tuple[int, int]]


def random_tree(nodes: int, labels: int, seed: int) -> Problem:
    """A complete binary tree grown downwards from its root with numpy, as int32 arrays."""
    rng = np.random.default_rng(seed)
    names = [int(name) for name in rng.permutation(labels)]
    root = names.pop()
    edges: Edges = []
    paths = [[root]]
    for _ in range(nodes - 1):
        paths = [[*path, names.pop()] for path in paths for _ in range(2)]
        edges += [(path[-2], path[-1]) for path in paths]
    shuffled = [edges[i] for i in rng.permutation(len(edges))]
    answer = paths[int(rng.integers(len(paths)))]
    return Problem(*(np.asarray(part, dtype=np.int32) for part in (shuffled, root, answer[-1], answer)))


def tree_depth(edges: Edges, node: int) -> int | None:
    """The depth of the complete binary tree below a node; None if there is another graph below it."""
    children = [v for u, v in edges if u == node]
    if not children:
        return 0
    rest = [edge for edge in edges if edge[1] not in children]
    depths = [tree_depth(rest, child) for child in children]
    return None if len(children) != 2 or None in depths or depths[0] != depths[1] else 1 + (depths[0] or 0)


def tree_leaves(edges: Edges, start: int) -> set[int]:
    """The leaves, if the edges form a complete binary tree with the root start; else nothing."""
    depth = tree_depth(edges, start)
    nodes = {node for edge in edges for node in edge}
    # Every node is below the root just when a complete tree of that depth has the number of nodes and edges.
    if not depth or len(nodes) != 2 ** (depth + 1) - 1 or len(edges) != len(nodes) - 1:
        return set()
    return nodes - {u for u, _ in edges}
