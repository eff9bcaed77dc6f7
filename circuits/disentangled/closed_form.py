"""The closed form of the disentangled transformer (Lemma 1), at any depth.

    A^(l) = Z W0^(l) Z^T + W1^(l)
    S^(0) = I,   S^(l) = softmax(MASK(S^(l-1) A^(l)))
    head on layer l = last row of S^(l) S^(l-1) ... S^(1) Z

At depth 2 the prediction head on Layer 2 is f1, which predicts the next token, and the one on Layer 1 is f2, which
predicts the token after that. Products with the one-hot Z are look-ups by label.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from circuits import display
from circuits.disentangled.weights import Weights, check_prompt, sizes
from circuits.display import Figure
from circuits.typing import Causal, Content, OverLabels, OverPositions, Position, Tokens


class Activations(NamedTuple):
    """All activations, one tuple entry for each layer.

    Args:
        scores: A^(l) [T, T].
        logits: S^(l-1) A^(l) [T, T], unmasked.
        log_attention: log S^(l) [T, T], -inf above the diagonal.
        attention: S^(l) [T, T]; rows sum to 1.
        outputs: the prediction head on layer l, a distribution over labels [N]: at depth 2 (f2, f1).
    """

    scores: tuple[Position, ...]
    logits: tuple[Position, ...]
    log_attention: tuple[Position, ...]
    attention: tuple[Position, ...]
    outputs: tuple[OverLabels, ...]

    def plot(self, tokens: Tokens | None = None, *, title: str = "") -> Figure:
        """Draw the attention of every layer.

        Args:
            tokens: labels of the rows and columns [T]; by default the positions 0 .. T - 1.
            title: above all layers.

        Returns:
            A figure with one axes for each layer.

        Raises:
            ValueError: for a batch, or if only the last row of a layer was computed.

        Example:
            >>> from circuits.disentangled.weights import zeros
            >>> tokens = jnp.asarray([0, 1, 0, 2, 2, 0])
            >>> [ax.get_title() for ax in forward(zeros(1, 4, 6), tokens).plot(tokens).axes[:1]]
            ['Layer 0']
        """
        panels = [(f"Layer {layer}", pattern) for layer, pattern in enumerate(self.attention)]
        labels = range(len(self.attention[0])) if tokens is None else tokens
        return display.plotting.attention_heatmaps(panels, labels, title=title)

    @display.safe
    def _repr_html_(self) -> str:
        rows = [(f"prediction head on layer {layer}", output) for layer, output in enumerate(self.outputs)]
        names = [(name, int(output.argmax()), float(output.max())) for name, output in rows]
        head = ("output", "most likely label", "probability")
        return display.table("Predictions", head, names) + display.picture(self.plot())


def forward(
    weights: Weights,
    tokens: Tokens,
    log_normalise: Callable[[Float[Array, "rows T"]], Float[Array, "rows T"]] = jax.nn.log_softmax,
    last_row_only: bool = False,
) -> Activations:
    """Return all activations on one sequence (Lemma 1); vmap over a batch.

    Args:
        weights: content and position block of each layer.
        tokens: node labels [T].
        log_normalise: maps masked logits to log attention, row by row; ``circuit.log_hardmax`` gives the limit of
            infinite weights.
        last_row_only: compute only the last query of the top layer, which is all that losses read. The logits and
            attention of that layer then have one row instead of T.

    Raises:
        ValueError: for weights that do not fit the sequence or are not finite, and for labels outside range(N).

    Example:
        >>> from circuits.disentangled.weights import zeros
        >>> acts = jax.jit(forward)(zeros(depth=2, labels=4, length=6), jnp.asarray([0, 1, 0, 2, 2, 0]))
        >>> acts.attention[1][-1].round(3).tolist()  # without weights, attention is uniform
        [0.167, 0.167, 0.167, 0.167, 0.167, 0.167]
    """
    check_prompt(weights, tokens)
    scores, logits, log_attention, attention, outputs = [], [], [], [], []
    pattern, product = None, None  # S^(l), and S^(l) ... S^(1)
    for index, layer in enumerate(weights):
        rows = slice(-1, None) if last_row_only and index == len(weights) - 1 else slice(None)
        score = content_scores(layer.content, tokens) + layer.position
        logit = score[rows] if pattern is None else pattern[rows] @ score
        log_pattern = log_normalise(jnp.where(causal(len(tokens))[rows], logit, -jnp.inf))
        pattern = jnp.exp(log_pattern)
        product = pattern if product is None else pattern @ product
        scores.append(score)
        logits.append(logit)
        log_attention.append(log_pattern)
        attention.append(pattern)
        outputs.append(by_label(product[-1], tokens, sizes(weights)[0]))
    return Activations(tuple(scores), tuple(logits), tuple(log_attention), tuple(attention), tuple(outputs))


def content_scores(content: Content, tokens: Tokens) -> Position:
    """Return Z W0 Z^T, whose entry (i, j) is W0[g_i, g_j]."""
    return content[tokens[:, None], tokens[None, :]]


def by_label(row: OverPositions, tokens: Tokens, labels: int) -> OverLabels:
    """Return row Z: the sum of a row over all positions of each label."""
    is_label = tokens[:, None] == jnp.arange(labels, dtype=tokens.dtype)[None]
    return jnp.sum(jnp.where(is_label, row[:, None], 0), axis=0)


def causal(length: int) -> Causal:
    """Return MASK: query i attends to keys j <= i."""
    return jnp.tril(jnp.ones((length, length), bool))
