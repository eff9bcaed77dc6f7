"""Accuracy on held-out graphs over training: standard transformers under NTP and 3-MTP, three seeds each."""

from pathlib import Path

import numpy as np
from common import FIGURES, command_line, median_and_range, save

from circuits.plotting import Line, LinePanel, line_panels
from circuits.training.run_folder import read_metrics
from proofs_check.ledger.data import MEASURED

SEEDS = 3
LIMITS = (-0.03, 1.03)
NOTE = (
    "8 layers of 8 heads, 0.4M parameters, 2-path 5-node stars of 12 labels, fresh graphs at every step; 1,024 test "
    "problems whose graphs are never trained on.\nLines: median of three seeds; bands: their range. Dotted: chance. "
    "Measured on a CPU."
)
Series = dict[str, tuple[np.ndarray, np.ndarray]]
OBJECTIVES = {"3-MTP": ("mtp3", 0), "NTP": ("ntp", 1)}


def main(toy: bool = False, out: Path = FIGURES) -> None:
    runs = {name: load(short) for name, (short, _) in OBJECTIVES.items()}
    last = {name: float(series["test_exact"][1][-1].mean()) for name, series in runs.items()}
    panels = [
        compared("First token of the path", "test_hard", runs, 0.5),
        compared("Whole path", "test_exact", runs, 0.5),
        heads_panel(runs["3-MTP"]["test_ahead"]),
    ]
    figure = line_panels(
        panels,
        "training steps",
        title=f"3-MTP finds the path ({last['3-MTP']:.0%}); NTP follows edges and guesses ({last['NTP']:.0%})",
        note=NOTE,
        columns=3,
        size=(5.0, 3.4),
        log_x=False,
    )
    save(figure, out, "transformer_training", dpi=130)


def load(objective: str) -> Series:
    """Return steps, and values [evaluations, seeds, ...], of each accuracy."""
    seeds = [read_metrics(MEASURED / "transformers" / "pair" / f"{objective}-{seed}") for seed in range(SEEDS)]
    steps = np.array([record["step"] for record in seeds[0]])
    fields = ("test_hard", "test_exact", "test_ahead")
    return {f: (steps, np.array([[r[f] for r in records] for records in zip(*seeds, strict=True)])) for f in fields}


def compared(title: str, field: str, runs: dict[str, Series], chance: float) -> LinePanel:
    lines = [line(name, *series[field], OBJECTIVES[name][1]) for name, series in runs.items()]
    steps, _ = runs["NTP"][field]
    reference = Line("", steps[[0, -1]], np.full(2, chance), 6, "reference")
    return LinePanel(title, "share of graphs", [*lines, reference], limits=LIMITS)


def heads_panel(ahead: tuple[np.ndarray, np.ndarray]) -> LinePanel:
    steps, values = ahead
    lines = [line(f"node {m + 1}", steps, values[:, :, m], (0, 2, 3)[m]) for m in range(values.shape[2])]
    title = "3-MTP: each prediction head, from the prompt"
    return LinePanel(title, "share of graphs", lines, limits=LIMITS)


def line(name: str, steps: np.ndarray, values: np.ndarray, colour: int) -> Line:
    median, span = median_and_range(values)
    return Line(name, steps, median, colour, span=span)


if __name__ == "__main__":
    command_line(main)
