"""The matrices that a checkpoint is probed for, and the same of untrained models."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, Key

from circuits import checks
from circuits.one_layer.module import OneLayer
from circuits.probes.adjacency.jacobian import jacobians
from circuits.probes.adjacency.node_space import Named, Nodes, joined
from circuits.probes.adjacency.scores import varies
from circuits.probes.adjacency.sources import layer_maps, ov_circuits, transfer_matrices
from circuits.probes.streaming import Tree
from circuits.transformer.config import TransformerConfig
from circuits.transformer.model import Predictor, build

SOURCES = ("heads", "transfer", "layers", "jacobian")
Model = Predictor | OneLayer


class Read(NamedTuple):
    """Sequences for measured Jacobians, the place whose logits are read, and the places of nodes that are moved."""

    tokens: Int[np.ndarray, "n T"]
    place: int
    moved: tuple[int, ...]


def usual_sources(model: Model) -> tuple[str, ...]:
    """What a model's weights hold: heads, layers, and transfer matrices where there are any."""
    if isinstance(model, OneLayer):
        return ("transfer",)
    return ("heads", "layers", *["transfer"] * (model.config.head_kind == "transfer"))


def check_head(model: Model, sources: Sequence[str], head: int, first: int = 0) -> None:
    """ValueError unless this prediction head, counted from ``first``, is there and read by every source."""
    checks.integer("head", head, first, first + model.config.prediction_heads - 1)
    if head == first:
        return
    if isinstance(model, OneLayer):
        raise ValueError(f"head: must be {first} for a one-layer model, whose matrices are of no head, got {head}")
    rule = f"must be {first} for transfer matrices, which lead from head to head"
    checks.require("transfer" not in sources, "head", rule, head)
    kind, direct = model.config.head_kind, [one for one in ("heads", "layers") if one in sources]
    rule = f"must be {first} for sources {', '.join(direct)}: further {kind} heads do not read the final stream"
    checks.require(kind == "linear" or not direct, "head", rule, head)


def gathered(model: Model, nodes: Nodes, sources: Sequence[str], read: Read | None = None, head: int = 0) -> Named:
    """The matrices of every source, in the order of ``SOURCES``.

    "jacobian" reads the embedding and the stream after every block but the last, at each of ``read.moved``. ``head`` is
    the prediction head whose logits are read, from 0. Raises ValueError for sources that are none, that a model does
    not have, as they do, and as ``check_head``.
    """
    for source in sources:
        checks.choice("sources", source, SOURCES)
    check_head(model, sources, head)
    parts: list[Named] = []
    for source in (one for one in SOURCES if one in sources):
        if source == "transfer":
            parts.append(transfer_matrices(model, nodes))
            continue
        if isinstance(model, OneLayer):
            raise ValueError(f"sources: must be transfer for a one-layer model, got {source!r}")
        if source == "jacobian":
            parts += _jacobians(model, nodes, read, head)
        else:
            parts.append((ov_circuits if source == "heads" else layer_maps)(model, nodes, head=head))
    return joined(parts)


def constant(named: Named) -> Bool[np.ndarray, " M"]:
    """The matrices whose rows are all constant, so that they agree with nothing. Raises ValueError for NaN, by name."""
    values = np.asarray(named.values, np.float64)
    for name, matrix in zip(named.names, values, strict=True):
        checks.finite(f"matrix {name!r}", matrix)
    return ~varies(values)


def only(named: Named, kept: Bool[np.ndarray, " M"]) -> Named:
    """Some of the matrices."""
    return Named(tuple(name for name, one in zip(named.names, kept, strict=True) if one), named.values[kept])


def fresh_matrices(
    of: Callable[[Model], Named],
    config: TransformerConfig,
    models: int,
    seed: int = 0,
    show: Callable[[int], None] | None = None,
) -> Float[np.ndarray, "D M N N"]:
    """``of`` each of so many models with fresh parameters, one at a time. Raises ValueError for a count below 1."""
    checks.integer("models", models, min_value=1)
    graph, _ = nnx.split(nnx.eval_shape(lambda: build(config, nnx.Rngs(0))))
    found = []
    for number, key in enumerate(jax.random.split(jax.random.key(seed), models), start=1):
        found.append(np.asarray(of(nnx.merge(graph, _fresh(config, key))).values, np.float64))
        if show is not None:
            show(number)
    return np.stack(found)


@partial(jax.jit, static_argnames="config")
def _fresh(config: TransformerConfig, key: Key[Array, ""]) -> Tree:
    return nnx.state(build(config, nnx.Rngs(key)))


def _jacobians(model: Predictor, nodes: Nodes, read: Read | None, head: int) -> list[Named]:
    if read is None:
        raise ValueError("sources: must not hold jacobian without sequences to measure it on")
    taps = ["embed", *(f"blocks.{i}.resid_post" for i in range(model.config.layers - 1))]
    return [jacobians(model, nodes, read.tokens, taps, place=read.place, source=at, head=head) for at in read.moved]
