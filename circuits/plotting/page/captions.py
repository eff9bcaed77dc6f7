"""What a reader of the page needs to know first: the notes of the records, and how to read the patterns."""

import json
from html import escape

import numpy as np

from circuits.probes.attention.maps import ALIGNED, AttentionMaps


def notes(records: list[dict[str, object]]) -> str:
    """Return a list of names and values, or nothing if there are no notes. Values that differ are all given."""
    merged: dict[str, list[str]] = {}
    for name, value in (item for record in records for item in record.items()):
        text, texts = value if isinstance(value, str) else json.dumps(value), merged.setdefault(name, [])
        if text not in texts:
            texts.append(text)
    items = (
        f"<div><dt>{escape(name)}</dt> <dd>{escape(' | '.join(texts))}</dd></div>" for name, texts in merged.items()
    )
    return f'<dl class="notes">{"".join(items)}</dl>' if merged else ""


def caption(maps: AttentionMaps) -> str:
    """Return how to read the patterns: axes, averages, the order of positions, and what is outlined."""
    return (
        f'<details class="caption" open><summary>How to read it</summary><p>{" ".join(_sentences(maps))}</p></details>'
    )


def _sentences(maps: AttentionMaps) -> list[str]:
    count = maps.notes.get("examples")
    averaged = f", averaged over {count} problems" if isinstance(count, int) and count > 1 else ""
    sentences = [
        "Each square is the pattern of one attention head: query positions down, key positions across. "
        f"A cell is the attention from query to key, from 0 to 1{averaged}; every row sums to 1."
    ]
    if maps.notes.get("rows and columns") == ALIGNED:
        sentences.append(
            "Each problem lists its edges in a random order. Before averaging they are put into one order, the path’s "
            "first, so <b>cells above the diagonal are not the future</b>: in some prompts, that key came before the "
            "query. <b>s</b> is the start, <b>n1</b>, <b>n2</b>, … are the next nodes of the path, <b>g</b> is the "
            "goal and <b>x1</b>, <b>x2</b>, … are nodes off the path; an edge is two positions, parent and child."
        )
    elif not np.triu(maps.patterns, 1).any():
        sentences.append("A query cannot attend to the future, which is hatched.")
    sentences.append(
        "The row of the selected query is outlined; ◂ marks the query whose prediction is examined. Point at a row to "
        "read it, click to select it; arrow keys move the head or the query and the key, Escape leaves the key."
    )
    return sentences
