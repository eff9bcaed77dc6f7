"""The flow of Phase I from w = 0: the velocity of W1^(1), and why w(1) - w(k) -> infinity for every other offset k.

Write s_k for the attention S1[T, T-k] of row T at offset k. u_end is at T - 1 and once more at t_end, so
L2 = -log(s_1 + s_{T - t_end}). In an edge (u, v) it is v, never u, so t_end is 2, 4, 6 or 8, each in a quarter of the
graphs, and so is the offset T - t_end. Hence, exactly and for every s,

    w(1)' = -s_1 + (1/4) sum over even e in 2..8 of s_1 / (s_1 + s_e)
    w(e)' = -s_e + (1/4) s_e / (s_1 + s_e)          even e
    w(k)' = -s_k                                    odd k >= 3, and k = 0

The even offsets move alike, and so do all others except 1 (``moves_alike``). So there are two gaps on the flow, and
where both are at least 0, exp of each grows at 3/8 or faster (``pointer_grows``). Both start at 0, so exp(gap) >= 1 +
3t/8.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import sympy

from proofs_check.ledger import Outcome, Test, nonnegative, same
from proofs_check.methods.star import SELF, Context, T, contexts

CONTEXT = range(2, T)
"""The offsets of the context, as seen from row T."""
EVEN, OTHERS = (2, 4, 6, 8), (0, 3, 5, 7, 9)
"""Offsets that move alike."""
RATE = sympy.Rational(3, 8)

Symbols = list[Any]
"""One entry for each offset or position: fractions or expressions of sympy."""
Velocities = list[Symbols]
"""The velocities of the entries of W1^(1), T x T."""
Tie = Callable[[Velocities], Velocities]
"""Which entries of W1^(1) are one parameter: maps the velocities of free entries to those of tied ones."""


def parity_field(s: Symbols, parity: int = 0, chance: Fraction = Fraction(1, 4)) -> Symbols:
    """Return the field at the top of this file, or a mutant of it."""
    rewarded = [k for k in CONTEXT if k % 2 == parity]
    speeds = [-mass for mass in s]
    speeds[1] += sum((chance * s[1] / (s[1] + s[k]) for k in rewarded), Fraction(0))
    for k in rewarded:
        speeds[k] += chance * s[k] / (s[1] + s[k])
    return speeds


class Flow(NamedTuple):
    """The loss that is descended, by the positions of its answers in each edge order, and which weights are tied."""

    hits: Callable[[Context], list[bool]] = lambda context: context.holds_end
    tie: Tie = lambda free: by_offset(free)
    orders: Sequence[Context] = contexts()


def velocity(s: Symbols, flow: Flow | None = None) -> Symbols:
    """Return w' by offset: minus the gradient of the mean of L2 over the edge orders."""
    return velocities(s, flow or Flow())[-1][::-1]


def untied(free: Velocities) -> Velocities:
    """Every entry of W1^(1) is a parameter."""
    return free


def by_offset(free: Velocities) -> Velocities:
    """W1^(1)[i, j] = w(i - j): w(k) has the derivatives of all entries of its diagonal."""
    sums = [sum((free[i][i - k] for i in range(k, T)), Fraction(0)) for k in range(T)]
    return [[sums[i - j] if j <= i else Fraction(0) for j in range(T)] for i in range(T)]


def by_column(free: Velocities) -> Velocities:
    """W1^(1)[i, j] = w(j)."""
    sums = [sum((free[i][j] for i in range(j, T)), Fraction(0)) for j in range(T)]
    return [[sums[j] if j <= i else Fraction(0) for j in range(T)] for i in range(T)]


def gaps_grow() -> tuple[Test, Test]:
    """w(1) - w(k) -> infinity for every other offset k, on the flow from w = 0."""
    return moves_alike(), pointer_grows((T,))


def moves_alike() -> Test:
    """The flow from w = 0 keeps the weights of the even offsets equal, and those of all others except 1."""
    p, e, o = sympy.symbols("p e o", positive=True)
    s = [p if k == 1 else e if k in EVEN else o for k in range(T)]

    def measure(flow: Flow) -> Outcome:
        speeds = velocity(s, flow)
        return same([(speeds[k], speeds[alike[0]]) for alike in (EVEN, OTHERS) for k in alike[1:]])

    mutants = {
        "u_end at the first token of its edge": Flow(lambda c: [t in (c.at_end - 1, SELF) for t in range(T)]),
        "one edge order alone": Flow(orders=contexts()[:1]),
        "target v": Flow(lambda c: [token == c.v for token in c.tokens]),
    }
    name = "w(k)' = w(2)' for even k and w(k)' = w(0)' for odd k >= 3, where their weights are equal"
    return Test("symbolic", name, measure, intended=Flow(), mutants=mutants)


def pointer_grows(rows: Sequence[int]) -> Test:
    """Where no gap is below 0, exp(W1^(1)[t, t-1] - W1^(1)[t, t-k]) grows at ``RATE`` or faster, in the given rows t.

    x and z are exp of the gap from w(1) to the even and to the other offsets. Each is at least 1 + RATE t, because it
    is 1 at the start and no gap ever falls below 0.
    """
    a, b = sympy.symbols("a b", nonnegative=True)
    exps = [sympy.Integer(1) if k == 1 else 1 + a if k in EVEN else 1 + b for k in range(T)]
    total = sum(1 / each for each in exps)
    s = [1 / (each * total) for each in exps]

    def measure(flow: Flow) -> Outcome:
        v = velocities(s, flow)
        growth = [exps[k] * (v[t - 1][t - 2] - v[t - 1][t - 1 - k]) for t in rows for k in range(t) if k != 1]
        return nonnegative([(each, RATE) for each in dict.fromkeys(growth)])

    wrong = {
        "u_end not at T - 1": Flow(lambda c: c.only_end),
        "target v": Flow(lambda c: [token == c.v for token in c.tokens]),
        "ascent": Flow(tie=lambda v: [[-speed for speed in row] for row in by_offset(v)]),
    }
    if set(rows) != {T}:
        wrong |= {"a free W1^(1)": Flow(tie=untied), "one parameter a column": Flow(tie=by_column)}
    where = f"row {T}" if set(rows) == {T} else f"rows {', '.join(map(str, rows))}"
    name = f"growth of exp(W1^(1)[t, t-1] - W1^(1)[t, t-k]) less {RATE}, {where}, wherever no gap is below 0"
    return Test("symbolic", name, measure, intended=Flow(), mutants=wrong)


def velocities(s: Symbols, flow: Flow) -> Velocities:
    """Return the velocities of the entries of W1^(1). f2 reads S1[T] alone, so rows t < T do not move by themselves."""
    masses, patterns = s[::-1], [tuple(flow.hits(context)) for context in flow.orders]
    pulled: Symbols = [Fraction(0)] * T
    for hits in dict.fromkeys(patterns):
        share = Fraction(patterns.count(hits), len(patterns))
        f2 = sum((mass for mass, hit in zip(masses, hits, strict=True) if hit), Fraction(0))
        for j, hit in enumerate(hits):
            pulled[j] += share * masses[j] * (int(hit) / f2 - 1)
    return flow.tie([*([Fraction(0)] * T for _ in range(T - 1)), pulled])
