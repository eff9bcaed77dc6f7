"""The table of trained models in FINDINGS.md is that of the runs, and that of the site has the same numbers."""

import re
from pathlib import Path

import pytest

from circuits.training.disentangled.runs import read
from proofs_check.ledger.data import MEASURED as ALL_MEASURED

ROOT = Path(__file__).parents[1]
FINDINGS = (ROOT / "FINDINGS.md").read_text()
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


def test_the_page_of_trained_models_has_the_same_numbers():
    row = r"^\|(?: \d \|)? (?:reduced|full).* \d\.\d{3} \| \d\.\d{3} \|$"
    page = (ROOT / "docs" / "theory" / "trained.md").read_text()
    here, there = (
        [re.findall(r"\d\.\d{3}|\d+%", each) for each in re.findall(row, text, re.M)] for text in (FINDINGS, page)
    )
    assert len(here) == len(RUNS)
    assert here == there
