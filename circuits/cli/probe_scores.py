"""Carry out ``circuits probe scores``: score every attention head, and test the scores against chance."""

import json
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from circuits import checks
from circuits.cli import usage
from circuits.cli.checkpoint import open_checkpoint, planning_format, progress_bars
from circuits.cli.options import print_written
from circuits.cli.probe import ScoresOptions
from circuits.files import check_folder, write_text, writing
from circuits.models import LoadedModel, held_out_problems
from circuits.plotting import head_score_heatmap, write_figure
from circuits.probes import (
    Finding,
    HeadEvidence,
    Interval,
    find_circuit,
    heads_above_nulls,
    measure_language_heads,
    query_position,
    repeated_sequences,
)
from circuits.probes.attention.planning import MIN_LEVEL

FORMAT = 2
"""Format of scores.json. Format 2 names scores and tests as in this program; older files, which have no number, call
backward_trace trace, distractor_attention astray, edge_attention_elsewhere link, and distractor astray."""
LENGTH = 25
"""The default number of tokens in half a sequence, if context and vocabulary of the model allow it."""
STRONGEST = "strongest heads"
Report = tuple[dict[str, Any], tuple[Table | str, ...], dict[str, Figure]]
"""The content of scores.json, what to print, and figures by name."""


def probe_scores(options: ScoresOptions) -> int:
    """Score a checkpoint, and write and print the results."""
    screen = Console(highlight=False)
    with usage():
        check_folder(options.out)
        checks.integer("examples", options.examples, min_value=2)
        checks.require(0 < options.level < 1, "level", "must lie between 0 and 1", options.level)
        opened = open_checkpoint(options.checkpoint, options.step, options.seed)
    report, printed, figures = (
        _language_report(opened, options) if opened.task is None else _planning_report(screen, opened, options)
    )
    with usage(), writing(options.out):
        write_text(options.out / "scores.json", json.dumps({"format": FORMAT, **report}, indent=2) + "\n")
        for name, figure in figures.items():
            write_figure(options.out, name, figure)
    for part in printed:
        screen.print(part, soft_wrap=isinstance(part, str))
    print_written(screen, options.out, ["scores.json", *(f"{name}.{{pdf,png}}" for name in figures)])
    return 0


def _planning_report(screen: Console, opened: LoadedModel, options: ScoresOptions) -> Report:
    with usage():
        format = planning_format(opened)
        checks.require(options.length is None, "length", "must be left out for a planning model", options.length)
        rule = f"must be at least {MIN_LEVEL} for a planning model"
        checks.require(options.level >= MIN_LEVEL, "level", rule, options.level)
        query = query_position(format, options.token)
        problems = held_out_problems(opened, options.examples)
    with progress_bars(screen) as add_bar:
        on_progress = add_bar("problems", len(problems))
        model, level = opened.model, options.level
        findings = find_circuit(model, problems, format, query=query, level=level, on_progress=on_progress)
    title = f"{opened.name}: {len(problems)} problems, heads above chance at familywise level {options.level:g}"
    table, figures = _table(title, ("score", "above\nchance", STRONGEST, "untrained\nmean")), {}
    for name, finding in _by_hop(findings):
        mean, marked = finding.score.mean, finding.significant
        table.add_row(name, str(int(marked.sum())), strongest(mean, marked), f"{np.mean(finding.baseline):.2f}")
        figures[name.replace(" ", "-")] = head_score_heatmap(
            np.nan_to_num(mean), f"{opened.name}: {name}", significant=marked, limits=(0.0, 1.0)
        )
    about = {"model": opened.name, "problems": len(problems), "position": query, "level": options.level}
    scores = {name: _as_json(finding) for name, finding in findings.items()}
    return {**about, "scores": scores}, (table, backward_trace(findings["backward_trace"])), figures


def backward_trace(finding: Finding) -> str:
    """Name the strongest head above chance at each hop, as a chain as far as each hop is in a later layer."""
    mean, significant = finding.score.mean, finding.significant
    hops = np.flatnonzero(significant.any(axis=(0, 1))).tolist()
    heads = [np.argwhere(_is_max(mean[..., hop], significant[..., hop]))[0].tolist() for hop in hops]
    names, layers = [f"L{layer}H{head}" for layer, head in heads], [layer for layer, _ in heads]
    if not heads:
        return "backward trace: no head is above chance"
    later = [hop == i and (i == 0 or layers[i] > layers[i - 1]) for i, hop in enumerate(hops)]
    length = [*later, False].index(False)
    at_hops = [f"{name} at hop {hop}" for name, hop in zip(names, hops, strict=True)]
    if length > 1 or length == len(hops):
        return f"backward trace: {'; '.join([' → '.join(names[:length]), *at_hops[length:]])}"
    return f"backward trace: {', '.join(at_hops)}; not hop by hop through the layers"


def _is_max(values: np.ndarray, marked: np.ndarray) -> np.ndarray:
    return marked & (values == values[marked].max())


def _by_hop(findings: dict[str, Finding]) -> Iterator[tuple[str, Finding]]:
    """Yield the name and the finding [L, H] of each score, one for each hop if the score has hops."""
    for name, finding in findings.items():
        words = name.replace("_", " ")
        if finding.significant.ndim == 2:
            yield words, finding
            continue
        for hop in range(finding.significant.shape[-1]):
            yield f"{words} hop {hop}", jax.tree.map(lambda values, hop=hop: values[..., hop], finding)


def _language_report(opened: LoadedModel, options: ScoresOptions) -> Report:
    with usage():
        checks.require(options.token is None, "token", "must be left out for a language model", options.token)
        config = opened.model.config
        max_length = config.positions // 2
        length = min(LENGTH, max_length, config.vocab // 2) if options.length is None else options.length
        checks.integer("length", length, min_value=1, max_value=max_length)
        sequences = repeated_sequences(config.vocab, length, options.examples, seed=0)
    kinds = measure_language_heads(opened.model, sequences, confidence=1 - options.level)
    title = f"{opened.name}: {options.examples} random sequences of {length} tokens, twice"
    table, figures = _table(title, ("score", "above\nchance", STRONGEST)), {}
    for kind, evidence in kinds.items():
        mean = evidence.score.mean
        marked = np.zeros(mean.shape, bool)
        for head in heads_above_nulls(evidence):
            marked[head.layer, head.head] = True
        table.add_row(kind, str(int(marked.sum())), strongest(mean, marked))
        figures[kind] = head_score_heatmap(mean, f"{opened.name}: {kind}", significant=marked, limits=(0.0, 1.0))
    about = {"model": opened.name, "sequences": options.examples, "length": length, "level": options.level}
    return {**about, "scores": {kind: _as_json(part) for kind, part in kinds.items()}}, (table,), figures


def _table(title: str, columns: tuple[str, ...]) -> Table:
    table = Table(title=title)
    for column in columns:
        table.add_column(
            column, justify="left" if column in ("score", STRONGEST) else "right", no_wrap=column == "score"
        )
    return table


def strongest(values: np.ndarray, marked: np.ndarray | None = None, count: int = 4) -> str:
    """Name the attention heads with the highest values among those marked, such as "L5H1 0.83, L3H0 0.52"."""
    marked = np.ones(values.shape, bool) if marked is None else marked
    order = sorted(np.argwhere(marked).tolist(), key=lambda head: -values[tuple(head)])
    return ", ".join(f"L{layer}H{head} {values[layer, head]:.2f}" for layer, head in order[:count])


def _as_json(part: Any) -> Any:
    """Convert records to objects, arrays to lists, and numbers that are not finite to None."""
    if isinstance(part, Finding | Interval | HeadEvidence):
        return {name: _as_json(value) for name, value in part._asdict().items()}
    if part is None or np.asarray(part).dtype == bool:
        return None if part is None else np.asarray(part).tolist()
    values = np.asarray(part, np.float64)
    plain = values.astype(object)
    plain[~np.isfinite(values)] = None
    return plain.tolist()
