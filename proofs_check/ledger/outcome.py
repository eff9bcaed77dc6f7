"""What one variant of a test gave, and the comparisons that decide it.

A check hands over arrays with one entry, or one row, a case. Everything that turns them into one number happens here,
with numpy, so that NaN is never lost on the way: a comparison that meets NaN shows nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import jax
import numpy as np

from circuits import checks

Shows = Literal["supports", "contradicts", "undecided"]
Relation = Literal["<=", ">="]
Number = int | float | Fraction

IDENTITY_TOLERANCE = 1e-12
"""Largest gap, relative to the larger of 1 and the quantity, at which two float64 routes count as equal."""
IDENTITY_REFUTED = 1e-6
"""Smallest gap that rounding can't explain. Between the two an identity stays undecided."""


@dataclass(frozen=True)
class Outcome:
    """The statement asks that ``value``, the worst of all cases, stand in ``relation`` to ``bound``.

    ``cases`` counts those that exercise the statement, ``trivial`` those that could not tell a false one from a true
    one. ``unbounded`` says that a whole range up to infinity is covered; it follows from how the cases were made.
    """

    shows: Shows
    value: float
    relation: Relation
    bound: float
    cases: int
    trivial: int = 0
    unbounded: bool = False
    detail: str = ""


def equal(found: Any, expected: Any, *, nontrivial: Any = None, detail: str = "") -> Outcome:
    """Two routes to the same quantities: equal to rounding in float64, exactly so for integers and fractions.

    The gap of a case is the largest |found - expected| of its entries, over max(1, |expected|) in float64.

    Args:
        found: an array or a tree of arrays with cases along the first axis, or a list with one item a case.
        expected: the same, computed another way.
        nontrivial: for each case whether it can tell; if not given, whether ``expected`` is anywhere other than 0, in
            float64 by more than ``IDENTITY_REFUTED``, or the two differ.
        detail: a remark for the reader.

    Raises ValueError if the two differ in shape, or no case can tell.
    """
    first, second = _by_case(found), _by_case(expected)
    checks.require(len(first) == len(second), "found", f"must have {len(second)} cases, as expected has", len(first))
    gaps, exact = [], True
    for ours, theirs in zip(first, second, strict=True):
        checks.require(
            [np.shape(leaf) for leaf in ours] == [np.shape(leaf) for leaf in theirs],
            "found",
            f"must have the shapes of expected, {[np.shape(leaf) for leaf in theirs]}",
            [np.shape(leaf) for leaf in ours],
        )
        checks.require(any(np.size(leaf) for leaf in theirs), "expected", "must hold an entry in each case", theirs)
        exact = exact and all(_is_exact(leaf) for leaf in (*ours, *theirs))
        gaps.append(_largest([_gap(a, b) for a, b in zip(ours, theirs, strict=True)]))
    tolerance, refuted, floor = (0.0, 0.0, 0.0) if exact else (IDENTITY_TOLERANCE, IDENTITY_REFUTED, IDENTITY_REFUTED)
    if nontrivial is None:
        nontrivial = [
            not gap <= tolerance or any(np.any(np.abs(np.asarray(leaf)) > floor) for leaf in case)
            for gap, case in zip(gaps, second, strict=True)
        ]
        zero = "of which one is other than 0, or pass nontrivial: what is 0 everywhere would agree with 0 as well"
        checks.require(any(nontrivial), "expected", f"must hold cases {zero}", f"{len(second)} cases of zeros")
    values = np.where(np.isfinite(gaps), gaps, np.nan)  # an infinite gap is no agreement, and no refutation either
    return at_most(values, tolerance, refuted_above=refuted, nontrivial=nontrivial, detail=detail)


def at_most(
    values: Any,
    bound: Number,
    *,
    refuted_above: Number | None = None,
    nontrivial: Any = None,
    detail: str = "",
) -> Outcome:
    """Each value is at most ``bound``. Contradicted where one is above ``refuted_above``, by default the bound.

    Args:
        values: an array with cases along the first axis; floats, integers or fractions.
        bound: the bound; exact if the values are.
        refuted_above: values between the bound and this are undecided, for rounding could explain them.
        nontrivial: for each case whether it exercises the statement; all do if not given. The others are left out.
        detail: a remark for the reader.
    """
    return _bounded(values, "<=", bound, refuted_above, nontrivial, detail)


def at_least(
    values: Any,
    bound: Number,
    *,
    refuted_below: Number | None = None,
    nontrivial: Any = None,
    detail: str = "",
) -> Outcome:
    """Each value is at least ``bound``. Contradicted where one is below ``refuted_below``, by default the bound."""
    return _bounded(values, ">=", bound, refuted_below, nontrivial, detail)


def every(holds: Any, *, nontrivial: Any = None, detail: str = "") -> Outcome:
    """A yes-or-no question put to each case; the value is the number of cases that say no.

    Args:
        holds: a boolean for each case, or an array of them with cases along the first axis.
        nontrivial: for each case whether it exercises the statement; the others are left out.
        detail: a remark for the reader, such as the first counterexample.
    """
    answers = np.asarray(holds)
    checks.require(answers.dtype == bool, "holds", "must be booleans", answers.dtype)
    checks.require(answers.size > 0, "holds", "must not be empty", answers.shape)
    kept, trivial = _kept(answers, nontrivial)
    wrong = int(np.sum(~kept.reshape(len(kept), -1).all(axis=1)))
    return Outcome(
        "supports" if wrong == 0 else "contradicts", float(wrong), "<=", 0.0, len(kept), trivial, detail=detail
    )


def _bounded(
    values: Any,
    relation: Relation,
    bound: Number,
    refuted: Number | None,
    nontrivial: Any,
    detail: str,
) -> Outcome:
    kept, trivial = _kept(_comparable(values), nontrivial)
    sign = 1 if relation == "<=" else -1
    limit = bound if refuted is None else refuted
    checks.require(not np.isnan(float(bound)), "bound", "must be a number", bound)
    checks.require(
        sign * limit >= sign * bound, "refuted", f"must not lie on the near side of the bound {bound}", limit
    )
    worst = kept.max() if relation == "<=" else kept.min()
    if np.isnan(float(worst)):
        shows: Shows = "undecided"
    elif sign * worst <= sign * bound:
        shows = "supports" if np.isfinite(kept.astype(float)).all() else "undecided"
    else:
        shows = "contradicts" if sign * worst > sign * limit else "undecided"
    return Outcome(shows, float(worst), relation, float(bound), len(kept), trivial, detail=detail)


def _comparable(values: Any) -> np.ndarray:
    """Real numbers in a dtype that rounds neither them nor a bound."""
    array = np.asarray(values)
    if array.dtype.kind in "biu":
        return array.astype(object)
    fine = array.dtype.kind == "f" or all(isinstance(each, int | float | Fraction) for each in array.ravel().tolist())
    checks.require(fine, "values", "must be real numbers (balls go to balls_at_most)", array.dtype)
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def _kept(values: np.ndarray, nontrivial: Any) -> tuple[np.ndarray, int]:
    """The cases that exercise the statement, and how many do not. Raises ValueError if none does."""
    rows = values[None] if values.ndim == 0 else values
    mask = np.ones(len(rows), bool) if nontrivial is None else np.asarray(nontrivial, bool)
    checks.require(mask.shape == (len(rows),), "nontrivial", f"must have one entry for each of {len(rows)} cases", mask)
    checks.require(
        bool(mask.any()), "cases", "must hold one that exercises the statement", f"{len(rows)} trivial cases"
    )
    return rows[mask], int(np.sum(~mask))


def _by_case(tree: Any) -> list[list[Any]]:
    """The leaves of each case."""
    if type(tree) in (list, tuple):
        return [jax.tree.leaves(item) for item in tree]
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]
    checks.require(bool(leaves), "found", "must hold an array", tree)
    count = {1 if leaf.ndim == 0 else len(leaf) for leaf in leaves}
    checks.require(len(count) == 1, "found", "must have the same number of cases in each array", count)
    return [[leaf if leaf.ndim == 0 else leaf[n] for leaf in leaves] for n in range(count.pop())]


def _is_exact(leaf: Any) -> bool:
    array = np.asarray(leaf)
    if array.dtype == object:
        return all(isinstance(entry, Fraction | int) for entry in array.ravel())
    whole = array.dtype.kind in "biu"
    checks.require(whole or array.dtype == np.float64, "found", "must be float64 or exact to be compared", array.dtype)
    return whole


def _gap(ours: Any, theirs: Any) -> float:
    if _is_exact(ours) and _is_exact(theirs):
        pairs = list(zip(np.asarray(ours).ravel().tolist(), np.asarray(theirs).ravel().tolist(), strict=True))
        largest = max((abs(Fraction(a) - Fraction(b)) for a, b in pairs), default=Fraction(0))
        return max(float(largest), _SMALLEST) if largest else 0.0
    a, b = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    with np.errstate(invalid="ignore"):  # inf - inf and inf / inf are NaN, which shows nothing
        return float(np.max(np.abs(a - b) / np.maximum(1, np.abs(b)), initial=0.0))


_SMALLEST = 5e-324
"""A difference of fractions that float64 can't hold is still a difference."""


def _largest(values: Sequence[float]) -> float:
    return float(np.max(values)) if len(values) else 0.0
