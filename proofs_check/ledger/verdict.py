"""The rule that computes a verdict from the evidence.

A statement is the conjunction of its parts, and each test is about one part. So a statement is *supported* if all
evidence on it supports it, *contradicted* if any contradicts it, and undecided otherwise.

    printed supported                                                   holds
    printed contradicted, its intent supported, a correction supported  amended
    printed contradicted, its intent contradicted                       fails
    anything else                                                       open

A claim that is contradicted stays open until the quantities that its registry entry lists under ``decided_by`` have
shown whether its intent is true. No label in the registry decides this.

A claim about a limit lists the quantities that make up the limit under ``limit``. If all of them extend to infinity (in
symbols, or in balls over unbounded ranges), the verdict is proved. If one was only computed at points or simulated, the
verdict is marked ", numerically".
"""

from collections.abc import Iterable, Sequence

from circuits import checks
from proofs_check.ledger.evidence import Evidence, Statement, Verdict
from proofs_check.ledger.outcome import Shows


def verdict(
    evidence: Sequence[Evidence], *, decided_by: Sequence[str] = (), limit: Sequence[str] = ()
) -> tuple[Verdict, str]:
    """Return the verdict and, if it is open, the reason.

    Args:
        evidence: all evidence of the claim.
        decided_by: quantities that decide the claim's intent.
        limit: quantities that make up the limit that the claim is about.

    Raises:
        ValueError: if a quantity listed has no evidence, or evidence on the intent is not among ``decided_by``.
    """
    _check_names(evidence, decided_by, limit)
    printed, amended, intended = (_conjunction(evidence, name) for name in ("printed", "amended", "intended"))
    if amended == "contradicts":
        return "open", "the stated correction is contradicted"
    if printed == "supports":
        if intended == "contradicts":
            return "open", "it holds as printed, although its intent is contradicted"
        return _reached("holds", evidence, "printed", limit), ""
    if printed is None:
        return "open", "the printed statement is not tested"
    if printed == "undecided":
        return "open", "the evidence does not decide"
    if intended is None:
        return "open", "contradicted, intent not tested"
    if intended == "contradicts":
        return _reached("fails", evidence, "intended", limit), ""
    if intended == "undecided":
        return "open", "contradicted, intent undecided"
    if amended != "supports":
        return "open", "contradicted, its intent supported, but no correction is supported"
    return _reached("amended", evidence, "amended", limit), ""


def _conjunction(evidence: Iterable[Evidence], statement: Statement) -> Shows | None:
    """Return what all evidence on a statement shows together, or None if there is none."""
    shows = {item.outcome.shows for item in evidence if item.statement == statement}
    if not shows:
        return None
    return "contradicts" if "contradicts" in shows else "supports" if shows == {"supports"} else "undecided"


def _reached(word: Verdict, evidence: Sequence[Evidence], statement: Statement, limit: Sequence[str]) -> Verdict:
    """Return the verdict, marked if a limit rests on numbers alone.

    Of the evidence on one quantity, that on the deciding statement counts, or else that on the printed one.
    """
    for quantity in limit:
        pieces = {item.statement: item for item in evidence if item.quantity == quantity}
        deciding = pieces.get(statement, pieces.get("printed"))
        corrected = statement == "amended" and deciding is not None and deciding.statement == "printed"
        if deciding is None or not deciding.outcome.unbounded or (corrected and deciding.outcome.shows != "supports"):
            return f"{word}, numerically"  # pyright: ignore[reportReturnType]
    return word


def _check_names(evidence: Sequence[Evidence], decided_by: Sequence[str], limit: Sequence[str]) -> None:
    measured = {item.quantity for item in evidence}
    for field, names in (("decided_by", decided_by), ("limit", limit)):
        missing = [name for name in names if name not in measured]
        checks.require(not missing, field, f"must list quantities that are tested ({'; '.join(measured)})", missing)
    intended = {item.quantity for item in evidence if item.statement == "intended"}
    unlisted = sorted(intended - set(decided_by))
    checks.require(not unlisted, "intended", f"must be tested on quantities of decided_by, {[*decided_by]}", unlisted)
    untested = sorted(set(decided_by) - intended)
    checks.require(not untested, "decided_by", "must list quantities whose test has an intended variant", untested)
