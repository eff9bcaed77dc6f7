"""The cases on which Lemmas 1 to 5 are decided: the paper's symbols on a prompt, and the literal model's results.

Lemma 1 defines A^(l) = Z W0^(l) Z^T + W1^(l) and S^(l) = softmax(MASK(S^(l-1) A^(l))) with S^(0) = I. The symbols are
computed in numpy, independently of the library, and printed formulas are written in them symbol by symbol. One program
of the literal model and its derivatives serves every case of every claim, because compiling it is the main cost.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy import ndarray

from circuits.disentangled import literal
from circuits.disentangled.weights import Layer, Weights
from proofs_check.methods import star
from proofs_check.methods.star import DRAWS, N, T

POINTER = 50.0
"""A gamma at which W1^(1) = gamma L is the predecessor pointer up to rounding, as e^-50 is far below 1e-16."""


class Symbols(NamedTuple):
    """Z, the target's one-hot e, A^(1), A^(2), S^(1), and the last row of S^(2)."""

    z: ndarray
    e: ndarray
    a1: ndarray
    a2: ndarray
    s1: ndarray
    s2: ndarray

    @property
    def f1(self) -> float:
        """f1 . e = S2[T] S1 Z e."""
        return float(self.s2 @ self.s1 @ self.z @ self.e)

    @property
    def f2(self) -> float:
        """f2 . e = S1[T] Z e."""
        return float(self.s1[-1] @ self.z @ self.e)


class Model(NamedTuple):
    """Results of Definitions 1 and 2 with the blocks of W^(2) where footnote 2 puts them; derivatives by autodiff.

    outputs      f2, then f1
    attention    S1, then S2
    logits_2     X^(1) W^(2) X^(1)^T
    deep         dL1 in the weights
    shallow      dL2 in the weights
    attention_1  dL1/dS1; Layer 2 reads S1 twice, as queries and as values
    logits_1     dL1/dA1
    moved        dS1 along ``direction``
    """

    outputs: tuple[Any, ...]
    attention: tuple[Any, ...]
    logits_2: Any
    deep: Weights
    shallow: Weights
    attention_1: Any
    logits_1: Any
    moved: Any


class Prompt(NamedTuple):
    """A context and the label that a head must predict at its end; leading axes are cases."""

    tokens: Any
    target: Any


class Case(NamedTuple):
    """One prompt: the paper's symbols, and the literal model's results. All arrays are numpy's."""

    tokens: ndarray
    symbols: Symbols
    literal: Model


@cache
def plan() -> tuple[Case, ...]:
    """Return the cases of L1a: Z with target y1 = v."""
    tokens, y1, _ = prompts()
    return evaluate(weights(), Prompt(tokens, y1))


@cache
def replay() -> tuple[Case, ...]:
    """Return the cases of L1b: Z' with target y2 = u_end."""
    return evaluate(weights(), Prompt(replayed(), prompts()[2]))


@cache
def goal() -> tuple[Case, ...]:
    """Return the cases of L2: Z with target y2 = u_end."""
    tokens, _, y2 = prompts()
    return evaluate(weights(), Prompt(tokens, y2))


@cache
def pointer() -> tuple[Case, ...]:
    """Return every case of the deep head with Layer 1 frozen at the predecessor pointer, as in Theorem 2, Phase II."""
    first, second = weights()
    shift = np.broadcast_to(POINTER * np.eye(T, k=-1), first.position.shape)
    frozen = (layer(np.zeros(first.content.shape), shift), second)
    tokens, y1, y2 = prompts()
    return evaluate(frozen, Prompt(tokens, y1)) + evaluate(frozen, Prompt(replayed(), y2))


def deep() -> tuple[Case, ...]:
    """Return every case of the deep head."""
    return plan() + replay()


@cache
def example() -> Case:
    """Return the running example with the weights of Corollary 1 at gamma = 1 and target y1."""
    one = (circuit(1.0), Prompt(np.array(star.EXAMPLE, np.int32), np.int32(star.EXAMPLE_PATH[1])))
    copies = len(prompts()[1])  # as many as there are cases, to reuse the compiled program
    return evaluate(*jax.tree.map(lambda leaf: np.broadcast_to(leaf, (copies, *leaf.shape)), one))[0]


def layer(content: ndarray, position: ndarray) -> Layer:
    """Return a layer of numpy arrays, which the literal model and the library accept like jax's."""
    return Layer(content, position)  # pyright: ignore[reportArgumentType]


def circuit(gamma: float) -> tuple[Layer, Layer]:
    """Return the weights of Corollary 1."""
    self_mask = np.zeros((T, T))
    self_mask[-2, -2] = -gamma
    return layer(np.zeros((N, N)), gamma * np.eye(T, k=-1)), layer(gamma * np.eye(N), self_mask)


@cache
def prompts() -> tuple[ndarray, ndarray, ndarray]:
    """Return (Z as tokens, y1, y2): ``DRAWS`` random labelings of each edge order."""
    orders = [context for context in star.contexts() for _ in range(DRAWS)]
    labels = np.random.default_rng(0).permuted(np.tile(np.arange(N, dtype=np.int32), (len(orders), 1)), axis=1)

    def relabelled(canonical: list[Any]) -> ndarray:
        return np.stack([table[np.array(label)] for table, label in zip(labels, canonical, strict=True)])

    return (
        relabelled([c.tokens for c in orders]),
        relabelled([c.v for c in orders]),
        relabelled([c.end for c in orders]),
    )


def replayed() -> ndarray:
    """Return Z' of each prompt, as tokens."""
    tokens, y1, _ = prompts()
    return np.concatenate([tokens[:, :-1], y1[:, None]], axis=1)


@cache
def weights() -> tuple[Layer, Layer]:
    """Return independent normal weights for each prompt."""
    return _normal(1, len(prompts()[1]))


@cache
def direction() -> tuple[Layer, Layer]:
    """Return the direction in weight space along which differentials are taken."""
    return _normal(2)


def evaluate(weights: Weights, prompt: Prompt) -> tuple[Case, ...]:
    """Return the symbols and the literal model's values on each prompt. Every leaf has the cases on its first axis."""
    values = jax.tree.map(np.asarray, _literal_program()(weights, *prompt, direction()))
    evaluated = []
    for n, target in enumerate(prompt.target):
        layers, literal_values = jax.tree.map(lambda leaf, n=n: leaf[n], (weights, values))
        evaluated.append(Case(prompt.tokens[n], symbols(layers, prompt.tokens[n], target), literal_values))
    return tuple(evaluated)


def symbols(layers: Weights, tokens: ndarray, target: int | np.integer) -> Symbols:
    """Return the paper's symbols on one prompt."""
    z = np.eye(N)[tokens]
    a1, a2 = (z @ np.asarray(layer.content) @ z.T + np.asarray(layer.position) for layer in layers)
    s1 = softmax(masked(a1))
    return Symbols(z, np.eye(N)[target], a1, a2, s1, softmax(s1[-1] @ a2))


def jacobian(s: ndarray) -> ndarray:
    """Return J(s) = diag(s) - s s^T."""
    return np.diag(s) - np.outer(s, s)


def masked(logits: ndarray) -> ndarray:
    """Apply MASK: -inf above the diagonal."""
    return np.where(np.tri(len(logits), dtype=bool), logits, -np.inf)


def softmax(logits: ndarray) -> ndarray:
    """Apply softmax along the last axis."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def _normal(seed: int, *cases: int) -> tuple[Layer, Layer]:
    draw = np.random.default_rng(seed).standard_normal
    first, second = (layer(draw((*cases, N, N)), draw((*cases, T, T))) for _ in "12")
    return first, second


@cache
def _literal_program() -> Callable[..., Model]:
    def on_one_prompt(weights: Weights, tokens: Array, target: Array, moved: Weights) -> Model:
        x0 = literal.embed(tokens, N)
        acts = literal.forward(weights, tokens)

        def attention_1(first: Layer) -> Array:
            return literal.attn(x0, literal.place_blocks(first, 0))[0]

        def loss_of_attention(s1: Array) -> Array:
            """L1 by Definitions 1 and 2 with the pattern of Layer 1 given."""
            stream = jnp.concatenate([x0, s1 @ x0], axis=1)
            _, attended = literal.attn(stream, literal.place_blocks(weights[1], 1))
            return -jnp.log(attended[-1, x0.shape[1] :][target])

        def loss_of_logits(a1: Array) -> Array:
            return loss_of_attention(jax.nn.softmax(jnp.where(jnp.tril(jnp.ones_like(a1)) > 0, a1, -jnp.inf), axis=1))

        return Model(
            acts.outputs,
            acts.attention,
            acts.streams[1] @ literal.place_blocks(weights[1], 1) @ acts.streams[1].T,
            jax.grad(star.literal_loss)(weights, tokens, target),
            jax.grad(star.shallow_literal_loss)(weights, tokens, target),
            jax.grad(loss_of_attention)(acts.attention[0]),
            jax.grad(loss_of_logits)(x0 @ literal.place_blocks(weights[0], 0) @ x0.T),
            jax.jvp(attention_1, (weights[0],), (moved[0],))[1],
        )

    return jax.jit(jax.vmap(on_one_prompt, in_axes=(0, 0, 0, None)))
