"""Results as one self-contained HTML page: style, script and formulas are part of it."""

from collections.abc import Iterable, Sequence
from html import escape
from itertools import groupby
from pathlib import Path

from proofs_check.ledger.evidence import KINDS, STATEMENTS, Control, Evidence
from proofs_check.ledger.mathml import to_mathml
from proofs_check.ledger.outcome import Outcome
from proofs_check.ledger.run import Result, counts, summary

_MEANINGS = {
    "holds": "true as printed, in its own setting",
    "amended": "false or ill-typed as printed; what it was meant to establish stands, with the stated correction",
    "fails": "false as printed, and so is what it was meant to establish",
    "open": "not decided; the reason is given",
    "error": "the check itself failed",
}
_STATEMENTS = {"printed": "as printed", "amended": "as corrected", "intended": "its intent"}
_MARKS = {"supports": "✓ supports", "contradicts": "✗ contradicts", "undecided": "? undecided"}
_INTRODUCTION = (
    "Each claim was tested exactly as it is printed, in its own setting. The verdict is computed from the evidence "
    "shown. Every test was also applied to deliberately wrong variants, called controls, and had to reject them. A "
    "verdict marked numerically is on a limit and rests on a simulation, not on a proof."
)
_SCRIPT = """
const cards = [...document.querySelectorAll("article")];
const dots = [...document.querySelectorAll(".map a")];
const buttons = [...document.querySelectorAll("button[data-show]")];
const search = document.querySelector("input");
const texts = cards.map(card => card.textContent.toLowerCase());
let show = "all";
function update() {
  const words = search.value.toLowerCase().split(/\\s+/).filter(Boolean);
  let shown = 0;
  cards.forEach((card, i) => {
    const kinds = ["all", card.dataset.verdict, "differs" in card.dataset ? "differs" : ""];
    const fits = kinds.includes(show) && words.every(word => texts[i].includes(word));
    card.hidden = !fits;
    dots[i].classList.toggle("dim", !fits);
    shown += fits;
  });
  buttons.forEach(button => button.setAttribute("aria-pressed", button.dataset.show === show));
  const all = shown === cards.length;
  document.querySelector("output").textContent = all ? "" : `${shown} of ${cards.length} shown`;
}
function reset() { show = "all"; search.value = ""; update(); }
buttons.forEach(button => button.addEventListener("click", () => { show = button.dataset.show; update(); }));
search.addEventListener("input", update);
dots.forEach((dot, i) => dot.addEventListener("click", () => { if (cards[i].hidden) reset(); }));
document.querySelector(".filters").hidden = false;
update();
"""


def html(results: Sequence[Result]) -> str:
    """Return a self-contained page: an overview, filters, and a card for each claim."""
    style = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{escape(summary(results).partition(" · ")[0])}</title>
<style>
{style}</style>
</head>
<body>
<header>
<h1>Every claim, decided</h1>
<p class="lead">{_INTRODUCTION}</p>
<p class="summary">{escape(summary(results))}</p>
{_map(results)}
{_legend()}
{_filters(results)}
</header>
<main>
{"".join(_card(result) for result in results)}</main>
<script>{_SCRIPT}</script>
</body>
</html>
"""


_PROVENANCE = {
    "paper": "",
    "second-hand": ' <span class="provenance">second-hand: the primary text was not read</span>',
    "ours": ' <span class="provenance">our own statement</span>',
}
_RELATIONS = {"<=": "≤", ">=": "≥"}


def number(value: float) -> str:
    """Format a number for readers: integers in full, anything else to three digits."""
    return f"{value:.0f}" if abs(value) < 1e9 and value == round(value) else f"{value:.3g}"


def formula(latex: str) -> str:
    """Convert LaTeX to a MathML block, or to a code block if it cannot be converted."""
    try:
        return f'<div class="formula">{to_mathml(latex, "block")}</div>'
    except ValueError:
        return f'<pre class="formula">{escape(latex)}</pre>'


def _map(results: Sequence[Result]) -> str:
    """Return a square for each claim, with a row for all that share the first part of their id."""
    rows = []
    for chapter, group in groupby(results, key=lambda result: result.claim.id.partition(".")[0]):
        squares = "".join(
            f'<a class="{r.word}{"" if r.agrees else " differs"}" href="#{escape(r.claim.id)}"'
            f' title="{escape(r.claim.id)}: {r.verdict}" aria-label="{escape(r.claim.id)}: {r.verdict}"></a>'
            for r in group
        )
        rows.append(f"<li><span>{escape(chapter)}</span> {squares}</li>")
    return f'<ul class="map">{"".join(rows)}</ul>'


def _legend() -> str:
    verdicts = "".join(f"<dt>{_chip(word)}</dt><dd>{text}</dd>" for word, text in _MEANINGS.items())
    kinds = "".join(f"<dt>{word}</dt><dd>{text}</dd>" for word, text in KINDS.items())
    return (
        "<details><summary>How to read this page</summary>"
        f"<h2>Verdicts</h2><dl>{verdicts}</dl><h2>Kinds of evidence</h2><dl>{kinds}</dl></details>"
    )


def _filters(results: Sequence[Result]) -> str:
    differing = sum(not result.agrees for result in results)
    numbers = {"all": len(results), **counts(results), "differs": differing}
    labels = {"differs": "not as recorded"}
    buttons = "".join(
        f'<button type="button" class="{show}" data-show="{show}" aria-pressed="false">'
        f"{labels.get(show, show)} <b>{count}</b></button>"
        for show, count in numbers.items()
        if count or show in ("holds", "amended", "fails")
    )
    search = '<input type="search" placeholder="search the claims" aria-label="search the claims">'
    return f'<div class="filters" hidden>{buttons}{search}<output></output></div>'


def _card(result: Result) -> str:
    claim, word = result.claim, result.word
    differs = "" if result.agrees else " data-differs"
    return f"""<article id="{escape(claim.id)}" class="{word}" data-verdict="{word}"{differs}>
<h2><a href="#{escape(claim.id)}">{escape(claim.id)}</a> {_chip(word, result.verdict)}</h2>
<p class="source">{escape(claim.source)}{_PROVENANCE[claim.provenance]}</p>
{_if(result.complaint, '<p class="complaint">Not as recorded: {}</p>')}
{_if(result.reason, '<p class="reason">Open: {}.</p>')}
<p class="statement">{escape(claim.statement)}</p>
{formula(claim.formula) if claim.formula else ""}
<dl>
{_if(claim.setting, "<dt>Setting</dt><dd>{}</dd>")}
{_if(claim.amendment, "<dt>Correction</dt><dd>{}</dd>")}
{_if(claim.intent, "<dt>Meant to establish</dt><dd>{}</dd>")}
{_if(claim.refutation, "<dt>Refuted by</dt><dd>{}</dd>")}
{_if("; ".join(claim.data), "<dt>Data</dt><dd>{}</dd>")}
</dl>
{_if(result.example, '<pre class="example">{}</pre>')}
{_if(result.error, '<pre class="error">{}</pre>')}
{_evidence(result.evidence) if result.evidence else ""}
{_controls(result.controls) if result.controls else ""}
{_if("; ".join(result.cross_checks), "<p class='seconds'>Our own implementations agree on: {}.</p>")}
<p class="seconds">decided in {result.seconds:.1f} processor-seconds{", reused" if result.reused else ""}</p>
</article>
"""


def _evidence(items: Sequence[Evidence]) -> str:
    rows = (
        f'<tr><td class="{item.outcome.shows}">{_MARKS[item.outcome.shows]}</td>'
        f'<td title="{STATEMENTS[item.statement]}">{_STATEMENTS[item.statement]}</td>'
        f"{_measured(item.quantity, item.outcome)}"
        f'<td title="{KINDS[item.kind]}">{item.kind}</td></tr>'
        for item in items
    )
    return _table("Evidence", ("shows", "the claim"), rows, ("kind",))


def _controls(controls: Sequence[Control]) -> str:
    rows = (
        f'<tr><td class="{"supports" if control.passed else "contradicts"}">{_control_mark(control)}</td>'
        f"<td>{escape(control.name)}</td>{_measured(control.quantity, control.outcome)}</tr>"
        for control in controls
    )
    return _table("Controls", ("outcome", "variant"), rows)


def _control_mark(control: Control) -> str:
    done = "rejected" if control.expected == "contradicts" else "accepted"
    return f"✓ {done}" if control.passed else f"✗ not {done}"


def _table(caption: str, first: tuple[str, str], rows: Iterable[str], last: tuple[str, ...] = ()) -> str:
    head = "".join(f"<th>{name}</th>" for name in (*first, "quantity", "value", "expected", "cases", *last))
    return (
        f'<div class="table"><table><caption>{caption}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _measured(quantity: str, outcome: Outcome) -> str:
    trivial = f" ({outcome.trivial:,} trivial)" if outcome.trivial else ""
    reach = " Covers a range up to infinity." if outcome.unbounded else ""
    return (
        f'<td class="quantity">{escape(quantity)}{_if(outcome.detail + reach, "<small>{}</small>")}</td>'
        f"<td>{_power(outcome.value)}</td><td>{_RELATIONS[outcome.relation]} {_power(outcome.bound)}</td>"
        f"<td>{outcome.cases:,}{trivial}</td>"
    )


def _power(value: float) -> str:
    digits, _, exponent = number(value).replace("-", "−").partition("e")
    if exponent:
        digits = "" if digits == "1" else f"{digits} · "
        digits += f"10<sup>{exponent[0].strip('+')}{exponent[1:].lstrip('0')}</sup>"
    return f'<span title="{value!r}">{digits}</span>'


def _chip(word: str, text: str = "") -> str:
    return f'<span class="chip {word}" title="{_MEANINGS[word]}">{text or word}</span>'


def _if(text: str, template: str) -> str:
    """Return the template filled with the escaped text, or nothing for no text."""
    return template.format(escape(text)) if text else ""
