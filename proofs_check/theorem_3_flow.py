"""Theorem 3 beyond w = 0: where the gradient flows of the next-token losses take Layer 1.

Four flows from zero weights: the whole next-token loss (1/2)(L1a + L1b) or L1a alone, with Layer 2 at zero, as
the theorem supposes, or moving with Layer 1. W0^(1) = 0 and W1^(1) is Toeplitz throughout.

**Why the limit is one.** Let Layer 2 be zero and w(1) lie far above the rest, with x_k = e^-(w(1) - w(k)). To first
order row r of S1 is e_{r-1} + sum_k x_k (e_{r-k} - e_{r-1}), so the loss is L_inf - sum_{k != 1} C_k x_k with

    C_k = E[ (1 / (T mu_inf)) sum_{r > max(k, 1)} (u_{r-k} - u_{r-1}) ],    T mu_inf = u_1 + sum_{r > 1} u_{r-1}

C_k is what the loss gains by looking k back instead of one back. The gap g_k = w(1) - w(k) has the velocity
-C_k x_k - sum_j C_j x_j. For (1/2)(L1a + L1b) every C_k is negative (exactly; the largest is -1/24), so near the
pointer every gap grows: the pointer attracts. All x_k |C_k| t tend to 1/10, so gaps grow like log t and w(1) like
(9/10) log t; differences between them die out only like t^(-1/10), so slopes at t = 1e8 are still a little off. For
L1a alone C_2 = 1/12 > 0, and a flow leaves the pointer for offset 2.

Which of the two losses the theorem speaks of is not clear: it says "the pure NTP deep loss", and its proof
differentiates L1a alone. The claim is read for both. As printed it is contradicted by both, for both raise S1[T, T-1]
at first. What it was meant to establish is put to the whole loss, which Eq. 3 calls next-token prediction and which is
what is trained. Of L1a alone with Layer 2 at zero it is true in the long run, and the amended evidence says so.

The velocities are those of ``circuits.flow``, whose content_2 = a I + b (1 1^T - I) is here one number, a - b: the
rest adds a constant to each row of logits. Its velocity is 1/N + 1/(N (N - 1)) = 1/9 of its derivative.
"""

from fractions import Fraction
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from circuits.flow.coordinates import all_entries, coordinates, orbits, toeplitz
from circuits.flow.fields import gradient_flow
from circuits.flow.rates import Rate, rate
from circuits.flow.solve import log_times, solve
from circuits.tasks.star_graph import replay_context
from proofs_check import setting
from proofs_check.evidence import Control, Evidence, Findings, at_least, at_most, identity
from proofs_check.theorem_3 import Indicator, indicators, mean

T = setting.T
END = 1e8
TIMES = log_times(END, per_decade=8)
PLAN, NEXT_TOKEN = (1.0, 0.0), (0.5, 0.5)
"""Shares of L1a and L1b."""
HELD, CIRCUIT = "NTP, Layer 2 at zero", "L1a, Layer 2 moving"
FLOWS = {
    HELD: (NEXT_TOKEN, False, 1),
    "L1a, Layer 2 at zero": (PLAN, False, 2),
    "NTP, Layer 2 moving": (NEXT_TOKEN, True, 0),
    CIRCUIT: (PLAN, True, 1),
}
"""Loss, whether Layer 2 moves, and the offset at which the query's attention ends."""


class Point(NamedTuple):
    """Where a flow is, and which one it is: ``shares`` of the losses, and whether Layer 2 moves, do not change."""

    offsets: Array
    match: Array
    position_2: Array
    shares: Array
    moves: Array


class Path(NamedTuple):
    """One solution: the points, the query's attention by offset (K, T), and the losses (K,)."""

    points: Point
    attention: np.ndarray
    loss: np.ndarray

    @property
    def greatest(self) -> tuple[float, float]:
        """The greatest S1[T, T-1] on the way, and its time."""
        at = int(self.attention[:, 1].argmax())
        return float(self.attention[at, 1]), float(TIMES[at])


def flow() -> Findings:
    """The pointer is repelled along the flow? S1[T, T-1] rises above 1/10 in all four, and tends to 1 in two."""
    ntp, circuit = path(NEXT_TOKEN, moves=False), path(PLAN, moves=True)
    lead = _lead(ntp)
    return Findings(
        (
            *(_never_above(name) for name in FLOWS),
            at_most(
                "simulated", f"S1[T, T-1] at t = {END:g}: {HELD}", float(ntp.attention[-1, 1]), 0.1, 1, of="intended"
            ),
            at_most(
                "simulated",
                f"d(w(1) - greatest other)/dlog t, less its uncertainty: {HELD}",
                lead.slope - lead.uncertainty,
                0,
                len(TIMES),
                of="intended",
                detail=f"{lead.slope:.3f} +- {lead.uncertainty:.3f} over the last {lead.decades} decades",
                spans=True,
            ),
            at_least("exact", f"greatest C_k, k != 1: {HELD}", float(_greatest(NEXT_TOKEN)), 0, T - 1, of="intended"),
            *(_ends_at(name, offset) for name, (_, _, offset) in FLOWS.items()),
            *(_leads(name, offset) for name, (_, _, offset) in FLOWS.items()),
            _matches(circuit),
            at_most("simulated", f"L1a at t = {END:g}: {CIRCUIT}", float(circuit.loss[-1]), 1e-3, 1, of="amended"),
            _attracts(NEXT_TOKEN),
            _conserved(),
            _against_library(),
        ),
        (
            Control("L1a in place of the whole loss", _ends_at("L1a, Layer 2 at zero", 1)),
            Control("the whole loss with Layer 2 moving", _ends_at("NTP, Layer 2 moving", 1)),
            Control("L1a in place of the whole loss, near the pointer", _attracts(PLAN)),
            Control("L1b with the other sign, near the pointer", _attracts((0.5, -0.5))),
        ),
        _story(lead),
    )


def _never_above(name: str) -> Evidence:
    """The printed statement. Of 1/10, a thousandth is left to the solver."""
    (value, when), quantity = _path(name).greatest, f"greatest S1[T, T-1], at first 1/10: {name}"
    return at_most("simulated", quantity, value, 0.1 * 1.001, len(TIMES), detail=f"at t = {when:.3g}")


def _ends_at(name: str, offset: int) -> Evidence:
    quantity = f"S1[T, {f'T-{offset}' if offset else 'T'}] at t = {END:g}: {name}"
    return at_least("simulated", quantity, float(_path(name).attention[-1, offset]), 0.99, 1, of="amended")


def _leads(name: str, offset: int) -> Evidence:
    """The gap to every other offset grows like log t, at a rate that stays away from 0."""
    lead = _lead(_path(name), offset)
    quantity = f"d(w({offset}) - greatest other)/dlog t, less its uncertainty: {name}"
    return at_least("simulated", quantity, lead.slope - lead.uncertainty, 0.5, len(TIMES), of="amended", spans=True)


def _matches(circuit: Path) -> Evidence:
    """W0^(2) matches contents: a - b grows in each of the last decades, though its rate still changes."""
    grown = rate(TIMES, np.asarray(circuit.points.match))
    quantity = f"d(diagonal - off-diagonal of W0^(2))/dlog t, less its uncertainty: {CIRCUIT}"
    detail = f"{grown.slope:.3f} +- {grown.uncertainty:.3f} over the last {grown.decades} decades"
    least = grown.slope - grown.uncertainty
    return at_least("simulated", quantity, least, 0, len(TIMES), of="amended", detail=detail)


def _attracts(shares: tuple[float, float]) -> Evidence:
    quantity = "greatest C_k, k != 1, is negative: near the pointer every gap grows"
    return at_most("exact", quantity, float(_greatest(shares)), -1e-9, T - 1, of="amended")


def _greatest(shares: tuple[float, float]) -> Fraction:
    return max(value for k, value in enumerate(pulls(shares)) if k != 1)


def _path(name: str) -> Path:
    shares, moves, _ = FLOWS[name]
    return path(shares, moves)


@cache
def path(shares: tuple[float, float], moves: bool) -> Path:
    """The flow from zero to ``END``."""
    start = Point(
        jnp.zeros(T), jnp.zeros(()), jnp.zeros((T, T)), jnp.asarray(shares), jnp.asarray(1.0 if moves else 0.0)
    )
    points = solve(velocity, start, TIMES, rtol=1e-6, atol=1e-8).states
    attention = jax.nn.softmax(points.offsets, axis=1)
    return Path(points, np.asarray(attention), np.asarray(_losses(points)))


def velocity(point: Point) -> Point:
    """Minus the gradient of the population loss; what is fixed has no velocity."""
    slopes = jax.grad(loss)(point)
    second = -point.moves
    match = second * slopes.match * (1 / setting.N + 1 / (setting.N * (setting.N - 1)))
    return Point(-slopes.offsets, match, second * slopes.position_2, jnp.zeros(2), jnp.zeros(()))


def loss(point: Point) -> Array:
    """The mean over edge orders of -log f1 on Z and Z', with the shares as weights."""
    same, hit = _cases()
    offset = np.subtract.outer(np.arange(T), np.arange(T))
    s1 = jax.nn.softmax(jnp.where(offset >= 0, point.offsets[np.maximum(offset, 0)], -jnp.inf), axis=1)
    # Layer 2's logits at T: S1[T] (Z W0 Z^T + W1), and Z W0 Z^T is a - b where two tokens are equal.
    logits = point.match * jnp.einsum("i,poij->poj", s1[-1], same) + s1[-1] @ point.position_2
    found = jnp.einsum("poj,jk,pok->po", jax.nn.softmax(logits, axis=-1), s1, hit)
    return point.shares @ -jnp.mean(jnp.log(found), axis=1)


_losses = jax.jit(jax.vmap(loss))


@cache
def _cases() -> tuple[Array, Array]:
    """For Z and Z' of every edge order: where two tokens are equal (2, 24, T, T), and where the target stands."""
    with jax.ensure_compile_time_eval():
        tokens, v, end = setting.orders()
        both = jnp.stack([tokens, jax.vmap(replay_context)(tokens, v)])
        same = (both[..., :, None] == both[..., None, :]).astype(jnp.float64)
        return same, (both == jnp.stack([v, end])[..., None]).astype(jnp.float64)


@cache
def pulls(shares: tuple[float, float]) -> tuple[Fraction, ...]:
    """C_k for k = 0 .. T - 1, of the loss with these shares; C_1 = 0."""

    def gain(u: Indicator, k: int) -> Fraction:
        behind = u[0] + sum(u[: T - 1], Fraction(0))
        return sum((u[r - k - 1] - u[r - 2] for r in range(max(k, 1) + 1, T + 1)), Fraction(0)) / behind

    parts = [[mean([gain(u, k) for u in indicators(label)]) for k in range(T)] for label in ("v", "u_end in Z'")]
    plan, replay = (Fraction(share) for share in shares)
    return tuple(plan * a + replay * b for a, b in zip(*parts, strict=True))


def _lead(found: Path, offset: int = 1) -> Rate:
    """How fast the weight of an offset leaves the greatest of the others behind."""
    w = np.asarray(found.points.offsets)
    return rate(TIMES, w[:, offset] - np.delete(w, offset, axis=1).max(axis=1))


def _conserved() -> Evidence:
    sums = [np.abs(np.sum(_path(name).points.offsets, axis=1)) for name in FLOWS]
    quantity = "greatest |sum of w|: every flow conserves it at 0"
    return at_most("simulated", quantity, float(np.max(sums)), 1e-8, len(FLOWS) * len(TIMES), of="amended")


def _against_library() -> Evidence:
    """The velocities at points of the flows against the library's exact population gradient."""
    places = np.array([int(np.argmin(np.abs(np.asarray(TIMES) - t))) for t in (0.0, 3.0, 30.0, 300.0, 1e4)])
    points = jax.tree.map(
        lambda *leaves: jnp.concatenate([leaf[places] for leaf in leaves]), *(_path(name).points for name in FLOWS)
    )
    space = coordinates(setting.SPEC, None, toeplitz(T), orbits(setting.N), all_entries(T))

    def gap(point: Point) -> Array:
        a, b = (1 - 1 / setting.N) * point.match, -point.match / setting.N
        theta = jnp.concatenate([point.offsets, a[None], b[None], point.position_2.ravel()])
        first, second = jnp.split(gradient_flow(space, (*point.shares, 0.0), setting.SPEC)(theta), [T])
        ours = velocity(point)
        layer_2 = jnp.concatenate([ours.match[None], ours.position_2.ravel()])
        library_2 = point.moves * jnp.concatenate([second[:1] - second[1:2], second[2:]])
        return jnp.maximum(jnp.max(jnp.abs(ours.offsets - first)), jnp.max(jnp.abs(layer_2 - library_2)))

    largest = float(jnp.max(jax.jit(jax.vmap(gap))(points)))
    quantity = "max |velocity - the library's exact gradient flow| at points of the flows"
    return identity("autodiff", quantity, largest, len(points.moves), of="amended")


def _story(lead: Rate) -> str:
    held, held_plan, moving, circuit = (_path(name) for name in FLOWS)
    (plan_peak, plan_time), (peak, time) = held_plan.greatest, moving.greatest
    return (
        f"S1[T, T-1] starts at 0.1. {HELD}: at t = {END:g} it is 1 - {1 - held.attention[-1, 1]:.0e}, and w(1) leads "
        f"by ({lead.slope:.2f} +- {lead.uncertainty:.2f}) log t. L1a, Layer 2 at zero: it rises to {plan_peak:.4f} (t "
        f"about {plan_time:.0f}), then offset 2 wins. NTP, Layer 2 moving: it rises to {peak:.4f} (t about {time:.0f}) "
        f"and then the query attends to itself, and the loss stays at {moving.loss[-1]:.4f}: NTP misses the circuit, "
        f"but not by a first step away from it. {CIRCUIT}: at t = {END:g} it is 1 - {1 - circuit.attention[-1, 1]:.0e} "
        f"and L1a = {circuit.loss[-1]:.0e}: the circuit."
    )
