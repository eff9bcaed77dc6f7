"""Losses and scores over training, NTP against 2-MTP: the reduced model, ten seeds."""

from pathlib import Path

import numpy as np
from common import FIGURES, PAPER, command_line, history, median_and_range, save

from circuits.plotting import Line, LinePanel, line_panels
from circuits.training.disentangled.runs import History

RUNS = {"2-MTP": ("reduced-mtp", 0), "NTP": ("reduced-ntp", 1)}
FIRST = 10
"""The first step shown: before it nothing moves."""
PANELS = [
    ("plan", "L1a: v from the prompt", "nats"),
    ("replay", "L1b: u_end after v", "nats"),
    ("goal", "L2: u_end from the prompt, layer 0's head", "nats"),
    ("first_accuracy", "Accuracy on v", "share of graphs"),
    ("path_accuracy", "Accuracy on the whole path", "share of graphs"),
    ("branch_accuracy", "v above the start's other child", "share of graphs"),
    ("predecessor_last", "Predecessor: the last row's attention to u_end", "$S^{[1]}_{T,\\,T-1}$"),
    ("content_match", "Match: attention to u_end in its edge", "$S^{[2]}_{T,\\,t_{end}}$"),
    ("self_match", "Distraction: attention to u_end in the query", "$S^{[2]}_{T,\\,T-1}$"),
]
COIN = {"plan": np.log(2), "first_accuracy": 0.5, "path_accuracy": 0.5, "branch_accuracy": 0.5}


def main(toy: bool = False, out: Path = FIGURES) -> None:
    runs = {name: history(folder) for name, (folder, _) in RUNS.items()}
    at_end = {name: float(np.median(run.metrics["path_accuracy"][-1])) for name, run in runs.items()}
    figure = line_panels(
        [panel(*words, runs) for words in PANELS],
        "training steps",
        title=f"2-MTP finds the path ({at_end['2-MTP']:.0%}); NTP learns to follow edges and guesses the first "
        f"({at_end['NTP']:.0%})",
        note="Reduced model, AdamW, fresh graphs at every step. Lines: median of ten seeds; bands: their range. "
        "Dotted: a coin toss between the start's children, ln 2 nats. NTP doesn't train on L2.\n" + PAPER,
        columns=3,
        size=(5.2, 3.0),
    )
    save(figure, out, "training", dpi=130)


def panel(metric: str, title: str, ylabel: str, runs: dict[str, History]) -> LinePanel:
    lines = []
    for name, run in runs.items():
        later = run.steps >= FIRST
        median, span = median_and_range(run.metrics[metric][later])
        lines.append(Line(name, run.steps[later], median, RUNS[name][1], span=span))
    if metric in COIN:
        lines.append(Line("", lines[0].x[[0, -1]], np.full(2, COIN[metric]), 6, "reference"))
    return LinePanel(title, ylabel, lines, limits=None if ylabel == "nats" else (-0.03, 1.03))


if __name__ == "__main__":
    command_line(main)
