"""``circuits verify`` from the outside: exit codes, messages, files."""

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from circuits.cli import main
from proofs_check import registry

ROOT = Path(__file__).parents[2]
CHECKS = """
from proofs_check.evidence import Control, Findings, at_most, decided
yes, no = decided("exact", "q", True, 1), decided("exact", "q", False, 1)
unsure = at_most("exact", "q", float("nan"), 1.0, 1)
corrected = decided("exact", "q", True, 1, of="amended")
def holds(): return Findings((yes,), (Control("mutant", no), Control("other", no)))
def amended(): return Findings((no, corrected), (Control("mutant", no),), "it is 4, not 5")
def open_control(): return Findings((yes,), (Control("tie", unsure),))
def raises(): raise RuntimeError("out of luck")
def interrupts(): raise KeyboardInterrupt
"""
GREEN = {"own.holds": "holds", "own.amended-a-very-long-name-that-must-not-be-cut": "amended"}


def yaml_of(claims: dict[str, str]) -> str:
    lines = ["claims:"]
    for name, check in claims.items():
        recorded = "amended" if check == "amended" else "holds"
        lines += [f"- id: {name}", "  source: p. 1", "  statement: It is so.", "  setting: Integers."]
        lines += [f"  recorded: {recorded}", f"  check: checks.py:{check}"]
        lines += ["  amendment: It is otherwise."] if recorded == "amended" else []
    return "\n".join(lines)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder to work in, whose claims.yaml stands for the package's own."""
    (tmp_path / "checks.py").write_text(CHECKS)
    (tmp_path / "claims.yaml").write_text(yaml_of(GREEN))
    monkeypatch.setattr(registry, "OWN", tmp_path / "claims.yaml")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def more(folder: Path, **claims: str) -> str:
    path = folder / "more.yaml"
    path.write_text(yaml_of({f"more.{name}": check for name, check in claims.items()}))
    return str(path)


def test_green(capsys):
    assert main(["verify"]) == 0
    out = capsys.readouterr().out
    for name in GREEN:
        assert f"✓ {name}" in out
    assert "it is 4, not 5" in out
    assert "Correction: It is otherwise." in out
    assert "\x1b" not in out
    counts = "2 claims: 1 holds, 1 amended, 0 fail, 0 open"
    assert out.splitlines()[-1] == f"{counts} · every verdict as recorded · 3 of 3 controls rejected · 0 s"


@pytest.mark.parametrize(
    ("check", "complaint"),
    [
        ("open_control", "control 'tie' was not rejected (undecided)"),
        ("raises", "the check raised RuntimeError: out of luck"),
    ],
)
def test_red(folder, capsys, check, complaint):
    assert main(["verify", "--claims", more(folder, one=check), "--json", "out.json"]) == 1
    out = capsys.readouterr().out
    assert complaint in next(line for line in out.splitlines() if line.startswith("✗ more.one"))
    written = json.loads(Path("out.json").read_text())["claims"]
    assert [claim["agrees"] for claim in written] == [True, True, False]
    if check == "raises":
        assert "Traceback" in written[-1]["error"]
        assert "Traceback" in out


def test_a_verdict_that_is_not_the_recorded_one(folder):
    path = more(folder, one="holds")
    Path(path).write_text(Path(path).read_text().replace("recorded: holds", "recorded: open"))
    assert main(["verify", "--claims", path, "--only", "more.*"]) == 1


def test_all_files(folder, capsys):
    flags = ["--json", "a.json", "--markdown", "b.md", "--junit", "c.xml", "--html", "d.html"]
    (folder / "b.md").write_text("old")
    assert main(["verify", *flags, "--claims", more(folder, one="raises")]) == 1
    assert json.loads(Path("a.json").read_text())["schema"] == 1
    assert Path("b.md").read_text().startswith("# Claims")
    (suite,) = ElementTree.parse("c.xml").getroot()
    assert suite.get("failures") == "1"
    assert Path("d.html").read_text().startswith("<!doctype html>")
    assert "wrote d.html" in capsys.readouterr().out
    assert not list(folder.glob(".*"))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--only", "own.nothing"], "only: must match a claim, got 'own.nothing' (near it: own.holds"),
        (["--claims", "none.yaml"], "registry: must be a file, got 'none.yaml'"),
        (["--claims", "bad.yaml"], "bad.yaml: claim number 1: must map fields to values, got 3"),
        (["--claims", "unimportable.yaml"], "claim 'more.one': check: must name a function of its module"),
        (["--claims", "claims.yaml"], "claim 'own.holds': id: must be unique"),
        (["--json", "missing/a.json"], "--json: must be in a folder that exists, got 'missing/a.json'"),
        (["--markdown", "folder"], "--markdown: must be a file, not a folder, got 'folder'"),
        (["--junit", "checks.py/a.xml"], "--junit: must be in a folder that exists, got 'checks.py/a.xml'"),
        (["--html", "a", "--json", "a"], "--html: must be a file of its own, got 'a'"),
        (["--frobnicate"], "--frobnicate"),
        (["--json"], "--json"),
    ],
)
def test_bad_usage_is_refused_before_anything_runs(folder, capsys, flags, message):
    (folder / "folder").mkdir()
    (folder / "bad.yaml").write_text("claims: [3]")
    (folder / "unimportable.yaml").write_text(yaml_of({"more.one": "absent"}))
    assert main(["verify", *flags]) == 2
    out, error = capsys.readouterr()
    assert message in error
    assert "Traceback" not in error
    assert out == ""


def test_only_imports_no_other_check(folder, capsys):
    path = folder / "other.yaml"
    path.write_text(yaml_of({"other.one": "holds"}).replace("checks.py", "no_such_package"))
    assert main(["verify", "--claims", str(path), "--only", "own.holds"]) == 0
    assert "other.one" not in capsys.readouterr().out


def test_only_may_be_repeated_and_hold_commas(folder, capsys):
    path = more(folder, one="holds", two="holds", three="raises")
    assert main(["verify", "--claims", path, "--only", "more.one,own.holds", "--only", "more.t[w]o"]) == 0
    assert "3 claims" in capsys.readouterr().out


def test_list_decides_nothing(folder, capsys):
    assert main(["verify", "--list", "--claims", more(folder, one="raises")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [[n, c] for n, c in GREEN.items()] + [["more.one", "holds"]]


def test_ctrl_c_prints_what_was_decided(folder, capsys):
    path = more(folder, one="interrupts", two="holds")
    assert main(["verify", "--claims", path, "--json", "out.json"]) == 130
    out = capsys.readouterr().out
    assert "2 claims: 1 holds, 1 amended" in out
    assert "interrupted after 2 of 4 claims; no file written" in out
    assert not Path("out.json").exists()


def test_a_claim_of_ones_own(capsys):
    path = ROOT / "examples" / "induction_head_claim.py"
    assert main(["verify", "--claims", str(path), "--only", "induction-head.*"]) == 0
    assert "1 claim: 1 holds" in capsys.readouterr().out


def test_python_m_is_the_same_command():
    command = [sys.executable, "-m", "proofs_check", "--frobnicate"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 2
    assert "--frobnicate" in done.stderr
