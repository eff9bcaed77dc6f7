"""What ``circuits probe adjacency`` writes and prints: JSON, figures and a table."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.markup import escape
from rich.table import Table

from circuits.cli.probe_adjacency_inputs import Plan
from circuits.plotting.adjacency import NullBand, matrix_panels, power_bars, power_heatmap, powers_over_training
from circuits.probes.adjacency.find import PowerFindings, indistinguishable, missing_nulls, verdict
from circuits.probes.adjacency.references import reference_name
from circuits.probes.adjacency.scores import MatrixScores
from circuits.probes.adjacency.training import PowerStrength

SHOWN, DRAWN = 12, 4
"""Matrices of the table, and of the figure with all entries."""


def report(
    name: str,
    plan: Plan,
    names: tuple[str, ...],
    constant: tuple[str, ...],
    found: PowerFindings,
    course: Mapping[int, PowerStrength],
) -> dict[str, Any]:
    """What goes into adjacency.json; None stands for what is not defined. ``constant`` matrices have no scores."""
    about = {
        "model": name,
        "head": plan.head,
        "labels": plan.labels,
        "nodes": len(plan.graph),
        "edges": plan.graph.number_of_edges(),
        "level": found.level,
        "sources": list(plan.sources),
        "nulls": {null: part.draws for null, part in found.nulls.items()},
        "absent_powers": list(plan.absent),
        "constant": list(constant),
        "references": [
            {"name": r.name, "power": r.power, "support": r.support, "observed": r.observed} for r in found.references
        ],
        "matrices": [{"name": names[m], **_matrix(found, m)} for m in range(len(names))],
    }
    if not course:
        return about
    each = {name: values.tolist() for name, values in _lines(course).items()}
    null = [one.null for one in course.values()]
    return about | {"training": {"steps": list(course), "highest": each, "null": null}}


def figures(name: str, names: tuple[str, ...], values: np.ndarray, found: PowerFindings) -> dict[str, Figure]:
    """Cosines of all matrices, entries of the best beside what they may hold, and the best one against the nulls."""
    labels = [r.name for r in found.references]
    # A reference without a null, such as observed reachability when graphs are rewired, is beyond those it has.
    p = np.stack([null.p for null in found.nulls.values()])
    significant = np.all(np.isnan(p) | (p <= found.level), axis=0)
    order = _strongest(found)
    panels = [(f"{names[m]}\n{_best(found, m)} {_cosine(found, m):.2f}", values[m]) for m in order[:DRAWN].tolist()]
    best = [found.references[int(found.best[m])].name for m in order[:DRAWN]]
    plain = [r for r in found.references if not r.support and not r.observed]
    powers = [(r.name, r.matrix) for r in plain if r.power or any(name.endswith(r.name) for name in best)]
    top = int(order[0])
    bands = {key: NullBand(null.mean[top], null.low[top], null.high[top]) for key, null in found.nulls.items()}
    title = f"{name}, {names[top]}: {verdict(found, top)}"
    ends = found.low[top], found.high[top]
    return {
        "cosines": power_heatmap(names, labels, found.scores.cosine, significant, title=name),
        "matrices": matrix_panels(panels, powers, title=name),
        "powers": power_bars(labels, found.scores.cosine[top], ends, bands, title=title),
    }


def training_figure(name: str, course: Mapping[int, PowerStrength]) -> Figure:
    """The highest cosine with each power at each step."""
    null = np.array([one.null for one in course.values()])
    return powers_over_training(np.array(list(course)), _lines(course), null=null, title=name)


def table(name: str, names: tuple[str, ...], found: PowerFindings) -> Table:
    """The matrices that agree best with any reference; p is the largest of the nulls that this one has."""
    held = int(found.holds.sum())
    title = f"{name}: {held} of {len(names)} matrices beyond every null at level {found.level:g}"
    shown = Table(title=title)
    for column in ("matrix", "best", "cosine", "AUC", "gap", "p", "verdict"):
        shown.add_column(column, justify="left" if column in ("matrix", "best", "verdict") else "right")
    for m in _strongest(found)[:SHOWN].tolist():
        at = m, int(found.best[m])
        p = float(np.nanmax([null.p[at] for null in found.nulls.values()]))
        cosine = f"{_cosine(found, m):.2f} [{found.low[at]:.2f}, {found.high[at]:.2f}]"
        numbers = (f"{found.scores.auc[at]:.2f}", f"{found.scores.gap[at]:.2f}", f"{p:.3f}")
        shown.add_row(names[m], _best(found, m), escape(cosine), *numbers, verdict(found, m))
    return shown


def _lines(course: Mapping[int, PowerStrength]) -> dict[str, np.ndarray]:
    every = tuple(course.values())
    return {reference_name(k): np.array([one.cosine[i] for one in every]) for i, k in enumerate(every[0].powers)}


def _strongest(found: PowerFindings) -> np.ndarray:
    """Places of matrices: those that hold something first, then by cosine."""
    best = found.scores.cosine[np.arange(len(found.best)), found.best]
    return np.lexsort((-best, ~found.holds))


def _best(found: PowerFindings, matrix: int) -> str:
    return found.references[int(found.best[matrix])].name


def _cosine(found: PowerFindings, matrix: int) -> float:
    return float(found.scores.cosine[matrix, found.best[matrix]])


def _matrix(found: PowerFindings, m: int) -> dict[str, Any]:
    own = found.references[int(found.best[m])]
    margins = {
        name: {
            "margin": float(found.margin[m, i]),
            "low": float(found.margin_low[m, i]),
            "high": float(found.margin_high[m, i]),
        }
        for i, name in enumerate(found.candidates)
        if name != own.candidate
    }
    said = {"verdict": verdict(found, m), "best": own.name, "holds": bool(found.holds[m])}
    scores = {r.name: _scores(found, m, i) for i, r in enumerate(found.references)}
    told = {"not_told_from": list(indistinguishable(found, m)), "nulls_missing": list(missing_nulls(found, m))}
    return {**said, **told, "margins": margins, "scores": scores}


def _scores(found: PowerFindings, m: int, r: int) -> dict[str, Any]:
    plain = {field: _number(getattr(found.scores, field)[m, r]) for field in MatrixScores._fields}
    more = {"low": found.low, "high": found.high, "partial": found.partial}
    nulls = {name: {"p": _number(null.p[m, r]), "mean": _number(null.mean[m, r])} for name, null in found.nulls.items()}
    return plain | {name: _number(part[m, r]) for name, part in more.items()} | {"nulls": nulls}


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
