"""The data in a page: patterns as 16-bit integers in base64, names, colours and scores as JSON."""

import json
from base64 import b64encode
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib import colormaps

from circuits.plotting.cells import visible_whitespace
from circuits.plotting.page.models import PageModel
from circuits.plotting.style import role_colour
from circuits.probes.attention.maps import AttentionMaps

STEPS = 2**16 - 1
"""Values are stored as integers from 0 to this, with an error of at most max / (2 STEPS)."""


def page_data(models: list[PageModel], steps: tuple[int, ...]) -> dict[str, Any]:
    """Return the data for the script."""
    first, records = models[0].frames[0], [maps for model in models for maps in model.frames]
    layers, _, length, _ = first.patterns.shape
    return {
        "layers": layers,
        "heads": [str(name) for name in first.heads],
        "tokens": [visible_whitespace(token) for token in first.tokens],
        "roles": list(first.roles),
        "positions": (np.arange(length) if first.positions is None else first.positions).tolist(),
        "query": int(first.query),
        "causal": not any(np.triu(maps.patterns, 1).any() for maps in records),
        "colours": {role: role_colour(role) for role in first.roles if role},
        "shades": _base64((colormaps["magma"](np.arange(256))[:, :3] * 255).round().astype(np.uint8)),
        "steps": [int(step) for step in steps],
        "problems": records[0].notes.get("examples"),
        "examples": min(0 if maps.examples is None else len(maps.examples) for maps in records),
        "models": [_model(model) for model in models],
    }


def precision(models: list[PageModel]) -> str:
    """Return a sentence on the rounding of the values in the page."""
    high = max(float(array.max()) for model in models for maps in model.frames for array in _arrays(maps))
    return f"Stored values are within {high / STEPS / 2:.1e} of the given ones; numbers show three decimals."


def embedded(value: dict[str, Any]) -> str:
    """Return JSON that cannot end the script element around it."""
    return json.dumps(value).replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")


def _model(model: PageModel) -> dict[str, Any]:
    scores = {
        name: [[None if np.isnan(value) else value for value in row] for row in values.tolist()]
        for name, values in model.scores.items()
    }
    return {"title": model.title, "scores": scores, "frames": [_frame(maps) for maps in model.frames]}


def _frame(maps: AttentionMaps) -> dict[str, Any]:
    optional = {"errors": maps.errors, "examples": maps.examples}
    return {"patterns": _packed(maps.patterns)} | {
        name: None if array is None else _packed(array) for name, array in optional.items()
    }


def _arrays(maps: AttentionMaps) -> list[np.ndarray]:
    return [array for array in (maps.patterns, maps.errors, maps.examples) if array is not None]


def _packed(values: Float[np.ndarray, "..."]) -> dict[str, Any]:
    """Return little-endian 16-bit integers, and the value that corresponds to 1."""
    high = float(values.max())
    unit = high / STEPS if high > 0 else 1.0
    return {"unit": unit, "values": _base64(np.rint(values.astype(np.float64) / unit).astype("<u2"))}


def _base64(array: np.ndarray) -> str:
    return b64encode(array.tobytes()).decode()
