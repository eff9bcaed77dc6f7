"""Metrics of a disentangled model in training: losses, accuracies, and how close its attention is to the circuit's.

Each metric is computed on one prompt Z with targets y1 = v and y2 = u_end, and on its replay context Z', whose last
token is v; callers average over prompts. Positions count from 0: the last row, the paper's T, is T - 1, and the query's
u_end is at position T - 2.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from circuits.disentangled.losses import Losses
from circuits.disentangled.models import Reading
from circuits.tasks.star.graph import replay_context
from circuits.typing import AnyArray, Label, OverLabels, Tokens

Measure = Float[AnyArray, "..."] | float


class Metrics(NamedTuple):
    """Metrics of one prompt, or means over prompts. Losses are in nats, all others in [0, 1].

    f1 and f2 are the distributions of the first and second head. t_v and t_end are the positions of v and u_end in the
    edge (v, u_end), t_v = t_end - 1.

    plan                L1a = -log f1(Z)[v], at least 0
    replay              L1b = -log f1(Z')[u_end], at least 0
    goal                L2 = -log f2(Z)[u_end], at least 0
    first_accuracy      argmax f1(Z) = v
    first_probability   f1(Z)[v]
    branch_accuracy     f1(Z)[v] > f1(Z)[u] for the start's every other child u; chance is 1/P
    replay_accuracy     argmax f1(Z') = u_end
    path_accuracy       both are correct: greedy decoding predicts v, then u_end
    second_accuracy     argmax f2(Z) = u_end
    predecessor_last    S1[T-1, T-2]: the query's attention to u_end
    predecessor_end     S1[t_end, t_v]
    predecessor_mean    the mean of S1[t, t-1] over t = 1 .. T-1
    content_match       S2[T-1, t_end]
    self_match          S2[T-1, T-2]: attention to u_end in the query itself, the self-distractor
    replay_predecessor  S1[T-1, T-2] on Z', whose last token is v: its attention to u_end
    replay_match        S2[T-1, t_end] on Z'
    """

    plan: Measure
    replay: Measure
    goal: Measure
    first_accuracy: Measure
    first_probability: Measure
    branch_accuracy: Measure
    replay_accuracy: Measure
    path_accuracy: Measure
    second_accuracy: Measure
    predecessor_last: Measure
    predecessor_end: Measure
    predecessor_mean: Measure
    content_match: Measure
    self_match: Measure
    replay_predecessor: Measure
    replay_match: Measure


def measure(read: Callable[[Tokens], Reading], losses: Losses, tokens: Tokens, y1: Label, y2: Label) -> Metrics:
    """Return the metrics of one prompt, in the dtype of the model; ``read`` is the model."""
    prompt, replay = read(tokens), read(replay_context(tokens, y1))
    s1, s2, first = prompt.attention_1, prompt.attention_2, prompt.first
    end = end_position(tokens, y2)
    dtype = first.dtype
    # Decoding feeds back its prediction. If that is v, the second context is Z'; if not, the path is wrong.
    right_first, right_replay = likeliest(first) == y1, likeliest(replay.first) == y2
    return Metrics(
        *losses,
        first_accuracy=right_first.astype(dtype),
        first_probability=first[y1],
        branch_accuracy=above_other_children(first, tokens, y1).astype(dtype),
        replay_accuracy=right_replay.astype(dtype),
        path_accuracy=(right_first & right_replay).astype(dtype),
        second_accuracy=(likeliest(prompt.second) == y2).astype(dtype),
        predecessor_last=s1[-1, -2],
        predecessor_end=s1[end, end - 1],
        predecessor_mean=jnp.mean(jnp.diagonal(s1, -1)),
        content_match=s2[end],
        self_match=s2[-2],
        replay_predecessor=replay.attention_1[-1, -2],
        replay_match=replay.attention_2[end],
    )


def likeliest(output: OverLabels) -> Int[Array, ""]:
    """Return the argmax, the first in case of ties."""
    return jnp.argmax(output).astype(jnp.int32)


def end_position(tokens: Tokens, y2: Label) -> Int[Array, ""]:
    """Return t_end, where y2 is the target of an edge. Does not check its arguments;
    ``circuit.context_positions`` does."""
    return 1 + 2 * jnp.argmax(jnp.asarray(tokens)[1:-2:2] == y2)


def above_other_children(first: OverLabels, tokens: Tokens, y1: Label) -> Bool[Array, ""]:
    """Return whether f1[y1] is above f1[u] for each other child u of the start, the last token."""
    edges = jnp.asarray(tokens)[:-2].reshape(-1, 2)
    other = (edges[:, 0] == tokens[-1]) & (edges[:, 1] != y1)
    return jnp.all(jnp.where(other, first[edges[:, 1]], -1) < first[y1])
