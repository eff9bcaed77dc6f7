"""Attention maps as one interactive HTML page: style, script and values are embedded, and nothing is fetched.

The script is ``attention_page.js`` and the style ``attention_page.css`` in this folder. The page's content security
policy contains their digests, so no other script or style can run in it, whatever titles and tokens contain.
"""

import json
from base64 import b64encode
from dataclasses import dataclass, field
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib import colormaps

from circuits import checks
from circuits.plotting.cells import visible_whitespace
from circuits.plotting.style import role_colour
from circuits.probes.attention.maps import AttentionMaps, check_maps

STEPS = 2**16 - 1
"""Values are stored as integers from 0 to this, with an error of at most max / (2 STEPS)."""
_FRAME_HEIGHT = 900
"""Height of a page in a notebook, in pixels."""


@dataclass(frozen=True)
class AttentionPage:
    """A self-contained page: write ``html`` to a file, or display the object in a notebook.

    Example:
        >>> AttentionPage("<p>hello</p>").html
        '<p>hello</p>'
    """

    html: str = field(repr=False)

    def _repr_html_(self) -> str:
        return (
            f'<iframe srcdoc="{escape(self.html)}" sandbox="allow-scripts" title="attention" loading="lazy"'
            f' style="width: 100%; height: {_FRAME_HEIGHT}px; border: 0"></iframe>'
        )


def attention_page(maps: AttentionMaps) -> AttentionPage:
    """Return a page with the patterns of all layers and heads, one of them enlarged, and its rows in numbers.

    The row of ``maps.query`` is selected and marked. If all patterns are 0 above the diagonal, that half is hatched as
    the future. The same record gives the same page, byte for byte.

    Args:
        maps: patterns with tokens, roles and query.

    Returns:
        The page. Its numbers have an error of at most max(patterns) / 131,070 and are shown with three decimals.

    Raises:
        ValueError: if the record is not consistent, errors are negative or not finite, or notes are not JSON values.

    Example:
        >>> maps = AttentionMaps(np.ones((2, 1, 1, 1)), ("a",), ("start",), 0, ("0",), "model", {})
        >>> attention_page(maps).html.splitlines()[0]
        '<!doctype html>'
    """
    check_maps(maps)
    _check_rest(maps)
    script, style = _part("attention_page.js"), _part("attention_page.css")
    policy = (
        f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(style)}; "
        "base-uri 'none'; form-action 'none'"
    )
    single = ' class="single"' if len(maps.heads) == 1 else ""
    return AttentionPage(f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(maps.title)}</title>
<style>{style}</style>
</head>
<body>
<h1>{escape(maps.title)}</h1>
{_notes(maps.notes)}
<noscript><p>This page needs JavaScript.</p></noscript>
{_CONTROLS}
<main{single}>
{_BODY}
</main>
<footer class="soft">Layers, heads and positions count from 0. {escape(_precision(maps))}</footer>
<script type="application/json" id="data">{_embedded(_data(maps))}</script>
<script>{script}</script>
</body>
</html>
""")


_CONTROLS = """<div class="controls">
<fieldset><legend>colour scale</legend>
<label><input type="radio" name="scale" id="linear" checked>linear</label>
<label><input type="radio" name="scale" id="root">square root</label>
<span>0 <canvas id="bar" width="256" height="1" aria-hidden="true"></canvas> 1</span></fieldset>
<ul id="legend" aria-label="roles"></ul>
</div>"""
_BODY = """<div class="stack">
<section aria-labelledby="all"><h2 id="all"></h2>
<div class="scroll"><div id="thumbnails"></div></div></section>
<section aria-labelledby="across"><h2 id="across">This query in all layers and heads</h2>
<p><label>attention to <select id="target"></select></label></p>
<div class="scroll"><table id="everywhere"></table></div>
<p class="soft" id="what"></p></section>
</div>
<section aria-labelledby="opened"><div class="head"><h2 id="opened" aria-live="polite"></h2>
<label class="soft">query <select id="row"></select></label></div>
<div><canvas id="pattern" tabindex="0" role="img"></canvas></div>
<p class="soft">◂ marks the query whose prediction is examined. Point at a row to read it; click to select it.</p>
</section>
<aside aria-labelledby="read"><div class="head"><h2 id="read"></h2>
<label class="soft"><input type="checkbox" id="sorted">largest first</label></div>
<p class="soft" id="cell"></p>
<div class="bars" tabindex="0" role="region" aria-label="attention of the query by key">
<table><tbody id="bars"></tbody></table></div>
<div id="roles"><h2>By role</h2><div id="share"></div><ul id="masses"></ul></div>
</aside>"""


def _check_rest(maps: AttentionMaps) -> None:
    if maps.errors is not None:
        checks.finite("errors", maps.errors)
        low = float(maps.errors.min())
        checks.require(low >= 0, "errors", "must not be negative", low)
    if maps.positions is not None:
        checks.shape("positions", maps.positions, (len(maps.tokens),))
    for name, value in maps.notes.items():
        try:
            json.dumps(value)
        except (TypeError, ValueError):
            checks.require(False, f"notes[{name!r}]", "must be a value for JSON", value)


def _notes(notes: dict[str, object]) -> str:
    """Return a list of names and values, or nothing if there are no notes."""
    items = (
        f"<div><dt>{escape(name)}</dt> <dd>{escape(value if isinstance(value, str) else json.dumps(value))}</dd></div>"
        for name, value in notes.items()
    )
    return f'<dl class="notes">{"".join(items)}</dl>' if notes else ""


def _data(maps: AttentionMaps) -> dict[str, Any]:
    """Return the data for the script."""
    layers, _, length, _ = maps.patterns.shape
    return {
        "layers": layers,
        "heads": [str(name) for name in maps.heads],
        "tokens": [visible_whitespace(token) for token in maps.tokens],
        "roles": list(maps.roles),
        "positions": (np.arange(length) if maps.positions is None else maps.positions).tolist(),
        "query": int(maps.query),
        "causal": not np.triu(maps.patterns, 1).any(),
        "colours": {role: role_colour(role) for role in maps.roles if role},
        "shades": _base64((colormaps["magma"](np.arange(256))[:, :3] * 255).round().astype(np.uint8)),
        "patterns": _packed(maps.patterns),
        "errors": None if maps.errors is None else _packed(maps.errors),
    }


def _packed(values: Float[np.ndarray, "L H T T"]) -> dict[str, Any]:
    """Return little-endian 16-bit integers, and the value that corresponds to 1."""
    high = float(values.max())
    unit = high / STEPS if high > 0 else 1.0
    return {"unit": unit, "values": _base64(np.rint(values.astype(np.float64) / unit).astype("<u2"))}


def _precision(maps: AttentionMaps) -> str:
    high = max(float(array.max()) for array in (maps.patterns, maps.errors) if array is not None)
    return f"Stored values are within {high / STEPS / 2:.1e} of the given ones; numbers show three decimals."


def _base64(array: np.ndarray) -> str:
    return b64encode(array.tobytes()).decode()


def _embedded(value: dict[str, Any]) -> str:
    """Return JSON that cannot end the script element around it."""
    return json.dumps(value).replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")


def _part(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
