"""The one-layer model of ALPINE with transfer matrices, on the lines ``source target source a b ... target``.

One head whose attention is fixed on the target, one-hot embeddings, no residual stream; see ``circuits.one_layer``
for its formulas, its exact gradients from counts and its full-batch training. Here it is a module on sequences of
tokens, so that whatever trains, evaluates and decodes a ``Predictor`` does the same to it.

The theory speaks of the places of the path, from place 2 on (counted from 0): there the current token is the place's
own, the target is the token at place 1, and step n predicts the token n places on. The two places before hold no
parameter. At place 1 the answer starts with the source, which a head fixed on the target cannot read, so it is
copied: all probability but V e^-50 is on the token of place 0. All other logits of places 0 and 1 are zero.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from circuits import checks
from circuits.one_layer.decoding import follow
from circuits.one_layer.logits import step_logits
from circuits.one_layer.parameters import Options, Parameters, check
from circuits.transformer.config import TransformerConfig
from circuits.transformer.token_check import check_tokens

TARGET = 1
"""The place of the target."""
COPY = 50.0
"""The logit of the source at the target's place."""


class OneLayer(nnx.Module):
    """W^M, W^V, W^T and kappa as parameters; entry n - 1 of its logits is x_n.

    Of the config it reads ``vocab``, ``positions``, ``prediction_heads`` (k), ``head_chain``, ``injection``,
    ``embed_scale`` (standard deviation of the initial entries; kappa starts at 1) and ``param_dtype``, in which all
    is computed. Raises ValueError unless its kind is "one-layer" and its further heads, if any, are of the kind
    "transfer".
    """

    def __init__(self, config: TransformerConfig, rngs: nnx.Rngs) -> None:
        check_config(config)
        self.config = config
        shape, kind = (config.vocab, config.vocab), jnp.dtype(config.param_dtype)
        draw = nnx.initializers.normal(config.embed_scale)
        self.content = nnx.Param(draw(rngs.params(), shape, kind))
        self.value = nnx.Param(draw(rngs.params(), shape, kind))
        if config.prediction_heads > 1:
            self.transfers = nnx.Param(draw(rngs.params(), (config.prediction_heads - 1, *shape), kind))
        if config.injection:
            self.scale = nnx.Param(jnp.ones((), kind))

    def __call__(self, tokens: Int[Array, " T"]) -> Float[Array, "k T V"]:
        """Logits of every step at every place; the last place has no next token, so none is injected there.

        Raises ValueError for a batch, for a sequence of fewer than 2 tokens or more than ``config.positions``, or
        with an id outside the vocabulary (unless it is traced).
        """
        _check_sequence("tokens", tokens, self.config)
        parameters, options, vocab = self.parameters, options_of(self.config), self.config.vocab
        following = jnp.append(tokens[1:], jnp.asarray(vocab, tokens.dtype))
        each = jax.vmap(lambda i, u: step_logits(parameters, i, tokens[TARGET], u, options))(tokens, following)
        path = jnp.arange(tokens.shape[0]) > TARGET
        known = jnp.where(path[:, None, None], each, jnp.zeros((), each.dtype))
        return jnp.moveaxis(known.at[TARGET, 0, tokens[0]].set(COPY), 1, 0)

    @property
    def parameters(self) -> Parameters:
        """The same parameters in the form of ``circuits.one_layer``."""
        content, vocab = self.content[...], self.config.vocab
        many, injected = self.config.prediction_heads > 1, self.config.injection
        transfers = self.transfers[...] if many else jnp.zeros((0, vocab, vocab), content.dtype)
        scale = self.scale[...] if injected else jnp.ones((), content.dtype)
        return Parameters(content, self.value[...], transfers, scale)


def from_parameters(config: TransformerConfig, parameters: Parameters) -> OneLayer:
    """The module with these parameters. Raises ValueError where they do not fit the config."""
    check(parameters)
    vocab, kind = config.vocab, jnp.dtype(config.param_dtype)
    checks.shape("content", parameters.content, (vocab, vocab))
    checks.shape("transfers", parameters.transfers, (config.prediction_heads - 1, vocab, vocab))
    same = parameters.content.dtype == kind
    checks.require(same, "parameters", f"must have the config's param_dtype {kind}", str(parameters.content.dtype))
    graph, state = nnx.split(nnx.eval_shape(lambda: OneLayer(config, nnx.Rngs(0))))
    flat: dict[str, Any] = parameters._asdict()
    filled = jax.tree_util.tree_map_with_path(lambda path, leaf: flat[path[0].key].astype(leaf.dtype), state)
    return nnx.merge(graph, filled)


def options_of(config: TransformerConfig) -> Options:
    """The variant that a config asks for."""
    return Options(config.head_chain, config.injection)


def check_config(config: TransformerConfig) -> None:
    """Raise ValueError for a choice that the one-layer model does not have."""
    checks.require(config.kind == "one-layer", "kind", "must be one-layer for this model", config.kind)
    fine = config.head_kind == ("linear" if config.prediction_heads == 1 else "transfer")
    checks.require(
        fine, "head_kind", "must be transfer for more than one head of the one-layer model", config.head_kind
    )


def greedy(model: OneLayer, prompt: Int[Array, " P"], count: int) -> Int[Array, " {count}"]:
    """The next ``count`` tokens, each the most likely one of step 1; of equally likely ones the lowest id.

    Raises ValueError when prompt and answer together are longer than the model's positions and one, ``count`` is no
    positive integer, or the prompt has fewer than 2 tokens.
    """
    checks.integer("count", count, min_value=1)
    length, most = prompt.shape[0] + count, model.config.positions + 1
    checks.require(length <= most, "count", f"must leave prompt and answer at most {most} tokens long", count)
    _check_sequence("prompt", prompt, model.config)
    content, about = model.content[...], model.value[prompt[TARGET]]
    if prompt.shape[0] > TARGET + 1:
        return follow(content, about, prompt[-1], count)
    start = prompt[0].astype(jnp.int32)
    return jnp.append(start[None], follow(content, about, start, count - 1))


def _check_sequence(argument: str, tokens: Int[Array, "..."], config: TransformerConfig) -> None:
    check_tokens(argument, tokens, config)
    checks.require(tokens.shape[0] > TARGET, argument, "must hold source and target", tokens.shape)
