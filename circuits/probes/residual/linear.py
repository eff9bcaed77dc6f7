"""Linear probes: which nodes of the path can be read off the residual stream, layer by layer, with a straight line.

Stream 0 is the embedding, stream l what leaves block l (counted from 1), so S = L + 1 of them. A probe that finds
a node says that it is there, not that the model uses it: compare with labels shuffled, and with an untrained model.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray
from scipy.stats import norm

from circuits import checks
from circuits.probes.layout import Layout
from circuits.probes.residual.stream import position, streams, targets
from circuits.probes.streaming import Show, stream
from circuits.transformer.model import Predictor


class Linear(NamedTuple):
    """One linear classifier for each stream l, place w and target m: argmax over labels of kernel x + bias."""

    kernel: Float[np.ndarray, "S W d M V"]
    bias: Float[np.ndarray, "S W M V"]


class Probed(NamedTuple):
    """Held-out accuracy, from 0 to 1, with the ends of its Wilson interval; target m is node n_m of the path."""

    accuracy: Float[np.ndarray, "S W M"]
    low: Float[np.ndarray, "S W M"]
    high: Float[np.ndarray, "S W M"]
    examples: int


def fit_probes(
    model: Predictor,
    layouts: Layout,
    places: Sequence[str | int] = ("query",),
    *,
    ridge: float = 1e-3,
    shuffle: PRNGKeyArray | None = None,
    chunk: int = 256,
    show: Show | None = None,
) -> Linear:
    """Ridge regression on one-hot labels from each stream at each place, for every node of the path at once.

    With C = mean (x - x̄)(x - x̄)ᵀ and D = mean (x - x̄)(y - ȳ)ᵀ, both from streamed second moments,

        kernel = (C + ridge tr(C) / d · I)⁻¹ D,    bias = ȳ - kernelᵀ x̄.

    Memory does not grow with the number of examples. With a key in ``shuffle``, examples are given one another's
    labels, a control that has nothing to find.

    Raises ValueError for a place that there is not, and unless the ridge is positive.
    """
    checks.require(0 < ridge < float("inf"), "ridge", "must be positive and finite", ridge)
    names = targets(layouts)
    if shuffle is not None:
        names = jax.random.permutation(shuffle, names)
    graph, state = nnx.split(model)

    @jax.jit
    def add(state: Any, sums: tuple, layout: Layout, names: Int[Array, "b M"]) -> tuple:
        x, y = _features(nnx.merge(graph, state), layout, places), _one_hot(names, model.config.vocab)
        y = y.astype(x.dtype)
        new = (x.sum(0), y.sum(0), jnp.einsum("blwi,blwj->lwij", x, x), jnp.einsum("blwi,bt->lwit", x, y))
        return jax.tree.map(jnp.add, sums, new)

    lead, d = (model.config.layers + 1, len(places)), model.config.width
    outputs = names.shape[1] * model.config.vocab
    shapes = ((*lead, d), (outputs,), (*lead, d, d), (*lead, d, outputs))
    sums = tuple(jnp.zeros(shape, _kind()) for shape in shapes)
    for done, batch in _batches((layouts, names), chunk):
        sums = add(state, sums, *batch)
        if show is not None:
            show(done, len(names))
    x, y, xx, xy = (np.asarray(part, np.float64) / len(names) for part in sums)
    kernel, bias = _solved(x, y, xx, xy, ridge)
    split = (names.shape[1], model.config.vocab)
    return Linear(kernel.reshape(*lead, d, *split), bias.reshape(*lead, *split))


def score_probes(
    model: Predictor,
    probes: Linear,
    layouts: Layout,
    places: Sequence[str | int] = ("query",),
    *,
    confidence: float = 0.95,
    chunk: int = 256,
) -> Probed:
    """How often fitted probes name the right node on other problems, at the places for which they were fitted.

    Raises ValueError for another number of places.
    """
    checks.require(len(places) == probes.bias.shape[1], "places", "must be those of the probes", tuple(places))
    kernel, bias = (jnp.asarray(part, _kind()) for part in probes)

    def one(model: Predictor, layout: Layout) -> Float[Array, "S W M"]:
        x = _features(model, jax.tree.map(lambda part: part[None], layout), places)[0]
        scores = jnp.einsum("lwi,lwimv->lwmv", x, kernel) + bias
        named = jnp.argmax(scores, axis=-1).astype(layout.tokens.dtype)
        return (named == targets(layout)).astype(x.dtype)

    accuracy = np.asarray(stream(one, model, (layouts,), chunk=chunk).mean, np.float64)
    low, high = wilson(accuracy, len(layouts.tokens), confidence)
    return Probed(accuracy, low, high, len(layouts.tokens))


def wilson(
    share: Float[np.ndarray, "*n"], count: int, confidence: float = 0.95
) -> tuple[Float[np.ndarray, "*n"], Float[np.ndarray, "*n"]]:
    """Both ends of Wilson's interval of a share p of n: (p + z²/2n ± z √(p (1 - p) / n + z²/4n²)) / (1 + z²/n).

    Raises ValueError unless the confidence lies between 0 and 1 and there is an example.
    """
    checks.require(0 < confidence < 1, "confidence", "must lie between 0 and 1", confidence)
    checks.integer("count", count, min_value=1)
    z = float(norm.ppf((1 + confidence) / 2))
    centre = share + z * z / (2 * count)
    reach = z * np.sqrt(share * (1 - share) / count + z * z / (4 * count**2))
    scale = 1 + z * z / count
    return np.clip((centre - reach) / scale, 0, 1), np.clip((centre + reach) / scale, 0, 1)


def _features(model: Predictor, layouts: Layout, places: Sequence[str | int]) -> Float[Array, "b S W d"]:
    def one(layout: Layout) -> Float[Array, "S W d"]:
        at = jnp.stack([position(layout, where) for where in places])
        return streams(model, layout.tokens)[:, at].astype(_kind())

    return jax.vmap(one)(layouts)


def _one_hot(names: Int[Array, "b M"], vocab: int) -> Float[Array, "b t"]:
    return jax.nn.one_hot(names, vocab, dtype=_kind()).reshape(len(names), -1)


def _solved(
    x: Float[np.ndarray, "S W d"],
    y: Float[np.ndarray, " t"],
    xx: Float[np.ndarray, "S W d d"],
    xy: Float[np.ndarray, "S W d t"],
    ridge: float,
) -> tuple[Float[np.ndarray, "S W d t"], Float[np.ndarray, "S W t"]]:
    """Kernel and bias from first and second moments; a stream that does not vary is told from rounding by a floor."""
    spread = xx - x[..., :, None] * x[..., None, :]
    joint = xy - x[..., :, None] * y
    size = np.trace(spread, axis1=-2, axis2=-1) / x.shape[-1]
    floor = float(jnp.finfo(_kind()).eps) ** 0.5 * np.trace(xx, axis1=-2, axis2=-1) / x.shape[-1]
    penalty = np.maximum(ridge * size, floor) + np.finfo(np.float64).tiny
    kernel = np.linalg.solve(spread + penalty[..., None, None] * np.eye(x.shape[-1]), joint)
    return kernel, y - np.einsum("lwi,lwit->lwt", x, kernel)


def _batches(examples: tuple, chunk: int) -> Iterator[tuple[int, tuple]]:
    """Batches, each with the number of examples up to its end."""
    checks.integer("chunk", chunk, min_value=1)
    total = len(jax.tree.leaves(examples)[0])
    for first in range(0, total, chunk):
        yield min(first + chunk, total), jax.tree.map(lambda part, first=first: part[first : first + chunk], examples)


def _kind() -> jnp.dtype:
    return jnp.dtype(jnp.float64 if jax.config.read("jax_enable_x64") else jnp.float32)
