"""The verdict that the evidence forces.

A statement is the conjunction of its parts, and each test speaks of one part. So a statement is *supported* if all
evidence on it supports it, *contradicted* if a piece contradicts it, and undecided otherwise.

    printed supported                                                   holds
    printed contradicted, its intent supported, a correction supported  amended
    printed contradicted, its intent contradicted                       fails
    anything else                                                       open

Nothing hangs on a label alone: a claim that is contradicted stays open until the quantities that its registry entry
names under ``decided_by`` have shown whether its intent survives.

A claim of a limit names the quantities that make the limit under ``limit``. If all of them reach infinity by their
kind (symbols, or balls over ranges without end) the verdict is proved. If one rests on points or on a simulation the
verdict is that of the numbers, and says so: ", numerically".
"""

from collections.abc import Iterable, Sequence

from circuits import checks
from proofs_check.ledger.evidence import Evidence, Of, Verdict
from proofs_check.ledger.outcome import Shows


def verdict(
    evidence: Sequence[Evidence], *, decided_by: Sequence[str] = (), limit: Sequence[str] = ()
) -> tuple[Verdict, str]:
    """The verdict, and why it is open if it is.

    Args:
        evidence: all of it; every single piece counts.
        decided_by: the quantities that decide the claim's intent.
        limit: the quantities that make the limit that the claim speaks of.

    Raises ValueError if a quantity named has no evidence, or evidence on the intent is not among ``decided_by``.
    """
    _check_names(evidence, decided_by, limit)
    printed, amended, intended = (_shown(evidence, of) for of in ("printed", "amended", "intended"))
    if amended == "contradicts":
        return "open", "the stated correction is contradicted"
    if printed == "supports":
        if intended == "contradicts":
            return "open", "it holds as printed, and yet its intent is contradicted"
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


def _shown(evidence: Iterable[Evidence], of: Of) -> Shows | None:
    """What all evidence on a statement shows together; None if there is none."""
    shows = {item.outcome.shows for item in evidence if item.of == of}
    if not shows:
        return None
    return "contradicts" if "contradicts" in shows else "supports" if shows == {"supports"} else "undecided"


def _reached(word: Verdict, evidence: Sequence[Evidence], of: Of, limit: Sequence[str]) -> Verdict:
    """The verdict, marked where a limit rests on numbers alone.

    Of the pieces on one quantity the one on the statement that decides counts, or else the one on the print.
    """
    for quantity in limit:
        pieces = {item.of: item for item in evidence if item.quantity == quantity}
        deciding = pieces.get(of, pieces.get("printed"))
        corrected = of == "amended" and deciding is not None and deciding.of == "printed"
        if deciding is None or not deciding.outcome.unbounded or (corrected and deciding.outcome.shows != "supports"):
            return f"{word}, numerically"  # pyright: ignore[reportReturnType]
    return word


def _check_names(evidence: Sequence[Evidence], decided_by: Sequence[str], limit: Sequence[str]) -> None:
    measured = {item.quantity for item in evidence}
    for field, names in (("decided_by", decided_by), ("limit", limit)):
        missing = [name for name in names if name not in measured]
        checks.require(not missing, field, f"must name quantities that are tested ({'; '.join(measured)})", missing)
    intended = {item.quantity for item in evidence if item.of == "intended"}
    stray = sorted(intended - set(decided_by))
    checks.require(not stray, "intended", f"must be tested on the quantities of decided_by, {list(decided_by)}", stray)
    silent = sorted(set(decided_by) - intended)
    checks.require(not silent, "decided_by", "must name quantities whose test has an intended variant", silent)
