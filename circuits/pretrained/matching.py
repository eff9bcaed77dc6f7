"""Tensors of somebody else's files under our names, each turned into ours when it is asked for and not before."""

from collections.abc import Iterator, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from circuits import checks
from circuits.pretrained.families import Family
from circuits.pretrained.tensor_names import Part, Source
from circuits.transformer.config import Dtype, TransformerConfig

FLOATS: dict[np.dtype, Dtype] = {
    np.dtype(np.float64): "float64",
    np.dtype(np.float32): "float32",
    np.dtype(jnp.bfloat16): "bfloat16",
    np.dtype(np.float16): "float16",
}


class Views(Mapping[str, np.ndarray]):
    """Parameters by name. What is stored side by side in a head is copied whenever it is asked for."""

    def __init__(self, stored: dict[str, tuple[np.ndarray, Part]]) -> None:
        self._stored = stored

    def __getitem__(self, name: str) -> np.ndarray:
        array, part = self._stored[name]
        return part(array)

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)

    def widest(self) -> Dtype:
        """The one dtype of all parameters, or float32 of several, or float64 if that is one of them."""
        kinds: set[Dtype] = {FLOATS[array.dtype] for array, _ in self._stored.values() if array.size}
        if len(kinds) == 1:
            return kinds.pop()
        return "float64" if "float64" in kinds else "float32"


def matched(
    family: Family, settings: Mapping[str, Any], tensors: Mapping[str, np.ndarray], positions: int | None
) -> Views:
    """The parameters of a model with these settings, learned positions cut to ``positions``.

    Every tensor must be a parameter or a known buffer. With a tied unembedding, one in the file has to be the
    embedding bit for bit. Sizes are compared with those of the tensors before anything of them is made.

    Raises ValueError naming a tensor that is missing, left over, of another shape or not of floats.
    """
    prefix = family.prefix if family.prefix + family.embedding in tensors else ""
    checks.integer("layers", settings["layers"], 1, len(tensors))
    config = TransformerConfig(**settings)
    found: dict[str, tuple[np.ndarray, Part]] = {}
    used = set()
    for ours, source in family.sources(config).items():
        name = prefix + source.name
        found[ours] = _tensor(tensors, name, source), source.ours
        used.add(name)
    own = next((name for name in family.unembedding if name in tensors), None)
    found["heads.kernels"] = _heads(config, tensors, own or family.unembedding[0], prefix + family.embedding)
    left = sorted(name for name in tensors.keys() - used - {own} if not _is_buffer(family, name))
    checks.require(not left, "tensors", f"must be those of a {config.layers}-layer model and no others", left[:5])
    if positions is not None and "transformer.positions" in found:
        table = found["transformer.positions"][0]
        found["transformer.positions"] = table, lambda stored: stored[:positions]
    return Views(found)


def _tensor(tensors: Mapping[str, np.ndarray], name: str, source: Source) -> np.ndarray:
    checks.require(name in tensors, name, f"must be {source.shape}", "absent")
    array = tensors[name]
    checks.require(array.shape == source.shape, name, f"must be {source.shape}", array.shape)
    checks.require(array.dtype in FLOATS, name, f"must be of {', '.join(FLOATS.values())}", str(array.dtype))
    return array


def _heads(config: TransformerConfig, tensors: Mapping[str, np.ndarray], own: str, embedding: str):
    """Kernels of the one prediction head, [1, d, V]; none of its own, [0, d, V], where it is tied."""
    shape = (config.vocab, config.width)
    if not config.tied:
        return _tensor(tensors, own, Source(own, shape, np.asarray)), lambda stored: stored.T[None]
    if own in tensors:
        head = _tensor(tensors, own, Source(own, shape, np.asarray))
        rule = f"must equal {embedding}, to which the config ties it"
        checks.require(_same_bits(head, tensors[embedding]), own, rule, "other values")
    return np.zeros((0, config.width, config.vocab), tensors[embedding].dtype), np.asarray


def _same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Row by row, so that no array of their size is made."""
    same = a.dtype == b.dtype and a.shape == b.shape
    return same and all(np.array_equal(x.view(np.uint8), y.view(np.uint8)) for x, y in zip(a, b, strict=True))


def _is_buffer(family: Family, name: str) -> bool:
    return family.buffers.fullmatch(name.removeprefix(family.prefix)) is not None
