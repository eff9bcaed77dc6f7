"""The README's Python runs and says what it says."""

import re
from pathlib import Path

from circuits.probes.adjacency.find import verdict
from proofs_check import prose
from proofs_check.verification import own_claims

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.S)


def test_the_blocks_run_one_after_the_other(capsys):
    names = {}
    for block in BLOCKS:
        if "CLAIMS" not in block:
            exec(block, names)
    assert names["trace"].significant[..., :3].any(axis=(0, 1)).all()
    assert [verdict(names["powers"], matrix) for matrix in (0, 1)] == ["holds A^2", "none"]
    assert names["patterns"][""].shape == (1, 2, 5, 5)
    printed = capsys.readouterr().out
    assert "0.996" in printed
    assert "replay=Array(6.88678695" in printed
    assert "Rate(slope=1.0000" in printed
    assert "(3, 18, 16) (8, 18, 18)" in printed


def test_the_verdicts_are_those_of_the_registries():
    assert prose.readme(README, own_claims()) == README


def test_the_claim_is_that_of_the_example():
    (claim,) = [block for block in BLOCKS if "CLAIMS" in block]
    assert (ROOT / "examples" / "induction_head_claim.py").read_text().endswith(claim)


def test_named_files_exist():
    for path in re.findall(r"\]\(([A-Za-z_0-9/.-]+)", README):
        assert (ROOT / path).exists(), path
