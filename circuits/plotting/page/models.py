"""The models on a page: their records over training steps, and their scores, checked against each other."""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from circuits import checks
from circuits.probes.attention.maps import AttentionMaps, check_maps


class PageModel(NamedTuple):
    """One model: its records at the steps of the slider, or a single one."""

    title: str
    frames: tuple[AttentionMaps, ...]
    scores: dict[str, np.ndarray]
    """Arrays [L, H] by name; entries may be NaN."""


def page_models(
    models: Sequence[AttentionMaps | Sequence[AttentionMaps]],
    steps: Sequence[int] | None,
    scores: Mapping[str, object] | Sequence[Mapping[str, object]] | None,
) -> list[PageModel]:
    """Return the models of a page. Raises ValueError for what does not fit together."""
    groups = [(model,) if isinstance(model, AttentionMaps) else tuple(model) for model in models]
    _check_steps(groups, steps)
    for maps in (maps for group in groups for maps in group):
        _check_record(maps, groups[0][0])
    mappings = [scores or {}] if scores is None or isinstance(scores, Mapping) else list(scores)
    checks.require(len(mappings) <= len(groups), "scores", f"must be at most {len(groups)} mappings", len(mappings))
    mappings += [{}] * (len(groups) - len(mappings))
    shape = groups[0][0].patterns.shape[:2]
    return [
        PageModel(group[-1].title, group, {name: _score(name, values, shape) for name, values in mapping.items()})
        for group, mapping in zip(groups, mappings, strict=True)
    ]


def _check_steps(groups: list[tuple[AttentionMaps, ...]], steps: Sequence[int] | None) -> None:
    if steps is not None:
        checks.require(len(steps) > 0 and bool(np.all(np.diff(steps) > 0)), "steps", "must be increasing", list(steps))
    count = 1 if steps is None else len(steps)
    for group in groups:
        rule = f"must be {count} records, one for each of the steps" if steps else "must be one record without steps"
        checks.require(len(group) == count, "maps", rule, len(group))


def _check_record(maps: AttentionMaps, first: AttentionMaps) -> None:
    check_maps(maps)
    if maps.errors is not None:
        checks.finite("errors", maps.errors)
        low = float(maps.errors.min())
        checks.require(low >= 0, "errors", "must not be negative", low)
    if maps.positions is not None:
        checks.shape("positions", maps.positions, (len(maps.tokens),))
    for name, value in maps.notes.items():
        try:
            json.dumps(value)
        except (TypeError, ValueError):
            checks.require(False, f"notes[{name!r}]", "must be a value for JSON", value)
    checks.shape("patterns", maps.patterns, first.patterns.shape)
    for field in ("tokens", "roles", "heads", "query"):
        own, wanted = getattr(maps, field), getattr(first, field)
        checks.require(own == wanted, field, f"must be those of the first record, {wanted}", own)


def _score(name: str, values: object, shape: tuple[int, ...]) -> np.ndarray:
    array = np.asarray(values, np.float64)
    checks.shape(f"scores[{name!r}]", array, shape)
    checks.require(not np.isinf(array).any(), f"scores[{name!r}]", "must not be infinite", array.tolist())
    return array
