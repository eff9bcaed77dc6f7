"""``circuits verify`` from the outside: exit codes, messages, files."""

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from circuits.cli import main
from proofs_check import verification, verify
from proofs_check.ledger import cache

ROOT = Path(__file__).parents[2]
CHECKS = """
from proofs_check import Findings, Test, at_most
def findings(printed, mutant=2.0, **more):
    measure = lambda gap: at_most([gap], 1.0)
    return Findings((Test("exact", "q", measure, printed=printed, mutants={"mutant": mutant}, **more),), (), "4, not 5")
def holds(): return findings(0.0)
def amended(): return findings(2.0, amended=0.0, intended=0.0)
def false(): return findings(2.0, accepted={"right": 0.0})
def open_control(): return findings(0.0, mutant=float("nan"))
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
        if recorded == "amended":
            lines += ["  amendment: It is otherwise.", "  intent: To show it.", "  decided_by: [q]"]
    return "\n".join(lines)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder to work in, whose claims.yaml replaces the package's own."""
    (tmp_path / "checks.py").write_text(CHECKS)
    (tmp_path / "claims.yaml").write_text(yaml_of(GREEN))
    monkeypatch.setattr(verification, "REGISTRIES", (tmp_path / "claims.yaml",))
    monkeypatch.setenv("CIRCUITS_CACHE", str(tmp_path / "cache"))
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
    assert "4, not 5" in out
    assert "Correction: It is otherwise." in out
    assert "Meant to establish: To show it." in out
    assert "\x1b" not in out
    counts = "2 claims: 1 holds, 1 amended, 0 fail, 0 open"
    assert (
        out.splitlines()[-1] == f"{counts} · every verdict as recorded · 2 of 2 controls passed · 0 processor-seconds"
    )


@pytest.mark.parametrize(
    ("check", "complaint"),
    [
        ("open_control", "control 'mutant' was not rejected (undecided)"),
        ("false", "verdict open (contradicted, intent not tested), recorded holds"),
        ("raises", "the check raised RuntimeError: out of luck"),
    ],
)
def test_red(folder, capsys, check, complaint):
    assert main(["verify", "--all", "--claims", more(folder, one=check), "--json", "out.json"]) == 1
    out = capsys.readouterr().out
    assert complaint in next(line for line in out.splitlines() if line.startswith("✗ more.one"))
    written = json.loads(Path("out.json").read_text())["claims"]
    assert [claim["agrees"] for claim in written] == [True, True, False]
    if check == "false":
        assert "contradicts the claim word for word, in its own setting (exact): q: 2, expected <= 1, 1 cases" in out
    if check == "raises":
        assert "Traceback" in written[-1]["error"]
        assert "Traceback" in out


def test_all_files(folder, capsys):
    flags = ["--json", "a.json", "--markdown", "b.md", "--junit", "c.xml", "--html", "d.html"]
    (folder / "b.md").write_text("old")
    assert main(["verify", *flags, "--all", "--claims", more(folder, one="raises")]) == 1
    assert json.loads(Path("a.json").read_text())["schema"] == 2
    assert Path("b.md").read_text().startswith("# Claims")
    (suite,) = ElementTree.parse("c.xml").getroot()
    assert suite.get("failures") == "1"
    assert Path("d.html").read_text().startswith("<!doctype html>")
    assert "wrote d.html" in capsys.readouterr().out
    assert not list(folder.glob(".*"))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--only", "own.nothing"], "only: must match a claim, got 'own.nothing' (close matches: own.holds"),
        (["--claims", "none.yaml"], "registry: must be a file, got 'none.yaml'"),
        (["--claims", "bad.yaml"], "bad.yaml: claim number 1: must map fields to values, got 3"),
        (["--claims", "unimportable.yaml"], "claim 'more.one': check: must name a function of its module"),
        (["--all", "--claims", "claims.yaml"], "claim 'own.holds': id: must be unique"),
        (["--json", "missing/a.json"], "--json: must be in a folder that exists, got 'missing/a.json'"),
        (["--markdown", "folder"], "--markdown: must be a file, not a folder, got 'folder'"),
        (["--junit", "checks.py/a.xml"], "--junit: must be in a folder that exists, got 'checks.py/a.xml'"),
        (["--html", "a", "--json", "a"], "--html: must be a file of its own, got 'a'"),
        (["--jobs", "0"], "jobs: must be an integer at least 1, got 0"),
        (["--time-limit", "0"], "time-limit: must be positive, got 0.0"),
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
    assert main(["verify", "--all", "--claims", str(path), "--only", "own.holds"]) == 0
    assert "other.one" not in capsys.readouterr().out


def test_only_may_be_repeated_and_hold_commas(folder, capsys):
    path = more(folder, one="holds", two="holds", three="raises")
    assert main(["verify", "--all", "--claims", path, "--only", "more.one,own.holds", "--only", "more.t[w]o"]) == 0
    assert "3 claims" in capsys.readouterr().out


def test_list_decides_nothing(folder, capsys):
    assert main(["verify", "--list", "--all", "--claims", more(folder, one="raises")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [[n, c] for n, c in GREEN.items()] + [["more.one", "holds"]]


def test_ctrl_c_prints_what_was_decided(folder, capsys):
    path = more(folder, one="interrupts", two="holds")
    assert main(["verify", "--all", "--claims", path, "--json", "out.json"]) == 130
    out = capsys.readouterr().out
    assert "2 claims: 1 holds, 1 amended" in out
    assert "interrupted after 2 of 4 claims; no file written" in out
    assert not Path("out.json").exists()


def test_results_are_reused_until_something_changes(folder, capsys, monkeypatch):
    def last(*flags: str) -> str:
        assert main(["verify", "--claims", "mine.yaml", *flags]) == 0
        return capsys.readouterr().out.splitlines()[-1]

    (folder / "mine.yaml").write_text(yaml_of({"mine.one": "holds", "mine.two": "amended"}))
    assert "reused" not in last()
    assert last().endswith("0 processor-seconds, 2 results reused")
    assert last("--only", "mine.one").endswith("1 result reused")
    assert "reused" not in last("--fresh")
    (folder / "checks.py").write_text(CHECKS + "# changed")
    assert "reused" not in last()
    monkeypatch.setattr(cache, "code_checksum", lambda: "another version")
    assert "reused" not in last()
    (cached, *_) = (folder / "cache" / "ledger").glob("mine.one-*")
    for file in (folder / "cache" / "ledger").iterdir():
        file.write_text("{")
    assert "reused" not in last()
    assert cached.exists()


@pytest.mark.slow
def test_jobs_give_the_same_results(folder, capsys):
    flags = ("--claims", more(folder, one="holds", two="amended"), "--fresh", "--json")
    assert main(["verify", *flags, "a.json"]) == main(["verify", *flags, "b.json", "--jobs", "2"]) == 0
    one, two = (
        [claim["evidence"] for claim in json.loads(Path(f).read_text())["claims"]] for f in ("a.json", "b.json")
    )
    assert one == two


def test_a_broken_entry_point_is_an_error_and_the_rest_is_decided(folder, capsys, monkeypatch):
    info = folder / "fake-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fake\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[proofs_check.claims]\nfake = no_such_package:x\n")
    monkeypatch.syspath_prepend(str(folder))
    assert main(["verify"]) == 1
    out = capsys.readouterr().out
    assert "✗ entry point fake = no_such_package:x: must lead to claims" in out
    assert "every verdict as recorded" in out


def test_the_example_of_a_claim_of_your_own(capsys):
    path = ROOT / "examples" / "induction_head_claim.py"
    assert main(["verify", "--claims", str(path)]) == 0
    assert "1 claim: 1 holds" in capsys.readouterr().out


def test_help_imports_no_heavy_module():
    code = "import sys; from circuits.cli import main; main(['verify', '--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert "--time-limit" in done.stdout
    assert not {"jax", "scipy", "sympy", "flint"} & set(done.stdout.splitlines()[-1].split())


def test_verify_in_python(folder):
    results = verify()
    assert [result.claim.id for result in results] == list(GREEN)
    assert results.agrees
    assert not results["own.holds"].reused
    assert verify("own.h*")["own.holds"].reused
    assert not verify(["own.h*"], fresh=True)["own.holds"].reused
    path = more(folder, one="raises")
    assert len(verify(claims=[path])) == 1
    assert not verify(claims=[Path(path)], installed=True).agrees
    with pytest.raises(ValueError, match="only: must match a claim"):
        verify("own.nothing")
    with pytest.raises(ValueError, match="check: must name a function"):
        verify(claims=[more(folder, one="absent")])


def test_errors_and_checks_of_other_packages_are_not_cached(folder):
    """Another package may change without any file of ours changing: the key does not cover it."""
    (folder / "mine.yaml").write_text(yaml_of({"mine.one": "holds"}).replace("checks.py:", "another_package:"))
    (folder / "another_package.py").write_text(CHECKS)
    sys.path.append(str(folder))
    for path in ("mine.yaml", more(folder, one="raises")):
        assert not any(result.reused for _ in range(2) for result in verify(claims=[path]))
