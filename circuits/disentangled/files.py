"""Save and load the weights of a disentangled transformer as a safetensors file.

The names quote the paper, where layers count from 1: ``content_l`` is W0^(l) and ``position_l`` is W1^(l).
"""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from circuits import checks
from circuits.disentangled.weights import Layer, Weights


def save_weights(path: str | Path, weights: Weights, notes: dict[str, str] | None = None) -> None:
    """Write the blocks of every layer to a safetensors file, in their own dtype.

    Args:
        path: the file.
        weights: one ``Layer`` for each layer.
        notes: metadata of the file.

    Example:
        >>> import tempfile
        >>> from circuits.disentangled.circuit import circuit
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_weights(f"{folder}/circuit.safetensors", circuit(5.0, labels=10, length=10))
        ...     first, second = load_weights(f"{folder}/circuit.safetensors")
        >>> float(second.content[3, 3])
        5.0
    """
    arrays = {
        f"{block}_{number}": np.asarray(values)
        for number, layer in enumerate(weights, start=1)
        for block, values in layer._asdict().items()
    }
    save_file(arrays, path, notes)


def load_weights(path: str | Path) -> Weights:
    """Return the weights of a file that ``save_weights`` wrote, bit for bit.

    Args:
        path: the file.

    Raises:
        ValueError: naming the damaged file, or the block that is missing or not square.

    Example:
        >>> from circuits import models
        >>> len(load_weights(models.checkpoint_path("disentangled-mtp")))  # layers
        2
    """
    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise ValueError(f"path: must be a whole safetensors file, got {str(path)!r} ({error})") from error
    numbers = range(1, len(arrays) // 2 + 1)
    expected = {f"{block}_{number}" for number in numbers for block in Layer._fields}
    checks.require(
        bool(expected) and arrays.keys() == expected, "path", f"must hold {sorted(expected)}", sorted(arrays)
    )
    for name, values in arrays.items():
        square = values.ndim == 2 and values.shape[0] == values.shape[1]
        checks.require(square, name, "must be square", values.shape)
    return tuple(Layer(*(jnp.asarray(arrays[f"{block}_{number}"]) for block in Layer._fields)) for number in numbers)
