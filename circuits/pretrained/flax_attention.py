"""Capture the attention patterns of any Flax NNX model with ``nnx.MultiHeadAttention`` modules.

The call runs on a copy of the model that shares its arrays. In the copy, each chosen module passes a sink to its
attention function, to which flax sows the weights, and stores them as a variable. So they pass through ``nnx.jit``,
``nnx.scan`` and ``nnx.remat`` like any other variable. The model itself does not change.
"""

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cache, partial
from typing import Any, TypeVar

from flax import nnx
from flax.errors import TraceContextError
from jaxtyping import Array

from circuits import checks

Model = TypeVar("Model", bound=nnx.Module)
Output = TypeVar("Output")
ATTRIBUTE = "captured_attention"


class Captured(nnx.Intermediate):
    """The attention weights of all calls of one module so far."""


class _Sink:
    """Stands in for the module into which an attention function sows its weights."""

    def __init__(self, module: Any) -> None:
        self.module = module

    def sow(self, kind: type, name: str, weights: Array) -> None:
        setattr(self.module, ATTRIBUTE, Captured((*_weights(self.module), weights)))


def capture_attention(
    model: Model, call: Callable[[Model], Output], paths: Sequence[str] = ("*",)
) -> tuple[Output, dict[str, Array]]:
    """Return ``call(copy of the model)``, and the attention patterns by module path.

    Args:
        model: any Flax NNX module; it does not change. The call updates dropout keys and caches of the copy, and must
            return them if they are needed.
        call: runs the model that it is given. Apply JAX transformations outside ``capture_attention``.
        paths: module paths such as "blocks.0.attn", with wildcards as in file names (``*`` spans dots). The path of
            the model itself is "".

    Returns:
        The output of the call, and by path the softmax weights before dropout, [batch.., H, T, S]; blocks under one
        ``nnx.scan`` are the first axis. A module that is called several times has keys like "attn:0".

    Raises:
        ValueError: for a pattern that matches no ``nnx.MultiHeadAttention``, listing similar paths; if the call does
            not run a chosen module of the given model, or the module's ``attention_fn`` does not sow its weights; and
            for a call that wraps the model in a JAX transformation.

    Example:
        >>> import jax.numpy as jnp
        >>> model = nnx.MultiHeadAttention(num_heads=2, in_features=8, decode=False, rngs=nnx.Rngs(0))
        >>> _, patterns = capture_attention(model, lambda model: model(jnp.ones((1, 5, 8), jnp.float32)))
        >>> patterns[""].shape
        (1, 2, 5, 5)
    """
    checks.require(not isinstance(paths, str), "paths", "must be a sequence of patterns", paths)
    copy = nnx.clone(model)
    chosen = _chosen(copy, paths)
    for module in chosen.values():
        module.__class__ = _capturing(type(module))
    output = _run(call, copy)
    return output, _captured(chosen)


def _chosen(model: nnx.Module, paths: Sequence[str]) -> dict[str, Any]:
    modules = {".".join(map(str, path)): module for path, module in nnx.iter_modules(model)}
    attention = {path: module for path, module in modules.items() if isinstance(module, nnx.MultiHeadAttention)}
    for pattern in paths:
        if not any(fnmatchcase(path, pattern) for path in attention):
            raise ValueError(f"paths: must match an nnx.MultiHeadAttention, got {pattern!r}; {_hint(pattern, modules)}")
    return {path: module for path, module in attention.items() if any(fnmatchcase(path, p) for p in paths)}


def _hint(pattern: str, modules: Mapping[str, Any]) -> str:
    """Name the matching modules; if there are none, attention modules with similar paths, or else any modules."""
    matched = [path for path in modules if fnmatchcase(path, pattern)]
    attention = [path for path, module in modules.items() if isinstance(module, nnx.MultiHeadAttention)]
    near = get_close_matches(pattern, attention, n=5, cutoff=0.4) or attention[:5]
    named = matched[:5] or near or list(modules)[:5]
    what = "which matches" if matched else "near paths:" if near else "the model has none, but"
    return f"{what} {', '.join(f'{path!r} ({type(modules[path]).__name__})' for path in named)}"


@cache
def _capturing(kind: type) -> type:
    """Return a subclass whose calls pass a sink to the attention function."""

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        function, before = self.attention_fn, len(_weights(self))
        self.attention_fn = partial(_attend, function, _Sink(self))
        try:
            output = kind.__call__(self, *args, **kwargs)
        finally:
            self.attention_fn = function
        rule = "must store its weights in the module that it is given, as nnx.dot_product_attention does"
        checks.require(len(_weights(self)) > before, "attention_fn", rule, function)
        return output

    return type(kind.__name__, (kind,), {"__call__": call, "__module__": kind.__module__})


def _attend(function: Callable[..., Array], sink: _Sink, *args: Any, **kwargs: Any) -> Array:
    return function(*args, **{**kwargs, "module": sink})


def _weights(module: Any) -> tuple[Array, ...]:
    variable = vars(module).get(ATTRIBUTE)
    return () if variable is None else tuple(variable.get_value())


def _run(call: Callable[[Any], Any], model: nnx.Module) -> Any:
    rule = (
        "must run the model that it gets unwrapped, with capture_attention inside of any jax.jit, jax.vmap or the like"
    )
    try:
        return call(model)
    except TraceContextError as error:
        raise ValueError(f"call: {rule}, got {call!r}") from error
    except ValueError as error:
        if ATTRIBUTE not in str(error):  # not because a transformation traps the captured weights
            raise
        raise ValueError(f"call: {rule}, got {call!r}") from error


def _captured(chosen: Mapping[str, Any]) -> dict[str, Array]:
    silent = [path for path, module in chosen.items() if not _weights(module)]
    checks.require(
        not silent, "paths", "must be paths of modules that the call runs, on the model that it gets", silent
    )
    patterns = {}
    for path, module in chosen.items():
        weights = _weights(module)
        names = [path] if len(weights) == 1 else [f"{path}:{i}" for i in range(len(weights))]
        patterns |= dict(zip(names, weights, strict=True))
    return patterns
