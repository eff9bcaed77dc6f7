"""The data and the training runs of the one-layer model, on random DAGs.

A random DAG of 100 nodes, edge probability 0.1; every edge as a line of its own; 20 random walks for each edge's pair
and for a tenth of the other reachable pairs, the rest of which are test pairs. Full-batch Adam on the exact loss, all
steps with equal weights, with a cosine schedule of the learning rate from 0.05 to 0.
"""

from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import optax
from jaxtyping import Bool, Float, Int

from circuits.one_layer.counts import count_contexts
from circuits.one_layer.decoding import greedy_path
from circuits.one_layer.parameters import Options, Parameters, random
from circuits.one_layer.training import train_full_batch
from circuits.tasks.walks.answers import is_valid_walk
from circuits.tasks.walks.format import WalkFormat, walk_format
from circuits.tasks.walks.graphs import adjacency, random_dag
from circuits.tasks.walks.pairs import Pairs, split_pairs, training_walks

NODES, PROBABILITY, SHARE, PATHS = 100, 0.1, 0.1, 20
RATE, SPREAD = 0.05, 0.02
CAPACITY = 2200
"""Contexts are padded to a multiple of this number, and all graphs share a compiled program."""


class Walks(NamedTuple):
    """One graph and its lines."""

    graph: nx.DiGraph
    format: WalkFormat
    pairs: Pairs
    lines: Int[np.ndarray, "n T"]


@cache
def walks(seed: int) -> Walks:
    """Return the graph, the split of its pairs and the training lines of one seed."""
    graph = random_dag(NODES, PROBABILITY, seed)
    format, pairs = walk_format(graph), split_pairs(graph, SHARE, seed)
    return Walks(graph, format, pairs, training_walks(format, graph, pairs, PATHS, seed))


def start(seed: int, ahead: int) -> Parameters:
    """Return random parameters before training."""
    return random(jax.random.key(seed), walks(seed).format.vocab_size, ahead, SPREAD, jnp.float32)


def trained(seed: int, ahead: int, options: Options, steps: int) -> Parameters:
    """Return parameters after ``steps`` steps on the losses 1 to ``ahead`` tokens ahead; 1 is next-token prediction."""
    data = walks(seed)
    vocab, pad = data.format.vocab_size, data.format.pad_token
    counted = count_contexts(data.lines, vocab, ahead, pad, options.injection, jnp.float32, CAPACITY)
    return train_full_batch(counted, start(seed, ahead), options, (1.0,) * ahead, steps, _adam(steps)).parameters


@cache
def _adam(steps: int) -> optax.GradientTransformation:
    """Return one optimiser for all seeds, which then share a compiled program."""
    return optax.adam(optax.cosine_decay_schedule(RATE, steps))


def transfers(parameters: Parameters) -> Float[np.ndarray, "n N N"]:
    """Return the transfer matrices between nodes."""
    return np.asarray(parameters.transfers, np.float64)[:, :NODES, :NODES]


def answered(seed: int, parameters: Parameters) -> Bool[np.ndarray, " pairs"]:
    """Return which test pairs are answered by a valid path."""
    data = walks(seed)
    edges, pairs = jnp.asarray(adjacency(data.graph)), jnp.asarray(data.pairs.test)
    return np.asarray(_valid(data.format, edges, parameters.content, parameters.value, pairs))


@partial(jax.jit, static_argnums=0)
def _valid(
    format: WalkFormat,
    edges: Bool[jax.Array, "N N"],
    content: Float[jax.Array, "V V"],
    value: Float[jax.Array, "V V"],
    pairs: Int[jax.Array, "pairs 2"],
) -> Bool[jax.Array, " pairs"]:
    def one(pair: Int[jax.Array, " 2"]) -> Bool[jax.Array, ""]:
        path = greedy_path(content, value[pair[1]], pair[0], format.answer_length - 1)
        return is_valid_walk(edges, format, pair, jnp.concatenate([pair[:1], path]))

    return jax.vmap(one)(pairs)
