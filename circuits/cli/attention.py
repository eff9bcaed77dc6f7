"""``circuits attention``: where a checkpoint looks while it predicts a chosen token."""

import json
from pathlib import Path
from typing import Annotated

import numpy as np
from rich.console import Console
from tokenizers import Tokenizer
from tyro.conf import FlagCreatePairsOff, Positional, arg, configure

from circuits import checks
from circuits.cli import usage
from circuits.cli.checkpoint import Opened, answer_place, open_checkpoint, planning_task, progress, test_problems
from circuits.files import check_folder, write_arrays, write_text, writing
from circuits.plotting.attention import attention_grid, query_heatmap
from circuits.plotting.page import attention_page
from circuits.plotting.style import write_figure
from circuits.probes.attention.extract import attention_maps, text_attention_maps
from circuits.probes.attention.maps import AttentionMaps
from circuits.probes.layout import query_position


@configure(FlagCreatePairsOff)
def attention(
    checkpoint: Annotated[Positional[Path], arg(metavar="CHECKPOINT")],
    out: Annotated[Path, arg(metavar="DIR")],
    examples: int = 544,
    token: int | None = None,
    text: str | None = None,
    average_heads: bool = False,
    as_written: bool = False,
    step: int | None = None,
    seed: int | None = None,
) -> int:
    """Extract attention while a model predicts a chosen token: PNG, PDF, NPZ and one interactive HTML page.

    The checkpoint is the folder of a run or of a saved model, a folder in the Hugging Face layout, or a GGUF file. A
    model trained on planning problems is shown held-out ones, and the maps are means over them; a language model is
    shown --text. Exit code 0: done. 2: bad usage.

    Args:
        checkpoint: what to look into.
        out: folder for attention.{png,pdf,npz,html} and query.{png,pdf}; made if it is not there.
        examples: held-out problems to average over.
        token: of the answer, from 1; the first that needs look-ahead if left out.
        text: what a language model reads.
        average_heads: keep the mean over heads alone.
        as_written: rows and columns are positions as they are written; else the edges of each problem are put into one
            order, those of the path first.
        step: of a run; the latest if left out.
        seed: of a run; the first if left out.
    """
    screen = Console(highlight=False)
    with usage():
        check_folder(out)
        opened = open_checkpoint(checkpoint, step, seed)
        if opened.task is None:
            checks.require(token is None, "token", "must be left out for a language model", token)
            maps = _of_text(opened, text, not average_heads)
        else:
            checks.require(text is None, "text", "must be left out for a model of planning problems", text)
            maps = _of_problems(screen, opened, examples, token, not average_heads, not as_written)
        write_maps(out, maps)
    screen.print(f"wrote {out}/attention.{{png,pdf,npz,html}} and query.{{png,pdf}}", soft_wrap=True, markup=False)
    return 0


def write_maps(out: Path, maps: AttentionMaps) -> None:
    """The page, the figures and the arrays, each file at once. Raises ValueError for a folder that can't be used."""
    with writing(out):
        write_text(out / "attention.html", attention_page(maps).html)
        for name, figure in (("attention", attention_grid(maps)), ("query", query_heatmap(maps))):
            write_figure(out, name, figure)
        arrays = {"patterns": maps.patterns} | ({} if maps.errors is None else {"errors": maps.errors})
        words = {name: np.asarray(getattr(maps, name)) for name in ("tokens", "roles", "heads")}
        about = json.dumps({"title": maps.title, **maps.notes})
        write_arrays(
            out / "attention.npz", arrays | words | {"query": np.asarray(maps.query), "about": np.asarray(about)}
        )


def _of_problems(
    screen: Console, opened: Opened, examples: int, token: int | None, per_head: bool, aligned: bool
) -> AttentionMaps:
    task, form = planning_task(opened)
    query = query_position(form, answer_place(form, token))
    problems = test_problems(task, examples)
    with progress(screen) as part:
        return attention_maps(
            opened.model,
            form,
            problems,
            query,
            title=opened.name,
            per_head=per_head,
            aligned=aligned,
            show=part("problems", len(problems)),
        )


def _of_text(opened: Opened, text: str | None, per_head: bool) -> AttentionMaps:
    checks.require(bool(text), "text", "must be given for a language model", text)
    ids, words = encoded(opened.tokenizer, str(text))
    most = opened.model.config.positions
    checks.require(0 < len(ids) <= most, "text", f"must be 1 to {most} tokens", len(ids))
    return text_attention_maps(opened.model, ids, words, title=f"{opened.name}: {text}", per_head=per_head)


def encoded(tokenizer: Tokenizer | None, text: str) -> tuple[np.ndarray, list[str]]:
    """Ids of a text, and how each is written. Raises ValueError where the checkpoint has no tokenizer."""
    if tokenizer is None:
        raise ValueError("checkpoint: must hold a tokenizer (tokenizer.json) to read --text, got none")
    ids = tokenizer.encode(text).ids
    return np.asarray(ids, np.int32), [tokenizer.decode([token], skip_special_tokens=False) for token in ids]
