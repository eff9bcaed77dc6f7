"""The README's Python runs and says what it says."""

import re
from pathlib import Path

from circuits.probes.adjacency.find import verdict
from proofs_check import prose
from proofs_check.verification import own_claims

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_the_blocks_run_one_after_the_other(capsys, monkeypatch):
    titles = "Ten lines of Python", "Flows", "Standard transformers"
    code = [re.search(rf"## {title}\n.*?```python\n(.*?)```", README, re.S) for title in titles]
    finding = README[README.index("## Finding the circuit") : README.index("## The ledger")]
    code += re.finditer(r"```python\n(.*?)```", finding, re.S)
    names = {}
    for block in code:
        assert block is not None
        exec(block[1], names)
    assert names["found"]["backward_trace"].significant[..., :3].any(axis=(0, 1)).all()
    assert [verdict(names["powers"], matrix) for matrix in (0, 1)] == ["holds A^2", "none"]
    assert names["patterns"][""].shape == (1, 2, 5, 5)
    printed = capsys.readouterr().out
    assert "0.996" in printed
    assert "replay=Array(6.88678695" in printed
    assert "Rate(slope=1.0000" in printed
    assert "(3, 18, 16) (8, 18, 18)" in printed


def test_the_verdicts_are_those_of_the_registries():
    assert prose.readme(README, own_claims()) == README


def test_the_example_is_the_one_shown():
    shown = re.findall(r"CLAIMS = \[.*?\n\]", README, re.S)
    example = (Path(__file__).parents[1] / "examples" / "induction_head_claim.py").read_text()
    assert len(shown) == 1
    assert shown[0] in example


def test_named_files_exist():
    for path in re.findall(r"\]\(([a-z_0-9/.-]+)\)", README):
        assert (Path(__file__).parents[1] / path).exists(), path
