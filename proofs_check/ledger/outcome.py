"""Outcomes of tests, and the comparisons that produce them.

A check passes arrays with one entry, or one row, per case. All reductions over cases happen here, in numpy, which never
loses a NaN: a comparison that meets one stays undecided.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import jax
import numpy as np

from circuits import checks, display

Shows = Literal["supports", "contradicts", "undecided"]
Relation = Literal["<=", ">="]
Number = int | float | Fraction

IDENTITY_TOLERANCE = 1e-12
"""Largest gap, relative to the larger of 1 and the quantity, at which two float64 computations count as equal."""
IDENTITY_REFUTED = 1e-6
"""Smallest gap that rounding cannot explain. Between the two bounds an identity is undecided."""
_SMALLEST = 5e-324
"""Replaces a difference of fractions that is not zero but underflows in float64."""


@dataclass(frozen=True)
class Outcome:
    """The result of measuring one variant: how its worst case compares with a bound.

    Args:
        shows: whether the measurement "supports" or "contradicts" the statement, or leaves it "undecided".
        value: the worst value over all cases.
        relation: how the statement relates ``value`` to ``bound``, "<=" or ">=".
        bound: the bound.
        cases: number of cases that exercise the statement.
        trivial: number of cases left out because a false statement would agree with them as well.
        unbounded: whether the cases cover a whole range up to infinity.
        detail: a remark for the reader.

    Example:
        >>> at_most([0.25, 0.5], 1)
        Outcome(shows='supports', value=0.5, relation='<=', bound=1.0, cases=2, trivial=0, unbounded=False, detail='')
    """

    shows: Shows
    value: float
    relation: Relation
    bound: float
    cases: int
    trivial: int = 0
    unbounded: bool = False
    detail: str = ""

    _repr_html_ = display.html


def equal(actual: Any, expected: Any, *, nontrivial: Any = None, detail: str = "") -> Outcome:
    """Compare the same quantities computed in two ways: up to rounding in float64, exactly for integers and fractions.

    The gap of a case is its largest |actual - expected|, divided by max(1, |expected|) in float64.

    Args:
        actual: an array or a tree of arrays with cases on the first axis, or a list with one item per case.
        expected: the same, computed differently.
        nontrivial: for each case, whether it can tell a false statement from a true one. By default a case can if
            ``expected`` differs from 0 anywhere (in float64 by more than ``IDENTITY_REFUTED``) or from ``actual``.
        detail: a remark for the reader.

    Returns:
        An outcome whose value is the largest gap.

    Raises:
        ValueError: if shapes or dtypes do not allow the comparison, or all cases are trivial.

    Example:
        >>> x = np.linspace(0, 1, 5)
        >>> equal(np.sin(2 * x), 2 * np.sin(x) * np.cos(x)).shows
        'supports'
        >>> equal(np.sin(2 * x), 2 * np.sin(x)).shows
        'contradicts'
    """
    first, second = _by_case(actual), _by_case(expected)
    checks.require(len(first) == len(second), "actual", f"must have {len(second)} cases, as expected has", len(first))
    gaps, exact = [], True
    for ours, theirs in zip(first, second, strict=True):
        shapes = [np.shape(leaf) for leaf in theirs]
        same_shapes = [np.shape(leaf) for leaf in ours] == shapes
        checks.require(same_shapes, "actual", f"must have the shapes of expected, {shapes}", [*map(np.shape, ours)])
        checks.require(any(np.size(leaf) for leaf in theirs), "expected", "must hold an entry in each case", theirs)
        exact = exact and all(_is_exact(leaf) for leaf in (*ours, *theirs))
        gaps.append(np.max([_gap(a, b) for a, b in zip(ours, theirs, strict=True)]))
    tolerance, refuted = (0.0, 0.0) if exact else (IDENTITY_TOLERANCE, IDENTITY_REFUTED)
    if nontrivial is None:
        nontrivial = [
            not gap <= tolerance or any(np.any(np.abs(np.asarray(leaf)) > refuted) for leaf in case)
            for gap, case in zip(gaps, second, strict=True)
        ]
        rule = "must differ from 0 in some case, unless nontrivial is given: all zeros would agree with 0 as well"
        checks.require(any(nontrivial), "expected", rule, f"{len(second)} cases of zeros")
    values = np.where(np.isfinite(gaps), gaps, np.nan)  # an infinite gap is neither agreement nor refutation
    return at_most(values, tolerance, refuted_above=refuted, nontrivial=nontrivial, detail=detail)


def at_most(
    values: Any, bound: Number, *, refuted_above: Number | None = None, nontrivial: Any = None, detail: str = ""
) -> Outcome:
    """State that every value is at most ``bound``.

    Args:
        values: an array with cases on the first axis, of floats, integers or fractions.
        bound: the bound; exact if the values are.
        refuted_above: values above this contradict, by default the bound. Values in between are undecided, because
            rounding could explain them.
        nontrivial: for each case, whether it exercises the statement; by default all do. The others are left out.
        detail: a remark for the reader.

    Returns:
        An outcome whose value is the largest of the values.

    Raises:
        ValueError: if the values are not real numbers, the bound is NaN, or all cases are trivial.

    Example:
        >>> at_most([0.1, 0.3], 0.2).shows
        'contradicts'
        >>> at_most([0.1, float("nan")], 0.2).shows
        'undecided'
    """
    return _bounded(values, "<=", bound, refuted_above, nontrivial, detail)


def at_least(
    values: Any, bound: Number, *, refuted_below: Number | None = None, nontrivial: Any = None, detail: str = ""
) -> Outcome:
    """State that every value is at least ``bound``; the mirror image of ``at_most``.

    Args:
        values: an array with cases on the first axis, of floats, integers or fractions.
        bound: the bound; exact if the values are.
        refuted_below: values below this contradict, by default the bound. Values in between are undecided, because
            rounding could explain them.
        nontrivial: for each case, whether it exercises the statement; by default all do. The others are left out.
        detail: a remark for the reader.

    Returns:
        An outcome whose value is the smallest of the values.

    Raises:
        ValueError: if the values are not real numbers, the bound is NaN, or all cases are trivial.

    Example:
        >>> at_least([Fraction(1, 3), 1], Fraction(1, 3)).shows
        'supports'
    """
    return _bounded(values, ">=", bound, refuted_below, nontrivial, detail)


def every(holds: Any, *, nontrivial: Any = None, detail: str = "") -> Outcome:
    """State that something is true in every case.

    Args:
        holds: a boolean per case, or an array of booleans with cases on the first axis.
        nontrivial: for each case, whether it exercises the statement; the others are left out.
        detail: a remark for the reader, such as the first counterexample.

    Returns:
        An outcome whose value is the number of cases in which it is false.

    Raises:
        ValueError: if ``holds`` is empty or not boolean, or all cases are trivial.

    Example:
        >>> every([n * n % 2 == n % 2 for n in range(10)]).cases
        10
    """
    answers = np.asarray(holds)
    checks.require(answers.dtype == bool, "holds", "must be booleans", answers.dtype)
    checks.require(answers.size > 0, "holds", "must not be empty", answers.shape)
    counted, trivial = _nontrivial_cases(answers, nontrivial)
    wrong = int(np.sum(~counted.reshape(len(counted), -1).all(axis=1)))
    shows: Shows = "contradicts" if wrong else "supports"
    return Outcome(shows, float(wrong), "<=", 0.0, len(counted), trivial, detail=detail)


def _bounded(
    values: Any, relation: Relation, bound: Number, refuted: Number | None, nontrivial: Any, detail: str
) -> Outcome:
    counted, trivial = _nontrivial_cases(_real(values), nontrivial)
    sign = 1 if relation == "<=" else -1
    limit = bound if refuted is None else refuted
    checks.require(not np.isnan(float(bound)), "bound", "must be a number", bound)
    checks.require(sign * limit >= sign * bound, "refuted", f"must not be on the near side of the bound {bound}", limit)
    worst = counted.max() if relation == "<=" else counted.min()
    shows: Shows = "undecided"
    if sign * worst <= sign * bound and np.isfinite(counted.astype(float)).all():
        shows = "supports"
    elif sign * worst > sign * limit:  # false for NaN
        shows = "contradicts"
    return Outcome(shows, float(worst), relation, float(bound), len(counted), trivial, detail=detail)


def _real(values: Any) -> np.ndarray:
    """Convert to a dtype of real numbers in which neither the values nor a bound are rounded."""
    array = np.asarray(values)
    if array.dtype.kind in "biu":
        return array.astype(object)
    fine = array.dtype.kind == "f" or all(isinstance(each, int | float | Fraction) for each in array.ravel().tolist())
    checks.require(fine, "values", "must be real numbers (use balls_at_most for balls)", array.dtype)
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def _nontrivial_cases(values: np.ndarray, nontrivial: Any) -> tuple[np.ndarray, int]:
    """Return the cases that exercise the statement, and the number of the others."""
    rows = values[None] if values.ndim == 0 else values
    mask = np.ones(len(rows), bool) if nontrivial is None else np.asarray(nontrivial, bool)
    checks.require(mask.shape == (len(rows),), "nontrivial", f"must have one entry for each of {len(rows)} cases", mask)
    checks.require(bool(mask.any()), "cases", "must include one that is not trivial", f"{len(rows)} trivial cases")
    return rows[mask], int(np.sum(~mask))


def _by_case(tree: Any) -> list[list[Any]]:
    """Return the leaves of each case."""
    if type(tree) in (list, tuple):
        return [jax.tree.leaves(item) for item in tree]
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]
    checks.require(bool(leaves), "actual", "must hold an array", tree)
    lengths = {1 if leaf.ndim == 0 else len(leaf) for leaf in leaves}
    checks.require(len(lengths) == 1, "actual", "must have the same number of cases in each array", lengths)
    return [[leaf if leaf.ndim == 0 else leaf[n] for leaf in leaves] for n in range(lengths.pop())]


def _is_exact(leaf: Any) -> bool:
    array = np.asarray(leaf)
    if array.dtype == object:
        return all(isinstance(entry, Fraction | int) for entry in array.ravel())
    whole = array.dtype.kind in "biu"
    checks.require(whole or array.dtype == np.float64, "actual", "must be float64 or exact", array.dtype)
    return whole


def _gap(ours: Any, theirs: Any) -> float:
    if _is_exact(ours) and _is_exact(theirs):
        pairs = zip(np.asarray(ours).ravel().tolist(), np.asarray(theirs).ravel().tolist(), strict=True)
        largest = max((abs(Fraction(a) - Fraction(b)) for a, b in pairs), default=Fraction(0))
        return max(float(largest), _SMALLEST) if largest else 0.0
    a, b = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    with np.errstate(invalid="ignore"):  # inf - inf and inf / inf are NaN, which decides nothing
        return float(np.max(np.abs(a - b) / np.maximum(1, np.abs(b)), initial=0.0))
