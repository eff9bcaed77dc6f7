"""The reports: complete, well formed, escaped, and self-contained."""

import math
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from proofs_check.ledger import Claim, Findings, Result, Test, at_most, decide, report
from proofs_check.ledger.report_html import formula, number
from proofs_check.ledger.run import WORDS, summary

HOSTILE = '<script>alert("&")</script>'


def measure(gap):
    return at_most([gap], 1e-12, detail=f"detail {HOSTILE}")


def broken() -> Findings:
    raise RuntimeError(f"\x1b[31mred\x00 {HOSTILE}")


def results() -> list[Result]:
    def check(**variants):
        mutants = {f"mutant {HOSTILE}": variants.pop("mutant", 0.31)}
        test = Test("autodiff", f"gap {HOSTILE}", measure, mutants=mutants, accepted={"right": 0.0}, **variants)
        return lambda: Findings((test,), (), f"x | y\n```\n{HOSTILE}")

    intent = {"intent": f"To show. {HOSTILE}", "decided_by": (f"gap {HOSTILE}",)}
    latex = r"\frac{a}{b} < \text{" + HOSTILE + "}"
    checks = {
        "one.holds": (check(printed=0.0), "holds", {}),
        "one.amended": (
            check(printed=0.31, amended=0.0, intended=0.0),
            "amended",
            {**intent, "amendment": f"Transposed. {HOSTILE}", "formula": latex},
        ),
        "two.fails": (
            check(printed=0.31, intended=math.inf),
            "fails",
            {**intent, "refutation": f"It is infinite. {HOSTILE}"},
        ),
        "two.open": (check(printed=0.31, mutant=0.0), "open", {"formula": r"\frac", "provenance": "second-hand"}),
        "two.broken": (broken, "holds", {}),
    }
    return [
        decide(
            Claim(
                id=name,
                source=f"p. 1 {HOSTILE}",
                statement=f"A | B {HOSTILE}",
                setting=HOSTILE,
                recorded=recorded,  # pyright: ignore[reportArgumentType]
                check=check,
                **more,
            )
        )
        for name, (check, recorded, more) in checks.items()
    ]


RESULTS = results()


def test_the_fixture_has_every_verdict():
    assert [result.verdict for result in RESULTS] == list(WORDS)
    assert [result.agrees for result in RESULTS] == [True, True, True, False, False]


def test_junit_counts_and_parses():
    root = ElementTree.fromstring(report.junit(RESULTS))
    (suite,) = root.iter("testsuite")
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("5", "2", "0")
    cases = list(suite.iter("testcase"))
    assert [case.get("name") for case in cases] == [result.claim.id for result in RESULTS]
    assert [case.get("classname") for case in cases] == ["one", "one", "two", "two", "two"]
    assert all(float(case.get("time", "")) >= 0 for case in cases)
    failed = {case.get("name"): case.find("failure") for case in cases if case.find("failure") is not None}
    assert set(failed) == {"two.open", "two.broken"}
    undecided, raised = failed.values()
    assert undecided is not None
    assert undecided.get("message") == f"control 'mutant {HOSTILE}' was not rejected (supports)"
    assert raised is not None
    assert "[31mred <script>" in raised.get("message", "")
    assert "Traceback" in (raised.text or "")


def test_junit_uses_the_elements_and_attributes_that_readers_know():
    known = {
        "testsuites": {"name", "tests", "failures", "errors", "time"},
        "testsuite": {"name", "tests", "failures", "errors", "skipped", "time"},
        "testcase": {"classname", "name", "time"},
        "failure": {"message", "type"},
        "system-out": set(),
    }
    for element in ElementTree.fromstring(report.junit(RESULTS)).iter():
        assert set(element.attrib) == known[element.tag]


def test_markdown():
    text = report.markdown(RESULTS)
    assert summary(RESULTS) in text
    assert "| ✓ | `one.amended` | amended | amended | ours | 2/2 |" in text
    assert "| ✗ | `two.open` | open | open | second-hand | 1/2 | 0.0 | control 'mutant" in text
    sections = ["one.amended", "two.fails", "two.open", "two.broken"]
    assert re.findall(r"^## `(.*)`", text, re.MULTILINE) == sections
    assert "```math\n\\frac{a}{b}" in text
    assert f"````text\nx | y\n```\n{HOSTILE}\n````" in text
    assert "A \\| B &lt;script>" in text
    assert "**Correction:** Transposed." in text
    assert "**Meant to establish:** To show." in text
    assert "**Refuted by:** It is infinite." in text


class Page(HTMLParser):
    """Tags and their attributes in order, and the text outside style and script."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += data


def test_html_is_well_formed_and_complete():
    page = Page(report.html(RESULTS))
    assert page.open == []
    cards = [attributes for tag, attributes in page.tags if tag == "article"]
    assert [card["id"] for card in cards] == [result.claim.id for result in RESULTS]
    assert [card["data-verdict"] for card in cards] == list(WORDS)
    assert ["data-differs" in card for card in cards] == [not result.agrees for result in RESULTS]
    for text in (
        "Transposed.",
        "To show.",
        "x | y",
        "It is infinite.",
        "Open: contradicted, intent not tested.",
        "Not as recorded: control 'mutant",
        "✓ rejected",
        "✗ not rejected",
        "✓ accepted",
        "second-hand: the primary text was not read",
        "inf",
    ):
        assert text in page.text
    targets = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert set(targets) == {f"#{result.claim.id}" for result in RESULTS}


def test_html_needs_no_network():
    text = report.html(RESULTS)
    assert "http://" not in text
    assert "https://" not in text
    assert "url(" not in text
    assert "@import" not in text
    for tag, attributes in Page(text).tags:
        assert tag not in ("link", "img", "iframe", "object", "embed")
        assert "src" not in attributes
        assert (attributes.get("href") or "#").startswith("#")
    assert "default-src 'none'" in text


def test_html_escapes_what_claims_say():
    text = report.html(RESULTS)
    assert text.count("<script>") == 1
    assert "alert(" not in text[text.index("<script>") :]
    page = Page(text)
    # source, statement and setting of each card; correction, example, formula; intent; error; evidence
    assert page.text.count(HOSTILE) >= 3 * len(RESULTS) + 10


def test_a_formula_becomes_mathml():
    made = formula(r"\begin{aligned} a &= \frac{1}{2} \\ b &\le \mathbb{E}[x] \end{aligned}")
    math_element = ElementTree.fromstring(made)[0]
    assert math_element.tag == "math"
    assert math_element.get("display") == "block"
    assert len(list(math_element.iter("mtr"))) == 2
    assert len(list(math_element.iter("mfrac"))) == 1
    assert "\\" not in "".join(math_element.itertext())
    assert "&" not in "".join(math_element.itertext())


def test_a_formula_that_cannot_be_converted_is_shown_as_it_is():
    assert formula(r"\left(<b>") == '<pre class="formula">\\left(&lt;b&gt;</pre>'


def test_a_formula_has_no_links():
    assert "javascript" not in formula(r"\href{javascript:alert(1)}{x}")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (725760.0, "725760"),
        (-2.0, "-2"),
        (0.30999, "0.31"),
        (3.1e-16, "3.1e-16"),
        (1e12, "1e+12"),
        (math.inf, "inf"),
        (math.nan, "nan"),
    ],
)
def test_numbers_are_short(value, text):
    assert number(value) == text
