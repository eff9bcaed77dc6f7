"""The output of ``circuits probe adjacency``: JSON, figures and a table."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.markup import escape
from rich.table import Table

from circuits.cli.probe_adjacency_inputs import Plan
from circuits.plotting import NullBand, matrix_panels, power_bars, power_heatmap, powers_over_training
from circuits.probes import PowerFindings, verdict
from circuits.probes.adjacency.find import indistinguishable, missing_nulls
from circuits.probes.adjacency.references import reference_name
from circuits.probes.adjacency.scores import MatrixScores
from circuits.probes.adjacency.training import PowerStrength

FORMAT = 2
"""Format of adjacency.json. Format 2 counts layers, heads and positions from 0, with names such as "L0H1"; older files,
which have no number, count from 1, with names such as "layer 1 head 2"."""
TABLE_ROWS, PANELS = 12, 4
"""The number of matrices in the table, and in the figure of matrices."""


def report(
    title: str,
    plan: Plan,
    names: tuple[str, ...],
    constant: tuple[str, ...],
    findings: PowerFindings,
    course: Mapping[int, PowerStrength],
) -> dict[str, Any]:
    """Return the content of adjacency.json, with None for undefined numbers. ``constant`` matrices have no scores."""
    content = {
        "format": FORMAT,
        "model": title,
        "head": plan.head,
        "labels": plan.labels,
        "nodes": len(plan.graph),
        "edges": plan.graph.number_of_edges(),
        "level": findings.level,
        "sources": list(plan.sources),
        "nulls": {name: null.draws for name, null in findings.nulls.items()},
        "absent_powers": list(plan.absent),
        "constant": list(constant),
        "references": [
            {"name": r.name, "power": r.power, "support": r.support, "observed": r.observed}
            for r in findings.references
        ],
        "matrices": [{"name": name, **_matrix(findings, m)} for m, name in enumerate(names)],
    }
    if course:
        highest = {name: values.tolist() for name, values in _lines(course).items()}
        null = [one.null for one in course.values()]
        content["training"] = {"steps": list(course), "highest": highest, "null": null}
    return content


def figures(title: str, names: tuple[str, ...], values: np.ndarray, findings: PowerFindings) -> dict[str, Figure]:
    """Draw the cosines of all matrices, the best matrices next to the powers, and the best one against the nulls."""
    labels = [r.name for r in findings.references]
    # A reference without one of the nulls, such as observed reachability and rewired graphs, must exceed the others.
    p = np.stack([null.p for null in findings.nulls.values()])
    significant = np.all(np.isnan(p) | (p <= findings.level), axis=0)
    order = _strongest(findings)
    panels = [
        (f"{names[m]}\n{_best(findings, m)} {_cosine(findings, m):.2f}", values[m]) for m in order[:PANELS].tolist()
    ]
    best = [findings.references[int(findings.best[m])].name for m in order[:PANELS]]
    plain = [r for r in findings.references if not r.support and not r.observed]
    powers = [(r.name, r.matrix) for r in plain if r.power or any(name.endswith(r.name) for name in best)]
    top = int(order[0])
    bands = {name: NullBand(null.mean[top], null.low[top], null.high[top]) for name, null in findings.nulls.items()}
    ends = findings.low[top], findings.high[top]
    top_title = f"{title}, {names[top]}: {verdict(findings, top)}"
    return {
        "cosines": power_heatmap(names, labels, findings.scores.cosine, significant, title=title),
        "matrices": matrix_panels(panels, powers, title=title),
        "powers": power_bars(labels, findings.scores.cosine[top], ends, bands, title=top_title),
    }


def training_figure(title: str, course: Mapping[int, PowerStrength]) -> Figure:
    """Draw the highest cosine with each power at each step."""
    null = np.array([one.null for one in course.values()])
    return powers_over_training(np.array(list(course)), _lines(course), null=null, title=title)


def table(title: str, names: tuple[str, ...], findings: PowerFindings) -> Table:
    """Return a table of the matrices with the highest cosines; p is the largest over the nulls of their references."""
    held = int(findings.holds.sum())
    rows = Table(title=f"{title}: {held} of {len(names)} matrices beyond every null at level {findings.level:g}")
    for column in ("matrix", "best", "cosine", "AUC", "gap", "p", "verdict"):
        rows.add_column(column, justify="left" if column in ("matrix", "best", "verdict") else "right")
    for m in _strongest(findings)[:TABLE_ROWS].tolist():
        best = m, int(findings.best[m])
        p = float(np.nanmax([null.p[best] for null in findings.nulls.values()]))
        cosine = f"{_cosine(findings, m):.2f} [{findings.low[best]:.2f}, {findings.high[best]:.2f}]"
        numbers = (f"{findings.scores.auc[best]:.2f}", f"{findings.scores.gap[best]:.2f}", f"{p:.3f}")
        rows.add_row(names[m], _best(findings, m), escape(cosine), *numbers, verdict(findings, m))
    return rows


def _lines(course: Mapping[int, PowerStrength]) -> dict[str, np.ndarray]:
    strengths = tuple(course.values())
    powers = strengths[0].powers
    return {reference_name(k): np.array([one.cosine[i] for one in strengths]) for i, k in enumerate(powers)}


def _strongest(findings: PowerFindings) -> np.ndarray:
    """Return indices of matrices: first those that hold something, each group by decreasing cosine."""
    best = findings.scores.cosine[np.arange(len(findings.best)), findings.best]
    return np.lexsort((-best, ~findings.holds))


def _best(findings: PowerFindings, matrix: int) -> str:
    return findings.references[int(findings.best[matrix])].name


def _cosine(findings: PowerFindings, matrix: int) -> float:
    return float(findings.scores.cosine[matrix, findings.best[matrix]])


def _matrix(findings: PowerFindings, m: int) -> dict[str, Any]:
    own = findings.references[int(findings.best[m])]
    margins = {
        name: {
            "margin": float(findings.margin[m, i]),
            "low": float(findings.margin_low[m, i]),
            "high": float(findings.margin_high[m, i]),
        }
        for i, name in enumerate(findings.candidates)
        if name != own.candidate
    }
    return {
        "verdict": verdict(findings, m),
        "best": own.name,
        "holds": bool(findings.holds[m]),
        "not_told_from": list(indistinguishable(findings, m)),
        "nulls_missing": list(missing_nulls(findings, m)),
        "margins": margins,
        "scores": {r.name: _scores(findings, m, i) for i, r in enumerate(findings.references)},
    }


def _scores(findings: PowerFindings, m: int, r: int) -> dict[str, Any]:
    values = {field: getattr(findings.scores, field) for field in MatrixScores._fields}
    values |= {"low": findings.low, "high": findings.high, "partial": findings.partial}
    nulls = {
        name: {"p": _number(null.p[m, r]), "mean": _number(null.mean[m, r])} for name, null in findings.nulls.items()
    }
    return {name: _number(part[m, r]) for name, part in values.items()} | {"nulls": nulls}


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
