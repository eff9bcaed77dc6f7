"""Gather the matrices of node logits of a model, and the same matrices of untrained models."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, Key

from circuits import checks
from circuits.one_layer.config import OneLayerConfig
from circuits.one_layer.module import OneLayer
from circuits.probes.adjacency.jacobian import jacobians
from circuits.probes.adjacency.node_space import NamedMatrices, Nodes, concatenate
from circuits.probes.adjacency.scores import rows_vary
from circuits.probes.adjacency.sources import layer_maps, ov_circuits, transfer_matrices
from circuits.probes.streaming import OnProgress, Tree
from circuits.transformer.config import TransformerConfig
from circuits.transformer.model import Predictor, build

SOURCES = ("heads", "transfer", "layers", "jacobian")
Model = Predictor | OneLayer


class JacobianInputs(NamedTuple):
    """Sequences to measure Jacobians on, the position of the logits, and the positions of the stream."""

    tokens: Int[np.ndarray, "n T"]
    position: int
    sources: tuple[int, ...]


def default_sources(model: Model) -> tuple[str, ...]:
    """Return the sources that need only weights: heads, layers, and transfer matrices if the model has any."""
    if isinstance(model, OneLayer):
        return ("transfer",)
    return ("heads", "layers", *["transfer"] * (model.config.head_kind == "transfer"))


def check_prediction_head(model: Model, sources: Sequence[str], head: int) -> None:
    """Raise ValueError unless the model has this prediction head and every source reads it."""
    checks.integer("head", head, 0, model.config.prediction_heads - 1)
    if head == 0:
        return
    if isinstance(model, OneLayer):
        raise ValueError(f"head: must be 0 for a one-layer model, whose matrices have no prediction head, got {head}")
    rule = "must be 0 for transfer matrices, which lead from prediction head to prediction head"
    checks.require("transfer" not in sources, "head", rule, head)
    kind, direct = model.config.head_kind, [one for one in ("heads", "layers") if one in sources]
    rule = f"must be 0 for sources {', '.join(direct)}: further {kind} heads do not read the final stream"
    checks.require(kind == "linear" or not direct, "head", rule, head)


def gather_matrices(
    model: Model, nodes: Nodes, sources: Sequence[str], inputs: JacobianInputs | None = None, head: int = 0
) -> NamedMatrices:
    """Return the matrices of every source, in the order of ``SOURCES``, for one prediction head.

    "jacobian" differentiates by the embedding and the stream after every block but the last, at each of
    ``inputs.sources``. Raises ValueError for sources that are unknown or absent in the model, and as
    ``check_prediction_head`` does.
    """
    for source in sources:
        checks.choice("sources", source, SOURCES)
    check_prediction_head(model, sources, head)
    parts: list[NamedMatrices] = []
    for source in (one for one in SOURCES if one in sources):
        if source == "transfer":
            parts.append(transfer_matrices(model, nodes))
            continue
        if isinstance(model, OneLayer):
            raise ValueError(f"sources: must be transfer for a one-layer model, got {source!r}")
        if source == "jacobian":
            parts += _jacobians(model, nodes, inputs, head)
        else:
            parts.append((ov_circuits if source == "heads" else layer_maps)(model, nodes, head=head))
    return concatenate(parts)


def constant_matrices(matrices: NamedMatrices) -> Bool[np.ndarray, " matrices"]:
    """Return which matrices have only constant rows. Raises ValueError for NaN, naming the matrix."""
    values = np.asarray(matrices.values, np.float64)
    for name, matrix in zip(matrices.names, values, strict=True):
        checks.finite(f"matrix {name!r}", matrix)
    return ~rows_vary(values)


def select_matrices(matrices: NamedMatrices, chosen: Bool[np.ndarray, " matrices"]) -> NamedMatrices:
    """Return the chosen matrices with their names."""
    names = tuple(name for name, one in zip(matrices.names, chosen, strict=True) if one)
    return NamedMatrices(names, matrices.values[chosen])


def matrices_of_untrained(
    gather: Callable[[Model], NamedMatrices],
    config: TransformerConfig | OneLayerConfig,
    models: int,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> Float[np.ndarray, "models matrices N N"]:
    """Return ``gather(model)`` of freshly initialised models, one at a time. Raises ValueError for fewer than 1."""
    checks.integer("models", models, min_value=1)
    graph, _ = nnx.split(nnx.eval_shape(lambda: build(config, nnx.Rngs(0))))
    results = []
    for number, key in enumerate(jax.random.split(jax.random.key(seed), models), start=1):
        results.append(np.asarray(gather(nnx.merge(graph, _fresh_state(config, key))).values, np.float64))
        if on_progress is not None:
            on_progress(number)
    return np.stack(results)


@partial(jax.jit, static_argnames="config")
def _fresh_state(config: TransformerConfig | OneLayerConfig, key: Key[Array, ""]) -> Tree:
    return nnx.state(build(config, nnx.Rngs(key)))


def _jacobians(model: Predictor, nodes: Nodes, inputs: JacobianInputs | None, head: int) -> list[NamedMatrices]:
    if inputs is None:
        raise ValueError("sources: must not hold jacobian without sequences to measure it on")
    taps = ["embed", *(f"blocks.{i}.resid_post" for i in range(model.config.layers - 1))]
    tokens, position = inputs.tokens, inputs.position
    return [jacobians(model, nodes, tokens, taps, position=position, source=at, head=head) for at in inputs.sources]
