"""Match the tensors of a pretrained model to our parameters; each is converted to our layout only when it is read."""

from collections.abc import Iterator, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from circuits import checks
from circuits.pretrained.families import Family
from circuits.pretrained.tensor_names import Part
from circuits.transformer.config import Dtype, TransformerConfig

FLOATS: dict[np.dtype, Dtype] = {
    np.dtype(np.float64): "float64",
    np.dtype(np.float32): "float32",
    np.dtype(jnp.bfloat16): "bfloat16",
    np.dtype(np.float16): "float16",
}


class Views(Mapping[str, np.ndarray]):
    """Parameters by name, as views of the tensors; those interleaved by head are copied at each access."""

    def __init__(self, stored: dict[str, tuple[np.ndarray, Part]]) -> None:
        self._stored = stored

    def __getitem__(self, name: str) -> np.ndarray:
        array, part = self._stored[name]
        return part(array)

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)

    def common_dtype(self) -> Dtype:
        """Return the dtype of all parameters; if there are several, float64 if it is one of them, else float32."""
        dtypes: set[Dtype] = {FLOATS[array.dtype] for array, _ in self._stored.values() if array.size}
        if len(dtypes) == 1:
            return dtypes.pop()
        return "float64" if "float64" in dtypes else "float32"


def match_tensors(
    family: Family, settings: Mapping[str, Any], tensors: Mapping[str, np.ndarray], positions: int | None
) -> Views:
    """Return the parameters of a model with these settings, with learned positions cut to ``positions``.

    Every tensor must be a parameter or a known buffer. If a tied model has an unembedding in its file, it must equal
    the embedding exactly. Shapes are checked before anything is allocated.

    Raises ValueError naming a tensor that is missing, unexpected, of another shape or of another dtype than floats.
    """
    prefix = family.prefix if family.prefix + family.embedding in tensors else ""
    checks.integer("layers", settings["layers"], 1, len(tensors))
    config = TransformerConfig(**settings)
    stored: dict[str, tuple[np.ndarray, Part]] = {}
    used = set()
    for ours, source in family.sources(config).items():
        name = prefix + source.name
        stored[ours] = _tensor(tensors, name, source.shape), source.part
        used.add(name)
    unembedding = next((name for name in family.unembedding if name in tensors), None)
    stored["heads.kernels"] = _kernels(config, tensors, unembedding or family.unembedding[0], prefix + family.embedding)
    extra = sorted(name for name in tensors.keys() - used - {unembedding} if not _is_buffer(family, name))
    checks.require(not extra, "tensors", f"must be those of a {config.layers}-layer model and no others", extra[:5])
    if positions is not None and "transformer.positions" in stored:
        table = stored["transformer.positions"][0]
        stored["transformer.positions"] = table, lambda stored: stored[:positions]
    return Views(stored)


def _tensor(tensors: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...]) -> np.ndarray:
    checks.require(name in tensors, name, f"must be {shape}", "absent")
    array = tensors[name]
    checks.require(array.shape == shape, name, f"must be {shape}", array.shape)
    checks.require(array.dtype in FLOATS, name, f"must be of {', '.join(FLOATS.values())}", str(array.dtype))
    return array


def _kernels(
    config: TransformerConfig, tensors: Mapping[str, np.ndarray], unembedding: str, embedding: str
) -> tuple[np.ndarray, Part]:
    """Return the kernel of the prediction head, [1, d, V]; or [0, d, V] if it is tied."""
    shape = (config.vocab, config.width)
    if not config.tied:
        return _tensor(tensors, unembedding, shape), lambda stored: stored.T[None]
    if unembedding in tensors:
        same = _same_bits(_tensor(tensors, unembedding, shape), tensors[embedding])
        checks.require(same, unembedding, f"must equal {embedding}, to which the config ties it", "other values")
    return np.zeros((0, config.width, config.vocab), tensors[embedding].dtype), np.asarray


def _same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Compare row by row, which needs no temporary array of the embedding's size."""
    same = a.dtype == b.dtype and a.shape == b.shape
    return same and all(np.array_equal(x.view(np.uint8), y.view(np.uint8)) for x, y in zip(a, b, strict=True))


def _is_buffer(family: Family, name: str) -> bool:
    return family.buffers.fullmatch(name.removeprefix(family.prefix)) is not None
