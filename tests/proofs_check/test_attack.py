"""The attacks, on a made-up library and claims: they report what a claim overlooks, and only that."""

import functools
import sys
from fractions import Fraction
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from proofs_check.attack import formulas, functions, processes, replacing, report
from proofs_check.attack.engine import Target
from proofs_check.attack.mutations import edits
from proofs_check.attack.record import Record, explanation, explanations

LIBRARY = """
import numpy as np

def square(side):
    return side * side

def halves(whole):
    return {"left": whole / 2, "right": whole - whole / 2}

def symmetric():
    return np.eye(2)

def guarded(number):
    if number != number:
        raise ValueError("number: must not be NaN")
    return number

def ignored(number):
    return number + 1.0

def never_called(a):
    return a + 1
"""
CLAIMS = """
import numpy as np
from toy_library.formulas import area
from toy_library.formulas.area import square
from proofs_check import Claim, CrossCheck, Findings, Test, equal, every

def claim(name, measure, right, wrong):
    test = Test("simulated", name, measure, printed=right, mutants={"wrong": wrong})
    return Claim(f"toy.{name}", "s", "s", "s", "holds", lambda: Findings((test,)))

def largest_gap(scale):
    parts = area.halves(3.0)
    # Python's max loses a NaN that comes second.
    return every([max(abs(parts["left"] - 1.5 * scale), abs(parts["right"] - 1.5 * scale)) < 1e-9])

def cross_checked():
    test = Test("exact", "2 + 2", lambda total: equal([2 + 2], [total]), 4, mutants={"wrong": 5})
    twin = CrossCheck("square", lambda scale: equal([square(3.0)], [9.0 * scale]), 1, {"wrong": 2})
    return Findings((test,), (twin,))

CLAIMS = [
    Claim("toy.twin", "s", "s", "s", "holds", cross_checked),
    claim("sound", lambda scale: equal([square(3.0)], [9.0 * scale]), 1, 2),
    claim("largest", largest_gap, 1, 2),
    claim("blind", lambda right: (area.ignored(2.0), area.halves(2.0), every([right]))[2], True, False),
    claim("crash", lambda scale: equal([area.guarded(square(2.0))], [4.0 * scale]), 1, 2),
    claim("symmetric", lambda scale: equal(area.symmetric()[0], np.array([1.0, 0.0]) * scale), 1, 2),
]
"""


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    root = tmp_path_factory.mktemp("toy")
    folder = root / "toy_library" / "formulas"
    folder.mkdir(parents=True)
    for package in (folder, folder.parent):
        package.joinpath("__init__.py").write_text("")
    folder.joinpath("area.py").write_text(LIBRARY)
    registry = root / "toy_claims.py"
    registry.write_text(CLAIMS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(root)
        # The toy claims need none of the heavy imports that real ones share.
        processes._CONTEXT.set_forkserver_preload(["proofs_check.attack.formulas"])
        # Fresh processes import the main module again, which is slow for pytest.
        patch.setitem(sys.modules, "__main__", ModuleType("__main__"))
        yield Target((str(registry),), "toy_library", ("formulas",), ())


@pytest.fixture(scope="module")
def attacked(target):
    """The record of all attacks on all functions."""
    record = Record(None, "")
    functions.campaign(target, (), 0, 0, record, lambda line: None)
    return record


def outcomes(record, claim):
    rows = [row for row in record.rows.values() if row["claim"] == claim]
    return {(row["function"].split(":")[1], row["attack"]): row["outcome"] for row in rows}


@pytest.mark.parametrize("claim", ["toy.sound", "toy.twin"])
def test_a_claim_that_compares_its_value_notices_every_attack(attacked, claim):
    assert outcomes(attacked, claim) == {("square", attack): "detected" for attack in ("NaN", "zero", "negated")}


def test_a_nan_that_the_claim_loses_survives(attacked):
    assert outcomes(attacked, "toy.largest") == {
        ("halves", "NaN at ['left']"): "detected",
        ("halves", "NaN at ['right']"): "survived",
        ("halves", "zero"): "detected",
        ("halves", "negated"): "detected",
    }


def test_a_claim_that_ignores_a_result_is_reported_unless_another_claim_uses_it(attacked):
    rows = outcomes(attacked, "toy.blind")
    assert set(rows.values()) == {"unused"}
    assert len(rows) == 3 + 4
    unexplained = report.unexplained(list(attacked.rows.values()), [])
    assert {(row["claim"], row["function"].split(":")[1]) for row in unexplained} == {
        ("toy.blind", "ignored"),
        ("toy.blind", "halves"),  # no claim notices NaN in its second part
        ("toy.largest", "halves"),
    }


def test_an_exception_is_no_detection_and_an_attack_without_effect_is_exempt(attacked):
    rows = outcomes(attacked, "toy.crash")
    assert rows["square", "NaN"] == "crash"
    assert rows["guarded", "NaN"] == "detected"
    rows = outcomes(attacked, "toy.symmetric")
    assert rows["symmetric", "transposed"] == "exempt"
    assert rows["symmetric", "negated"] == "detected"


def test_a_run_resumes_and_draws_the_same_sample(target, attacked, tmp_path):
    file, said = tmp_path / "record.json", []
    record = Record(file, "code", dict(attacked.traces))
    first = functions.campaign(target, ("toy.sound",), 1, 0, record, said.append)
    assert len(first) == len(said) == 1
    again = functions.campaign(target, ("toy.sound",), 1, 0, Record.open(file, "code"), said.append)
    assert again == first
    assert len(said) == 1
    assert Record.open(file, "other code").rows == {}


def test_mutants_of_formulas(target, attacked):
    rows, untested = formulas.campaign(
        target, ("toy.sound,toy.largest,toy.blind",), "*", 0, 0, attacked, lambda _: None
    )
    by = {row["after"]: (row["outcome"], row["by"]) for row in rows}
    assert by["return side / side"] == ("detected", "toy.sound")
    assert by['return {"left": whole / 3, "right": whole - whole / 2}'] == ("detected", "toy.largest")
    assert {mutant.function for mutant in untested} == {"symmetric", "ignored", "never_called"}
    assert report.unexplained(rows, [], complete=False) == []
    text = report.formulas(rows, untested, [])
    assert "mutation score 100.0%" in text
    assert "formulas/area.py never_called: 4" in text


@pytest.mark.parametrize(
    ("line", "mutants"),
    [
        ("a + b", {"a - b", "(a)", "(b)"}),
        ("(a + 1) @ b", {"((b)) @ (a + 1)", "(a - 1) @ b", "((a)) @ b", "((1)) @ b", "(a + 2) @ b"}),
        ("-x[-1]", {"(x[-1])", "-x[0]"}),
        ("s.sum(axis=1)", {"s.mean(axis=1)", "s.sum(axis=0)"}),
        ("x.T * 2", {"x * 2", "x.T / 2", "x.T * 3"}),
        ("tril(x)", {"triu(x)", "tril(x, 1)", "tril(x, -1)"}),
        ("jax.nn.softmax(x)", {"jax.nn.softmax(x, axis=0)"}),
        ("jnp.where(c, a, b)", {"jnp.where(c, (b), (a))"}),
        ("a < b and f(True)", {"a >= b and f(True)", "a < b or f(True)", "a < b and f(False)"}),
        ("é - y", {"é + y", "(é)", "(-(y))"}),
        ("f(x, x[0].dtype)", set()),
        ('checks.require(a + 1 == 2, "a")', set()),
    ],
)
def test_edits_of_a_formula(line, mutants):
    raw = line.encode()
    assert {(raw[: e.begin] + e.text + raw[e.end :]).decode() for e in edits(raw)} == mutants


def test_a_function_is_replaced_for_every_reference_to_it():
    module = ModuleType("made_up")
    exec("def twice(x, *, by=2):\n    return {'value': by * x}", module.__dict__)
    twice = module.twice
    holders = [twice, jax.jit(twice), functools.cache(twice), functools.partial(twice, by=3), lambda x: twice(x)]
    replacing.replace(twice, lambda path, leaf: -leaf if path == "['value']" else leaf)
    assert [float(holder(1.0)["value"]) for holder in holders] == [-2, -2, -2, -3, -2]


@pytest.mark.parametrize(
    ("leaf", "zero", "negated"),
    [
        (2.0, 0.0, -2.0),
        (Fraction(1, 2), Fraction(0), Fraction(-1, 2)),
        (np.float64(2), np.float64(0), np.float64(-2)),
        (jnp.ones(2), jnp.zeros(2), -jnp.ones(2)),
    ],
)
def test_numbers_of_every_kind_are_attacked(leaf, zero, negated):
    names = replacing.attacks([leaf])
    assert names == ["NaN", "zero", "negated"]
    for name, expected in (("zero", zero), ("negated", negated)):
        new = replacing.ATTACKS[name][1](leaf)
        assert type(new) is type(expected)
        assert np.all(new == expected)


def test_attacks_on_integers_and_none_on_text():
    assert replacing.attacks([3]) == ["integers zero", "integers negated"]
    assert replacing.attacks([np.array([True, False])]) == ["integers zero", "integers negated", "integers reversed"]
    assert replacing.attacks(["text", None]) == []


def test_explanations(tmp_path):
    file = tmp_path / "explained.yaml"
    file.write_text('formulas:\n  - {file: "flow/*", before: x, why: because}\nfunctions:\n  - {claim: a}\n')
    [entry] = explanations("formulas", file)
    assert explanation({"file": "flow/rates.py", "before": "x", "after": "y"}, [entry]) is entry
    assert explanation({"file": "flow/rates.py", "before": "z", "after": "y"}, [entry]) is None
    with pytest.raises(ValueError, match="why: must be given"):
        explanations("functions", file)
