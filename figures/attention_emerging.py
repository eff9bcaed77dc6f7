"""Attention in both layers on the running example while the reduced models train: an animation over the snapshots."""

from io import BytesIO
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_rgb
from measured import load
from PIL import Image

from circuits.disentangled.closed_form import forward
from circuits.disentangled.weights import Layer
from circuits.plotting.heatmaps import OUTLINE, attention_heatmaps
from circuits.training.disentangled.runs import History

TOKENS = (3, 7, 6, 0, 7, 2, 3, 6, 0, 3)
SEED = 0
RUNS = {"2-MTP": "reduced-mtp", "NTP": "reduced-ntp"}
MILLISECONDS, AT_THE_END = 900, 4000
LAST, GOAL, IN_EDGE = 9, 8, 3
"""The last row, u_end in the query, and u_end in its edge, positions counted from 0."""


def main() -> None:
    runs = {name: load(folder).history for name, folder in RUNS.items()}
    steps = [run.snapshot_steps.tolist() for run in runs.values()]
    assert steps[0] == steps[1], "both runs must have their snapshots at the same steps"
    frames = [frame(number, step, runs) for number, step in enumerate(steps[0])]
    frames = [image.quantize(palette=palette(), dither=Image.Dither.NONE) for image in frames]
    durations = [MILLISECONDS] * (len(frames) - 1) + [AT_THE_END]
    path = Path(__file__).with_suffix(".gif")
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations, loop=0, optimize=True)


def palette() -> Image.Image:
    """256 colours for all frames, so that none flickers: those of attention, greys, and tints of the outlines."""
    attention = colormaps["magma_r"](np.linspace(0, 1, 180))[:, :3]
    greys = np.append(np.linspace(0, 0.9, 50), [0.953, 1])[:, None].repeat(3, axis=1)
    tints = np.linspace(to_rgb("white"), to_rgb(OUTLINE), 24)
    found = Image.new("P", (1, 1))
    found.putpalette(np.rint(255 * np.concatenate([attention, greys, tints])).astype(int).ravel().tolist())
    return found


def frame(number: int, step: int, runs: dict[str, History]) -> Image.Image:
    panels = []
    for name, run in runs.items():
        accuracy = float(run.metrics["first_accuracy"][run.steps == step][0, SEED])
        for layer, pattern in enumerate(attention(run, number), start=1):
            panels.append((f"{name}, Layer {layer}  (accuracy on v: {accuracy:.0%})", pattern))
    reads, finds = [(LAST, GOAL, "read the goal")], [(LAST, IN_EDGE, "find its edge")]
    figure = attention_heatmaps(
        panels,
        TOKENS,
        title=f"2-MTP learns to read the goal, then to find its edge; NTP never does\ntraining step {step:,}",
        mark=[reads, finds] * 2,
    )
    memory = BytesIO()
    figure.savefig(memory, format="png", dpi=78)
    return Image.open(memory).convert("RGB")


def attention(run: History, number: int) -> list[np.ndarray]:
    at = {key: jnp.asarray(values[number, SEED]) for key, values in run.snapshots.items()}
    weights = tuple(Layer(at[f"content_{layer}"], at[f"position_{layer}"]) for layer in (1, 2))
    return [np.asarray(pattern) for pattern in forward(weights, jnp.asarray(TOKENS, jnp.int32)).attention]


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main()
