"""Random claims, true and false by construction: the engine decides each of them correctly."""

from fractions import Fraction
from random import Random

import numpy as np
import pytest
import sympy
from flint import arb

from proofs_check.ledger import (
    Cell,
    Claim,
    Counts,
    Findings,
    Plan,
    Test,
    at_most,
    balls_at_most,
    decide,
    equal,
    every,
    nonnegative,
    same,
)
from proofs_check.ledger.evidence import ABSENT

CLAIMS = 200
x, y = sympy.symbols("x y", nonnegative=True)

# Each family: a kind, a measure of a variant, right variants and wrong ones. A variant is drawn anew for each use.


def _identity(variant):
    points = np.linspace(0.5, 2, 7)
    return equal(np.polyval(variant, points), np.polyval([3, -1, 2], points))


def _exhaustive(variant):
    return every([(n * n + variant) % 2 == n % 2 for n in range(12)], nontrivial=[n > 0 for n in range(12)])


def _fractions(variant):
    return at_most([Fraction(1, n) - variant for n in range(3, 9)], Fraction(0))


def _balls(variant):
    return balls_at_most([Cell(k, k + 1 if k < 8 else None, (arb(-k)).exp()) for k in range(3, 9)], variant)


def _inequality(variant):
    return nonnegative([(1 + x) * (2 + y) - variant])


def _symbols(variant):
    return same([((x + y) ** 2, x**2 + variant * x * y + y**2)])


def _counts(variant):
    return Counts([variant, variant + 1], 1000)


PLAN = Plan(at_most=0.1, comparisons=2)
FAMILIES = {
    "autodiff": (_identity, lambda r: [3, -1, 2], lambda r: [3, -1, 2 + r.choice([-1, 1, 0.01, -1e-4])]),
    "exhaustive": (_exhaustive, lambda r: 2 * r.randint(0, 9), lambda r: 2 * r.randint(0, 9) + 1),
    "exact": (_fractions, lambda r: Fraction(r.randint(1, 9), 3), lambda r: Fraction(r.randint(1, 99), 300)),
    "certified": (_balls, lambda r: 0.05 + r.random(), lambda r: 0.0497 * r.random()),
    "symbolic": (_symbols, lambda r: 2, lambda r: r.choice([-2, 0, 1, 3])),
    "simulated": (_inequality, lambda r: r.choice([0, 1, 2]), lambda r: r.randint(3, 9)),
    "statistical": (_counts, lambda r: r.randint(10, 60), lambda r: r.randint(150, 900)),
}


def generated(seed: int) -> tuple[Claim, str]:
    """A claim of one to three parts, and the verdict that it must have."""
    random = Random(seed)
    printed, intended, amended = random.random() < 0.4, random.choice([True, False, None]), random.choice([True, None])
    if printed:
        intended = random.choice([True, None])
    tests, plans = [], {}
    parts = random.randint(1, 3)
    wrong_part = random.randrange(parts)  # a conjunction is false by one of its parts
    for part in range(parts):
        kind = random.choice(list(FAMILIES))
        measure, right, wrong = FAMILIES[kind]

        def drawn(truth, part=part, right=right, wrong=wrong):
            if truth is None:
                return ABSENT
            return right(random) if truth or part != wrong_part else wrong(random)

        quantity = f"part {part}"
        plans |= {quantity: PLAN} if kind == "statistical" else {}
        tests.append(
            Test(
                kind,  # pyright: ignore[reportArgumentType]
                quantity,
                measure,
                printed=drawn(printed),
                amended=drawn(amended),
                intended=drawn(intended),
                mutants={f"mutant {n}": wrong(random) for n in range(random.randint(1, 2))},
                accepted={"right": right(random)},
            )
        )
    failing = "open" if intended is None else "fails" if not intended else "amended" if amended else "open"
    verdict = "holds" if printed else failing
    claim = Claim(
        id="generated.claim",
        source="s",
        statement="s",
        setting="s",
        recorded=verdict,
        check=lambda: Findings(tuple(tests)),
        intent="" if intended is None else "i",
        decided_by=() if intended is None else tuple(test.quantity for test in tests),
        amendment="a" if verdict == "amended" else "",
        refutation="r" if verdict == "fails" else "",
        statistics=plans,
    )
    return claim, verdict


# The first tenth finds a broken engine as well as the rest; the rest is for rare combinations.
@pytest.mark.parametrize("tenth", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 10))])
def test_generated_claims_are_decided_correctly(tenth):
    for seed in range(tenth * CLAIMS // 10, (tenth + 1) * CLAIMS // 10):
        claim, expected = generated(seed)
        result = decide(claim)
        assert (result.verdict, result.error) == (expected, ""), seed
        assert result.agrees, (seed, result.complaint)


def test_the_generator_makes_every_verdict():
    verdicts = [generated(seed)[1] for seed in range(CLAIMS // 10)]
    assert {verdict: verdicts.count(verdict) > 1 for verdict in ("holds", "amended", "fails", "open")} == dict.fromkeys(
        ("holds", "amended", "fails", "open"), True
    )


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_right_variant_among_the_mutants_is_noticed(kind):
    """A control that should have been rejected is true."""
    measure, right, _ = FAMILIES[kind]
    random = Random(1)
    test = Test(kind, "q", measure, printed=right(random), mutants={"not wrong": right(random)})
    plans = {"q": PLAN} if kind == "statistical" else {}
    claim = Claim("a.b", "s", "s", "s", "holds", lambda: Findings((test,)), statistics=plans)
    assert decide(claim).complaint == "control 'not wrong' was not rejected (supports)"
