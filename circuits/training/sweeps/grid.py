"""A grid of training runs: the combinations of some fields' values, each a job with a name of its own."""

import json
import re
from collections.abc import Mapping
from copy import deepcopy
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from circuits import checks
from circuits.training import run_folder
from circuits.training.config import ObjectiveConfig, TrainConfig
from circuits.training.presets import PRESETS


class Job(NamedTuple):
    """A run of a grid: a readable name, the values of the grid that make it, and the whole config."""

    name: str
    values: dict[str, Any]
    config: TrainConfig


def read_grid(path: Path) -> list[Job]:
    """The jobs of a YAML file. Raises ValueError for one that can't be read, and as ``jobs_of``."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"grid: must be a YAML file, got {str(path)!r} ({error})") from error
    return jobs_of(found)


def jobs_of(grid: Any) -> list[Job]:
    """A job for every combination: {"preset": name, "set": {field: value}, "grid": {field: [values]}}.

    A field is named like "task.labels". Two have names of their own: ``objective``, which is ntp, mtp2, mtp3, ... or
    teacherless, and ``seed``, the first seed of a run.

    Raises ValueError naming the field that does not exist, has no values, or a wrong one, and a job given twice.
    """
    checks.require(isinstance(grid, dict), "grid file", "must be a mapping with preset, set and grid", grid)
    for name in grid:
        checks.choice("grid file", name, ("preset", "set", "grid"))
    checks.choice("preset", grid.get("preset"), tuple(PRESETS))
    fixed, varied = grid.get("set") or {}, grid.get("grid") or {}
    for name, part in (("set", fixed), ("grid", varied)):
        checks.require(isinstance(part, dict), name, "must be a mapping from fields", part)
    for name, values in varied.items():
        listed = isinstance(values, list) and len(values) > 0
        checks.require(listed, str(name), "must be a list of at least one value", values)
        checks.require(name not in fixed, name, "must be in set or in grid, not in both", fixed.get(name))
    base = PRESETS[grid["preset"]][1]
    jobs = [_job(base, fixed, dict(zip(varied, chosen, strict=True))) for chosen in product(*varied.values())]
    names = [job.name for job in jobs]
    for job in jobs:
        checks.require(names.count(job.name) == 1, "grid", "must give each job once", job.name)
        kind = job.config.task.graph
        checks.require(not job.config.task.is_walks, "task.graph", "must be star or tree in a sweep", kind)
        alone = "seed" not in varied or job.config.seeds == 1
        checks.require(alone, "seeds", "must be 1 where seed is in the grid", job.config.seeds)
    return jobs


def slug(values: Mapping[str, Any], config: TrainConfig) -> str:
    """A name to read, of the values in the grid, and ten digits of a hash of the whole config, which tell jobs apart.

    The order of the fields makes no difference: they are sorted, with the seed at the end.
    """
    ordered = sorted(values, key=lambda name: (name == "seed", name))
    words = [("" if name == "objective" else name.split(".")[-1]) + str(values[name]) for name in ordered]
    readable = re.sub(r"[^A-Za-z0-9.+-]+", "_", "-".join(words))[:80].lstrip(".-")
    whole = json.dumps(run_folder.as_json(config), sort_keys=True)
    return f"{readable or 'job'}-{sha256(whole.encode()).hexdigest()[:10]}"


def shorthand(objective: ObjectiveConfig) -> str:
    """ntp, mtp2, mtp3, ... or teacherless; with the kind of the heads where they are not linear."""
    kind = "" if objective.head_kind == "linear" else f" {objective.head_kind}"
    return f"mtp{objective.heads}{kind}" if objective.name == "mtp" else objective.name


def _job(base: TrainConfig, fixed: Mapping[Any, Any], chosen: dict[Any, Any]) -> Job:
    """The base with these fields. Raises ValueError naming the one that is wrong."""
    plain = deepcopy(run_folder.as_json(base))
    given = {**fixed, **chosen}
    for name in sorted(given, key=lambda name: name != "objective"):  # which objective.heads and the like refine
        _put(plain, name, given[name])
    config = run_folder.rebuilt(TrainConfig, plain)
    values = {name: _get(config, name) for name in chosen}
    return Job(slug(values, config), values, config)


def _put(plain: dict[str, Any], name: Any, value: Any) -> None:
    """Set a field of nested plain values."""
    checks.require(isinstance(name, str), "field", "must be a text such as task.labels", name)
    checks.require(name != "first_seed", name, "must be called seed", value)
    if name == "objective":
        found = re.fullmatch(r"(ntp|teacherless)|mtp([2-9]|[1-9]\d+)", str(value))
        checks.require(found is not None, name, "must be ntp, teacherless, or mtp2, mtp3, ...", value)
        assert found is not None
        plain[name] |= {"name": found[1] or "mtp", "heads": int(found[2] or 1), "head_weights": []}
        return
    if name == "seed":
        checks.integer(name, value, min_value=0)
    *outer, last = ("first_seed" if name == "seed" else name).split(".")
    inner: Any = plain
    for part in outer:
        inner = inner.get(part) if isinstance(inner, dict) else None
    here = isinstance(inner, dict) and last in inner and not isinstance(inner[last], dict)
    checks.require(here, name, "must be a field of a training config, such as task.labels", value)
    # YAML reads 1e-3 as a text, for it lacks the point of 1.0e-3.
    number = isinstance(inner[last], float) and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", str(value))
    inner[last] = float(value) if number else value


def _get(config: TrainConfig, name: str) -> Any:
    """What a field of the grid came to be, as a plain value."""
    if name == "objective":
        return shorthand(config.objective)
    found: Any = config
    for part in ("first_seed" if name == "seed" else name).split("."):
        found = getattr(found, part)
    return run_folder.as_json(found, name)
