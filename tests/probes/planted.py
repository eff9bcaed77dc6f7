"""Models with a circuit planted by hand: Corollary 1's, and a standard transformer that walks backward.

The transformer's stream has one-hot positions, then registers: one-hot labels, the first of them the token itself. A
planted head scores γ (W1[t, s] + Σ sign · register_t · register_s), as a layer of the disentangled transformer does,
and copies a register of what it reads to another. The MLPs are zero. Before layer l the stream holds 2 + l ones at
each position but the query, so the scale √((2 + l) / width) undoes its RMSNorm. A head that is not planted has zero
weights, and attends evenly.
"""

from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from circuits.disentangled.circuit import circuit
from circuits.disentangled.closed_form import forward
from circuits.probes.layout import start_goal_positions
from circuits.tasks import StarGraph, TokenFormat, encode_problem
from circuits.transformer.config import TransformerConfig
from circuits.transformer.model import Predictor
from circuits.transformer.parameters import parameter_shapes, predictor_from_tensors
from tests.cases import PAPER
from tests.tasks.star.naive_star import random_problem
from tests.tasks.tree.naive_tree import random_tree

TOKEN, BEFORE, GOAL, LAST, FIRST = range(5)
"""Registers: the token, the one before it, the goal, and at the query the path's nodes one and two before the goal."""
REGISTERS = 5
PAIRS = TokenFormat(PAPER, "pairs", "goal-start")
"""The paper's own sequences."""
STAR = TokenFormat(StarGraph(2, 4, 9), "pairs", "goal-start")
QUERY = STAR.prompt_length - 1
LAYERS, HEADS = 5, 2


class Head(NamedTuple):
    """One planted head: its W1, what it matches by content (query's register, key's register, sign), what it copies."""

    position: np.ndarray
    content: tuple[tuple[int, int, int], ...] = ()
    copies: tuple[int, int] | None = None


def rows(format: TokenFormat, count: int, seed: int = 0) -> np.ndarray:
    """Ids of problems, answers included, [count, T]; drawn by numpy, for ``sample`` compiles for every family."""
    family = format.family
    draws = [
        random_problem(family.paths, family.nodes, family.labels, 1000 * seed + i)
        if isinstance(family, StarGraph)
        else random_tree(family.nodes, family.labels, 1000 * seed + i)
        for i in range(count)
    ]
    return np.stack([np.asarray(encode_problem(format, problem)) for problem in draws])


def corollary_patterns(ids: jax.Array, gamma: float) -> jax.Array:
    """The attention of Corollary 1's construction on one of the paper's sequences, [2, 1, T, T]."""
    weights = circuit(gamma, PAPER.labels, PAPER.sequence_length)
    return jnp.stack(forward(weights, ids[: PAPER.sequence_length]).attention)[:, None]


def backward_walk() -> dict[tuple[int, int], Head]:
    """By layer and head: the circuit, and after it heads that look like it and do not plan."""
    size, listed = STAR.length, 2 * STAR.family.edge_count
    goal, start = start_goal_positions(STAR)[::-1]
    assert start == QUERY
    odd = np.arange(size)[:, None] % 2 == 1
    itself = np.eye(size)
    before = np.where(odd, np.eye(size, k=-1), itself)

    def at_query(row: np.ndarray) -> np.ndarray:
        """This row at the query, self-attention at the other rows, above what content may add."""
        return np.where(np.arange(size)[:, None] == QUERY, row, 4 * itself)

    heads_only = -(~odd[:, 0] | (np.arange(size) >= listed)).astype(float)
    return {
        (0, 0): Head(np.where(np.arange(size)[:, None] == QUERY, 0, before), copies=(TOKEN, BEFORE)),
        (1, 0): Head(at_query(itself[goal]), copies=(TOKEN, GOAL)),
        (1, 1): Head(-itself, ((TOKEN, TOKEN, 1),)),  # the same token earlier, wherever it is
        (2, 0): Head(at_query(heads_only), ((GOAL, TOKEN, 1),), copies=(BEFORE, LAST)),
        (3, 0): Head(at_query(heads_only), ((LAST, TOKEN, 1),), copies=(BEFORE, FIRST)),
        # The decoys: both first edges alike; the first edge of the other path; one place, whatever stands there.
        (3, 1): Head(at_query(2 * heads_only), ((TOKEN, BEFORE, 1),)),
        (4, 0): Head(at_query(2 * heads_only), ((TOKEN, BEFORE, 1), (FIRST, TOKEN, -1))),
        (4, 1): Head(at_query(itself[5])),
    }


PLANTED: dict[str, set[tuple[int, ...]]] = {
    "predecessor": {(0, 0)},
    "goal": {(1, 0), (2, 0)},
    "goal_in_query": {(1, 0)},
    "start": {(1, 1)},
    "start_in_query": set(),
    "content_match": {(1, 1)},
    "backward_trace": {(2, 0, 0), (3, 0, 1)},
    "distractor_attention": {(1, 1, 2), (3, 1, 2), (4, 0, 2)},
    "edge_attention_elsewhere": {(1, 1, 0), (1, 1, 1), (1, 1, 2)},
}
"""What is to be found in ``backward_walk``, by score: layer and head, or layer, head and hop."""


@cache
def walker(gamma: float = 100.0) -> Predictor:
    """The transformer with the heads of ``backward_walk``."""
    labels, size = STAR.vocab_size, STAR.length
    config = TransformerConfig(
        vocab=labels,
        positions=size,
        layers=LAYERS,
        heads=HEADS,
        width=size + REGISTERS * labels + 1,  # one more, for the heads have to divide it
        head_dim=size + 2 * labels,
        mlp_width=1,
        norm="rms",
    )
    shapes = parameter_shapes(config)
    tensors = {name: np.full(shape, float(name.endswith("scale")), np.float32) for name, shape in shapes.items()}
    tensors["transformer.positions"][:, :size] = np.eye(size)
    tensors["transformer.tokens"][:, register(TOKEN)] = np.eye(labels)
    for layer in range(LAYERS):
        tensors[f"transformer.blocks.{layer}.norm_attn.scale"][:] = np.sqrt((2 + layer) / config.width)
    for (layer, number), head in backward_walk().items():
        kernels = {
            part: tensors[f"transformer.blocks.{layer}.attn.{part}.kernel"] for part in ("query", "key", "value", "out")
        }
        plant(kernels, slice(number * config.head_width, (number + 1) * config.head_width), head, gamma)
    return predictor_from_tensors(config, tensors, "planted")


def register(number: int) -> slice:
    """The slice of a register in the stream."""
    return slice(STAR.length + number * STAR.vocab_size, STAR.length + (number + 1) * STAR.vocab_size)


def plant(kernels: dict[str, np.ndarray], own: slice, head: Head, gamma: float) -> None:
    """Write one head into the kernels of its layer, at its own entries."""
    labels, size = STAR.vocab_size, STAR.length
    query, key, value = (kernels[part][:, own] for part in ("query", "key", "value"))
    query[:size, :size] = gamma * head.position
    key[:size, :size] = np.eye(size)
    for place, (asks, holds, sign) in enumerate(head.content):
        entries = slice(size + place * labels, size + (place + 1) * labels)
        query[register(asks), entries] = sign * gamma * np.eye(labels)
        key[register(holds), entries] = np.eye(labels)
    if head.copies is not None:
        value[register(head.copies[0]), :labels] = np.eye(labels)
        kernels["out"][own][:labels, register(head.copies[1])] = np.eye(labels)
