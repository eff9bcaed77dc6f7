"""The site's extensions: formulas, entries of claims and of public names, figures, taps, and no load from a network."""

import re
import sys
from collections import Counter
from pathlib import Path

import pytest
from flax import nnx

import circuits
from circuits import Activations, Predictor, forward
from circuits.transformer import TransformerConfig
from proofs_check import Result, equal
from proofs_check.ledger.evidence import Control, Evidence
from proofs_check.ledger.mathml import to_mathml
from proofs_check.verification import own_claims

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs" / "_ext"))

import api_pages  # noqa: E402
import claim_pages  # noqa: E402
import docstrings  # noqa: E402
import offline  # noqa: E402
import pages  # noqa: E402
import public  # noqa: E402
import signatures  # noqa: E402
import tap_table  # noqa: E402

CLAIMS = own_claims()
FIGURES = [path for path in (ROOT / "figures").rglob("*") if path.suffix in (".png", ".gif")]
GALLERY = re.findall(r":::\{figure\} (\S+)\n(.*?)\n:::", (ROOT / "docs" / "gallery.md").read_text(), re.S)


# Formulas.


def test_every_formula_of_the_registries_converts():
    formulas = [claim.formula for claim in CLAIMS if claim.formula]
    assert len(formulas) > 50
    assert all(to_mathml(formula, "block").startswith('<math display="block">') for formula in formulas)


@pytest.mark.parametrize("latex", [r"\nosuchcommand x", r"\frac{1", r"\left( x", "a_b_c", "x^"])
def test_a_formula_that_does_not_convert_is_an_error(latex):
    with pytest.raises(ValueError, match="formula: must"):
        to_mathml(latex)


def test_escaped_braces_need_no_partner():
    assert to_mathml(r"f(x) = \begin{cases} 1 & x > 0 \\{} 0 \end{cases}, \{x")


# Claims.


def test_every_claim_has_one_entry_and_a_row_in_the_index():
    texts = claim_pages.pages(CLAIMS, {})
    index = texts.pop("index")
    entries = Counter(re.findall(r"^\.\. claim:: (\S+)\n   :verdict: (.+)$", "\n".join(texts.values()), re.M))
    assert entries == Counter((claim.id, claim.recorded) for claim in CLAIMS)
    assert Counter(re.findall(r"\* - :claim:`(.+?)`", index)) == Counter(claim.id for claim in CLAIMS)
    assert set(re.findall(r"^   (\S+)$", index.partition(":hidden:")[2], re.M)) == texts.keys()


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_an_entry_says_what_the_registry_says(claim):
    text = claim_pages.entry(claim)
    texts = (claim.statement, claim.setting, claim.intent, claim.amendment, claim.refutation)
    assert all(pages.escape(" ".join(each.split())) in " ".join(text.split()) for each in texts)
    assert all(line in text for line in claim.formula.splitlines())
    assert f".. autofunction:: {claim.check.text.replace(':', '.')}\n" in text


def test_an_entry_shows_the_evidence_of_a_cached_result():
    supports, contradicts = (equal([1.0, 2.0], [1.0, value]) for value in (2.0, 3.0))
    evidence = (Evidence("exact", "printed", "a *product*", supports),)
    controls = (Control("a *product*", "transposed", "contradicts", contradicts),)
    text = claim_pages.entry(
        CLAIMS[0], Result(CLAIMS[0], "holds", evidence=evidence, controls=controls, example="3 < 4")
    )
    rows = [
        "supports",
        r"a \*product\*",
        ":abbr:`exact (rational arithmetic)`",
        "2",
        "1 of 1 controls passed.",
        "3 < 4",
    ]
    assert all(f"{row}\n" in text for row in rows)
    assert "passed" not in claim_pages.entry(CLAIMS[0])


def test_text_of_a_registry_is_no_markup():
    assert pages.escape("M * [S1 * G_] |x| `code_`") == r"M \* [S1 \* G\_] \|x\| ``code_``"


# Public names.


def test_every_public_name_has_an_entry():
    assert not list(api_pages.missing())
    assert all(public.documented()[f"circuits.{name}"] for name in dir(circuits) if not name.startswith("_"))


def test_a_name_without_an_entry_is_noticed(monkeypatch):
    def entry(each):
        return "" if each.name == "load_model" else f".. autoclass:: {each.dotted}"

    monkeypatch.setattr(api_pages, "entry", entry)
    assert set(api_pages.missing()) == {"circuits.load_model", "circuits.models.load_model"}


def test_a_name_that_two_packages_export_is_documented_once():
    assert public.documented()["circuits.tasks.sample"] == "circuits.sample"
    assert public.documented()["circuits.tasks.sampling.sample"] == "circuits.sample"
    entries = re.findall(r"^\.\. auto\S+:: (\S+)$", "\n".join(api_pages.pages().values()), re.M)
    assert len(entries) == len({*entries})


def test_signatures_are_as_they_are_written():
    arguments, returns = signatures.as_written(forward) or ("", "")
    assert arguments.startswith("(weights: ~circuits.Weights, tokens: ~circuits.typing.Tokens, ")
    assert "~jaxtyping.Float[~jax.Array, 'rows T']" in arguments
    assert returns == "~circuits.Activations"
    fields, _ = signatures.as_written(Activations) or ("", None)
    assert "attention: " in fields
    assert (signatures.as_written(TransformerConfig) or ("", None))[0].startswith("(*, ")


def test_docstrings_are_plain_text_with_examples_and_tables():
    written = ["S * G_ and ``a_*``:", "", "    a_  1", "", "Args:", "    x: of *", "", "    >>> f(*x_)", "    [1]"]
    plain = [r"S \* G\_ and ``a_*``:", "", "::", "", "    a_  1", "", "Args:", r"    x: of \*", "", *written[-2:]]
    assert docstrings.plain(written) == plain


# Figures and taps.


def test_the_gallery_shows_every_figure_once():
    assert sorted((ROOT / "docs" / path).resolve() for path, _ in GALLERY) == sorted(FIGURES)


@pytest.mark.parametrize(("figure", "text"), GALLERY, ids=[path for path, _ in GALLERY])
def test_a_figure_has_alternative_text_and_a_command_that_exists(figure, text):
    command = text.splitlines()[-1].strip("`").split()
    files = [word for word in command if "/" in word and command[command.index(word) - 1] != "--out"]
    assert ":alt: " in text
    assert command[0] in ("python", "circuits")
    assert files
    assert all((ROOT / file).exists() for file in files)


def test_the_table_of_taps_covers_every_tap():
    config = TransformerConfig(
        vocab=7, positions=9, layers=2, heads=2, width=8, prediction_heads=3, head_kind="sequential"
    )
    shapes = Predictor(config, nnx.Rngs(0)).tap_shapes(5)
    rows = tap_table.rows(shapes)
    assert sum(row.number for row in rows) == len(shapes)
    assert len({row.pattern for row in rows}) == len(rows)
    assert ("blocks.i.attn.z", str(shapes["blocks.1.attn.z"]), 2) in rows
    assert ("heads.m.blocks.i.attn.z", str(shapes["heads.1.blocks.0.attn.z"]), 2) in rows


# No network.


@pytest.mark.parametrize(
    "page",
    [
        '<script src="https://x.org/a.js"></script>',
        '<link rel="preconnect" href="//x.org">',
        "<style>@import 'https://x.org/a.css'</style>",
        '<div style="background: url(http://x.org/a.png)"></div>',
        '<img srcset="a.png 1x, https://x.org/b.png 2x">',
        "<script>fetch('https://x.org/a.json')</script>",
        '<iframe srcdoc="&lt;script src=&quot;https://x.org/a.js&quot;&gt;&lt;/script&gt;"></iframe>',
    ],
)
def test_a_load_from_another_host_is_noticed(page):
    assert len(offline.loads_of_page(page)) == 1


def test_links_and_own_files_are_no_loads():
    page = '<a href="https://x.org">x</a><img src="_images/a.png"><style>a { background: url(data:x;base64,//8=) }'
    script = "<script>fetch('searchindex.js') // see https://x.org</script>"
    assert not offline.loads_of_page(f"{page}</style>{script}")
