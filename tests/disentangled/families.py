"""The families that random tests go through. Three, for each shape of weights and prompts is compiled afresh."""

from circuits.tasks.star.graph import StarGraph

FAMILIES = [StarGraph(2, 3, 5), StarGraph(3, 4, 12), StarGraph(4, 3, 13)]
"""With 0, 2 and 4 labels more than nodes; each has the two-token targets of the losses."""
