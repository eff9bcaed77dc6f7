"""``circuits probe scores``: which heads attend to the goal and trace the path, and is that more than chance?"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional, arg

from circuits import checks
from circuits.cli import usage
from circuits.cli.checkpoint import Opened, answer_place, open_checkpoint, planning_task, progress, test_problems
from circuits.files import check_folder, write_text, writing
from circuits.plotting.effects import head_score_heatmap
from circuits.plotting.style import write_figure
from circuits.probes.attention.planning import Finding, find_circuit
from circuits.probes.language.heads import HeadEvidence, heads_above_nulls, measure_language_heads, repeated_sequences
from circuits.probes.layout import query_position
from circuits.probes.streaming import Interval

LENGTH = 25
"""Of half a sequence, where there is room for it."""


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Scores of every head, with intervals and nulls: JSON, a heatmap each, and a table of the strongest heads.

    A model of planning problems is scored for the circuit; a language model for previous-token and induction heads.

    Args:
        checkpoint: a run, a saved model, a folder in the Hugging Face layout, or a GGUF file.
        out: folder for scores.json and a figure for each score; made if it is not there.
        examples: held-out problems, or random sequences for a language model.
        token: of the answer, from 1; the first that needs look-ahead if left out.
        level: rate of false findings, over all heads and scores together; at least 0.005 for a planning model.
        length: of the part of a random sequence that is repeated, for a language model; 25, or what its context and
            vocabulary have room for, if left out.
        step: of a run; the latest if left out.
        seed: of a run; the first if left out.
    """

    checkpoint: Annotated[Positional[Path], arg(metavar="CHECKPOINT")]
    out: Annotated[Path, arg(metavar="DIR")]
    examples: int = 256
    token: int | None = None
    level: float = 0.05
    length: int | None = None
    step: int | None = None
    seed: int | None = None


def score(asked: Scored) -> int:
    """Score a checkpoint."""
    screen = Console(highlight=False)
    with usage():
        check_folder(asked.out)
        checks.integer("examples", asked.examples, min_value=2)
        checks.require(0 < asked.level < 1, "level", "must lie between 0 and 1", asked.level)
        opened = open_checkpoint(asked.checkpoint, asked.step, asked.seed)
    if opened.task is None:
        report, table, figures = _of_language(opened, asked)
    else:
        report, table, figures = _of_planning(screen, opened, asked)
    with usage(), writing(asked.out):
        write_text(asked.out / "scores.json", json.dumps(report, indent=2) + "\n")
        for name, figure in figures.items():
            write_figure(asked.out, name, figure)
    screen.print(table)
    screen.print(f"wrote {asked.out}", soft_wrap=True, markup=False)
    return 0


def _of_planning(screen: Console, opened: Opened, asked: Scored) -> tuple[dict[str, Any], Table, dict[str, Figure]]:
    """What goes into scores.json, the table, and the figures by name."""
    with usage():
        task, form = planning_task(opened)
        checks.require(
            asked.length is None, "length", "must be left out for a model of planning problems", asked.length
        )
        query = query_position(form, answer_place(form, asked.token))
        problems = test_problems(task, asked.examples)
        with progress(screen) as part:
            found = find_circuit(
                opened.model, form, problems, query, level=asked.level, show=part("problems", len(problems))
            )
    table = Table(title=f"{opened.name}: {len(problems)} problems, heads beyond every null at level {asked.level:g}")
    for column in ("score", "heads", "strongest, layer.head from 1", "untrained"):
        table.add_column(column, justify="left" if column in ("score", "strongest, layer.head from 1") else "right")
    figures = {}
    for hop, score in _by_hop(found):
        mean = score.score.mean
        table.add_row(
            hop,
            str(int(score.significant.sum())),
            _strongest(mean, score.significant),
            f"{np.mean(score.baseline):.2f}",
        )
        figures[hop.replace(" ", "-")] = head_score_heatmap(
            np.nan_to_num(mean), f"{opened.name}: {hop}", significant=score.significant, limits=(0.0, 1.0)
        )
    about = {"model": opened.name, "problems": len(problems), "position": query, "level": asked.level}
    return {**about, "scores": {name: _as_json(score) for name, score in found.items()}}, table, figures


def _by_hop(found: dict[str, Finding]) -> Iterator[tuple[str, Finding]]:
    """Each score that is one matrix [L, H], with a name that says the hop where it has one."""
    for name, finding in found.items():
        if finding.significant.ndim == 2:
            yield name.replace("_", " "), finding
            continue
        for hop in range(finding.significant.shape[-1]):
            parts = jax.tree.map(lambda values, hop=hop: values[..., hop], finding)
            yield f"{name} hop {hop + 1}", parts


def _of_language(opened: Opened, asked: Scored) -> tuple[dict[str, Any], Table, dict[str, Figure]]:
    with usage():
        checks.require(asked.token is None, "token", "must be left out for a language model", asked.token)
        most = opened.model.config.positions // 2
        length = min(LENGTH, most, opened.model.config.vocab // 2) if asked.length is None else asked.length
        checks.integer("length", length, min_value=1, max_value=most)
        sequences = repeated_sequences(opened.model.config.vocab, length, asked.examples, seed=0)
        found = measure_language_heads(opened.model, sequences, confidence=1 - asked.level)
    table = Table(title=f"{opened.name}: {asked.examples} random sequences of {length} tokens, twice")
    for column in ("score", "heads", "strongest, layer.head from 1"):
        table.add_column(column, justify="right" if column == "heads" else "left")
    figures = {}
    for kind, evidence in found.items():
        clear = np.zeros(evidence.score.mean.shape, bool)
        for head in heads_above_nulls(evidence):
            clear[head.layer, head.head] = True
        table.add_row(kind, str(int(clear.sum())), _strongest(evidence.score.mean, clear))
        figures[kind] = head_score_heatmap(evidence.score.mean, f"{opened.name}: {kind}", significant=clear, limits=(0.0, 1.0))
    about = {"model": opened.name, "sequences": asked.examples, "length": length, "level": asked.level}
    return {**about, "scores": {kind: _as_json(part) for kind, part in found.items()}}, table, figures


def _strongest(mean: np.ndarray, marked: np.ndarray, most: int = 4) -> str:
    """The marked heads with the highest scores."""
    order = sorted(np.argwhere(marked).tolist(), key=lambda at: -mean[tuple(at)])
    return ", ".join(f"{layer + 1}.{head + 1} {mean[layer, head]:.2f}" for layer, head in order[:most])


def _as_json(part: Any) -> Any:
    """Records as objects, arrays as lists, None where a number is not finite."""
    if isinstance(part, Finding | Interval | HeadEvidence):
        return {name: _as_json(value) for name, value in part._asdict().items()}
    if part is None or np.asarray(part).dtype == bool:
        return None if part is None else np.asarray(part).tolist()
    values = np.asarray(part, np.float64)
    plain = values.astype(object)
    plain[~np.isfinite(values)] = None
    return plain.tolist()
