"""Named taps: capture or edit any activation of a model, while the call stays a pure function.

A model passes each activation through its ``tap`` under a name such as ``blocks.3.attn.pattern``. Without taps this is
the identity and compiles to nothing. With ``Taps`` the model returns its output and a cache of captured activations.
Taps act at trace time, so they work under jit, vmap, grad and sharding.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Protocol, runtime_checkable

import jax
from jax import Array

from circuits import display

Edit = Callable[[Array], Array]
"""Maps an activation to its replacement, of the same shape and dtype."""
Cache = dict[str, Array]
"""Captured activations by name, in the order in which the model computes them."""


@jax.tree_util.register_static
@dataclass(frozen=True, eq=False)
class Taps:
    """Which activations to capture and which to edit, by patterns over tap names.

    A pattern is a tap name, or has wildcards as in file names: ``*`` (which spans dots), ``?`` and ``[0-3]``. Edits
    come before the capture, so the cache holds the values that the model continues with. If several edits match one
    name, they apply in order.

    Taps are immutable, hashable and a pytree without leaves, so a jitted function takes them as an argument, static or
    not, and compiles once for equal taps. Edits are equal only if they are the same function object: do not create a
    new lambda in every iteration of a loop.

    Args:
        capture: patterns of the activations to return.
        edit: functions of an activation, by pattern; applied in this order.

    Raises:
        ValueError: if ``capture`` is a single string, or an edit is not callable.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from flax import nnx
        >>> from circuits.transformer import Predictor, TransformerConfig
        >>> config = TransformerConfig(vocab=7, positions=9, layers=2, heads=2, width=8)
        >>> model = Predictor(config, nnx.Rngs(0))
        >>> taps = Taps(capture=["*.pattern"], edit={"blocks.0.attn.z": lambda z: z.at[:, 1].set(0)})  # ablates L0H1
        >>> logits, cache = jax.jit(model)(jnp.arange(5, dtype=jnp.int32), taps)
        >>> {name: pattern.shape for name, pattern in cache.items()}
        {'blocks.0.attn.pattern': (2, 5, 5), 'blocks.1.attn.pattern': (2, 5, 5)}
    """

    capture: Sequence[str] = ()
    edit: Mapping[str, Edit] = field(default_factory=dict)

    _repr_html_ = display.html

    def __post_init__(self) -> None:
        if isinstance(self.capture, str):  # a sequence of one-letter patterns, which is never meant
            raise ValueError(f"capture: must be a sequence of patterns, got {self.capture!r}")
        for pattern, function in self.edit.items():
            if not callable(function):
                raise ValueError(f"edit[{pattern!r}]: must be a function, got {function!r}")
        object.__setattr__(self, "capture", tuple(self.capture))
        object.__setattr__(self, "edit", MappingProxyType(dict(self.edit)))

    def _key(self) -> tuple[tuple[str, ...], tuple[tuple[str, Edit], ...]]:
        return tuple(self.capture), tuple(self.edit.items())  # the order of edits matters

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Taps) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())


@runtime_checkable
class Tap(Protocol):
    """The callback that a model passes each activation through."""

    def __call__(self, name: str, value: Array) -> Array:
        """Return the activation to continue with."""
        ...

    def within(self, prefix: str) -> "Tap":
        """Return the tap for a part of the model, whose names start with ``prefix`` and a dot."""
        ...

    def wants(self, name: str) -> bool:
        """Return whether this activation is captured or edited, and therefore must be computed."""
        ...


class Untapped:
    """The tap of a call without taps: nothing is captured, edited or wanted."""

    def __call__(self, name: str, value: Array) -> Array:
        return value

    def within(self, prefix: str) -> "Untapped":
        return self

    def wants(self, name: str) -> bool:
        return False


UNTAPPED = Untapped()


class Recorder:
    """The tap of one call with ``Taps``, which fills ``cache`` while the call runs.

    Raises ValueError for a pattern that matches none of the model's tap names, listing the nearest ones.
    """

    def __init__(self, taps: Taps, names: Iterable[str]) -> None:
        known = tuple(names)
        for pattern in (*taps.capture, *taps.edit):
            if not any(fnmatchcase(name, pattern) for name in known):
                raise ValueError(
                    f"taps: pattern must match a tap of the model, got {pattern!r}; {_near(pattern, known)}"
                )
        self._taps, self._names, self._prefix = taps, frozenset(known), ""
        self.cache: Cache = OrderedDict()  # jit returns a plain dictionary sorted by name

    def __call__(self, name: str, value: Array) -> Array:
        full = self._prefix + name
        if full not in self._names:
            raise ValueError(f"tap: must be one of the names that the model advertises, got {full!r}")
        for pattern, function in self._taps.edit.items():
            if fnmatchcase(full, pattern):
                value = _edited(full, value, function)
        if any(fnmatchcase(full, pattern) for pattern in self._taps.capture):
            self.cache[full] = value
        return value

    def within(self, prefix: str) -> "Recorder":
        inner = object.__new__(Recorder)
        inner._taps, inner._names, inner._prefix = self._taps, self._names, f"{self._prefix}{prefix}."
        inner.cache = self.cache
        return inner

    def wants(self, name: str) -> bool:
        full = self._prefix + name
        return any(fnmatchcase(full, pattern) for pattern in (*self._taps.capture, *self._taps.edit))


def _edited(name: str, value: Array, function: Edit) -> Array:
    new = function(value)
    expected, got = (value.shape, value.dtype), (getattr(new, "shape", None), getattr(new, "dtype", None))
    if expected != got:
        rule = f"must return shape {expected[0]} and dtype {expected[1]}"
        raise ValueError(f"edit of {name}: {rule}, got {got[0]}, {got[1]}")
    return new


def _near(pattern: str, names: Sequence[str]) -> str:
    close = get_close_matches(pattern, names, n=5, cutoff=0.4) or names[:5]
    return f"near names: {', '.join(close)}"
