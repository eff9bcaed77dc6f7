"""FINDINGS.md speaks of every claim that is amended or fails, with its verdict, and its table is that of the runs."""

import re
from pathlib import Path

import pytest

from circuits.training.disentangled.runs import read
from proofs_check import prose
from proofs_check.ledger.data import MEASURED as ALL_MEASURED
from proofs_check.verification import own_claims

FINDINGS = (Path(__file__).parents[1] / "FINDINGS.md").read_text()
RUNS = {
    ("reduced", "2-MTP (Eq. 3)"): "reduced-mtp",
    ("reduced", "NTP"): "reduced-ntp",
    ("reduced", "2-MTP without L1b"): "reduced-mtp-without-replay",
    ("reduced", "L1a alone"): "reduced-plan",
    ("reduced, W0^(1) = 0", "2-MTP"): "reduced-mtp-w0-held",
    ("reduced, W0^(1) = 0", "NTP"): "reduced-ntp-w0-held",
    ("full", "2-MTP"): "full-mtp",
    ("full", "NTP"): "full-ntp",
}
MEASURED = ALL_MEASURED / "disentangled"
TABLE = [row.split("|") for row in re.findall(r"^\|((?:reduced| reduced| full).*)\|$", FINDINGS, re.M)]


def headed() -> set[str]:
    """The ids in headings."""
    return {name for heading in prose.HEADING.findall(FINDINGS) for name in re.findall(r"`([^`]+)`", heading)}


def test_every_claim_that_is_not_true_as_printed_has_its_finding_and_no_other():
    assert headed() == {claim.id for claim in own_claims() if claim.recorded.startswith(("amended", "fails"))}


def test_headings_have_the_verdicts_of_the_registries():
    assert prose.findings(FINDINGS, own_claims()) == FINDINGS


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row[0].strip()} {row[1].strip()}")
def test_the_table_of_trained_models(row):
    model, loss, steps, first, paths, predecessor, match = (cell.strip() for cell in row)
    run = read(MEASURED / RUNS[model, loss])
    last = {name: values[-1] for name, values in run.history.metrics.items()}
    assert int(steps.replace(",", "")) == run.config.steps == run.history.steps[-1]
    assert run.config.seeds == 10
    if first.endswith("%"):
        assert float(first[:-1]) == pytest.approx(100 * last["first_accuracy"].mean(), abs=0.5)
    assert float(paths[:-1]) == pytest.approx(100 * last["path_accuracy"].mean(), abs=0.5)
    assert float(predecessor) == pytest.approx(last["predecessor_last"].mean(), abs=6e-4)
    assert float(match) == pytest.approx(last["content_match"].mean(), abs=6e-4)


def test_the_table_holds_every_run():
    assert (
        len(TABLE) == len(RUNS) == len([folder for folder in MEASURED.iterdir() if not folder.name.endswith("-long")])
    )
