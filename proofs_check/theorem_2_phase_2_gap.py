"""Theorem 2, Phase II, on one graph: how fast the logits of t_end and of the other positions part.

The printed bounds are those of the loss -log S2[T, t_end], whose pull on the logits, e_{t_end} - s, is linear in s.
So a linear inequality holds for all attention if it holds at the vertices of the simplex. L1a has more targets: see
``theorem_2_phase_2``.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction

from proofs_check import setting
from proofs_check import theorem_2_exact as rational
from proofs_check.evidence import Control, Evidence, Findings, decided
from proofs_check.exact import Row
from proofs_check.theorem_2_exact import (
    SELF,
    UNIFORM,
    Context,
    contexts,
    distance,
    edges,
    logit_velocity,
    pull,
    random_rows,
    vertices,
)

T = setting.T
ROWS = 8
Targets = Callable[[Context], list[bool]]


def distractor_gap() -> Findings:
    """d/dt (l_{t_end} - l_k) >= 2 s_k for every k whose label is not u_end, on the flow of one graph."""
    at_zero = sorted((gap - 2 * UNIFORM[k], c, k) for c in contexts() for k, gap in _gaps(c, UNIFORM, _all).items())
    margins = [margin for margin, c, k in at_zero if not c.reads_v[k]]
    broken = [(c, k) for margin, c, k in at_zero if margin < 0]
    worst, context, k = at_zero[0]
    gap = worst + 2 * UNIFORM[k]

    def single(factor: int, also_self: int) -> Evidence:
        value = min(
            gap - factor * s[k] - also_self * s[SELF]
            for c in contexts()
            for s in vertices()
            for k, gap in _gaps(c, s, _only_end).items()
        )
        text = (
            f"least d/dt gap - {factor} s_k - {also_self} s_self for -log S2[T, t_end], vertices of the simplex: any s"
        )
        return rational.at_least(text, value, 0, 24 * T, of="amended")

    def linear(velocity: Callable[[Row, Context], Row]) -> Evidence:
        rows = random_rows(ROWS)
        worst = max(distance(velocity(s, c), _logits(c, s, _only_end)) for c in contexts() for s in rows)
        return rational.at_most("max |d/dt l, linear in s - from the softmax|", worst, 0, 24 * ROWS, of="amended")

    def spared(listed: Sequence[Fraction]) -> Evidence:
        text = "least d/dt gap - 2 s_k of L1a at zero, over distractors where v is not read"
        return rational.at_least(text, min(listed), 0, len(listed), of="amended")

    return Findings(
        (
            rational.at_least("least d/dt gap - 2 s_k of L1a at zero weights", worst, 0, len(at_zero)),
            decided(
                "exact",
                "where it is not, v is read at k",
                all(c.reads_v[k] for c, k in broken),
                len(broken),
                of="amended",
            ),
            spared(margins),
            single(2, 0),
            single(4, 1),
            linear(lambda s, c: logit_velocity(c, _towards(c, s))),
        ),
        (
            Control("5 s_k", single(5, 0)),
            Control("4 s_k + 2 s_self", single(4, 2)),
            Control("all distractors of L1a", spared([margin for margin, *_ in at_zero])),
            Control("no share through W0", linear(lambda s, c: _towards(c, s))),
        ),
        f"On {edges(context)} at zero weights, k = {k + 1} also reads v: d/dt gap = {gap}, but 2 s_k = "
        f"{2 * UNIFORM[k]}. {len(broken)} of {len(at_zero)} pairs of edge order and k break the bound.",
    )


def self_gap() -> Findings:
    """d/dt (l_{t_end} - l_{T-1}) = 1 - s_{t_end} + s_{T-1}, on the flow of one graph."""
    rows = [UNIFORM, *random_rows(ROWS)]
    found = [c for c in contexts() if c.reads_v[SELF]]
    cases = [(c, s) for c in contexts() for s in rows]

    def gap(context: Context, s: Row, targets: Targets) -> Fraction:
        logits = _logits(context, s, targets)
        return logits[context.at_end] - logits[SELF]

    def printed(context: Context, s: Row) -> Fraction:
        return 1 - s[context.at_end] + s[SELF]

    def corrected(context: Context, s: Row) -> Fraction:
        f = sum((s[j] for j in range(T) if context.reads_v[j]), Fraction(0))
        return (s[context.at_end] - context.reads_v[SELF] * s[SELF]) * (1 / f - 1) + (not context.reads_v[SELF]) * s[
            SELF
        ]

    def equals(name: str, formula: Callable[[Context, Row], Fraction], targets: Targets) -> Evidence:
        worst = max(abs(gap(c, s, targets) - formula(c, s)) for c, s in cases)
        return rational.at_most(f"max |d/dt gap - ({name})|", worst, 0, len(cases), of="amended")

    two = "(s_end - [T-1 read] s_self)(1/f - 1) + [T-1 not read] s_self"
    return Findings(
        (
            rational.at_most(
                "least |d/dt gap of L1a - (1 - s_end + s_self)| over 24 orders, zero weights",
                min(abs(gap(c, UNIFORM, _all) - printed(c, UNIFORM)) for c in contexts()),
                0,
                24,
            ),
            equals("1 - s_end + s_self, of -log S2[T, t_end]", printed, _only_end),
            equals(f"{two}, of L1a", corrected, _all),
            rational.at_most(
                "max |d/dt gap of L1a| at zero weights where v is read at T - 1",
                max(abs(gap(c, UNIFORM, _all)) for c in found),
                0,
                len(found),
                of="amended",
            ),
        ),
        (
            Control("1 - s_end - s_self", equals("it", lambda c, s: 1 - s[c.at_end] - s[SELF], _only_end)),
            Control("the print, of L1a", equals("it", printed, _all)),
            Control("T - 1 never read", equals("it", lambda c, s: _never_read(c, s), _all)),
            Control("position T for T - 1", equals("it", lambda c, s: 1 - s[c.at_end] + s[T - 1], _only_end)),
        ),
        f"On {edges(found[0])} v is read at T - 1 = 9 too: at zero weights d/dt gap = 0, where the print says 1.",
    )


def _all(context: Context) -> list[bool]:
    return context.reads_v


def _only_end(context: Context) -> list[bool]:
    return context.only_end


def _towards(context: Context, s: Row) -> Row:
    """e_{t_end} - s."""
    return [hit - mass for hit, mass in zip(context.only_end, s, strict=True)]


def _logits(context: Context, s: Row, targets: Targets) -> Row:
    if targets is _only_end:  # the same as pull, and defined where s[t_end] = 0
        return logit_velocity(context, _towards(context, s))
    return logit_velocity(context, pull(s, targets(context)))


def _gaps(context: Context, s: Row, targets: Targets) -> dict[int, Fraction]:
    """d/dt (l_{t_end} - l_k) of every distractor k."""
    logits = _logits(context, s, targets)
    return {k: logits[context.at_end] - logits[k] for k in context.distractors}


def _never_read(context: Context, s: Row) -> Fraction:
    f = sum((s[j] for j in range(T) if context.reads_v[j]), Fraction(0))
    return s[context.at_end] * (1 / f - 1) + s[SELF]
