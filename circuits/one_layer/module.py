"""The one-layer model of ALPINE with transfer matrices as a Flax module, on ``source target source a b ... target``.

One attention head that attends only to the target, one-hot embeddings, no residual stream. ``logits`` has the formulas,
``losses`` the exact gradients from counts. The module reads sequences of tokens, so it can be trained, evaluated and
decoded like a ``Predictor``.

The theory is about the positions of the path, from position 2 on: the current token is at the position itself, the
target at position 1, and prediction head n = 1 .. k predicts the token n positions ahead. Positions 0 and 1 involve no
parameter. At position 1 the first prediction head must predict the source, which the attention head cannot read, so it
is copied: its logit is 50, and all others are 0. All logits at position 0 are 0, as are those of further prediction
heads at position 1.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from circuits import checks, display
from circuits.one_layer.config import OneLayerConfig
from circuits.one_layer.decoding import greedy_path
from circuits.one_layer.logits import step_logits
from circuits.one_layer.parameters import Parameters, check

TARGET = 1
"""The position of the target."""
COPY_LOGIT = 50.0
"""The logit of the source at the target's position."""


class OneLayer(nnx.Module):
    """W^M, W^V, W^T and kappa as parameters ``content``, ``value``, ``transfers`` and ``scale``.

    Args:
        config: sizes and variant.
        rngs: random keys of the initial parameters.

    Example:
        >>> config = OneLayerConfig(vocab=6, positions=7, prediction_heads=2)
        >>> tokens = jnp.asarray([0, 3, 0, 1, 2, 3], jnp.int32)  # from 0 to 3 by 1 and 2
        >>> OneLayer(config, nnx.Rngs(0))(tokens).shape  # [k, T, V]
        (2, 6, 6)
    """

    def __init__(self, config: OneLayerConfig, rngs: nnx.Rngs) -> None:
        self.config = config
        shape, dtype = (config.vocab, config.vocab), jnp.dtype(config.param_dtype)
        draw = nnx.initializers.normal(config.embed_scale)
        self.content = nnx.Param(draw(rngs.params(), shape, dtype))
        self.value = nnx.Param(draw(rngs.params(), shape, dtype))
        if config.prediction_heads > 1:
            self.transfers = nnx.Param(draw(rngs.params(), (config.prediction_heads - 1, *shape), dtype))
        if config.injection:
            self.scale = nnx.Param(jnp.ones((), dtype))

    def __call__(self, tokens: Int[Array, " T"]) -> Float[Array, "k T V"]:
        """Return the logits of every prediction head at every position; vmap over a batch.

        The last position has no next token, so nothing is injected there.

        Raises:
            ValueError: for a batch, for fewer than 2 or more than ``config.positions`` tokens, and for ids outside the
                vocabulary (unless traced).
        """
        _check_sequence("tokens", tokens, self.config)
        parameters, options, vocab = self.parameters, self.config.options, self.config.vocab
        following = jnp.append(tokens[1:], jnp.asarray(vocab, tokens.dtype))
        logits = jax.vmap(lambda i, u: step_logits(parameters, i, tokens[TARGET], u, options))(tokens, following)
        on_path = jnp.arange(tokens.shape[0]) > TARGET
        logits = jnp.where(on_path[:, None, None], logits, jnp.zeros((), logits.dtype))
        return jnp.moveaxis(logits.at[TARGET, 0, tokens[0]].set(COPY_LOGIT), 1, 0)

    @display.safe
    def _repr_html_(self) -> str:
        return display.facts("OneLayer", vars(self.config) | self.parameters._asdict())

    @property
    def parameters(self) -> Parameters:
        """The parameters as a record; without transfer matrices or injection, an empty array and kappa = 1."""
        content, vocab = self.content[...], self.config.vocab
        several, injected = self.config.prediction_heads > 1, self.config.injection
        transfers = self.transfers[...] if several else jnp.zeros((0, vocab, vocab), content.dtype)
        scale = self.scale[...] if injected else jnp.ones((), content.dtype)
        return Parameters(content, self.value[...], transfers, scale)


def from_parameters(config: OneLayerConfig, parameters: Parameters) -> OneLayer:
    """Return the module with these parameters.

    Args:
        config: sizes and variant.
        parameters: the matrices, in the config's ``param_dtype``.

    Raises:
        ValueError: if the parameters do not fit the config.

    Example:
        >>> from circuits.one_layer import zeros
        >>> config = OneLayerConfig(vocab=6, positions=7, param_dtype="float64")
        >>> from_parameters(config, zeros(tokens=6, steps=1)).parameters.content.shape
        (6, 6)
    """
    check(parameters)
    vocab, dtype = config.vocab, jnp.dtype(config.param_dtype)
    checks.shape("content", parameters.content, (vocab, vocab))
    checks.shape("transfers", parameters.transfers, (config.prediction_heads - 1, vocab, vocab))
    rule = f"must have the config's param_dtype {dtype}"
    checks.require(parameters.content.dtype == dtype, "parameters", rule, str(parameters.content.dtype))
    graph, state = nnx.split(nnx.eval_shape(lambda: OneLayer(config, nnx.Rngs(0))))
    by_name: dict[str, Any] = parameters._asdict()
    return nnx.merge(graph, jax.tree_util.tree_map_with_path(lambda path, _: by_name[path[0].key], state))


def greedy(model: OneLayer, prompt: Int[Array, " prompt"], max_new_tokens: int) -> Int[Array, " {max_new_tokens}"]:
    """Return the next tokens, each the most likely one of the first prediction head, the lowest id in case of ties.

    Args:
        model: a one-layer model.
        prompt: source and target, and maybe the start of the path.
        max_new_tokens: number of tokens to return.

    Raises:
        ValueError: if prompt and answer together are longer than ``config.positions + 1``, ``max_new_tokens`` is not a
            positive integer, or the prompt has fewer than 2 tokens.

    Example:
        >>> config = OneLayerConfig(vocab=6, positions=7)
        >>> greedy(OneLayer(config, nnx.Rngs(0)), jnp.asarray([0, 3], jnp.int32), max_new_tokens=3).shape
        (3,)
    """
    checks.integer("max_new_tokens", max_new_tokens, min_value=1)
    longest = model.config.positions + 1
    rule = f"must leave prompt and answer at most {longest} tokens long"
    checks.require(prompt.shape[0] + max_new_tokens <= longest, "max_new_tokens", rule, max_new_tokens)
    _check_sequence("prompt", prompt, model.config)
    content, target_row = model.content[...], model.value[prompt[TARGET]]
    if prompt.shape[0] > TARGET + 1:
        return greedy_path(content, target_row, prompt[-1], max_new_tokens)
    source = prompt[0].astype(jnp.int32)
    return jnp.append(source[None], greedy_path(content, target_row, source, max_new_tokens - 1))


def _check_sequence(argument: str, tokens: Int[Array, "..."], config: OneLayerConfig) -> None:
    checks.token_sequence(argument, tokens, vocab=config.vocab, positions=config.positions)
    checks.require(tokens.shape[0] > TARGET, argument, "must hold source and target", tokens.shape)
