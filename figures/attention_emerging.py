"""Attention in both layers on the running example while the reduced models train: an animation over the snapshots."""

from io import BytesIO
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from common import EXAMPLE, FIGURES, command_line, history, weights_at
from matplotlib import colormaps
from matplotlib.colors import to_rgb
from PIL import Image

from circuits.disentangled.closed_form import forward
from circuits.plotting import attention_heatmaps
from circuits.plotting.heatmaps import OUTLINE
from circuits.training.disentangled.runs import History

SEED = 0
RUNS = {"2-MTP": "reduced-mtp", "NTP": "reduced-ntp"}
MILLISECONDS, AT_THE_END = 900, 4000
LAST, GOAL, IN_EDGE = 9, 8, 3
"""Positions: the last row, u_end in the query, and u_end in its edge."""


def main(toy: bool = False, out: Path = FIGURES) -> None:
    runs = {name: history(folder) for name, folder in RUNS.items()}
    steps = [run.snapshot_steps.tolist() for run in runs.values()]
    assert steps[0] == steps[1], "both runs must have their snapshots at the same steps"
    frames = [frame(number, step, runs) for number, step in enumerate(steps[0][: 2 if toy else None])]
    frames = [image.quantize(palette=palette(), dither=Image.Dither.NONE) for image in frames]
    durations = [MILLISECONDS] * (len(frames) - 1) + [AT_THE_END]
    path = out / "attention_emerging.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations, loop=0, optimize=True)


def palette() -> Image.Image:
    """Return 256 colours for all frames, so that none flickers: those of attention, greys, and tints of outlines."""
    attention = colormaps["magma_r"](np.linspace(0, 1, 180))[:, :3]
    greys = np.append(np.linspace(0, 0.9, 50), [0.953, 1])[:, None].repeat(3, axis=1)
    tints = np.linspace(to_rgb("white"), to_rgb(OUTLINE), 24)
    image = Image.new("P", (1, 1))
    image.putpalette(np.rint(255 * np.concatenate([attention, greys, tints])).astype(int).ravel().tolist())
    return image


def frame(number: int, step: int, runs: dict[str, History]) -> Image.Image:
    panels = []
    for name, run in runs.items():
        accuracy = float(run.metrics["first_accuracy"][run.steps == step][0, SEED])
        patterns = forward(weights_at(run, number, SEED), jnp.asarray(EXAMPLE, jnp.int32)).attention
        for layer, pattern in enumerate(patterns):
            panels.append((f"{name}, layer {layer}  (accuracy on v: {accuracy:.0%})", np.asarray(pattern)))
    reads, finds = [(LAST, GOAL, "read the goal")], [(LAST, IN_EDGE, "find its edge")]
    figure = attention_heatmaps(
        panels,
        EXAMPLE,
        title=f"2-MTP learns to read the goal, then to find its edge; NTP never does\ntraining step {step:,}",
        marks=[reads, finds] * 2,
    )
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=78)
    return Image.open(buffer).convert("RGB")


if __name__ == "__main__":
    command_line(main)
