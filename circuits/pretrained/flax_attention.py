"""Attention patterns of any Flax NNX model, from its own ``nnx.MultiHeadAttention`` modules.

The call runs on a copy of the model, which shares its arrays. In the copy each chosen module asks its attention
function for the weights, as flax provides for, and keeps them as a variable; so they pass through ``nnx.jit``,
``nnx.scan``, ``nnx.remat`` and the like as other variables do. The model itself never sees any of it.
"""

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cache, partial
from typing import Any

from flax import nnx
from flax.errors import TraceContextError
from jaxtyping import Array

from circuits import checks

ATTRIBUTE = "captured_attention"


class Captured(nnx.Intermediate):
    """The weights of each call of one module so far."""


class _Sink:
    """What an attention function takes for the module in which to leave its weights."""

    def __init__(self, module: Any) -> None:
        self.module = module

    def sow(self, kind: type, name: str, weights: Array) -> None:
        setattr(self.module, ATTRIBUTE, Captured((*_weights(self.module), weights)))


def capture_attention(
    model: nnx.Module, call: Callable[[Any], Any], paths: Sequence[str] = ("*",)
) -> tuple[Any, dict[str, Array]]:
    """``call(copy of the model)``, and the attention patterns by the path of their module, such as "blocks.0.attn".

    Patterns are softmax weights before any dropout, [batch.., H, T, S], with masks, caches and cross-attention as the
    call has them; of blocks that one ``nnx.scan`` runs they have the blocks as their first axis. A module that is
    called several times has keys like "attn:0", "attn:1". ``paths`` are module paths, with wildcards as in file names
    (``*`` spans dots); the path of the model itself is "". Dropout draws and caches written by the call are those of
    the copy: what else is wanted of it, ``call`` returns.

    Raises ValueError for a pattern that matches no ``nnx.MultiHeadAttention``, with the near paths and what stands
    there; for a chosen module that the call does not run on the model it is given, or whose ``attention_fn`` does not
    show its weights; and where ``call`` itself wraps the model in a transformation of jax, which hides what happens
    inside: put ``capture_attention`` inside that instead.
    """
    checks.require(not isinstance(paths, str), "paths", "must be a sequence of patterns", paths)
    copy = nnx.clone(model)
    chosen = _chosen(copy, paths)
    for module in chosen.values():
        module.__class__ = _showing(type(module))
    out = _called(call, copy)
    return out, _captured(chosen)


def _chosen(model: nnx.Module, paths: Sequence[str]) -> dict[str, Any]:
    modules = {".".join(map(str, path)): module for path, module in nnx.iter_modules(model)}
    attention = {path: module for path, module in modules.items() if isinstance(module, nnx.MultiHeadAttention)}
    for pattern in paths:
        if not any(fnmatchcase(path, pattern) for path in attention):
            raise ValueError(f"paths: must match an nnx.MultiHeadAttention, got {pattern!r}; {_hint(pattern, modules)}")
    return {path: module for path, module in attention.items() if any(fnmatchcase(path, p) for p in paths)}


def _hint(pattern: str, modules: Mapping[str, Any]) -> str:
    """What does match it; otherwise the attention modules with the nearest paths; otherwise what there is at all."""
    matched = [path for path in modules if fnmatchcase(path, pattern)]
    attention = [path for path, module in modules.items() if isinstance(module, nnx.MultiHeadAttention)]
    near = get_close_matches(pattern, attention, n=5, cutoff=0.4) or attention[:5]
    shown = matched[:5] or near or list(modules)[:5]
    what = "which matches" if matched else "near paths:" if near else "the model has none, but"
    return f"{what} {', '.join(f'{path!r} ({type(modules[path]).__name__})' for path in shown)}"


@cache
def _showing(kind: type) -> type:
    """The same class of module, whose calls give the attention function somewhere to leave its weights."""

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        function, before = self.attention_fn, len(_weights(self))
        self.attention_fn = partial(_attend, function, _Sink(self))
        try:
            out = kind.__call__(self, *args, **kwargs)
        finally:
            self.attention_fn = function
        rule = "must show its weights to the module it is given, as nnx.dot_product_attention does"
        checks.require(len(_weights(self)) > before, "attention_fn", rule, function)
        return out

    return type(kind.__name__, (kind,), {"__call__": call, "__module__": kind.__module__})


def _attend(function: Callable[..., Array], sink: _Sink, *args: Any, **kwargs: Any) -> Array:
    return function(*args, **{**kwargs, "module": sink})


def _weights(module: Any) -> tuple[Array, ...]:
    found = vars(module).get(ATTRIBUTE)
    return () if found is None else tuple(found.get_value())


def _called(call: Callable[[Any], Any], model: nnx.Module) -> Any:
    rule = "must run the model it is given as it is, with capture_attention inside of any jax.jit, jax.vmap or the like"
    try:
        return call(model)
    except TraceContextError as error:
        raise ValueError(f"call: {rule}, got {call!r}") from error
    except ValueError as error:
        if ATTRIBUTE not in str(error):  # not from a transformation that can't let the weights out
            raise
        raise ValueError(f"call: {rule}, got {call!r}") from error


def _captured(chosen: Mapping[str, Any]) -> dict[str, Array]:
    silent = [path for path, module in chosen.items() if not _weights(module)]
    rule = "must be paths of modules that the call runs, on the model it is given"
    checks.require(not silent, "paths", rule, silent)
    found = {}
    for path, module in chosen.items():
        weights = _weights(module)
        names = [path] if len(weights) == 1 else [f"{path}:{i}" for i in range(len(weights))]
        found |= dict(zip(names, weights, strict=True))
    return found
