"""When each part of the circuit forms: strongest heads over training, three seeds of 3-MTP and of NTP.

``circuits train star-2x5-mtp3 --out runs/mtp3-0 --first-seed 0 --checkpoint-every 100 --keep-every 100``, and so on,
keeps the checkpoints, and ``circuits probe development runs/mtp3-0 --out DIR`` writes DIR/development.npz, which is
``development/mtp3-0.npz`` here.
"""

from pathlib import Path

from circuits.files import read_arrays
from circuits.plotting.lines import line_panels
from circuits.plotting.lines import LinePanel
from circuits.plotting.lines import Line
from circuits.probes.attention.development import circuit_strengths
from circuits.probes.attention.scores import FILE_KEYS, CircuitScores

FOLDER = Path(__file__).with_suffix("")
SHOWN = {"attends to the goal": 0, "predecessor": 6, "the goal reads its edge": 4, "hop 0": 1, "hop 1": 2, "hop 2": 3}
"""Colours."""
NOTE = (
    "Attention of the strongest head of each kind, on 256 held-out graphs; 2-path 5-node stars, 8 layers of 8 heads, "
    "0.4M parameters. Hop i: the query reads the edge i steps back from the goal,\nminus what it reads of the other "
    "path's edge. Seed 1 walks back at the query, one hop a layer; in seed 2 the goal's own position does hop 1."
)


def main() -> None:
    panels = [panel(objective, seed) for objective in ("mtp3", "ntp") for seed in range(3)]
    title = "3-MTP attends to the goal first, and then learns to trace the path backward; NTP never traces it"
    figure = line_panels(panels, "training steps", title=title, note=NOTE, columns=3, size=(4.6, 3.4), log_x=False)
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=130)


def panel(objective: str, seed: int) -> LinePanel:
    arrays = read_arrays(FOLDER / f"{objective}-{seed}.npz")
    scores = [CircuitScores(*(arrays[key][i] for key in FILE_KEYS.values())) for i in range(len(arrays["steps"]))]
    found = circuit_strengths(scores)
    lines = [Line(name, arrays["steps"], found[name], colour) for name, colour in SHOWN.items()]
    name = {"mtp3": "3-MTP", "ntp": "NTP"}[objective]
    return LinePanel(f"{name}, seed {seed}", "mass of attention", lines, limits=(-0.05, 1.05))


if __name__ == "__main__":
    main()
