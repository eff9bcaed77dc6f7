"""When each part of the circuit forms: strongest attention heads over training, three seeds of 3-MTP and of NTP.

``circuits train star-2x5-mtp3 --out runs/mtp3-0 --first-seed 0 --checkpoint-every 100 --keep-every 100`` keeps the
checkpoints of a run, and ``circuits probe development runs/mtp3-0 --out DIR`` writes DIR/development.npz, which is
``development/mtp3-0.npz`` here.
"""

from pathlib import Path

from common import FIGURES, command_line, save

from circuits.files import read_arrays
from circuits.plotting import Line, LinePanel, line_panels
from circuits.probes.attention.development import circuit_strengths
from circuits.probes.attention.scores import FILE_KEYS, CircuitScores

COLOURS = {"attends to the goal": 0, "predecessor": 6, "the goal reads its edge": 4, "hop 0": 1, "hop 1": 2, "hop 2": 3}
NOTE = (
    "Attention of the strongest head of each kind, on 256 held-out graphs; 2-path 5-node stars, 8 layers of 8 heads, "
    "0.4M parameters. Hop i, from 0: the query reads the edge that leads to the node i steps before\nthe goal, minus "
    "what it reads of the other path's edge. Seed 1 walks back at the query, one hop a layer; in seed 2 the goal's own "
    "position does hop 0."
)


def main(toy: bool = False, out: Path = FIGURES) -> None:
    panels = [panel(objective, seed) for objective in ("mtp3", "ntp") for seed in range(3)]
    title = "3-MTP attends to the goal first, and then learns to trace the path backward; NTP never traces it"
    figure = line_panels(panels, "training steps", title=title, note=NOTE, columns=3, size=(4.6, 3.4), log_x=False)
    save(figure, out, "development", dpi=130)


def panel(objective: str, seed: int) -> LinePanel:
    arrays = read_arrays(FIGURES / "development" / f"{objective}-{seed}.npz")
    scores = [CircuitScores(*(arrays[key][i] for key in FILE_KEYS.values())) for i in range(len(arrays["steps"]))]
    strengths = circuit_strengths(scores)
    lines = [Line(name, arrays["steps"], strengths[name], colour) for name, colour in COLOURS.items()]
    name = {"mtp3": "3-MTP", "ntp": "NTP"}[objective]
    return LinePanel(f"{name}, seed {seed}", "attention", lines, limits=(-0.05, 1.05))


if __name__ == "__main__":
    command_line(main)
