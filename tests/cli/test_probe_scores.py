"""``circuits probe scores``: its files against direct calls."""

import json
from pathlib import Path

import numpy as np
import pytest

from circuits.cli import main
from circuits.cli.checkpoint import open_checkpoint
from circuits.cli.checkpoint import test_problems as held_out
from circuits.probes.attention.planning import find_circuit
from circuits.probes.attention.scores import CircuitScores
from circuits.probes.language.heads import repeated_sequences
from circuits.probes.language.heads import measure_language_heads
from tests.cases import assert_close
from tests.cli.conftest import TASK

pytestmark = pytest.mark.usefixtures("no_saving")
COUNT = 6


def names(folder: Path, suffix: str) -> set[str]:
    return {path.stem for path in folder.glob(f"*.{suffix}")}


def plain(values) -> np.ndarray:
    """Lists of a JSON file, where None stands for what is not finite."""
    return np.asarray(values, np.float64)


def test_scores_of_a_planning_model_are_those_of_find_circuit(pairs, tmp_path, capsys):
    flags = ("--examples", str(COUNT), "--level", "0.6")
    assert main(["probe", "scores", str(pairs), "--out", str(tmp_path), *flags]) == 0
    printed = capsys.readouterr().out
    report = json.loads((tmp_path / "scores.json").read_text())
    about = {"model": "pairs", "problems": COUNT, "position": TASK.format.prompt_length - 1, "level": 0.6}
    assert {name: report[name] for name in about} == about
    opened = open_checkpoint(pairs)
    truth = find_circuit(opened.model, TASK.format, held_out(TASK, COUNT), about["position"], level=0.6)
    assert list(report["scores"]) == list(CircuitScores._fields) == list(truth)
    expected = set()
    for name, found in report["scores"].items():
        finding = truth[name]
        assert found["significant"] == finding.significant.tolist()
        for part in ("mean", "low", "high"):
            assert_close(plain(found["score"][part]), np.asarray(getattr(finding.score, part)), atol=1e-12)
        for part in ("baseline", "untrained", "shuffled", "astray"):
            if getattr(finding, part) is None:
                assert found[part] is None
            else:
                assert_close(plain(found[part]), np.asarray(getattr(finding, part)), atol=1e-12)
        nulls = [plain(found[part]) for part in ("untrained", "shuffled", "astray") if found[part] is not None]
        assert found["significant"] == np.all([null <= 0.6 for null in nulls], axis=0).tolist()
        by_hop = name in ("trace", "astray", "link")
        expected |= {f"{name}-hop-{hop}" for hop in (1, 2)} if by_hop else {name.replace("_", "-")}
    assert names(tmp_path, "png") == names(tmp_path, "pdf") == expected
    assert len(list(tmp_path.iterdir())) == 2 * len(expected) + 1
    for name in expected:
        assert f" {name.replace('-', ' ')} " in printed


@pytest.mark.usefixtures("rendered")
def test_scores_of_a_language_model(language, tmp_path, capsys):
    flags = ("--examples", str(COUNT), "--length", "6", "--level", "0.1")
    assert main(["probe", "scores", str(language), "--out", str(tmp_path), *flags]) == 0
    assert "gpt: 6 random sequences of 6 tokens, twice" in " ".join(capsys.readouterr().out.split())
    report = json.loads((tmp_path / "scores.json").read_text())
    opened = open_checkpoint(language)
    truth = measure_language_heads(opened.model, repeated_sequences(19, 6, COUNT, seed=0), confidence=0.9)
    assert report["scores"].keys() == truth.keys() == {"previous", "duplicate", "induction"}
    for kind, found in report["scores"].items():
        for part in ("score", "over_shuffled", "over_fresh"):
            if getattr(truth[kind], part) is None:
                assert (kind, found[part]) == ("previous", None)
            else:
                for end in ("mean", "low", "high"):
                    expected = np.asarray(getattr(getattr(truth[kind], part), end))
                    assert_close(plain(found[part][end]), expected, atol=1e-12)
    assert sorted(names(tmp_path, "png")) == sorted(names(tmp_path, "pdf")) == sorted(truth)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in tmp_path.glob("*.png"))
    assert all(path.read_bytes().startswith(b"%PDF-") for path in tmp_path.glob("*.pdf"))
