"""Theorem 2, Phase II, the limits: the population flow of L1a over (W0^(2), W1^(2)) from zero, Layer 1 the predecessor.

**What moves.** W0^(2) = a I + b (1 1^T - I) by label symmetry, and row T - 1 of W1^(2), r. The row sums are
conserved, as softmax does not see a constant: a + 9 b = 0 and r_1 + .. + r_10 = 0. So b = -a/9 for all time, and the
off-diagonal entries can't stay bounded if a does not.

**Rates.** Let S2[T] be near e_{t_end}. What it misses stands at T - 1 = 9, whose logit is lower by r_e - r_9 for
t_end = e, and at the other even positions, lower by about a - b. Masses like 1/t mean that both differences grow like
log t. Odd positions and position 10 have logits lower by a - b and by r_e besides, masses like t^(-6/5), so their
weights converge. With the sums conserved,

    4 r_e + r_9 = O(1), r_e - r_9 = log t + O(1)    so    r_e = (1/5) log t, r_9 = -(4/5) log t
    a + 9 b = 0,        a - b = log t + O(1)        so    a = (9/10) log t,  b = -(1/10) log t

With the pull g of ``theorem_2_phase_2``,
r_9' = E[g_9] = -E[mass at 9 where v is not read there], so this mean is (4/5)/t;
and 10 a' = E[g_{t_end} + g_9] = E[mass elsewhere], so that is 9/t. Together they are L1a = (49/5)/t. The odd positions
correct all this by a factor 1 + O(t^(-1/5)), too slowly to see at t = 1e8: hence the horizon of 1e20.

**Beyond the horizon.** Move along u: a by 1 and r_9 by -1. Only the logit of t_end changes (at 9 the two cancel), so
the loss falls at the rate E[g_{t_end}] = E[(1 - f) S2[T, t_end]/f]. While f >= f_0 and t_end has at least a share c
of f on every graph, L1a <= K E[1 - f] with K = -log(f_0)/(1 - f_0), and by Cauchy-Schwarz, |u|^2 being 10 + 1,

    dL1a/dt <= -(c/K)^2 L1a^2/11,    so L1a <= 1/(1/L1a(0) + (c/K)^2 t/11) -> 0.

So the flow can't stop short: it could only fail if some other position that reads v took the place of t_end. Along the
solution c = 1/3 and f_0 = 1/5, their values at zero, and the share tends to 1.
"""

from collections.abc import Callable
from fractions import Fraction

import numpy as np

from proofs_check import setting
from proofs_check import theorem_2_exact as rational
from proofs_check.evidence import Control, Evidence, Findings, Of, at_least, at_most
from proofs_check.theorem_2_exact import SELF, UNIFORM, contexts, mean, pull
from proofs_check.theorem_2_flows import Mutant, Path, agrees, attention, grows, has_slope, phase_2, phase_2_twin
from proofs_check.theorem_2_phase_2 import outside_row

N, T = setting.N, setting.T
RATE = 1e-3
"""How near a fitted slope must be to the stated one; it still moves by about 4e-5 at the horizon."""
ROUNDING = 1e-8
EARLY_RATE = 0.05
"""The same where changed flows stop. The true flow is within 0.02 there, by each test that is put to a changed one."""
UNTIL = 1e8
"""Where changed flows stop. One whose misses stay stops at ``UNTIL_STUCK``, as rounding would be magnified."""
UNTIL_STUCK = 1e6
ASCENT = 100.0
"""Uphill weights grow like t, and soon leave float64."""
DIAGONAL, OFF, ROW = 0, 1, slice(2, 2 + T)
EVEN, NINE = [3, 5, 7, 9], 2 + SELF
"""Coordinates of W1^(2)[T-1, 2], .. [T-1, 8] and of [T-1, T-1]."""
LEVELS = [2, 4, 6, 8, 11]
"""Coordinates of W1^(2)[T-1, j] for j odd and below T - 1, and for j = T."""


def diagonal() -> Findings:
    """The diagonal of W0^(2) -> +infinity."""
    path = phase_2()
    return Findings(
        (
            _slope("a", path, DIAGONAL, 9 / 10),
            grows("a", path, path.theta[:, 0]),
            rational.at_most("|a' - 133/3600| at zero", abs(_start()[0] - Fraction(133, 3600)), 0, 24),
            agrees("(a, b, r)", path, phase_2_twin),
        ),
        (
            Control("a = log t", _slope("a", path, DIAGONAL, 1.0)),
            *_controls("diagonal"),
        ),
        f"a = {path.theta[-1, 0]:.4f} at t = {path.times[-1]:.0e}; d a/d log t -> 9/10.",
    )


def off_diagonal() -> Findings:
    """The off-diagonal entries of W0^(2) converge to finite negative values."""
    path = phase_2()
    a, b = path.theta[:, 0], path.theta[:, 1]

    def converges(found: Path, of: Of) -> Evidence:
        return _slope("b", found, OFF, 0.0, of=of)

    def conserved(factor: int) -> Evidence:
        value = float(np.max(np.abs(a + factor * b)))
        return at_most("simulated", f"max |a + {factor} b|", value, ROUNDING, len(path.times), of="amended")

    start = _start()
    return Findings(
        (
            converges(path, "printed"),
            converges(path, "intended"),
            conserved(9),
            rational.at_most("|a' + 9 b'| at zero", abs(start[0] + 9 * start[1]), 0, 24, of="amended"),
            _slope("b", path, OFF, -1 / 10, of="amended"),
            agrees("(a, b, r)", path, phase_2_twin, of="amended"),
        ),
        (
            Control("b = -(1/9) log t", _slope("b", path, OFF, -1 / 9)),
            Control("a + 10 b conserved", conserved(10)),
            Control("b + (1/10) log t, with 0.005 log t added", converges(_drifting(path, 0.105), "intended")),
            *_controls("off-diagonal"),
        ),
        f"b = -a/9 for all time: {b[np.argmin(np.abs(path.times - 1e6))]:.4f} at t = 1e6, {b[-1]:.4f} at t = 1e20; "
        "d b/d log t -> -1/10.",
    )


def self_mask() -> Findings:
    """(W1^(2))_{T-1,T-1} -> -infinity."""
    path = phase_2()
    start = _start()[NINE]
    return Findings(
        (
            _slope("W1[T-1, T-1]", path, NINE, -4 / 5),
            _rises_first(path),
            agrees("(a, b, r)", path, phase_2_twin),
        ),
        (
            Control("W1[T-1, T-1] = -log t", _slope("W1[T-1, T-1]", path, NINE, -1.0)),
            Control("position T in its place", _slope("W1[T-1, T]", path, NINE + 1, -4 / 5)),
            *_controls("self-mask"),
        ),
        f"W1^(2)[9, 9] = {path.theta[-1, NINE]:.4f} at t = 1e20; d/d log t -> -4/5. It first rises: its "
        f"velocity at zero is {start}, as v is read at 9 in a quarter of the graphs. Its greatest value on the way is "
        f"{path.theta[:, NINE].max():.6f}.",
    )


def other_positions() -> Findings:
    """All other entries of W1^(2) remain at 0."""
    path = phase_2()
    start = _start()
    others = [column for column in range(2, 2 + T) if column != NINE]
    listed = ", ".join(str(start[column]) for column in others)

    def rows_rest(name: str) -> Evidence:
        """The other rows are not in the simulated flow: they have no velocity at any weights of Layer 2."""
        outside = outside_row(name)
        text = f"max |entry of dL1a/dW1^(2), {name}, in rows other than T - 1|"
        return at_most("autodiff", text, float(outside.max()), 0, len(outside), of="amended")

    def bounded(found: Path, columns: list[int], of: Of) -> Evidence:
        return _slope(f"W1[T-1, j], {len(columns)} of j != T-1", found, columns, 0.0, of=of)

    return Findings(
        (
            rational.at_most(
                "least |velocity| of W1[T-1, j], j != T-1, at zero", min(abs(start[c]) for c in others), 0, 9
            ),
            at_most(
                "simulated",
                "max |W1[T-1, j]|, j != T-1",
                np.abs(path.theta[:, others]).max(),
                ROUNDING,
                len(path.times),
            ),
            bounded(path, others, "intended"),
            _slope("W1[T-1, j], j = 2, 4, 6, 8", path, EVEN, 1 / 5, of="amended"),
            bounded(path, LEVELS, "amended"),
            rows_rest("autodiff"),
            at_most(
                "simulated",
                "max |sum of row T - 1 of W1|",
                np.abs(path.theta[:, ROW].sum(axis=1)).max(),
                ROUNDING,
                len(path.times),
                of="amended",
            ),
        ),
        (
            Control("rows other than T - 1, Layer 1 not the predecessor", rows_rest("autodiff at random Layer 1")),
            Control("even entries = (1/4) log t", _slope("W1[T-1, j]", path, EVEN, 1 / 4)),
            Control("odd entries in their place", _slope("W1[T-1, j]", path, LEVELS, 1 / 5)),
            Control("0.005 log t added to the bounded entries", bounded(_drifting(path, 0.005), LEVELS, "amended")),
            *_controls("other-positions"),
        ),
        f"At zero weights row 9 of W1^(2) has velocities {listed} at positions 1 to 8 and 10. At t = 1e20 position 2 "
        f"is at {path.theta[-1, 3]:.4f} = (1/5) log t + O(1), position 10 at {path.theta[-1, 11]:.4f}.",
    )


def attention_limit() -> Findings:
    """S2[T] -> e_{t_end} on each of the 24 edge orders."""
    path = phase_2()
    share, found = _shares(path)
    least = 1 - _misses(path)[_index(path, 1e6)].max()

    def parts(at_nine: float, elsewhere: float) -> Evidence:
        value = max(abs(ours - stated) for ours, stated in zip(_parts(path), (at_nine, elsewhere), strict=True))
        text = f"max |t E[mass at T - 1, not read] - {at_nine:g}|, |t E[mass elsewhere, not read] - {elsewhere:g}|"
        return at_most("simulated", text, value, RATE, 2)

    return Findings(
        (
            _vanishing_misses(path),
            parts(4 / 5, 9.0),
            has_slope("log L1a", path, np.log(path.loss), -1.0, RATE),
            at_most("simulated", "|t L1a - 49/5| at the end", abs(path.times[-1] * path.loss[-1] - 9.8), RATE, 1),
            at_least("simulated", "least share of t_end in f, 24 orders", share.min(), 1 / 3 - ROUNDING, share.size),
            at_least("simulated", "least f, 24 orders", found.min(), 1 / 5 - ROUNDING, found.size),
            agrees("(a, b, r)", path, phase_2_twin),
        ),
        (
            *_controls("attention"),
            Control("all at T - 1", parts(49 / 5, 0.0)),
            Control("1 and 9", parts(1.0, 9.0)),
        ),
        f"At t = 1e6 the least S2[T, t_end] of the 24 orders is {least:.8f}; L1a = (49/5)/t.",
    )


def _start() -> list[Fraction]:
    """(a, b, r)' at zero, exactly: one graph moves one row of W0^(2), so an entry gets 1/10, or 1/90, of its pull."""
    pulls = [(c, pull(UNIFORM, c.reads_v)) for c in contexts()]
    sides = [
        [sum((g[j] for j in range(T) if c.holds_end[j] == matching), Fraction(0)) for matching in (True, False)]
        for c, g in pulls
    ]
    on, off = mean(sides)
    return [on / N, off / (N * (N - 1)), *mean(g for _, g in pulls)]


def _slope(
    name: str, path: Path, columns: int | list[int], stated: float, *, of: Of = "printed", tolerance: float = RATE
) -> Evidence:
    return has_slope(name, path, path.theta[:, columns], stated, tolerance, of=of)


def _misses(path: Path) -> np.ndarray:
    """1 - S2[T, t_end] at each time on each edge order, as the sum of what is elsewhere."""
    elsewhere = ~np.array([context.only_end for context in contexts()])
    return np.array([np.sum(attention(theta) * elsewhere, axis=1) for theta in path.theta])


def _shares(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """S2[T, t_end]/f and f, at each time on each edge order."""
    end, read = (np.array([getattr(c, name) for c in contexts()]) for name in ("only_end", "reads_v"))
    s = np.array([attention(theta) for theta in path.theta])
    found = np.sum(s * read, axis=2)
    return np.sum(s * end, axis=2) / found, found


def _parts(path: Path) -> tuple[float, float]:
    """t E[.] of the mass at T - 1, and of that elsewhere, where v is not read; at the end."""
    missed = path.times[-1] * attention(path.theta[-1]) * ~np.array([context.reads_v for context in contexts()])
    by_position = missed.mean(axis=0)
    return float(by_position[SELF]), float(by_position.sum() - by_position[SELF])


def _vanishing_misses(path: Path, tolerance: float = RATE) -> Evidence:
    return has_slope("log(1 - S2[T, t_end]), 24 orders", path, np.log(_misses(path)), -1.0, tolerance)


def _drifting(path: Path, by: float) -> Path:
    """``by`` log t added to everything."""
    return path._replace(theta=path.theta + by * np.log1p(path.times)[:, None])


def _ascent(theta: np.ndarray) -> np.ndarray:
    return -phase_2_twin(theta)


def _one_number(theta: np.ndarray) -> np.ndarray:
    return phase_2_twin(theta, entries=(1, 1))


def _always_right(theta: np.ndarray) -> np.ndarray:
    return phase_2_twin(theta, lambda context: [hit or j == SELF for j, hit in enumerate(context.reads_v)])


def _without(*coordinates: int) -> Callable[[np.ndarray], np.ndarray]:
    moving = np.ones(2 + T)
    moving[list(coordinates)] = 0
    return lambda theta: moving * phase_2_twin(theta)


def _index(path: Path, time: float) -> int:
    return int(np.argmin(np.abs(path.times - time)))


def _early(name: str, columns: int | list[int], stated: float) -> Callable[[Path], Evidence]:
    return lambda path: _slope(name, path, columns, stated, tolerance=EARLY_RATE)


def _rises_first(path: Path) -> Evidence:
    """What tells ascent apart: uphill W1[T-1, T-1] falls in the end as well, but from the start."""
    text = f"the first change of W1[T-1, T-1], to t = {path.times[1]:.0e}"
    return at_least("simulated", text, float(path.theta[1, NINE] - path.theta[0, NINE]), 0, 1)


def _attends(path: Path) -> Evidence:
    misses = _misses(path)[_last_decade(path)]
    return grows("-log(1 - S2[T, t_end]), 24 orders, the last decade", path, -np.log(misses))


def _last_decade(path: Path) -> np.ndarray:
    return path.times >= path.times[-1] / 10


def _early_misses(path: Path) -> Evidence:
    return _vanishing_misses(path, EARLY_RATE)


MUTANTS: dict[str, tuple[Mutant, ...]] = {
    "diagonal": (
        Mutant("a and b one parameter each", _one_number, UNTIL, _early("a", DIAGONAL, 9 / 10)),
        Mutant("ascent", _ascent, ASCENT, lambda path: grows("a", path, path.theta[:, 0])),
        Mutant("T - 1 always right", _always_right, UNTIL, _early("a", DIAGONAL, 9 / 10)),
    ),
    "off-diagonal": (Mutant("a and b one parameter each", _one_number, UNTIL, _early("b", OFF, -1 / 10)),),
    "self-mask": (
        Mutant("T - 1 always right", _always_right, UNTIL, _early("W1[T-1, T-1]", NINE, -4 / 5)),
        Mutant("ascent", _ascent, ASCENT, _rises_first),
    ),
    "other-positions": (
        Mutant("W1[T-1, T-1] held at 0", _without(NINE), UNTIL, _early("W1[T-1, even j]", EVEN, 1 / 5)),
    ),
    "attention": (
        Mutant("W1^(2) held at 0", _without(*range(2, 2 + T)), UNTIL_STUCK, _early_misses),
        Mutant("T - 1 always right", _always_right, UNTIL, _early_misses),
        Mutant("ascent", _ascent, ASCENT, _attends),
    ),
}
"""Changed flows by claim, each with a test that the true flow passes at the same time."""


def _controls(claim: str) -> tuple[Control, ...]:
    return tuple(mutant.control(2 + T) for mutant in MUTANTS[claim])
