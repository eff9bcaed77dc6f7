r"""Theorem 2, Phase II, a proof: S2[T] -> e_{t_end}, a -> infinity, b -> -infinity on the flow of L1a from zero.

**Notation.** W0^(2) = a I + b (1 1^T - I), r is row T - 1 of W1^(2), theta = (a, b, r). Its inner product and the flow
up to t_0 = 80 are those of ``theorem_2_phase_2_start``. Positions count from 1. On an edge order: l the logits, s =
S2[T], q = s[t_end]; hits are the positions that read v, misses the others, f the mass on hits, g_j = s_j (hit_j/f - 1).
The 24 orders are of 12 kinds, two each. t_end is 2, 4, 6 or 8, with three kinds each; position 1 is a hit if t_end = 2,
otherwise a miss. Q is q, and q + s_1 if t_end = 2. D = a - b. E is the mean over kinds, and L = L1a = E[-log f]. In
polynomials the symbols are s_j or v_j = exp(l_j), with F and M their sums over hits and over misses, and f g_j is s_j M
at a hit, -s_j F at a miss.

0. *Flow.* Minus the gradient of L1a averages the pulls over labelings: label symmetry gives W0^(2) its form for all
   time. A labeling at random gives an order's pull to a certain entry on the diagonal with chance 1/10, off it with
   1/90 (``counts``). So theta' = -grad L: along a direction d, -dL/dd = E[sum_j g_j l_j(d)]. The other rows of W1^(2)
   do not move, as S1[T] is e_{T-1}. sum_j g_j = 0, so 10 a + 90 b and sum r keep their values, 0: a = (9/10) D, b =
   -a/9. The field is smooth and bounded, so the flow exists for all time. L never rises.
   ``identities``
1. *Start.* At t_0, L <= 1/5 and r_2 >= r_1. From here on t >= t_0, so L <= 1/5.                        ``numbers``
2. *Shares.* For each t_end its three f have a sum of at most 1 + 2 Q, and their logarithms one of at least -12 L. By
   the inequality of the means e^(-4 L) <= (1 + 2 Q)/3, so that
       Q >= (3 e^(-4 L) - 1)/2 >= 1/6,     1 - Q <= (3/2)(1 - e^(-4 L)) <= 6 L.
3. *L -> 0.* Let w raise a by 12, r_9 by -12 and r_1 by 1: it moves the logits of t_end and of 1 alone. On each order
   sum_j g_j l_j(w) >= (1 - f)/6, by step 2. Each -log f <= 12/5, so -log f <= (8/3)(1 - f), by convexity. Hence
       |grad L| |w| >= E[1 - f]/6 >= L/16,     L' = -|grad L|^2 <= -L^2/K, K = 256 |w|^2,     so L <= 1/(5 + tau)
   with tau = (t - t_0)/K.
4. *D -> infinity.* Let r_i be least of r_4, r_6, r_8, and t_end = i. If D <= 0, the other two have masses >= q, so the
   three f have a sum of at most 1, and 12 L >= 3 log 3; but 12 L <= 12/5. So D > 0. Let k be another of the three:
   e^(-D) <= s_k/q <= (1 - q)/q, where 1 - q <= 6 L. So e^(-D) <= 12 L once L <= 1/12.
5. *Position 1.* While -D <= r_2 - r_1 <= 0, r_2 - r_1 does not fall. So it never becomes negative, as D > 0. Hence
   s_1 <= e^(-D) q where t_end = 2.                                                                 ``inequalities``

So once tau >= 7, both e^(-D) and on every order 1 - q are at most 18 L <= 18/(5 + tau), which falls below every level
for good (``falls``): S2[T] -> e_{t_end}, and a = (9/10) D -> infinity, b = -D/10 -> -infinity. The rates, and the
limits of r, are in ``theorem_2_phase_2_direction``.
"""

from collections import Counter
from fractions import Fraction
from functools import cache
from itertools import permutations
from typing import Any, Final

import numpy as np
import sympy
from flint import arb

from proofs_check.ledger import Cell, Outcome, Statement, Test, balls_at_least, equal, nonnegative, same
from proofs_check.ledger.certified import to_ball
from proofs_check.methods.star import SELF, N, T, contexts
from proofs_check.methods.steps import step_test
from proofs_check.planning import theorem_2_phase_2_start as start
from proofs_check.planning.theorem_2_phase_2_masses import (
    BASES,
    ENDS,
    MASSES,
    crowded,
    descent,
    dot,
    overtaking,
    pull,
    shares,
    split,
    total,
)
from proofs_check.planning.theorem_2_phase_2_start import METRIC, kinds

BETA, TAU = sympy.symbols("beta tau", positive=True)
PUSH: Final = (12, 0, *((j == 0) - 12 * (j == SELF) for j in range(T)))
"""w of step 3."""
FALLS: Final = "18 L1a, which is more than exp(b - a) and 1 - S2[T, t_end], falls below any level"
WRONG_FALLS: Final = {"L1a stays at 1/5": {"ceiling": sympy.Rational(1, 5)}, "at tau = 1/beta": {"time": 1 / BETA}}


def steps(*statements: Statement) -> tuple[Test, ...]:
    """Return steps 0 to 5, as tests of these statements."""
    wrong_counts = {
        "N^2 entries off the diagonal": {"off": N * N},
        "one entry each": {"diagonal": 1, "off": 1},
        "u_end at T": {"prompt": T - 1},
    }
    wrong_identities = {
        "100 entries off the diagonal": {"entries": (N, N * N, *[1] * T)},
        "the sum of r except T conserved": {"conserved": ((0, 0, *[1] * (T - 1), 0),)},
        "b conserved": {"conserved": ((0, 1, *[0] * T),)},
    }
    wrong_numbers = {
        "Lipschitz constant 1/5": {"rate": Fraction(1, 5)},
        "L1a at t = 78": {"time": 78},
        "r_1 - r_2": {"ahead": 0, "behind": 1},
        "Q at least 1/5": {"share": Fraction(1, 5)},
        "-log f <= (5/2)(1 - f)": {"chord": Fraction(5, 2)},
        "L1a up to 3/10 in step 4": {"crowd": Fraction(3, 10)},
    }
    wrong_inequalities = {
        "sum of the three f at most 1 + Q": {"multiple": 1},
        "w without position 1": {"push": (*PUSH[:2], 0, *PUSH[3:])},
        "one crowded position in place of two": {"crowded_ends": ENDS[2:]},
        "position 3 for 1": {"first": 2},
    }
    numbers_name = "margins of the numbers in steps 1 to 4, among them L1a and r_2 - r_1 at t = 80"
    identities_name = "theta' = -grad L1a, and what it conserves, at all weights (step 0)"
    masses = "what the masses make positive, for all masses (steps 2 to 5)"
    return (
        step_test("exhaustive", "labelings and edge orders, counted (step 0)", counts, statements, wrong_counts),
        step_test("symbolic", identities_name, identities, statements, wrong_identities),
        step_test("certified", numbers_name, numbers, statements, wrong_numbers),
        step_test("symbolic", masses, inequalities, statements, wrong_inequalities),
        step_test("symbolic", FALLS, falls, statements, WRONG_FALLS),
    )


@cache
def counts(diagonal: int = N, off: int = N * (N - 1), prompt: int = SELF) -> Outcome:
    """Step 0: for each label of a graph, how many labelings give its pull to which entry of W0^(2).

    A pull is shared by the entries on, or off, the diagonal. Then how many orders are of each kind, how many kinds have
    each t_end, and the positions of u_end.
    """
    labels = np.array(list(permutations(range(N), 5)))
    entries = [np.bincount(N * labels[:, 2] + labels[:, k], minlength=N * N).reshape(N, N) for k in range(5)]
    on_diagonal = np.eye(N, dtype=int) * len(labels) // diagonal
    off_diagonal = (1 - np.eye(N, dtype=int)) * len(labels) // off
    orders, ends = Counter(map(start.kind_of, contexts())), Counter(kind.end for kind in kinds())
    matches = [[int(match) for match in kind.matches] for kind in kinds()]
    stated = [[int(j in (kind.end, prompt)) for j in range(T)] for kind in kinds()]
    return equal(
        [*entries, np.array(list(orders.values())), np.array([ends[end] for end in ENDS]), np.array(matches)],
        [*(on_diagonal if k == 2 else off_diagonal for k in range(5)), np.full(12, 2), np.full(4, 3), np.array(stated)],
    )


@cache
def identities(
    entries: tuple[int, ...] = METRIC,
    conserved: tuple[tuple[int, ...], ...] = ((1, 1, *[0] * T), (0, 0, *[1] * T)),
) -> Outcome:
    """Step 0, by kind: Z F theta' and its share of -Z F grad L; the parts of Z F <d, theta'> of hits, and of misses.

    The weights are v_j = e^a s_j where u_end is, and e^b s_j elsewhere, s_j for e^(r_j). A derivative of log f =
    log F - log Z acts on such monomials.
    """
    units = np.eye(T + 2, dtype=int).tolist()
    pairs = []
    for kind in kinds():
        weights = [BASES[0 if match else 1] * mass for match, mass in zip(kind.matches, MASSES, strict=True)]
        hit, missed = split(kind, weights)
        on_logits = pull(kind, weights)
        for unit, shared, size, base in zip(units, entries, METRIC, (*BASES, *MASSES), strict=True):
            slope = base * (hit.diff(base) * (hit + missed) - hit * (hit + missed).diff(base))
            pairs.append((dot(on_logits, kind.logits(unit)) / shared, slope / size))
        for direction in conserved:
            terms = [g * x for g, x in zip(pull(kind), kind.logits(direction), strict=True)]
            pairs.append((total(terms, kind.hits), -total(terms, [not is_hit for is_hit in kind.hits])))
    return same([(left.as_expr(), right.as_expr()) for left, right in pairs])


@cache
def numbers(
    rate: Fraction = start.RATE,
    time: int = start.UNTIL,
    level: Fraction = Fraction(1, 5),
    ahead: int = 1,
    behind: int = 0,
    share: Fraction = Fraction(1, 6),
    chord: Fraction = Fraction(8, 3),
    crowd: Fraction = Fraction(1, 5),
) -> Outcome:
    """Steps 1 to 4: numbers that must be at least 0. Those that depend on L decrease in L, and are taken at its level.

    Step 1: the pivots of the Lipschitz constant less 1/100, 1/5 - L and r_2 - r_1 at t_0. Step 2:
    (3 e^(-4 L) - 1)/2 - 1/6. Step 3: 8/3 - (12/5)/(1 - e^(-12/5)). Step 4: 3 log 3 - 12 L.
    """
    loss, row = start.loss_and_row(time)
    most = to_ball(len(kinds()) * level)
    margins = [
        *(to_ball(pivot - Fraction(1, 100)) for pivot in start.pivots(rate)),
        to_ball(level) - loss,
        row[ahead] - row[behind],
        (3 * (-4 * to_ball(level)).exp() - 1) / 2 - to_ball(share),
        to_ball(chord) - most / (1 - (-most).exp()),
        3 * arb(3).log() - to_ball(len(kinds()) * crowd),
    ]
    return balls_at_least([Cell(start.UNTIL, start.UNTIL, margin) for margin in margins], 0)


@cache
def inequalities(
    multiple: int = 2, push: tuple[int, ...] = PUSH, crowded_ends: tuple[int, ...] = ENDS[1:], first: int = 0
) -> Outcome:
    """Steps 2 to 5, with the multiple of Q, w, the t_end of step 4 and position 1: not negative for any masses."""
    polynomials = (*shares(multiple), *descent(push), *crowded(crowded_ends), *overtaking(first))
    return nonnegative([polynomial.as_expr() for polynomial in polynomials])


@cache
def falls(sign: int = 1, time: Any = 18 / BETA, ceiling: Any = 1 / (5 + TAU)) -> Outcome:
    """beta - 18 L, with L at most ``ceiling``, is not negative at tau = 18/beta > 7, however small beta < 1 is."""
    return nonnegative([sign * (BETA - 18 * ceiling.subs(TAU, time))])
