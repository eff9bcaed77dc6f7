"""Probes: find the planning circuit in a trained model, and test whether it does the work.

Layers, attention heads, prediction heads, positions, hops and edges of the path count from 0, and L5H1 is attention
head 1 of layer 5, as in TransformerLens.

Glossary:

planning problem
    A star graph or binary tree, written as a list of edges in random order, with a start and a goal. The answer is the
    path from the start to the goal.
path
    The nodes n_0 (the start) to n_{M-1} (the goal). Edge k leads from its parent n_k to its child n_{k+1}.
distractor
    A node or edge of the graph that is not on the path.
branching token
    A token of the answer that needs look-ahead: the graph branches before it, and only the goal tells which way to go.
    By default, probes use the first one.
query position
    The position at which a token of the answer, by default the branching token, is predicted. It is the attention
    query of most scores.
goal in query, start in query
    The last two tokens of the prompt (its query), which name the goal and the start. Both nodes also occur in the list
    of edges.
aligned order
    The positions of a problem sorted so that entry i is the same part of the graph in every problem: the edges of the
    path first, then the distractors by depth.
circuit
    The reverse reasoning circuit: attend to the goal, then trace the path backward, edge by edge, to the branching
    token.
hop
    A step of that trace: hop 0 is the edge into the goal, hop i the edge that is i edges away from the goal.
backward-trace score
    At hop i, the attention of the query position to the two nodes of that edge of the path, from 0 to 1.
distractor attention
    At hop i, the mean attention of the query position to edges off the path at the same depth. In a model that follows
    every edge without knowing the goal it equals the backward-trace score.
edge attention elsewhere
    At hop i, the attention to that edge of the path from later positions of its child other than the query position,
    such as the goal in the query.
    It is high in models that join edges where they are listed, before the query position reads them.
goal, start (scores)
    The attention of the query position to every position that holds the goal, in the query and in edges; and likewise
    the start.
predecessor
    Attention from the child of an edge to its parent, one position back.
content match
    Attention of a position to earlier positions that hold the same node.
null
    The distribution of a score if there is no circuit: in untrained models, or with the layout of another problem.
planning twins
    Two problems that differ in one token of the prompt, the goal. The clean problem has its correct answer; the corrupt
    twin has the end of another path as its goal.
activation patching
    Running one twin with an activation of the other. Denoising puts clean activations into the corrupt run, noising
    the reverse; the effect is 0 if the answer stays and 1 if it becomes that of the other run.
path patching
    Patching only the direct path from one attention head to one receiver.
ablation
    Replacing the output of attention heads or layers by zero, by its mean, or by its value on another problem.
knock-out
    Stopping positions of one kind from attending to positions of another.
logit lens
    The prediction heads applied to the residual stream after each layer.
powers of the graph
    A^k of the adjacency matrix A: the number of walks of k edges from node to node. Reachability: whether there is a
    walk of any length.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
