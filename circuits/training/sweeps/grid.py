"""A grid of training runs: one named job for each combination of the values of some fields."""

import json
import re
from copy import deepcopy
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from circuits import checks
from circuits.tasks.config import ProblemsConfig
from circuits.training.config import ObjectiveConfig, TrainConfig
from circuits.training.presets import PRESETS
from circuits.training.records import as_json, from_json


class Job(NamedTuple):
    """One run of a grid: its name, the values of the fields in the grid, and its config."""

    name: str
    values: dict[str, Any]
    config: TrainConfig


def read_grid(path: str | Path) -> list[Job]:
    """Return the jobs of a YAML file. Raises ValueError as ``grid_jobs`` does, and for a file that cannot be read."""
    try:
        grid = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"grid: must be a YAML file, got {str(path)!r} ({error})") from error
    return grid_jobs(grid)


def grid_jobs(grid: Any) -> list[Job]:
    """Return a job for every combination of {"preset": name, "set": {field: value}, "grid": {field: [values]}}.

    A field is named like "task.labels". Two fields have short names: ``objective``, with the values ntp, mtp2, mtp3, …
    and teacherless, and ``seed``, the first seed of a run.

    Raises ValueError naming a field that does not exist or has invalid values, and a job that occurs twice.
    """
    checks.require(isinstance(grid, dict), "grid file", "must be a mapping with preset, set and grid", grid)
    for name in grid:
        checks.choice("grid file", name, ("preset", "set", "grid"))
    checks.choice("preset", grid.get("preset"), tuple(PRESETS))
    fixed, varied = grid.get("set") or {}, grid.get("grid") or {}
    for name, part in (("set", fixed), ("grid", varied)):
        checks.require(isinstance(part, dict), name, "must be a mapping from fields", part)
    for name, values in varied.items():
        checks.require(isinstance(values, list) and values != [], str(name), "must be a list of values", values)
        checks.require(name not in fixed, name, "must be in set or in grid, not in both", fixed.get(name))
    base = PRESETS[grid["preset"]][1]
    jobs = [_job(base, fixed, dict(zip(varied, values, strict=True))) for values in product(*varied.values())]
    names = [job.name for job in jobs]
    for name, _, config in jobs:
        checks.require(names.count(name) == 1, "grid", "must give each job once", name)
        planning = isinstance(config.task, ProblemsConfig)
        checks.require(planning, "task.graph", "must be star or tree in a sweep", config.task.graph)
        one_seed = "seed" not in varied or config.seeds == 1
        checks.require(one_seed, "seeds", "must be 1 where seed is in the grid", config.seeds)
    return jobs


def job_name(values: dict[str, Any], config: TrainConfig) -> str:
    """Return a name made of the values in the grid and ten digits of a hash of the config, which make it unique.

    Fields are sorted, with the seed at the end, so their order in the grid does not matter.
    """
    ordered = sorted(values, key=lambda name: (name == "seed", name))
    words = [("" if name == "objective" else name.split(".")[-1]) + str(values[name]) for name in ordered]
    readable = re.sub(r"[^A-Za-z0-9.+-]+", "_", "-".join(words))[:80].lstrip(".-")
    text = json.dumps(as_json(config), sort_keys=True)
    return f"{readable or 'job'}-{sha256(text.encode()).hexdigest()[:10]}"


def shorthand(objective: ObjectiveConfig) -> str:
    """Return ntp, mtp2, mtp3, … or teacherless, with the kind of the prediction heads unless they are linear."""
    kind = "" if objective.head_kind == "linear" else f" {objective.head_kind}"
    return f"mtp{objective.heads}{kind}" if objective.name == "mtp" else objective.name


def _job(base: TrainConfig, fixed: dict[Any, Any], varied: dict[Any, Any]) -> Job:
    """Return the job of ``base`` with these fields changed. Raises ValueError naming a field that is wrong."""
    fields, values = deepcopy(as_json(base)), fixed | varied
    for name in sorted(values, key=lambda name: name != "objective"):  # objective.heads and others refine it
        if name == "objective":
            match = re.fullmatch(r"(ntp|teacherless)|mtp([2-9]|[1-9]\d+)", str(values[name]))
            if match is None:
                raise ValueError(f"{name}: must be ntp, teacherless, or mtp2, mtp3, ..., got {values[name]!r}")
            fields[name] |= {"name": match[1] or "mtp", "heads": int(match[2] or 1), "head_weights": []}
        else:
            record, field = _locate(fields, name, values[name])
            # YAML reads 1e-3 as text, because it lacks the point of 1.0e-3.
            number = isinstance(record[field], float) and re.fullmatch(r"[\d.+-]+[eE][+-]?\d+", str(values[name]))
            record[field] = float(values[name]) if number else values[name]
    config = from_json(TrainConfig, fields)
    used = {"objective": shorthand(config.objective)}
    for name in varied.keys() - used.keys():
        record, field = _locate(as_json(config), name, None)
        used[name] = record[field]
    used = {name: used[name] for name in varied}
    return Job(job_name(used, config), used, config)


def _locate(fields: Any, name: Any, value: Any) -> tuple[dict[str, Any], str]:
    """Return the innermost mapping that holds a field, and its key. Raises ValueError if the field does not exist."""
    rule = "must be a field of a training config, such as task.labels"
    checks.require(isinstance(name, str), "field", rule, name)
    checks.require(name != "first_seed", name, "must be called seed", value)
    *outer, last = ("first_seed" if name == "seed" else name).split(".")
    for part in outer:
        fields = fields.get(part) if isinstance(fields, dict) else None
    exists = isinstance(fields, dict) and last in fields and not isinstance(fields[last], dict)
    checks.require(exists, name, rule, value)
    return fields, last
