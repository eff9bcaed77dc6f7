"""Carry out ``circuits attention``: load a checkpoint, extract attention, and write page, figures and arrays."""

import json
from pathlib import Path

import numpy as np
from rich.console import Console
from tokenizers import Tokenizer

from circuits import checks
from circuits.cli import usage
from circuits.cli.attention import AttentionOptions
from circuits.cli.checkpoint import naming_checkpoint, open_checkpoint, planning_format, progress_bars
from circuits.cli.options import print_written
from circuits.files import check_folder, write_arrays, write_text, writing
from circuits.models import LoadedModel, held_out_problems
from circuits.plotting import AttentionPage, attention_grid, attention_page, query_heatmap, write_figure
from circuits.probes import AttentionMaps, attention_maps, query_position, text_attention_maps
from circuits.training.stored import kept_steps

FORMAT = 2
"""Format of attention.npz. Format 2 counts attention heads and tokens of the answer from 0; older files, which have no
number, from 1."""


def extract_attention(options: AttentionOptions) -> int:
    """Write the attention of a checkpoint."""
    screen, out = Console(highlight=False), options.out
    with usage():
        check_folder(out)
        checks.integer("examples", options.examples, min_value=1)
        steps = _page_steps(options)
        shown = [options.step] if steps is None else steps
        first = open_checkpoint(options.checkpoint, shown[-1], options.seed)
    models = [[_maps(screen, first, options, step) for step in shown]]
    if options.compare is not None:
        models.append([_maps(screen, first, options, step, compare=True) for step in shown])
    with usage():
        for maps, *_ in models[1:]:
            shape, expected = maps.patterns.shape, models[0][0].patterns.shape
            rule = f"must have as many layers, heads and tokens as the first checkpoint, {expected[:3]}"
            checks.require(shape == expected, "compare", rule, shape[:3])
        page = attention_page(*(maps[0] for maps in models)) if steps is None else attention_page(*models, steps=steps)
        write_maps(out, models[0][-1], page)
    print_written(screen, out, ["attention.{html,npz,pdf,png}", "query.{pdf,png}"])
    return 0


def _maps(
    screen: Console, first: LoadedModel, options: AttentionOptions, step: int | None, compare: bool = False
) -> AttentionMaps:
    """Return the attention of one model at one step; ``first`` determines how it is examined."""
    option, checkpoint = ("compare", options.compare) if compare else ("checkpoint", options.checkpoint)
    with usage():
        again = compare or options.over_training
        opened = open_checkpoint(str(checkpoint), step, options.seed, option) if again else first
    maps = _text_maps(opened, options) if first.task is None else _planning_maps(screen, first, opened, options)
    return maps._replace(title=opened.name.partition(", step")[0]) if options.over_training else maps


def _page_steps(options: AttentionOptions) -> list[int] | None:
    """Return the steps of the page's slider, those of all kept checkpoints; None without --over-training."""
    if not options.over_training:
        return None
    checks.require(options.step is None, "step", "must be left out with --over-training", options.step)
    with naming_checkpoint():
        steps = kept_steps(Path(options.checkpoint))
    checks.require(len(steps) >= 2, "over_training", "needs a run with at least 2 kept checkpoints", options.checkpoint)
    if options.compare is not None:
        with naming_checkpoint("compare"):
            others = kept_steps(Path(options.compare))
        checks.require(others == steps, "compare", f"must have checkpoints at the steps {steps}", others)
    return steps


def write_maps(out: Path, maps: AttentionMaps, page: AttentionPage) -> None:
    """Write the page, the figures and the arrays, each file atomically. Raises ValueError for an unusable folder."""
    with writing(out):
        write_text(out / "attention.html", page.html)
        for name, figure in (("attention", attention_grid(maps)), ("query", query_heatmap(maps))):
            write_figure(out, name, figure)
        arrays = {"patterns": maps.patterns} | ({} if maps.errors is None else {"errors": maps.errors})
        arrays |= {name: np.asarray(getattr(maps, name)) for name in ("tokens", "roles", "heads", "query")}
        about = json.dumps({"format": FORMAT, "title": maps.title, **maps.notes})
        write_arrays(out / "attention.npz", arrays | {"about": np.asarray(about)})


def _planning_maps(
    screen: Console, first: LoadedModel, opened: LoadedModel, options: AttentionOptions
) -> AttentionMaps:
    """Return the attention of a model on the held-out problems of the first."""
    with usage():
        checks.require(options.text is None, "text", "must be left out for a planning model", options.text)
        format = planning_format(first)
        same = opened.task is not None and opened.task.format == format
        checks.require(same, "compare", f"must be trained on problems like those of {first.name}", opened.name)
        query = query_position(format, options.token)
        problems = held_out_problems(first, options.examples)
        checks.integer("keep_examples", options.keep_examples, min_value=0, max_value=len(problems))
    choices = {"per_head": not options.average_heads, "aligned": not options.as_written}
    with progress_bars(screen) as add_bar:
        bar = add_bar("problems", len(problems))
        return attention_maps(
            opened.model,
            problems,
            format,
            query=query,
            title=opened.name,
            **choices,
            keep_examples=options.keep_examples,
            on_progress=bar,
        )


def _text_maps(opened: LoadedModel, options: AttentionOptions) -> AttentionMaps:
    with usage():
        checks.require(options.token is None, "token", "must be left out for a language model", options.token)
        checks.require(
            options.keep_examples == 0, "keep_examples", "must be 0 for a language model", options.keep_examples
        )
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
