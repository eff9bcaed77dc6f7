"""How records show themselves in Jupyter, where the last value of a cell is displayed.

A record with ``_repr_html_ = display.html`` in its body is displayed as a table of its fields and, if it has ``plot``,
the figure. A record with more to say defines ``_repr_html_`` itself, from ``table`` and ``picture``, under
``@display.safe``. Everything is static HTML that needs no network; text is escaped; pictures are inline and small.
"""

import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from html import escape
from io import BytesIO
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np

from circuits import plotting as plotting  # lazy names only: matplotlib is imported by the first figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Figure
else:
    Figure = "matplotlib.figure.Figure"

MAX_PICTURE = 70_000
"""Bytes of a PNG; a larger one is drawn again at a lower resolution."""
MAX_LISTED = 8
"""Arrays and tuples of more entries are summarised."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette, which is distinguishable with any colour vision."""
ROLE_COLOURS = {
    "start": COLOURS[0],
    "goal": COLOURS[1],
    "path": COLOURS[2],
    "distractor": COLOURS[4],
    "answer": COLOURS[3],
    "symbol": COLOURS[5],
}
"""Colours of the roles of positions and nodes; every other role has ``OTHER_ROLE``."""
OTHER_ROLE = "#686868"
MAX_NAME = 40
"""Longer names of rows are wrapped."""
_NUMERIC = re.compile(r"[-−±]?[\d.]|-?inf")


class Markup(str):
    """Text that is HTML already, and is not escaped."""


def html(record: Any) -> str | None:
    """Return the fields of a record as a table, and its figure; None, so that Jupyter prints it, if it has no fields.

    A record of a batch or of traced arrays has no figure, and shapes for values.
    """
    values = fields(record)
    if values is None:
        return None
    shown = facts(type(record).__name__, values)
    if hasattr(record, "plot"):
        try:
            return shown + picture(record.plot())
        except Exception:  # whatever a figure of other ranks, of traced or of infinite values raises
            return shown
    return shown


def safe(method: Callable[[Any], str]) -> Callable[[Any], str | None]:
    """Return a ``_repr_html_`` that never raises: where the method does, the record is shown by ``html``."""

    @wraps(method)
    def shown(record: Any) -> str | None:
        try:
            return method(record)
        except Exception:  # as above
            return html(record)

    return shown


def fields(record: Any) -> dict[str, str] | None:
    """Return the fields of a NamedTuple or dataclass, in words."""
    names = getattr(record, "_fields", None) or getattr(record, "__dataclass_fields__", None)
    return None if names is None else {name: describe(getattr(record, name)) for name in names}


def describe(value: Any) -> str:
    """Return a value in a few words: numbers to three digits, and of large arrays the shape and the range."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    name = getattr(value, "__name__", None)
    if isinstance(name, str) and callable(value):
        return name
    if isinstance(value, float | np.floating):
        return number(float(value))
    if isinstance(value, str):
        return value
    if isinstance(getattr(value, "shape", None), tuple) and hasattr(value, "dtype"):
        return _describe_array(value)
    as_mapping = getattr(value, "_asdict", None)
    if as_mapping is not None or isinstance(value, Mapping):
        items = value if as_mapping is None else as_mapping()
        return "; ".join(f"{name} {describe(item)}" for name, item in items.items()) or "none"
    if isinstance(value, tuple | list):
        listed = ", ".join(map(describe, value[:MAX_LISTED]))
        return listed if len(value) <= MAX_LISTED else f"{listed}, … ({len(value)} in all)"
    return "none" if value is None else _shortened(str(value))


def number(value: float) -> str:
    """Return a number to three digits, whole numbers in full."""
    return f"{value:.0f}" if abs(value) < 1e6 and value == round(value) else f"{value:.3g}"


def _describe_array(array: Any) -> str:
    kind = f"{array.dtype} [{', '.join(map(str, array.shape))}]"
    try:
        values = np.asarray(array)
    except Exception:  # traced
        return kind
    if values.size == 0 or values.dtype.kind not in "biuf":
        return kind
    if values.ndim < 2 and values.size <= MAX_LISTED:
        return ", ".join(map(describe, np.atleast_1d(values).tolist()))
    finite = values[np.isfinite(values)].astype(float)
    return f"{kind}, {number(finite.min())} to {number(finite.max())}" if finite.size else kind


def _shortened(text: str, limit: int = 200) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"


# ------------------------------------------------------------------------------------------------------ HTML


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> Markup:
    """Return a table whose first column names the rows. Columns of numbers are aligned on the right."""
    cells = [[_cell(value) for value in row] for row in rows]
    sides = [
        "right" if number and all(map(_NUMERIC.match, column)) else "left"
        for number, column in enumerate(zip(*cells, strict=True))
    ]
    names = "".join(
        f'<th scope="col" style="text-align: {side}">{escape(name)}</th>'
        for name, side in zip_longest(head, sides[: len(head)], fillvalue="left")
    )
    return _whole_table(caption, f"<thead><tr>{names}</tr></thead>" if any(head) else "", cells, sides)


def facts(caption: str, values: Mapping[str, Any]) -> Markup:
    """Return a table of names and values."""
    return _whole_table(caption, "", [[_cell(name), _cell(value)] for name, value in values.items()], ["left"] * 2)


def _whole_table(caption: str, head: str, cells: list[list[str]], sides: list[str]) -> Markup:
    body = ""
    for first, *rest in cells:
        wrap = "nowrap" if len(first) < MAX_NAME else "normal"
        data = "".join(
            f'<td style="text-align: {side}">{text}</td>' for text, side in zip(rest, sides[1:], strict=True)
        )
        body += f'<tr><th scope="row" style="text-align: left; white-space: {wrap}">{first}</th>{data}</tr>'
    title = f'<caption style="text-align: left; font-weight: bold">{_cell(caption)}</caption>'
    return Markup(f"<table>{title}{head}<tbody>{body}</tbody></table>")


def text(value: str) -> Markup:
    """Return escaped text."""
    return Markup(escape(value))


def preformatted(value: str) -> Markup:
    """Return text whose lines are kept."""
    return Markup(f'<pre style="text-align: left; white-space: pre-wrap">{escape(value)}</pre>')


def details(summary: str, inside: Markup) -> Markup:
    """Return a text that opens to show more."""
    return Markup(f"<details><summary>{escape(summary)}</summary>{inside}</details>")


def paragraph(text: str) -> Markup:
    """Return a paragraph of text."""
    return Markup(f"<p>{_cell(text)}</p>")


def badge(text: str, colour: str) -> Markup:
    """Return a word in white on a colour."""
    style = f"background: {colour}; color: white; border-radius: 1em; padding: 0.1em 0.7em; white-space: nowrap"
    return Markup(f'<span style="{style}">{escape(text)}</span>')


def picture(figure: Figure, text: str = "") -> Markup:
    """Return a figure as an inline picture on white, with a text for those who do not see it."""
    data = b""
    for dpi in (90, 64, 45, 32):
        buffer = BytesIO()
        figure.savefig(buffer, format="png", dpi=dpi, facecolor="white")
        data = buffer.getvalue()
        if len(data) <= MAX_PICTURE:
            break
    text = text or " ".join(filter(None, (figure.get_suptitle(), *(ax.get_title() for ax in figure.axes))))
    source = f"data:image/png;base64,{b64encode(data).decode()}"
    return Markup(f'<div><img alt="{escape(text)}" src="{source}" style="max-width: 100%; background: white"></div>')


def beside(parts: Iterable[Markup]) -> Markup:
    """Return parts next to each other, as far as there is room."""
    return Markup(f'<div style="display: flex; flex-wrap: wrap; gap: 1em">{"".join(parts)}</div>')


def _cell(value: Any) -> str:
    return value if isinstance(value, Markup) else escape(describe(value))
