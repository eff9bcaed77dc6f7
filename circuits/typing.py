"""Axis names and array types, stated once.

Axes, as they stand in every shape annotation:

    T   positions of a sequence (the paper's T)
    N   node labels, the vocabulary (the paper's N)
    E   edges of a graph, E = paths * (nodes - 1)
    M   nodes of one path, the start counted (2-path 3-node: M = 3)
    P   paths of a star graph
    L   layers
    B   a batch that a caller has vmapped or stacked
    O   edge orders
    H   attention heads of a layer
    K   heads of keys and values; nodes of a graph
    Q   positions up to the one at which a chosen token is predicted
    S   keys' positions where they are more than T; residual streams, the embedding's and one after each layer
    V   tokens of the vocabulary
    d   width of a residual stream

Code counts positions, nodes and layers from 0. The paper counts from 1: its position T - 1, which holds
u_end, is ``tokens[-2]`` here, and its Layer 1 is ``weights[0]``. Layer *names* keep the paper's numbers:
``content_1`` is W0^(1), ``position_1`` is W1^(1), ``content_2`` is W0^(2), ``position_2`` is W1^(2).
"""

from jax import Array
from jaxtyping import Bool, Float, Int
from numpy import ndarray

AnyArray = Array | ndarray

Tokens = Int[AnyArray, " T"]
"""Node identities g_1 .. g_T of one sequence."""
Label = Int[AnyArray, ""] | int
"""One node label."""
Scalar = Float[Array, ""]
Content = Float[Array, "N N"]
"""A content-matching block W0: row is the query's label, column the key's."""
Position = Float[Array, "T T"]
"""A positional block W1, or anything over (query position, key position)."""
OverPositions = Float[Array, " T"]
OverLabels = Float[Array, " N"]
Causal = Bool[Array, "T T"]
