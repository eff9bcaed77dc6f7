"""Theorem 2, Phase II, on one graph: how fast the logits of t_end and of the other positions move apart.

The printed bounds are those of the loss -log S2[T, t_end], whose pull on the logits, e_{t_end} - s, is linear in s. So
a linear inequality holds for all attention if it holds at the vertices of the simplex. L1a has more targets: see
``theorem_2_phase_2``.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

from proofs_check.ledger import Findings, Outcome, Test, at_least, equal
from proofs_check.methods.exact import one_hot
from proofs_check.methods.star import SELF, UNIFORM, Context, Row, T, contexts, describe_edges, pull, random_rows
from proofs_check.planning import theorem_2_phase_2_direction as direction
from proofs_check.planning import theorem_2_phase_2_proof as proof

ROWS = [UNIFORM, *random_rows(8)]
Gap = Callable[[Context, Row], Fraction]


class Bound(NamedTuple):
    """A lower bound on d/dt (l_{t_end} - l_k): multiples of s_k and of s_{T-1}, and whether W0^(2) takes part."""

    own: int
    prompt: int = 0
    content: bool = True


def distractor_gap() -> Findings:
    """d/dt (l_{t_end} - l_k) >= 2 s_k for every k whose label is not u_end, on the flow of one graph."""
    all_pairs = [(c, k) for c in contexts() for k in c.distractors]
    margins = {(c, k): _gap(c, k, _of_l1a(c, UNIFORM)) - 2 * UNIFORM[k] for c, k in all_pairs}

    def at_zero(chosen: Callable[[Context, int], bool]) -> Outcome:
        """Measure the gap's velocity less 2 s_k for L1a at zero weights, over chosen k."""
        return at_least([margin for (c, k), margin in margins.items() if chosen(c, k)], 0)

    def of_the_printed_loss(bound: Bound) -> Outcome:
        """Measure the gap's velocity less the bound for -log S2[T, t_end], on the vertices of the simplex."""
        values = []
        for context in contexts():
            for s in (one_hot(T, j) for j in range(T)):
                speeds = _of_printed_loss(context, s) if bound.content else _towards(context, s)
                values += [
                    _gap(context, k, speeds) - bound.own * s[k] - bound.prompt * s[SELF] for k in context.distractors
                ]
        return at_least(values, 0)

    wrong_k = {
        "k where v is read": lambda c, k: c.reads_v[k],
        "k after v": lambda c, k: k > 0 and c.tokens[k - 1] == c.v,
        "every k but position 1": lambda c, k: k > 0,
    }
    wrong_bounds = {
        "5 s_k": Bound(5),
        "4 s_k + 2 s_{T-1}": Bound(4, prompt=2),
        "4 s_k + s_{T-1}, W0^(2) at rest": Bound(4, prompt=1, content=False),
    }
    zero, bound = "d/dt gap - 2 s_k for L1a at zero weights", Bound(4, prompt=1)
    printed_loss = "d/dt gap less its bound for -log S2[T, t_end], for all attention"
    (context, k), worst = min(margins.items(), key=lambda item: item[1])
    broken = sum(margin < 0 for margin in margins.values())
    return Findings(
        (
            Test("exact", zero, at_zero, lambda c, k: True, lambda c, k: not c.reads_v[k], mutants=wrong_k),
            Test("exact", printed_loss, of_the_printed_loss, Bound(2), bound, mutants=wrong_bounds),
            *proof.steps("intended"),
        ),
        (),
        f"On {describe_edges(context)} at zero weights, k = {k + 1} (counted from 1) also reads v: d/dt gap = "
        f"{worst + 2 * UNIFORM[k]}, but 2 s_k = {2 * UNIFORM[k]}. {broken} of {len(margins)} pairs of edge order and k "
        "break the bound.",
    )


def self_gap() -> Findings:
    """d/dt (l_{t_end} - l_{T-1}) = 1 - s_{t_end} + s_{T-1} on the flow of one graph."""

    def printed(context: Context, s: Row) -> Fraction:
        return 1 - s[context.at_end] + s[SELF]

    def corrected(context: Context, s: Row, read: bool | None = None) -> Fraction:
        """Distinguish whether v is read at T - 1."""
        f = sum((mass for mass, hit in zip(s, context.reads_v, strict=True) if hit), Fraction(0))
        if context.reads_v[SELF] if read is None else read:
            return (s[context.at_end] - s[SELF]) * (1 / f - 1)
        return s[context.at_end] * (1 / f - 1) + s[SELF]

    def is_gap_of(speeds: Callable[[Context, Row], Row]) -> Callable[[Gap], Outcome]:
        pairs = [(c, s) for c in contexts() for s in ROWS]
        gaps = [_gap(c, SELF, speeds(c, s)) for c, s in pairs]
        return lambda formula: equal([formula(c, s) for c, s in pairs], gaps, nontrivial=[True] * len(pairs))

    wrong_l1a = {
        "v never read at T - 1": lambda c, s: corrected(c, s, read=False),
        "v always read at T - 1": lambda c, s: corrected(c, s, read=True),
        "sign flipped": lambda c, s: -corrected(c, s),
    }
    wrong_printed = {
        "1 - s_end - s_self": lambda c, s: 1 - s[c.at_end] - s[SELF],
        "position T for T - 1": lambda c, s: 1 - s[c.at_end] + s[T - 1],
        "without s_self": lambda c, s: 1 - s[c.at_end],
    }
    example, single = next(c for c in contexts() if c.reads_v[SELF]), "d/dt gap for -log S2[T, t_end]"
    return Findings(
        (
            Test("exact", "d/dt gap for L1a", is_gap_of(_of_l1a), printed, corrected, mutants=wrong_l1a),
            Test("exact", single, is_gap_of(_of_printed_loss), printed=printed, mutants=wrong_printed),
            *proof.steps("intended"),
            *direction.steps("intended"),
        ),
        (),
        f"On {describe_edges(example)} v is read at T - 1 = 9 too: at zero weights d/dt gap = 0, where the print says "
        "1.",
    )


def logit_velocity(context: Context, on_logits: Row) -> Row:
    """Return how fast the logits of S2[T] move on one graph.

    The query is u_end, read at T - 1, so l_j = W0[u_end, z_j] + W1[T-1, j]: a pull on position i moves the content
    entry of its label, which all positions with that label share, and its own position entry.
    """
    pulls = list(zip(context.tokens, on_logits, strict=True))
    by_label = {label: sum((g for token, g in pulls if token == label), Fraction(0)) for label in set(context.tokens)}
    return [by_label[token] + own for token, own in pulls]


def _of_l1a(context: Context, s: Row) -> Row:
    return logit_velocity(context, pull(s, context.reads_v))


def _of_printed_loss(context: Context, s: Row) -> Row:
    return logit_velocity(context, _towards(context, s))


def _towards(context: Context, s: Row) -> Row:
    """e_{t_end} - s: ``pull`` for the one target t_end, also defined where s[t_end] = 0."""
    return [hit - mass for hit, mass in zip(context.only_end, s, strict=True)]


def _gap(context: Context, k: int, speeds: Row) -> Fraction:
    return speeds[context.at_end] - speeds[k]
