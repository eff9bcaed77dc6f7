"""What the figure scripts share: a command line, the measured training runs, and the paper's running example.

Every script ``figures/NAME.py`` draws from committed data. What takes long to compute is stored in NAME.npz.

    python figures/NAME.py                  rewrites the committed figure; without NAME.npz it computes the data first
    python figures/NAME.py --out DIR        writes the figure elsewhere
    python figures/NAME.py --toy            computes and draws a small case in a temporary folder
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from circuits.disentangled.weights import Layer, Weights
from circuits.files import read_arrays, write_arrays
from circuits.tasks.star.graph import StarGraph
from circuits.training.disentangled.runs import History, read
from proofs_check.ledger.data import MEASURED

FIGURES = Path(__file__).parent
STAR = StarGraph(paths=2, nodes=3, labels=10)
EXAMPLE = (3, 7, 6, 0, 7, 2, 3, 6, 0, 3)
"""A problem of ``STAR``, whose path is 3, 6, 0."""
PAPER = "Layers count from 0; symbols with indices are the paper's, which counts layers and positions from 1."


def command_line(main: Callable[[bool, Path], None], x64: bool = True) -> None:
    """Call ``main(toy, out)`` as the command line says; ``x64``: in float64."""
    parser = argparse.ArgumentParser(description=(sys.modules["__main__"].__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, help="folder to write to; by default that of the committed figures")
    parser.add_argument("--toy", action="store_true", help="small sizes, by default in a temporary folder")
    args = parser.parse_args()
    out = args.out or (Path(tempfile.mkdtemp()) if args.toy else FIGURES)
    out.mkdir(parents=True, exist_ok=True)
    jax.config.update("jax_enable_x64", x64)
    main(args.toy, out)
    print(f"wrote to {out}")


def stored(name: str, compute: Callable[[bool], dict[str, np.ndarray]], toy: bool) -> dict[str, np.ndarray]:
    """Return the arrays of NAME.npz, computing and writing them if there are none; a toy is always computed."""
    path = FIGURES / f"{name}.npz"
    if toy:
        return compute(True)
    if not path.exists():
        write_arrays(path, compute(False))
    return read_arrays(path)


def save(figure: Figure, out: Path, name: str, dpi: int) -> None:
    """Write ``out/name.png``."""
    figure.savefig(out / f"{name}.png", dpi=dpi)


def history(name: str) -> History:
    """Return the measured history of a training run of the disentangled model."""
    return read(MEASURED / "disentangled" / name).history


def weights_at(run: History, snapshot: int, seed: int) -> Weights:
    """Return the weights of a reduced model at a snapshot."""
    at = {name: jnp.asarray(values[snapshot, seed]) for name, values in run.snapshots.items()}
    return tuple(Layer(at[f"content_{layer}"], at[f"position_{layer}"]) for layer in (1, 2))


def median_and_range(values: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Return the median, and (low, high), over the last axis, the seeds."""
    return np.median(values, axis=-1), (values.min(axis=-1), values.max(axis=-1))
