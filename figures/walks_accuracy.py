"""Valid walks on a random DAG, with next-token prediction and with heads that look one token ahead: shares and gains.

Standard transformers: ``circuits train dag-ntp --first-seed 0 --out runs/ntp-0`` and the like, three seeds each, and
``circuits evaluate runs/ntp-0 --json proofs_check/measured/walks/ntp-0/evaluation.json``. The gains are the
evidence of the claim ``transfer.multi-hop``; by degree, the one-layer model is trained again on the same graphs.
The published numbers are from arXiv:2509.23186, for other models and another graph.
"""

from pathlib import Path

import numpy as np
from common import FIGURES, command_line, save, stored
from jaxtyping import Float

from circuits.plotting import BarPanel, Bars, bar_panels
from circuits.tasks.walks.pairs import degrees, observe
from proofs_check.transfer import training
from proofs_check.transfer.measure import ANSWER_STEPS, KINDS, SEEDS
from proofs_check.transfer.multi_hop import BY_HOPS, LEVEL, MODELS, NTP, UNSEEN, Model, evaluations, gains

NAMES = {"ntp": "NTP", "transfer": "transfer", "injection": "injection", "meta": "Meta heads"}
NAMES["ntp-2-layers"] = "NTP, 2 layers"
PUBLISHED = {
    "NTP": (92.58, 86.57, 63.80, 30.76),
    "injection": (94.09, 90.00, 69.51, 39.25),
    "injection, 6 layers": (94.56, 90.09, 72.56, 43.81),
}
COLOURS = {"NTP": 1, "transfer": 0, "injection": 2, "Meta heads": 4, "NTP, 2 layers": 5, "injection, 6 layers": 3}
DEGREES = ("0", "1", "2", "3 or more")


def main(toy: bool = False, out: Path = FIGURES) -> None:
    draw_degrees(out, stored("walks_accuracy", compute, toy))
    draw_gains(out)


def draw_degrees(out: Path, one_layer: dict[str, np.ndarray]) -> None:
    standard = {name: np.array([run["by_degree"] for run in evaluations(kind)]) for kind, name in NAMES.items()}
    pairs = " / ".join(str(count) for count in evaluations(NTP)[0]["degree_pairs"])
    note = (
        f"Bars: mean of 3 seeds on one graph, and of {len(one_layer[NTP])} graphs for the one-layer model; lines: "
        "smallest and largest. 100 nodes, edge probability 0.1, 10% of pairs and all edges trained on.\n"
        "Degree: edges from the source to the nearest node from which training data have a path to the target. "
        f"Chance: 95% intervals of gains over next-token prediction.\nTest pairs of the standard transformers: {pairs}."
    )
    panels = [
        BarPanel("Standard transformer", "valid walks, %", [bars(name, each) for name, each in standard.items()]),
        BarPanel("One-layer model", "", [bars(NAMES[kind], shares) for kind, shares in one_layer.items()]),
        BarPanel("Published (other sizes)", "", [Bars(n, each, COLOURS[n]) for n, each in PUBLISHED.items()]),
    ]
    title = "Looking one token ahead: gains at degree 2, none of them beyond chance"
    figure = bar_panels(panels, DEGREES, "degree", title=title, note=note, columns=3, size=(4.9, 3.8))
    for ax in figure.axes:
        ax.set_ylim(0, 105)
    save(figure, out, "walks_accuracy", dpi=130)


def compute(toy: bool) -> dict[str, np.ndarray]:
    """Return shares of right answers of each kind of one-layer model, [graphs, degrees]."""
    shares: dict[str, list[list[float]]] = {kind: [] for kind in KINDS}
    for seed in SEEDS[:1] if toy else SEEDS:
        data = training.walks(seed)
        degree = degrees(data.graph, observe(data.format, data.lines), data.pairs.test)
        for kind, (ahead, options) in KINDS.items():
            right = training.answered(seed, training.trained(seed, ahead, options, 2 if toy else ANSWER_STEPS))
            shares[kind].append([right[degree == each].mean() for each in range(len(DEGREES))])
    return {kind: np.array(values) for kind, values in shares.items()}


def bars(name: str, shares: Float[np.ndarray, "runs degrees"]) -> Bars:
    percent = 100 * shares
    return Bars(name, percent.mean(axis=0), COLOURS[name], (percent.min(axis=0), percent.max(axis=0)))


def draw_gains(out: Path) -> None:
    groups = (*BY_HOPS, UNSEEN)
    alone = [" / ".join(f"{100 * x:.0f}" for x in model(NTP, groups).right.mean(axis=0)) for model in MODELS.values()]
    note = (
        f"Lines: {LEVEL:.2%} intervals. Dotted: one point, from which a gain counts. Not observed: pairs whose target "
        "no\ntraining line showed to be reached from the source. Next-token prediction alone, in percent:\n"
        f"{'; '.join(f'{name} {shares}' for name, shares in zip(MODELS, alone, strict=True))}."
    )
    panels = [
        BarPanel(name.capitalize(), "gain, points", [gain(model, kind) for kind in ("transfer", "injection")])
        for name, model in MODELS.items()
    ]
    title = "Gains over next-token prediction: every interval holds both 0 and 1 point, so the claim is open"
    figure = bar_panels(panels, (*BY_HOPS, "not observed"), "", title=title, note=note, size=(5.2, 3.8))
    for ax in figure.axes:
        ax.set_ylim(-18, 18)
        ax.axhline(1, color="black", linewidth=1, linestyle=":")
    save(figure, out, "walks_accuracy_by_hop", dpi=130)


def gain(model: Model, kind: str) -> Bars:
    interval = gains(model, ((kind, NTP),), (*BY_HOPS, UNSEEN))
    low, high = 100 * np.array(interval.low), 100 * np.array(interval.high)
    return Bars(NAMES[kind], (low + high) / 2, COLOURS[NAMES[kind]], (low, high))


if __name__ == "__main__":
    command_line(main, x64=False)
