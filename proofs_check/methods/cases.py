"""The cases on which Lemmas 1 to 5 are decided: the paper's symbols on a prompt, beside what the literal model gives.

One program of the literal model and its derivatives serves every case of every claim, for compiling is what costs.
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
from proofs_check.methods import setting
from proofs_check.methods.edge_orders import edge_orders, next_label
from proofs_check.methods.edge_orders import goal as goal_label
from proofs_check.methods.setting import N, T
from proofs_check.methods.symbols import Symbols, symbols

POINTER = 50.0
"""A gamma at which W1^(1) = gamma L is the predecessor pointer to rounding: e^-50 is far below 1e-16."""


class Model(NamedTuple):
    """What Definitions 1 and 2 give, with the blocks of W^(2) where footnote 2 puts them; derivatives by autodiff.

    outputs      f2, then f1
    attention    S1, then S2
    logits_2     X^(1) W^(2) X^(1)^T
    deep         dL1 in the weights
    shallow      dL2 in the weights
    attention_1  dL1/dS1; S1 is read twice by Layer 2, as queries and as values
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
    """One prompt: the paper's symbols, and what the literal model gives. Numpy arrays throughout."""

    tokens: ndarray
    symbols: Symbols
    literal: Model


@cache
def plan() -> tuple[Case, ...]:
    """Z with target y1 = v: L1a."""
    tokens, y1, _ = prompts()
    return evaluate(weights(), Prompt(tokens, y1))


@cache
def replay() -> tuple[Case, ...]:
    """Z' with target y2 = u_end: L1b."""
    return evaluate(weights(), _replay_prompt())


def deep() -> tuple[Case, ...]:
    """Every case of the deep head."""
    return plan() + replay()


@cache
def goal() -> tuple[Case, ...]:
    """Z with target y2 = u_end: L2."""
    tokens, _, y2 = prompts()
    return evaluate(weights(), Prompt(tokens, y2))


@cache
def pointer() -> tuple[Case, ...]:
    """Every case of the deep head with Layer 1 frozen at the predecessor pointer, as in Phase II of Theorem 2."""
    first, second = weights()
    shift = np.broadcast_to(POINTER * np.eye(T, k=-1), first.position.shape)
    frozen = (layer(np.zeros(first.content.shape), shift), second)
    tokens, y1, _ = prompts()
    return evaluate(frozen, Prompt(tokens, y1)) + evaluate(frozen, _replay_prompt())


@cache
def example() -> Case:
    """The running example with the weights of Corollary 1 at gamma = 1 and target y1."""
    tokens, target = np.array(setting.EXAMPLE, np.int32), np.int32(setting.EXAMPLE_PATH[1])
    copies = len(prompts()[1])  # as many as there are cases, so that the compiled program is the same
    one = (circuit(1.0), Prompt(tokens, target))
    given = jax.tree.map(lambda leaf: np.broadcast_to(leaf, (copies, *leaf.shape)), one)
    return evaluate(*given)[0]


def layer(content: ndarray, position: ndarray) -> Layer:
    """A layer of numpy arrays, which the literal model and the library take as they take jax's."""
    return Layer(content, position)  # pyright: ignore[reportArgumentType]


def circuit(gamma: float) -> tuple[Layer, Layer]:
    """The weights of Corollary 1."""
    not_itself = np.zeros((T, T))
    not_itself[-2, -2] = -gamma
    return layer(np.zeros((N, N)), gamma * np.eye(T, k=-1)), layer(gamma * np.eye(N), not_itself)


@cache
def prompts() -> tuple[ndarray, ndarray, ndarray]:
    """(Z as tokens, y1, y2): ``setting.DRAWS`` random labelings of each edge order."""
    orders = [order for order in edge_orders() for _ in range(setting.DRAWS)]
    labels = np.random.default_rng(0).permuted(np.tile(np.arange(N, dtype=np.int32), (len(orders), 1)), axis=1)

    def relabelled(canonical: list[Any]) -> ndarray:
        return np.stack([table[np.array(label)] for table, label in zip(labels, canonical, strict=True)])

    return relabelled(orders), relabelled([next_label(z) for z in orders]), relabelled([goal_label(z) for z in orders])


@cache
def weights() -> tuple[Layer, Layer]:
    """Independent normal weights for each prompt."""
    return _normal(1, len(prompts()[1]))


@cache
def direction() -> tuple[Layer, Layer]:
    """The direction in the space of weights along which differentials are taken."""
    return _normal(2)


def evaluate(weights: Weights, prompt: Prompt) -> tuple[Case, ...]:
    """The symbols and the literal model on each prompt. Every leaf has the cases on its first axis."""
    found = jax.tree.map(np.asarray, _literal_program()(weights, *prompt, direction()))
    cases = []
    for n, target in enumerate(prompt.target):
        layers, here = jax.tree.map(lambda leaf, n=n: leaf[n], (weights, found))
        cases.append(Case(prompt.tokens[n], symbols(layers, prompt.tokens[n], target), here))
    return tuple(cases)


def _normal(seed: int, *cases: int) -> tuple[Layer, Layer]:
    draw = np.random.default_rng(seed).standard_normal
    first, second = (layer(draw((*cases, N, N)), draw((*cases, T, T))) for _ in "12")
    return first, second


def _replay_prompt() -> Prompt:
    tokens, y1, y2 = prompts()
    return Prompt(np.concatenate([tokens[:, :-1], y1[:, None]], axis=1), y2)


@cache
def _literal_program() -> Callable[..., Model]:
    def on_one_prompt(weights: Weights, tokens: Array, target: Array, moved: Weights) -> Model:
        x0 = literal.embed(tokens, N)
        found = literal.forward(weights, tokens)

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
            found.outputs,
            found.attention,
            found.streams[1] @ literal.place_blocks(weights[1], 1) @ found.streams[1].T,
            jax.grad(setting.literal_loss)(weights, tokens, target),
            jax.grad(setting.shallow_literal_loss)(weights, tokens, target),
            jax.grad(loss_of_attention)(found.attention[0]),
            jax.grad(loss_of_logits)(x0 @ literal.place_blocks(weights[0], 0) @ x0.T),
            jax.jvp(attention_1, (weights[0],), (moved[0],))[1],
        )

    return jax.jit(jax.vmap(on_one_prompt, in_axes=(0, 0, 0, None)))
