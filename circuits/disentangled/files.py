"""The weights of a disentangled transformer in one file, without pickles: safetensors, named as in the paper.

``content_l`` is W0^(l) and ``position_l`` is W1^(l), layers counted from 1.
"""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from circuits import checks
from circuits.disentangled.weights import Layer, Weights


def save_weights(path: Path, weights: Weights, notes: dict[str, str] | None = None) -> None:
    """Write the blocks of every layer, in their own dtype, and notes in words."""
    arrays = {
        f"{block}_{number}": np.asarray(values)
        for number, layer in enumerate(weights, start=1)
        for block, values in (("content", layer.content), ("position", layer.position))
    }
    save_file(arrays, path, notes)


def load_weights(path: Path) -> Weights:
    """Read what ``save_weights`` wrote, bit for bit.

    Raises ValueError naming the file that is damaged, or the block that is missing or not square.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise ValueError(f"path: must be a whole safetensors file, got {str(path)!r} ({error})") from error
    depth = len(arrays) // 2
    wanted = {f"{block}_{number}" for number in range(1, depth + 1) for block in ("content", "position")}
    checks.require(bool(wanted) and arrays.keys() == wanted, "path", f"must hold {sorted(wanted)}", sorted(arrays))
    for name, values in arrays.items():
        square = values.ndim == 2 and values.shape[0] == values.shape[1]
        checks.require(square, name, "must be square", values.shape)
    return tuple(
        Layer(jnp.asarray(arrays[f"content_{number}"]), jnp.asarray(arrays[f"position_{number}"]))
        for number in range(1, depth + 1)
    )
