"""Valid walks on a random DAG by degree and by distance: next-token prediction beside heads that look one token ahead.

Standard transformers: ``circuits train dag-ntp --first-seed 0 --out runs/ntp-0`` and its sisters, three seeds each, and
``circuits evaluate runs/ntp-0 --json proofs_check/measured_transfer/ntp-0/evaluation.json``. The one-layer model is
trained here, as the claim ``transfer.multi-hop`` does. Published: arXiv:2509.23186, models and graph not ours.
"""

from pathlib import Path

import numpy as np

from circuits.plotting_dynamics import BarPanel, Bars, Line, Panel, bar_panels, line_panels
from proofs_check import transfer_training as training
from proofs_check.transfer_multi_hop import MODELS, SEEDS, answers, measured

STANDARD = {
    "NTP": "ntp",
    "transfer": "transfer",
    "injection": "injection",
    "Meta heads": "meta",
    "NTP, 2 layers": "ntp-2-layers",
}
ONE_LAYER = {"NTP": "ntp", "transfer": "transfer", "injection": "injection"}
PUBLISHED = {
    "NTP": (92.58, 86.57, 63.80, 30.76),
    "injection": (94.09, 90.00, 69.51, 39.25),
    "injection, 6 layers": (94.56, 90.09, 72.56, 43.81),
}
COLOURS = {"NTP": 1, "transfer": 0, "injection": 2, "Meta heads": 4, "NTP, 2 layers": 5, "injection, 6 layers": 3}
DEGREES = ("0", "1", "2", "3 or more")
HOPS = range(2, 5)


def main() -> None:
    runs = measured()
    panels = [
        BarPanel("Standard transformer, by degree", "valid walks, %", _measured(runs, "by_degree", range(4))),
        BarPanel("One-layer model, by degree", "", [_one_layer(name, 1, range(4)) for name in ONE_LAYER]),
        BarPanel("Published, by degree (other sizes)", "", [_published(name) for name in PUBLISHED]),
    ]
    count = min(len(found) for found in runs.values())
    note = (
        f"Bars: mean of {count} seeds (one graph, other parameters) and of {len(SEEDS)} graphs "
        "for the one-layer model; "
        "lines: least and greatest. 100 nodes, edge probability 0.1, 10% of pairs and all edges trained on. Degree:\n"
        "edges from the source to the nearest node whose way to the target was seen in training. Pairs by degree: "
        f"{_pairs(runs, 'degree_pairs')}."
    )
    title = "Looking one token ahead, on pairs whose way was not seen: as published at degree 2, but not beyond chance"
    figure = bar_panels(panels, DEGREES, "degree", title=title, note=note, columns=3, size=(4.9, 3.8))
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=130)
    draw_hops(runs)


def draw_hops(runs: dict) -> None:
    """The same by distance, where bars from 0 would all look alike."""
    hops = [
        _lines("Standard transformer", "valid walks, %", _measured(runs, "by_hop", range(1, 4))),
        _lines("One-layer model", "", [_one_layer(name, 0, HOPS) for name in ONE_LAYER]),
    ]
    title = "By distance there is little room: one layer of next-token prediction is right on 95% of the pairs"
    figure = line_panels(hops, "edges of a shortest path", title=title, columns=2, size=(5.2, 3.8), log_x=False)
    for ax in figure.axes:
        ax.set_xticks(HOPS)
    figure.savefig(Path(__file__).with_name("walks_accuracy_by_hop.png"), dpi=130)


def _lines(title: str, label: str, bars: list[Bars]) -> Panel:
    x = np.array(HOPS, float)
    return Panel(title, label, [Line(b.name, x, b.heights, b.colour, span=b.span) for b in bars], limits=(80, 100.4))


def _measured(runs: dict, key: str, places: range) -> list[Bars]:
    found = []
    for name, kept in STANDARD.items():
        values = 100 * np.array([[run[key][place] for place in places] for run in runs[kept].values()], float)
        found.append(_bars(name, values))
    return found


def _one_layer(name: str, group: int, places: range) -> Bars:
    assert ONE_LAYER[name] in MODELS
    rows = []
    for seed in SEEDS:
        right, of = answers(seed, ONE_LAYER[name]), training.groups(seed)[group]
        rows.append([100 * right[of == place].mean() for place in places])
    return _bars(name, np.array(rows))


def _bars(name: str, values: np.ndarray) -> Bars:
    return Bars(name, values.mean(axis=0), COLOURS[name], (values.min(axis=0), values.max(axis=0)))


def _published(name: str) -> Bars:
    return Bars(name, np.array(PUBLISHED[name]), COLOURS[name])


def _pairs(runs: dict, key: str) -> str:
    return " / ".join(str(count) for count in runs["ntp"][0][key])


if __name__ == "__main__":
    main()
