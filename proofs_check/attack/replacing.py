"""Replace the result of a library function for every caller.

The code of the function object is replaced, so every name, closure, default and jit that refers to the function calls
the replacement.
"""

import copy
import dataclasses
import functools
import gc
import importlib
import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from types import FunctionType, MethodType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import sympy
from flint import arb

from circuits import checks
from proofs_check.attack import engine
from proofs_check.attack.engine import Target

Change = Callable[[str, Any], Any]
"""From a leaf's path and value to its new value."""
_SINGLE_LEAVES = 12
"""In a result with more leaves, NaN is put into all of them at once."""
_ARRAYS = (jax.Array, np.ndarray, np.generic)
_LAZY = (Iterator, FunctionType, MethodType, functools.partial, jax.stages.Wrapped)
"""Types whose values are not computed yet."""
_REALS = (float, complex, Fraction, arb, sympy.Expr)


def _zero(leaf: Any) -> Any:
    if isinstance(leaf, jax.Array | np.ndarray):
        return (jnp if isinstance(leaf, jax.Array) else np).zeros_like(leaf)
    return sympy.Integer(0) if isinstance(leaf, sympy.Expr) else type(leaf)(0)


def _negated(leaf: Any) -> Any:
    if isinstance(leaf, bool):
        return not leaf
    return ~leaf if np.issubdtype(getattr(leaf, "dtype", int), np.bool_) else -leaf


# The kind of leaf that each attack changes, and the change. Other leaves stay as they are.
ATTACKS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "NaN": ("real", lambda leaf: leaf if isinstance(leaf, Fraction) else leaf * math.nan),
    "zero": ("real", _zero),
    "transposed": ("matrix", lambda leaf: leaf.T),
    "negated": ("real", _negated),
    "integers zero": ("whole", _zero),
    "integers negated": ("whole", _negated),
    "integers reversed": ("row", lambda leaf: leaf[::-1]),
}


def leaf_kinds(leaf: Any) -> frozenset[str]:
    """Return the kinds that a leaf belongs to; none for text and the like."""
    if isinstance(leaf, _ARRAYS):
        if jnp.issubdtype(leaf.dtype, jnp.inexact):
            return frozenset({"real", "matrix"} if leaf.ndim >= 2 else {"real"})
        whole = leaf.dtype == bool or jnp.issubdtype(leaf.dtype, jnp.integer)
        return frozenset(({"whole", "row"} if leaf.ndim else {"whole"}) if whole else ())
    return frozenset({"real"} if isinstance(leaf, _REALS) else {"whole"} if isinstance(leaf, int) else ())


def attacks(results: Iterable[Any]) -> list[str]:
    """Return the names of the attacks that apply to any of these results of a function.

    NaN is put into each leaf separately: Python's ``max`` may lose it in all but the first.
    """
    present: set[str] = set()
    leaves: set[str] = set()

    def look(path: str, leaf: Any) -> Any:
        kinds = leaf_kinds(leaf)
        present.update(kinds)
        leaves.update([path] if "real" in kinds else [])
        return leaf

    for result in results:
        if any(isinstance(leaf, _LAZY) for leaf in jax.tree.leaves(result)):  # their values are not known yet
            present.update(("real", "matrix", "several"))
        changed(result, look)
    names = [name for name, (kind, _) in ATTACKS.items() if kind in present]
    if 1 < len(leaves) <= _SINGLE_LEAVES and "several" not in present:
        names = [f"NaN at {path}" for path in sorted(leaves)] + names[1:]
    return names


def changed(value: Any, change: Change, path: str = "") -> Any:
    """Apply ``change`` to every leaf: of containers, dataclasses, iterated items, and results of returned functions."""

    def replaced(keys: Any, leaf: Any) -> Any:
        where = path + jax.tree_util.keystr(keys)
        if isinstance(leaf, Iterator):
            return (changed(item, change, where) for item in leaf)
        if callable(leaf) and isinstance(leaf, _LAZY):
            return functools.wraps(leaf)(lambda *args, **named: changed(leaf(*args, **named), change, where))  # pyright: ignore
        if dataclasses.is_dataclass(leaf) and not isinstance(leaf, type):
            other = copy.copy(leaf)
            for field in dataclasses.fields(leaf):
                if hasattr(leaf, field.name):
                    new = changed(getattr(leaf, field.name), change, f"{where}.{field.name}")
                    object.__setattr__(other, field.name, new)
            return other
        return change(where, leaf)

    return jax.tree_util.tree_map_with_path(replaced, value)


def replace(function: FunctionType, change: Change) -> None:
    """Make a function apply ``change`` to every leaf of its result."""
    code, names = function.__code__, function.__globals__
    original = FunctionType(code, names, function.__name__, function.__defaults__, function.__closure__)
    original.__kwdefaults__ = function.__kwdefaults__
    function.__signature__ = inspect.signature(function)  # pyright: ignore[reportFunctionMemberAccess]
    hidden = f"__attacked_{code.co_qualname.replace('.', '_')}__"
    names[hidden] = lambda *args, **named: changed(original(*args, **named), change)
    made: dict[str, Any] = {}
    exec(f"def call(*args, **named): return {hidden}(*args, **named)", made)
    function.__defaults__ = function.__kwdefaults__ = None
    function.__code__ = made["call"].__code__.replace(co_freevars=code.co_freevars)


def functions(name: str) -> list[FunctionType]:
    """Return the function objects defined by "module:name", decorated or not. Usually there is one."""
    module, qualified = name.split(":")
    file = importlib.import_module(module).__file__
    return [
        each
        for each in gc.get_objects()
        if isinstance(each, FunctionType)
        and each.__code__.co_filename == file
        and each.__code__.co_qualname == qualified
    ]


def decide(target: Target, names: Sequence[str], function: str, attack: str) -> Iterator[str]:
    """Yield the outcome of each claim under one attack. Runs in a fresh process."""
    claims = engine.load(target, names)
    _damage(function, attack)
    yield from map(engine.outcome, claims)


def changes_values(target: Target, name: str, function: str, attack: str) -> Iterator[bool]:
    """Yield whether an attack changes any value while the claim is decided. Runs in a fresh process.

    Comparing adds callbacks to compiled programs, so it is done only for attacks that the claim does not notice.
    """
    [claim], changes = engine.load(target, [name]), []
    _damage(function, attack, changes)
    engine.outcome(claim)
    jax.effects_barrier()
    yield any(changes)


def _damage(function: str, attack: str, changes: list[bool] | None = None) -> None:
    """Attack a function of the library; with ``changes``, append whether values differ."""
    what, _, where = attack.partition(" at ")
    kind, change = ATTACKS[what]

    def damaged(path: str, leaf: Any) -> Any:
        if kind not in leaf_kinds(leaf) or where not in ("", path):
            return leaf
        new = change(leaf)
        if changes is not None:
            _compare(leaf, new, changes)
        return new

    objects = functions(function)
    checks.require(bool(objects), "function", "must name a function of the library", function)
    for each in objects:
        replace(each, damaged)


def _compare(old: Any, new: Any, changes: list[bool]) -> None:
    if not isinstance(old, _ARRAYS):
        changes.append(bool(old != new))
    elif old.shape != new.shape:
        changes.append(True)
    else:
        both_nan = (old != old) & (new != new)
        jax.debug.callback(lambda differ: changes.append(bool(np.any(differ))), jnp.any((old != new) & ~both_nan))
