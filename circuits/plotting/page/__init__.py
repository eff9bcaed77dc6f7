"""Attention maps as one interactive HTML page: style, scripts and values are embedded, and nothing is fetched.

The scripts and the style are the other files of this folder. The page's content security policy contains their digests,
so no other script or style can run in it, whatever titles and tokens contain.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from html import escape
from pathlib import Path

from jaxtyping import Real

from circuits.plotting.page import captions
from circuits.plotting.page.body import BODY
from circuits.plotting.page.data import embedded, page_data, precision
from circuits.plotting.page.models import PageModel, page_models
from circuits.probes.attention.maps import AttentionMaps
from circuits.typing import AnyArray

_SCRIPTS = ("data", "names", "heads", "pattern", "reading", "export", "controls")
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
            f'<iframe srcdoc="{escape(self.html)}" sandbox="allow-scripts allow-downloads" title="attention"'
            f' loading="lazy" style="width: 100%; height: {_FRAME_HEIGHT}px; border: 0"></iframe>'
        )


def attention_page(
    maps: AttentionMaps | Sequence[AttentionMaps],
    *others: AttentionMaps | Sequence[AttentionMaps],
    steps: Sequence[int] | None = None,
    scores: Mapping[str, Real[AnyArray, "L H"]] | Sequence[Mapping[str, Real[AnyArray, "L H"]]] | None = None,
) -> AttentionPage:
    """Return a page with the patterns of all layers and heads, one of them enlarged, and its rows in numbers.

    The row of ``maps.query`` is selected and marked. If all patterns are 0 above the diagonal, that half is hatched as
    the future. Several models are shown side by side with a common selection. The same records give the same page,
    byte for byte.

    Args:
        maps: patterns with tokens, roles and query; or a sequence of them, one for each of ``steps``.
        others: models to compare with the first: the same kind of record, with the same positions, layers and heads.
        steps: increasing training steps; the page has a slider over them.
        scores: numbers to show as maps of layers and heads, by name: a mapping to arrays [L, H], or one such mapping
            for each model.

    Returns:
        The page. Its numbers have an error of at most max(patterns) / 131,070 and are shown with three decimals. It has
        2.7 bytes for each entry of patterns, errors and examples.

    Raises:
        ValueError: if a record is not consistent, records do not fit together, steps or scores do not fit them, errors
            are negative or not finite, or notes are not JSON values.

    Example:
        >>> import numpy as np
        >>> from circuits.probes import AttentionMaps
        >>> maps = AttentionMaps(np.ones((2, 1, 1, 1)), ("a",), ("start",), 0, ("0",), "model", {})
        >>> attention_page(maps).html.splitlines()[0]
        '<!doctype html>'
        >>> both = attention_page(maps, maps._replace(title="other"), scores={"effect": np.array([[0.5], [-0.1]])})
        >>> "<h1>model | other</h1>" in both.html
        True
    """
    return AttentionPage(_html(page_models((maps, *others), steps, scores), () if steps is None else tuple(steps)))


def _html(models: list[PageModel], steps: tuple[int, ...]) -> str:
    script, style = "\n".join(_part(f"{name}.js") for name in _SCRIPTS), _part("style.css")
    policy = (
        f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(style)}; "
        "base-uri 'none'; form-action 'none'"
    )
    title = escape(" | ".join(model.title for model in models))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
{captions.notes([model.frames[-1].notes for model in models])}
{captions.caption(models[0].frames[-1])}
<noscript><p>This page needs JavaScript.</p></noscript>
{BODY}
<footer class="soft">Layers, heads and positions count from 0. {escape(precision(models))}</footer>
<script type="application/json" id="data">{embedded(page_data(models, steps))}</script>
<script>{script}</script>
</body>
</html>
"""


def _part(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
