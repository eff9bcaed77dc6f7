"""Axes and shapes of the activations that taps capture and edit."""

import re
from typing import NamedTuple

QUERIES, KEYS = ("position", "head", "head_width"), ("position", "key_head", "head_width")
SCORES, HIDDEN = ("head", "query", "key"), ("position", "hidden")
AXES = {f"attn.{name}": axes for name, axes in {"q": QUERIES, "k": KEYS, "v": KEYS, "z": QUERIES}.items()}
AXES |= {"attn.scores": SCORES, "attn.pattern": SCORES}
AXES |= {f"mlp.{name}": HIDDEN for name in ("pre", "gate", "post")}


class TapShape(NamedTuple):
    """The axes of one activation by name, and their sizes."""

    axes: tuple[str, ...]
    shape: tuple[int, ...]

    def __repr__(self) -> str:
        return f"[{', '.join(f'{axis} {size}' for axis, size in zip(self.axes, self.shape, strict=True))}]"


class TapShapes(dict[str, TapShape]):
    """Axes and shape of every activation by tap name, printed with one line for all blocks."""

    def __repr__(self) -> str:
        rows = dict.fromkeys((re.sub(r"^blocks\.\d+\.", "blocks.*.", name), entry) for name, entry in self.items())
        width = max((len(name) for name, _ in rows), default=0)
        return "\n".join(f"{name:<{width}}  {entry!r}" for name, entry in rows)


def tap_axes(name: str) -> tuple[str, ...]:
    """Return the axes of an activation by its tap name; those of a residual stream are position and width."""
    if name.endswith(".logits"):
        return ("position", "vocab")
    return AXES.get(".".join(name.split(".")[-2:]), ("position", "width"))
