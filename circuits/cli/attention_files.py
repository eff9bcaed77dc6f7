"""Carry out ``circuits attention``: load a checkpoint, extract attention, and write page, figures and arrays."""

import json
from pathlib import Path

import numpy as np
from rich.console import Console
from tokenizers import Tokenizer

from circuits import checks
from circuits.cli import usage
from circuits.cli.attention import AttentionOptions
from circuits.cli.checkpoint import open_checkpoint, planning_format, progress_bars
from circuits.cli.options import print_written
from circuits.files import check_folder, write_arrays, write_text, writing
from circuits.models import LoadedModel, held_out_problems
from circuits.plotting import attention_grid, attention_page, query_heatmap, write_figure
from circuits.probes import AttentionMaps, attention_maps, query_position, text_attention_maps

FORMAT = 2
"""Format of attention.npz. Format 2 counts attention heads and tokens of the answer from 0; older files, which have no
number, from 1."""


def extract_attention(options: AttentionOptions) -> int:
    """Write the attention of a checkpoint."""
    screen, out = Console(highlight=False), options.out
    with usage():
        check_folder(out)
        checks.integer("examples", options.examples, min_value=1)
        opened = open_checkpoint(options.checkpoint, options.step, options.seed)
    maps = _text_maps(opened, options) if opened.task is None else _planning_maps(screen, opened, options)
    with usage():
        write_maps(out, maps)
    print_written(screen, out, ["attention.{html,npz,pdf,png}", "query.{pdf,png}"])
    return 0


def write_maps(out: Path, maps: AttentionMaps) -> None:
    """Write the page, the figures and the arrays, each file atomically. Raises ValueError for an unusable folder."""
    with writing(out):
        write_text(out / "attention.html", attention_page(maps).html)
        for name, figure in (("attention", attention_grid(maps)), ("query", query_heatmap(maps))):
            write_figure(out, name, figure)
        arrays = {"patterns": maps.patterns} | ({} if maps.errors is None else {"errors": maps.errors})
        arrays |= {name: np.asarray(getattr(maps, name)) for name in ("tokens", "roles", "heads", "query")}
        about = json.dumps({"format": FORMAT, "title": maps.title, **maps.notes})
        write_arrays(out / "attention.npz", arrays | {"about": np.asarray(about)})


def _planning_maps(screen: Console, opened: LoadedModel, options: AttentionOptions) -> AttentionMaps:
    with usage():
        checks.require(options.text is None, "text", "must be left out for a planning model", options.text)
        format = planning_format(opened)
        query = query_position(format, options.token)
        problems = held_out_problems(opened, options.examples)
    choices = {"per_head": not options.average_heads, "aligned": not options.as_written}
    with progress_bars(screen) as add_bar:
        bar = add_bar("problems", len(problems))
        return attention_maps(
            opened.model, problems, format, query=query, title=opened.name, **choices, on_progress=bar
        )


def _text_maps(opened: LoadedModel, options: AttentionOptions) -> AttentionMaps:
    with usage():
        checks.require(options.token is None, "token", "must be left out for a language model", options.token)
        checks.require(bool(options.text), "text", "must be given for a language model", options.text)
        ids, words = encode(opened.tokenizer, str(options.text))
        config = opened.model.config
        checks.require(0 < len(ids) <= config.positions, "text", f"must be 1 to {config.positions} tokens", len(ids))
        known = int(ids.max()) < config.vocab
        checks.require(known, "checkpoint", f"must have a tokenizer of at most {config.vocab} ids", int(ids.max()))
    title = f"{opened.name}: {options.text}"
    return text_attention_maps(opened.model, ids, words, title=title, per_head=not options.average_heads)


def encode(tokenizer: Tokenizer | None, text: str) -> tuple[np.ndarray, list[str]]:
    """Return the ids of a text and the text of each. Raises ValueError if the checkpoint has no tokenizer."""
    if tokenizer is None:
        raise ValueError("checkpoint: must hold a tokenizer (tokenizer.json) to read --text, got none")
    ids = tokenizer.encode(text).ids
    return np.asarray(ids, np.int32), [tokenizer.decode([token], skip_special_tokens=False) for token in ids]
