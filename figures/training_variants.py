"""What 2-MTP's success needs: the same scores with W0^(1) held at 0, without L1b, and on L1a alone."""

from pathlib import Path

from common import FIGURES, PAPER, command_line, history, median_and_range, save

from circuits.plotting import Line, LinePanel, line_panels

RUNS = {
    "2-MTP": ("reduced-mtp", 0, "exact"),
    "2-MTP, $W_0^{(1)} = 0$": ("reduced-mtp-w0-held", 5, "printed"),
    "2-MTP without L1b": ("reduced-mtp-without-replay", 2, "exact"),
    "L1a alone": ("reduced-plan", 3, "exact"),
    "NTP": ("reduced-ntp", 1, "exact"),
    "NTP, $W_0^{(1)} = 0$": ("reduced-ntp-w0-held", 4, "printed"),
}
PANELS = [
    ("first_accuracy", "Accuracy on v", "share of graphs"),
    ("path_accuracy", "Accuracy on the whole path", "share of graphs"),
    ("predecessor_last", "Predecessor: the last row's attention to u_end", "$S^{[1]}_{T,\\,T-1}$"),
    ("content_match", "Match: attention to u_end in its edge", "$S^{[2]}_{T,\\,t_{end}}$"),
]
FIRST = 100
"""The first step shown."""


def main(toy: bool = False, out: Path = FIGURES) -> None:
    runs = {name: history(folder) for name, (folder, _, _) in RUNS.items()}

    def panel(metric: str, title: str, ylabel: str) -> LinePanel:
        lines = []
        for name, run in runs.items():
            later = run.steps >= FIRST
            median, span = median_and_range(run.metrics[metric][later])
            _, colour, kind = RUNS[name]
            lines.append(Line(name, run.steps[later], median, colour, kind, span))
        return LinePanel(title, ylabel, lines, limits=(-0.03, 1.03))

    figure = line_panels(
        [panel(*words) for words in PANELS],
        "training steps",
        title="Trained reduced models: with its content weights held at 0, layer 0 finds the predecessor under NTP too",
        note="Lines: median over ten seeds; bands: their range. Dashed: W0^(1) held at 0, as the theory does.\n"
        + PAPER,
        size=(6.6, 3.6),
    )
    save(figure, out, "training_variants", dpi=140)


if __name__ == "__main__":
    command_line(main)
