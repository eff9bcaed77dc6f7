"""Reading registries: what they may hold, and a message for each thing they may not."""

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from proofs_check.ledger import Claim, Findings, Plan, Test, every, registry

ENTRY = {
    "id": "lemma-9.sum",
    "source": "Lemma 9",
    "statement": "One and one is two.",
    "setting": "Integers.",
    "recorded": "holds",
    "check": "checks.py:check",
}
INTENT = {"intent": "x", "decided_by": ["q"]}
CHECKS = """
from proofs_check import Findings, Test, every
text = "not a function"
def check():
    return Findings((Test("exact", "q", lambda v: every([v]), printed=True, mutants={"no": False}),))
"""


def check() -> Findings:
    return Findings((Test("exact", "q", lambda v: every([v]), printed=True, mutants={"no": False}),))


def claim(name: str) -> Claim:
    return Claim(name, "s", "s", "s", "holds", check)


def written(folder: Path, *entries, **more) -> Path:
    (folder / "checks.py").write_text(CHECKS)
    path = folder / "claims.yaml"
    path.write_text(yaml.safe_dump({**more, "claims": list(entries)}))
    return path


def test_a_yaml_registry(tmp_path):
    full = {
        **ENTRY,
        "id": "lemma-9.limit",
        "recorded": "amended, numerically",
        "amendment": "n ≥ 2\n",
        "intent": "That sums grow.",
        "decided_by": ["q"],
        "limit": ["q"],
        "statistics": {"r": {"at_most": 0, "comparisons": 3}},
        "provenance": "second-hand",
    }
    entries = (ENTRY, {"section": "Limits"}, full)
    first, second = registry.load(written(tmp_path, *entries, paper="paper.txt", provenance="paper"))
    assert (first.id, first.source, first.formula, first.limit) == ("lemma-9.sum", "paper.txt, Lemma 9", "", ())
    assert (first.provenance, first.section) == ("paper", "")
    assert (second.provenance, second.section) == ("second-hand", "Limits")
    assert (second.amendment, second.limit, second.decided_by) == ("n ≥ 2", ("q",), ("q",))
    assert second.statistics == {"r": Plan(at_most=0, comparisons=3)}
    assert second.registry == str(tmp_path / "claims.yaml")
    assert first.check().tests[0].quantity == "q"


def test_loading_imports_no_check(tmp_path):
    path = written(tmp_path, ENTRY, {**ENTRY, "id": "lemma-9.other", "check": "no_such_package.module:check"})
    (tmp_path / "checks.py").write_text("raise SystemExit")
    assert len(registry.load(path)) == 2


def test_checks_of_one_file_share_one_module_until_it_changes(tmp_path):
    path = written(tmp_path, ENTRY)
    (tmp_path / "checks.py").write_text("import sys\nsys.argv.append('ran')\n" + CHECKS)
    before = len(sys.argv)
    for _ in range(3):
        registry.check_imports(registry.load(path))
    ran = len(sys.argv) - before
    del sys.argv[before:]
    assert ran == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"formla": "x"}, r"claim 'lemma-9.sum': formla: must be a field of a claim .*, got 'x'"),
        ({"registry": "x"}, r"claim 'lemma-9.sum': registry: must be a field of a claim"),
        ({"statement": None}, r"claim 'lemma-9.sum': statement: must be text, got None"),
        ({"statement": " "}, r"claim 'lemma-9.sum': statement: must not be empty, got ''"),
        ({"recorded": "true"}, r"recorded: must be one of holds; .*; open, got 'true'"),
        ({"id": "Lemma 9"}, r"claim 'Lemma 9': id: must match .*, got 'Lemma 9'"),
        ({"id": "lemma"}, r"id: must match .*, got 'lemma'"),
        ({"id": 9}, r"claim 9: id: must match .*, got 9"),
        ({"limit": "yes"}, r"limit: must be a list of names, got 'yes'"),
        ({"limit": True}, r"limit: must be a list of names, got True"),
        ({"provenance": "hearsay"}, r"provenance: must be one of paper; second-hand; ours, got 'hearsay'"),
        ({"recorded": "amended"}, r"intent: must be given when recorded is amended, got None"),
        ({"recorded": "amended", **INTENT}, r"amendment: must be given exactly when recorded is amended, got None"),
        ({"amendment": "x"}, r"amendment: must be given exactly when recorded is amended, got 'x'"),
        ({"recorded": "fails"}, r"intent: must be given when recorded is fails, got None"),
        ({"recorded": "fails", **INTENT}, r"refutation: must be given exactly when recorded is fails, got None"),
        ({"intent": "x"}, r"decided_by: must be given with an intent, got None"),
        ({"decided_by": ["x"]}, r"decided_by: must be given with an intent"),
        ({"statistics": {"q": 3}}, r"statistics: must map quantities to"),
        ({"statistics": {"q": {"at_moost": 3}}}, r"statistics: .*at_moost"),
        ({"statistics": {"q": {}}}, r"statistics: .*must give one of at_most and at_least"),
        ({"check": "check"}, r"check: must be package.module:function .*, got 'check'"),
        ({"check": "a b:check"}, r"check: must be package.module:function .*, got 'a b:check'"),
        ({"check": "checks.py:f()"}, r"check: must be package.module:function .*, got 'checks.py:f\(\)'"),
        ({"check": 3}, r"check: must be package.module:function .*, got 3"),
        ({"check": "none.py:f"}, r"check: must name a file next to the registry, got 'none.py:f'"),
    ],
)
def test_a_bad_field_is_named(tmp_path, change, message):
    path = written(tmp_path, {**ENTRY, **change})
    with pytest.raises(ValueError, match=rf"^{path}: .*{message}"):
        registry.load(path)


def test_a_missing_field_is_named(tmp_path):
    for field in ENTRY:
        path = written(tmp_path, {key: value for key, value in ENTRY.items() if key != field})
        name = "claim number 1" if field == "id" else "claim 'lemma-9.sum'"
        with pytest.raises(ValueError, match=f"^{path}: {name}: {field}: must be given"):
            registry.load(path)


def test_a_file_that_is_missing_or_of_another_kind(tmp_path):
    with pytest.raises(ValueError, match=r"registry: must be a file, got '.*none.yaml'"):
        registry.load(tmp_path / "none.yaml")
    (tmp_path / "claims.toml").touch()
    with pytest.raises(ValueError, match=r"registry: must end in \.yaml, \.yml, \.py, got '.*claims.toml'"):
        registry.load(tmp_path / "claims.toml")


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("no_such_package.module:check", "must be importable, .*No module named 'no_such_package'"),
        ("checks.py:missing", "must name a function of its module, got 'checks.py:missing'"),
        ("checks.py:text", "must name a function of its module, got 'checks.py:text'"),
        ("broken.py:check", "must be importable, .*NameError: name 'nmae' is not defined, at broken.py line 2"),
        ("unreadable.py:check", "must be importable, .*SyntaxError"),
        ("exits.py:check", "must be importable, .*SystemExit: 0, at exits.py line 1"),
    ],
)
def test_a_check_that_cannot_be_imported_is_named(tmp_path, reference, message):
    (tmp_path / "broken.py").write_text("\nnmae\n")
    (tmp_path / "exits.py").write_text("raise SystemExit(0)")
    (tmp_path / "unreadable.py").write_text("def check(:")
    path = written(tmp_path, {**ENTRY, "check": reference})
    claims = registry.load(path)
    with pytest.raises(ValueError, match=f"^{path}: claim 'lemma-9.sum': check: {message}"):
        registry.check_imports(claims)


PYTHON = """
from dataclasses import dataclass
from proofs_check import Claim
from sibling import check
@dataclass
class Uses: "look-up of this module by name"
CLAIMS = [Claim(id="mine.one", source="p. 1", statement="s", setting="s", recorded="holds", check=check)]
"""


def test_a_python_registry(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "sibling.py").write_text(CHECKS)
    (tmp_path / "mine.py").write_text(PYTHON)
    (only,) = registry.load(tmp_path / "mine.py")
    assert only.check().tests
    assert only.registry == str(tmp_path / "mine.py")


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("claims.yml", "claims: [", "must be YAML .* line"),
        ("claims.yml", "", "registry: must map claims to a list, got None"),
        ("claims.yml", "claims: []", r"claims: must be a list of claims, got \[\]"),
        ("claims.yml", "claims: [3]", "claim number 1: must map fields to values, got 3"),
        ("claims.yml", "claim: []", r"must have no keys except .*, got \['claim'\]"),
        ("claims.yml", "paper: 3\nclaims: [{id: a.b}]", "paper: must be text, got 3"),
        ("claims.yml", "claims:\n- id: a.b\n  id: a.c", "line 2: must give each key once, got 'id'"),
        ("claims.yml", "claims: !!python/object:os.system {}", "must be YAML"),
        ("mine.py", "x = 1", "CLAIMS: must be a list of Claim objects, got None"),
        ("mine.py", "CLAIMS = []", r"CLAIMS: must be a list of Claim objects, got \[\]"),
        ("mine.py", "CLAIMS = [3]", r"CLAIMS: must be a list of Claim objects, got \[3\]"),
        ("mine.py", "\n1 / 0", "must run .ZeroDivisionError: division by zero, at mine.py line 2"),
        ("mine.py", "def", "must run .SyntaxError"),
        ("mine.py", "raise SystemExit(0)", "must run .SystemExit: 0, at mine.py line 1"),
        (
            "mine.py",
            PYTHON.replace("from sibling import check", "check = len").replace("holds", "fails"),
            "must run .ValueError: claim 'mine.one': intent: must be given .*, at mine.py line 7",
        ),
    ],
)
def test_a_bad_registry_is_named(tmp_path, monkeypatch, file, text, message):
    monkeypatch.setattr(sys, "path", list(sys.path))
    path = tmp_path / file
    path.write_text(text)
    with pytest.raises(ValueError, match=f"^{path}: .*{message}"):
        registry.load(path)


def test_ids_are_unique(tmp_path):
    path = written(tmp_path, ENTRY, ENTRY)
    with pytest.raises(ValueError, match=f"{path}: claim 'lemma-9.sum': id: must be unique, it is also in {path}"):
        registry.load(path)


def installed(folder: Path, monkeypatch, value: str) -> None:
    """A distribution in the folder that has one entry point."""
    info = folder / "fake-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fake\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[proofs_check.claims]\nfake = {value}\n")
    monkeypatch.syspath_prepend(str(folder))


@pytest.mark.parametrize("target", ["list", "path"])
def test_installed_packages_add_claims(tmp_path, monkeypatch, target):
    path = written(tmp_path, ENTRY)
    module = f"fake_{target}"
    code = f"from proofs_check.ledger.registry import load\npath = {str(path)!r}\nlist = list(load(path))"
    (tmp_path / f"{module}.py").write_text(code)
    installed(tmp_path, monkeypatch, f"{module}:{target}")
    assert [each.id for each in registry.discover().claims] == ["lemma-9.sum"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("no_such_package:x", "No module named 'no_such_package'"),
        ("sys:path_hooks", "must be a list of Claim"),
    ],
)
def test_a_broken_entry_point_is_named(tmp_path, monkeypatch, value, message):
    installed(tmp_path, monkeypatch, value)
    claims, (error,) = registry.discover()
    assert claims == ()
    assert error.startswith(f"entry point fake = {value}: must lead to claims")
    assert message in error


NAMES = ["lemma-1.forward", "lemma-3.content-1", "lemma-3.content-2", "theorem-1.goal"]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ([], NAMES),
        (["*"], NAMES),
        (["lemma-3.*"], NAMES[1:3]),
        (["theorem-1.goal, lemma-1.*"], [NAMES[0], NAMES[3]]),
        (["theorem-1.goal", "lemma-?.content-1", "theorem-1.goal"], [NAMES[1], NAMES[3]]),
    ],
)
def test_select(patterns, expected):
    assert [c.id for c in registry.select([claim(name) for name in NAMES], patterns)] == expected


@pytest.mark.parametrize("pattern", ["lemma-3.contents-2", "LEMMA-3.content-2", "lemma-3.content-22*"])
def test_a_pattern_that_matches_nothing_lists_close_matches(pattern):
    with pytest.raises(ValueError, match=r"only: must match a claim, got .*close matches: .*lemma-3.content-2"):
        registry.select([claim(name) for name in NAMES], [NAMES[0], pattern])


@pytest.mark.parametrize(
    ("pattern", "hint"), [("lemma-3", "lemma-3.*"), ("lemma-", "lemma-*"), ("theorem-1.g", "theorem-1.g*")]
)
def test_a_prefix_lists_the_claims_that_start_with_it_and_says_how_to_select_them(pattern, hint):
    inside = ", ".join(name for name in NAMES if name.startswith(pattern))
    message = re.escape(f"got '{pattern}' (close matches: {inside}; for all that start like this write '{hint}')")
    with pytest.raises(ValueError, match=message):
        registry.select([claim(name) for name in NAMES], [pattern])


def test_claims_check_themselves():
    with pytest.raises(ValueError, match=r"claim 'a\.b': intent: must be given when recorded is amended"):
        replace(claim("a.b"), recorded="amended")
