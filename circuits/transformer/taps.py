"""Named taps: capture or edit any activation of a model, while the call stays a pure function.

A model passes each activation through its ``tap`` under a name, such as ``blocks.3.attn.pattern``. Without taps that
is the identity, so the compiled program is the same as if the tap were not there. With ``Taps`` the call returns its
output and a cache of what was captured. All of it happens while the call is traced, so it works under jit, vmap,
grad and sharding.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Protocol, runtime_checkable

from jax import Array

Edit = Callable[[Array], Array]
"""From an activation to its replacement, of the same shape and dtype."""
Cache = dict[str, Array]
"""Captured activations by name, in the order in which the model computes them."""


@dataclass(frozen=True)
class Taps:
    """What to capture and what to edit, by patterns over tap names.

    A pattern is a name, or has wildcards as in file names: ``*`` (dots too), ``?`` and ``[0-3]``. An edit comes before
    the capture, so a cache holds what the model went on with. Where several edits match one name, they are applied in
    their order.

    Args:
        capture: patterns of the activations to return.
        edit: from a pattern to a function of the activation.
    """

    capture: Sequence[str] = ()
    edit: Mapping[str, Edit] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.capture, str):  # a sequence of one-letter patterns, which is never meant
            raise ValueError(f"capture: must be a sequence of patterns, got {self.capture!r}")
        for pattern, function in self.edit.items():
            if not callable(function):
                raise ValueError(f"edit[{pattern!r}]: must be a function, got {function!r}")


@runtime_checkable
class Tap(Protocol):
    """What a model calls with each activation."""

    def __call__(self, name: str, value: Array) -> Array:
        """The activation to go on with."""
        ...

    def within(self, prefix: str) -> "Tap":
        """The same tap for a part of the model, whose names start with ``prefix`` and a dot."""
        ...

    def wants(self, name: str) -> bool:
        """Whether this activation is captured or edited, so that it has to be computed."""
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
    """The tap of one call with ``Taps``; ``cache`` fills while the call runs.

    Raises ValueError for a pattern that matches none of the model's names, listing the nearest ones.
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
    form, given = (value.shape, value.dtype), (getattr(new, "shape", None), getattr(new, "dtype", None))
    if form != given:
        raise ValueError(f"edit of {name}: must return shape {form[0]} and dtype {form[1]}, got {given[0]}, {given[1]}")
    return new


def _near(pattern: str, names: Sequence[str]) -> str:
    close = get_close_matches(pattern, names, n=5, cutoff=0.4) or names[:5]
    return f"near names: {', '.join(close)}"
