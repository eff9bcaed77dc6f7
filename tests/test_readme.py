"""README, FINDINGS and the pages of the theory: every block runs alone, links lead somewhere, verdicts are recorded."""

import re
import shlex
from functools import wraps
from importlib.metadata import entry_points
from pathlib import Path

import jax
import pytest
from tyro import cli

from proofs_check import prose
from proofs_check.verification import own_claims

ROOT = Path(__file__).parents[1]
README, FINDINGS = ROOT / "README.md", ROOT / "FINDINGS.md"
THEORY = sorted((ROOT / "docs" / "theory").glob("*.md"))
PAGES = [README, FINDINGS, *THEORY]


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", path.read_text(), re.M | re.S)


PYTHON = {f"{path.stem}-{i}": block for path in PAGES for i, block in enumerate(blocks(path, "python"))}
PRINTED = {
    "README-0": re.findall(r"^layer .*|0\.0038|6\.8873", "".join(blocks(README, "text")), re.M),
    "model-0": ["6 0\n"],
    "gradients-0": ["True"],
    "circuit-0": ["20.0 ", "1.3333"],
    "dynamics-0": ["Rate(slope=1.0000"],
    "transfer-0": ["['holds A^2', 'none']"],
}

SLOW = ("README-0",)


@pytest.mark.parametrize("name", [pytest.param(each, marks=[pytest.mark.slow] * (each in SLOW)) for each in PYTHON])
def test_a_block_runs_alone_and_prints_what_the_page_says(name, capsys):
    jax.config.update("jax_enable_x64", False)
    try:
        exec(PYTHON[name], {"__name__": name})
    finally:
        jax.config.update("jax_enable_x64", True)
    printed = capsys.readouterr().out
    assert all(part in printed for part in PRINTED[name]), printed


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_command_lines_parse(path):
    commands = {point.name: point for point in entry_points(group="circuits.commands")}
    for line in "".join(blocks(path, "bash")).splitlines():
        program, name, *options = shlex.split(line, comments=True)
        if program == "circuits":
            command = wraps(commands[name].load())(lambda *args, **options: None)
            cli(command, args=options)
        else:
            assert program == "make", line
            assert re.search(rf"^{name}:", (ROOT / "Makefile").read_text(), re.M), line


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_links_lead_to_a_file_and_a_heading(path):
    for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        file, _, anchor = link.partition("#")
        if not file.startswith("https://") and file != "claims/index":  # generated for the site
            target = path.parent / file if file else path
            assert target.exists(), link
            assert not anchor or anchor in headings(target), link


def headings(path: Path) -> list[str]:
    """Return the anchors of the headings of a page."""
    titles = re.findall(r"^#+ (.+)$", path.read_text(), re.M)
    return [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]


def test_the_readme_is_short():
    assert len(README.read_text().splitlines()) <= 150


def test_verdicts_are_those_of_the_registries():
    for path, text in prose.texts(own_claims()).items():
        assert text == path.read_text(), f"{path.name}: run python -m proofs_check.prose"


def test_findings_has_every_claim_that_is_not_true_as_printed_and_no_other():
    assert set(prose.MENTION.findall(FINDINGS.read_text())) == {
        claim.id for claim in own_claims() if claim.recorded != "holds"
    }


def test_the_pages_of_the_theory_link_to_every_claim():
    linked = {name for path in THEORY for name in re.findall(r"\{claim\}`([^`]+)`", path.read_text())}
    assert linked == {claim.id for claim in own_claims()}
