"""The glossary of axis names, and aliases of common array types.

A single letter in a shape annotation means the same in every module:

    A   tokens of an answer
    B   a batch of sequences
    D   coordinates of a gradient flow
    E   edges of a graph
    G   key-value heads of a layer (fewer than H in grouped-query attention)
    H   attention heads of a layer
    h   width of one attention head
    k   prediction heads 0 .. k - 1: head m predicts the token m + 1 positions ahead
    L   layers
    M   nodes of one path, its start included (2-path 3-node: M = 3)
    N   node labels 0 .. N - 1 (the paper's N); the nodes of a graph to walk in have all of them
    n   rows of a data set: examples, pairs, targets
    Q   the first positions of a sequence, up to the query that predicts the branching token
    S   key positions, which outnumber the query positions T when there is a KV cache
    T   positions of a sequence (the paper's T)
    V   vocabulary of a transformer or of the one-layer model
    d   width of the residual stream

All other axes are named by words, such as ``seeds``, ``draws`` or ``times``. In formulas, letters are the symbols of
the paper: S^(1) is an attention pattern.

Code counts positions, layers, attention heads and prediction heads from 0, as TransformerLens does. The papers count
from 1: position T - 1 of arXiv:2604.11912, which holds u_end, is ``tokens[-2]``, and its Layer 1 is ``weights[0]``.
Only names that quote a paper count from 1: ``content_1`` is W0^(1), ``position_1`` is W1^(1), ``content_2`` is W0^(2)
and ``position_2`` is W1^(2).
"""

from jax import Array
from jaxtyping import Bool, Float, Int
from numpy import ndarray

AnyArray = Array | ndarray

Tokens = Int[AnyArray, " T"]
"""Node labels g_1 .. g_T of one sequence."""
Label = Int[AnyArray, ""] | int
"""One node label."""
Scalar = Float[Array, ""]
Content = Float[Array, "N N"]
"""A content-matching block W0 (query label, key label)."""
Position = Float[Array, "T T"]
"""A positional block W1, or any other matrix over (query position, key position)."""
OverPositions = Float[Array, " T"]
OverLabels = Float[Array, " N"]
Causal = Bool[Array, "T T"]
"""A causal mask (query position, key position): True if the query attends to the key."""
