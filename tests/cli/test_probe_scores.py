"""``circuits probe scores``: its files against direct calls."""

import json
from pathlib import Path

import numpy as np
import pytest

from circuits.cli import main
from circuits.cli.probe_scores import backward_trace, strongest
from circuits.models import held_out_problems, load_model
from circuits.probes import (
    CircuitScores,
    Finding,
    Interval,
    find_circuit,
    measure_language_heads,
    repeated_sequences,
)
from circuits.probes.attention.scores import BY_HOP
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
    about = {"format": 2, "model": "pairs", "problems": COUNT, "position": TASK.format.prompt_length - 1, "level": 0.6}
    assert {name: report[name] for name in about} == about
    opened = load_model(pairs)
    truth = find_circuit(opened.model, held_out_problems(opened, COUNT), TASK.format, level=0.6)
    assert list(report["scores"]) == list(CircuitScores._fields) == list(truth)
    expected = set()
    for name, finding in truth.items():
        found = report["scores"][name]
        assert found["significant"] == finding.significant.tolist()
        for part in ("mean", "low", "high"):
            assert_close(plain(found["score"][part]), np.asarray(getattr(finding.score, part)), atol=1e-12)
        for part in ("baseline", "untrained", "shuffled", "distractor"):
            if getattr(finding, part) is None:
                assert found[part] is None
            else:
                assert_close(plain(found[part]), np.asarray(getattr(finding, part)), atol=1e-12)
        nulls = [plain(found[key]) for key in ("untrained", "shuffled", "distractor") if found[key] is not None]
        assert found["significant"] == np.all([null <= 0.6 for null in nulls], axis=0).tolist()
        words = name.replace("_", "-")
        expected |= {f"{words}-hop-{hop}" for hop in (0, 1)} if name in BY_HOP else {words}
    assert names(tmp_path, "png") == names(tmp_path, "pdf") == expected
    assert len(list(tmp_path.iterdir())) == 2 * len(expected) + 1
    for name in expected:
        assert f" {name.replace('-', ' ')} " in printed
        assert f"{name}.{{pdf,png}}" in printed.splitlines()[-1]
    assert backward_trace(truth["backward_trace"]) in printed.splitlines()
    assert printed.splitlines()[-1].startswith(f"wrote {tmp_path}: scores.json, ")


def test_the_strongest_heads_count_from_0():
    scores, marked = np.array([[0.1, 0.9], [0.5, 0.7]]), np.array([[True, True], [True, False]])
    assert strongest(scores, marked) == "L0H1 0.90, L1H0 0.50, L0H0 0.10"
    assert strongest(scores, count=3) == "L0H1 0.90, L1H1 0.70, L1H0 0.50"


@pytest.mark.parametrize(
    ("heads", "text"),
    [
        ({0: (5, 1), 1: (6, 6), 2: (7, 3)}, "L5H1 → L6H6 → L7H3"),
        ({0: (7, 5)}, "L7H5"),
        ({0: (5, 1), 1: (6, 6), 2: (7, 3), 3: (7, 5)}, "L5H1 → L6H6 → L7H3; L7H5 at hop 3"),
        ({0: (5, 1), 1: (6, 6), 3: (7, 5)}, "L5H1 → L6H6; L7H5 at hop 3"),
        ({0: (7, 5), 1: (6, 3)}, "L7H5 at hop 0, L6H3 at hop 1; not hop by hop through the layers"),
        ({0: (6, 5), 1: (6, 3)}, "L6H5 at hop 0, L6H3 at hop 1; not hop by hop through the layers"),
        ({1: (5, 0), 2: (6, 0)}, "L5H0 at hop 1, L6H0 at hop 2; not hop by hop through the layers"),
        ({}, "no head is above chance"),
    ],
)
def test_the_backward_trace_is_a_chain_of_the_strongest_significant_heads(heads, text):
    mean, significant = np.zeros((8, 8, 4)), np.zeros((8, 8, 4), bool)
    mean[0, 0] = 0.99  # the strongest of all is not significant
    for hop, head in heads.items():
        mean[(*head, hop)], significant[(*head, hop)] = 0.9, True
        mean[7, 7, hop], significant[7, 7, hop] = 0.8, True
    none = np.zeros_like(mean)
    assert backward_trace(Finding(Interval(mean, mean, mean), none, none, None, None, significant)) == (
        f"backward trace: {text}"
    )


@pytest.mark.usefixtures("rendered")
def test_scores_of_a_language_model(language, tmp_path, capsys):
    flags = ("--examples", str(COUNT), "--length", "6", "--level", "0.1")
    assert main(["probe", "scores", str(language), "--out", str(tmp_path), *flags]) == 0
    assert "gpt: 6 random sequences of 6 tokens, twice" in " ".join(capsys.readouterr().out.split())
    report = json.loads((tmp_path / "scores.json").read_text())
    truth = measure_language_heads(load_model(language).model, repeated_sequences(19, 6, COUNT, seed=0), confidence=0.9)
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
