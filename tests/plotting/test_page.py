"""The attention page: what it holds, what it refuses, and what it does in a browser."""

import re
from html import escape, unescape
from itertools import combinations

import numpy as np
import pytest

from circuits.plotting import AttentionPage, attention_page
from circuits.plotting.cells import visible_whitespace
from circuits.plotting.page.data import STEPS
from circuits.plotting.style import OTHER_ROLE, ROLE_COLOURS, role_colour
from tests.plotting.browser import run_in_page
from tests.plotting.page import MAPS, NASTY, ROLES, TOKENS, TOOLS, H, L, T, embedded, frame, record, unpacked
from tests.plotting.reading import random_maps, softmax

# ------------------------------------------------------------------------------------------- the page


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_values_come_back_within_the_stated_bound(dtype):
    patterns, errors = softmax(L, H, T, causal=False).astype(dtype), (0.3 * softmax(L, H, T)).astype(dtype)
    data = embedded(attention_page(record(patterns=patterns, errors=errors)))
    for name, given in (("patterns", patterns), ("errors", errors)):
        gap = np.abs(unpacked(frame(data)[name], given.shape) - given)
        assert gap.max() <= given.max() / STEPS / 2 * (1 + 1e-6)
        assert gap.max() > 0
    assert "within 7.6e-06 of the given ones" in attention_page(record(patterns=np.eye(T) * np.ones((L, H, 1, 1)))).html


def test_all_that_the_script_reads():
    data = embedded(attention_page(record(positions=np.arange(T) * 3)))
    assert (data["layers"], data["heads"], data["query"], data["causal"]) == (L, ["0", "1", "2", "3"], 9, True)
    assert (data["tokens"], data["roles"]) == (list(TOKENS), list(ROLES))
    assert data["positions"] == list(range(0, 3 * T, 3))
    assert data["colours"] == {role: ROLE_COLOURS[role] for role in set(ROLES)}
    assert embedded(attention_page(record()))["positions"] == list(range(T))
    assert frame(embedded(attention_page(record(errors=None))))["errors"] is None
    assert not embedded(attention_page(record(patterns=softmax(L, H, T, causal=False))))["causal"]


def test_the_same_record_gives_the_same_page():
    assert attention_page(record()) == attention_page(random_maps(L, H, TOKENS, ROLES, query=9))


def test_all_zero_errors_can_be_stored():
    assert not unpacked(
        frame(embedded(attention_page(record(errors=np.zeros((L, H, T, T))))))["errors"], (L, H, T, T)
    ).any()


def test_texts_are_escaped():
    maps = record(
        tokens=(NASTY, *TOKENS[1:]), roles=(NASTY, *ROLES[1:]), title=NASTY, notes={NASTY: NASTY, "list": [NASTY]}
    )
    page = attention_page(maps)
    assert "<img" not in page.html
    assert page.html.count("</script>") == 2  # the data's and the script's own
    assert page.html.count(escape(NASTY)) == 5  # heading, title of the window, a note's name and two values
    data = embedded(page)
    assert data["tokens"][0] == data["roles"][0] == NASTY


def test_notes_are_shown_as_they_are():
    html = attention_page(record(notes={"examples": 512, "averaged": "over seeds", "layers": [1, 2]})).html
    for name, value in (("examples", "512"), ("averaged", "over seeds"), ("layers", "[1, 2]")):
        assert f"<dt>{name}</dt> <dd>{value}</dd>" in html
    assert "<dl" not in attention_page(record(notes={})).html


def test_nothing_is_loaded():
    html = attention_page(record()).html
    assert "default-src 'none'" in html
    assert not re.search(r"https?:|@import|url\(|<link|\bsrc=|\bimport\b|fetch\(|XMLHttpRequest", html)


def test_a_large_record_fits():
    maps = random_maps(8, 8, tuple(map(str, range(96))), ("other",) * 96, query=95)
    page = attention_page(maps)
    assert len(page.html.encode()) < 5e6
    assert len(page._repr_html_().encode()) < 5e6


def test_a_notebook_shows_it_in_a_frame():
    page = attention_page(record(title='"quoted" & <b>'))
    frame = page._repr_html_()
    inner = re.fullmatch(r'<iframe srcdoc="([^"]*)" sandbox="allow-scripts allow-downloads" [^<>]*></iframe>', frame)
    assert inner
    assert unescape(inner[1]) == page.html
    assert len(repr(page)) < 100


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patterns": MAPS.patterns[..., :-1]}, "patterns: must be [L, H, T, T]"),
        ({"patterns": -MAPS.patterns}, "patterns: must lie between 0 and 1"),
        ({"tokens": TOKENS[1:]}, "tokens: must hold 11 texts"),
        ({"query": T}, "query: must be an integer between 0 and 10"),
        ({"errors": np.full((L, H, T, T), np.nan)}, "errors: must be finite"),
        ({"errors": np.full((L, H, T, T), -0.5)}, "errors: must not be negative"),
        ({"positions": np.arange(T - 1)}, "positions: must have shape (11,)"),
        ({"notes": {"model": object}}, "notes['model']: must be a value for JSON"),
    ],
)
def test_what_does_not_fit(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        attention_page(record(**changes))


def test_spaces_and_line_ends_are_visible():
    cases = {" Paris": "␣Paris", "a b": "a b", "\n": "↵", "  ": "␣␣", "x ": "x␣", "": "", "\tif": "→if"}
    assert {given: visible_whitespace(given) for given in cases} == cases


# Machado et al. (2009): what linear RGB becomes in full protanopia, deuteranopia and tritanopia.
BLINDNESS = {
    "none": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def lab(colour: str, blindness: str) -> np.ndarray:
    """CIE L*a*b* of a colour as it is seen."""
    srgb = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.asarray(BLINDNESS[blindness]) @ linear, 0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(np.maximum(to_xyz @ linear / [0.9505, 1, 1.089], 1e-3))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def nearest(colours: list[str], blindness: str) -> float:
    seen = [lab(colour, blindness) for colour in colours]
    return min(float(np.linalg.norm(one - other)) for one, other in combinations(seen, 2))


@pytest.mark.parametrize("blindness", BLINDNESS)
def test_roles_are_distinguishable_with_any_colour_vision(blindness):
    assert nearest([*ROLE_COLOURS.values(), OTHER_ROLE], blindness) > 15
    assert role_colour("goal") == ROLE_COLOURS["goal"]
    assert role_colour("unheard of") == OTHER_ROLE


def test_red_and_green_would_not_be():
    assert nearest(["#CC4422", "#668822"], "deuteranopia") < 15


# ---------------------------------------------------------------------------------------- in a browser


def test_a_reader_looks_through_the_maps(tmp_path):
    maps = record()
    script = """
      const seen = { first: [text("opened"), text("read"), text("cell")], thumbs: thumbs.length, bars: bars(),
        masses: masses(), goal: cells() };
      thumbs[6].click();
      seen.opened = [text("opened"), location.hash, pressed(thumbs), bars()];
      press(thumbs[6], "ArrowDown");
      press(thumbs[10], "ArrowLeft");
      seen.keys = [text("opened"), document.activeElement === thumbs[9], thumbs[9].tabIndex, thumbs[6].tabIndex];
      pointer("pointermove", 4, 2);
      seen.hovered = [text("read"), text("cell"), bars().length, location.hash,
        document.querySelector(".bars .selected").dataset.key];
      pointer("pointermove", 4, 8);
      seen.unseen = text("cell");
      pattern.dispatchEvent(new PointerEvent("pointerleave"));
      seen.left = [text("read"), bars().length];
      pointer("click", 6, 1);
      seen.kept = [text("read"), location.hash, at("row").value, cells()];
      press(pattern, "ArrowUp");
      seen.above = [text("read"), location.hash];
      at("target").value = "key:3";
      at("target").dispatchEvent(new Event("change"));
      seen.everywhere = [text("what"), cells()];
      document.querySelectorAll(".everywhere button")[11].click();
      seen.chosen = [text("opened"), pressed([...document.querySelectorAll(".everywhere button")])];
      at("sorted").click();
      seen.sorted = bars().map(row => row[0]);
      location.hash = "#layer=1&head=2&row=7";
      await new Promise(done => addEventListener("hashchange", done));
      seen.linked = [text("opened"), text("read")];
      const before = [pixel(thumbs[0].firstElementChild, 0, 8), document.querySelector(".bars i").style.width];
      at("root").click();
      seen.root = [before, [pixel(thumbs[0].firstElementChild, 0, 8), document.querySelector(".bars i").style.width]];
      return seen;
    """
    seen = run_in_page(TOOLS + script, attention_page(maps).html, tmp_path)

    def lines(layer: int, head: int, row: int) -> list[list[str]]:
        shown = zip(maps.patterns[layer, head, row], np.asarray(maps.errors)[layer, head, row], strict=True)
        return [
            [str(key), TOKENS[key], ROLES[key], f"{value:.3f} ± {error:.3f}"]
            for key, (value, error) in enumerate(shown)
        ][: row + 1]

    def mass(rows: np.ndarray, role: str) -> np.ndarray:
        return rows[..., np.array(ROLES) == role].sum(-1)

    assert seen["first"] == ["L0H0", "Query 9 “7”, start", "its prediction is examined"]
    assert seen["thumbs"] == L * H
    assert seen["bars"] == lines(0, 0, 9)
    assert seen["masses"] == {role: f"{mass(maps.patterns[0, 0, 9], role):.3f}" for role in dict.fromkeys(ROLES)}
    assert seen["goal"] == [f"{value:.3f}" for value in mass(maps.patterns[:, :, 9], "goal").flat]
    assert seen["opened"] == ["L1H2", "#layer=1&head=2&row=9", 6, lines(1, 2, 9)]
    assert seen["keys"] == ["L2H1", True, 0, -1]
    reads = f"attention to key 2 “9”, distractor: {lines(2, 1, 4)[2][3]}"
    assert seen["hovered"] == ["Query 4 “9”, distractor", reads, 5, "#layer=2&head=1&row=9", "2"]
    assert seen["unseen"] == "attention to key 8 “8”, goal: in the future"
    assert seen["left"] == ["Query 9 “7”, start", 10]
    goal = [f"{value:.3f}" for value in mass(maps.patterns[:, :, 6], "goal").flat]
    assert seen["kept"] == ["Query 6 “3”, path", "#layer=2&head=1&row=6", "6", goal]
    assert seen["above"] == ["Query 5 “5”, distractor", "#layer=2&head=1&row=5"]
    what = "Attention of query 5 “5”, distractor to key 3 “2”, distractor."
    assert seen["everywhere"] == [what, [f"{value:.3f}" for value in maps.patterns[:, :, 5, 3].flat]]
    assert seen["chosen"] == ["L2H3", 11]
    assert seen["sorted"] == [str(key) for key in np.argsort(-maps.patterns[2, 3, 5, :6])]
    assert seen["linked"] == ["L1H2", "Query 7 “8”, path"]
    (linear, width), (root, wider) = seen["root"]
    largest = float(maps.patterns[1, 2, 7].max())
    assert linear != root
    np.testing.assert_allclose([float(width[:-1]), float(wider[:-1])], [100 * largest, 100 * largest**0.5], rtol=1e-3)


def test_the_address_chooses_and_nothing_leaves(tmp_path):
    script = """
      const refused = [];
      addEventListener("securitypolicyviolation", event => refused.push(event.violatedDirective));
      const loaded = performance.getEntriesByType("resource").length;
      const seen = { address: [text("opened"), text("read"), at("row").value], loaded, title: document.title };
      seen.images = document.querySelectorAll("img").length;
      seen.before = refused.length;
      seen.token = bars()[0][1];
      seen.thin = document.documentElement.scrollWidth <= innerWidth;
      const image = new Image();
      image.src = "https://example.org/x.png";
      await new Promise(done => { image.onerror = done; });
      seen.refused = refused;
      return seen;
    """
    maps = record(tokens=(NASTY, *TOKENS[1:]), title=NASTY)
    seen = run_in_page(TOOLS + script, attention_page(maps).html, tmp_path, address="#layer=2&head=3&row=0", width=500)
    assert seen["address"] == ["L2H3", f"Query 0 “{NASTY}”, path", "0"]
    assert (seen["loaded"], seen["images"], seen["before"]) == (0, 0, 0)
    assert seen["title"] == seen["token"] == NASTY
    assert seen["thin"]
    assert seen["refused"] == ["img-src"]  # the policy is in force: what would load is refused


def test_a_frame_of_a_notebook_in_the_dark_and_at_360_pixels(tmp_path):
    """Without roles, without errors, one column, and not causal."""
    maps = record(
        patterns=softmax(L, 1, T, causal=False), heads=("mean of 4",), roles=("",) * T, errors=None, title="plain"
    )
    inner = """addEventListener("load", () => {
      const page = document.documentElement, first = document.querySelector(".thumbnails canvas");
      document.querySelectorAll(".thumbnails button")[2].click();
      parent.postMessage({ opened: document.querySelector(".opened").textContent,
        bars: document.querySelectorAll(".bars tr").length, hidden: document.querySelector(".by-role").hidden,
        target: document.getElementById("target").value, thin: page.scrollWidth <= page.clientWidth,
        read: document.querySelector(".read").textContent,
        ground: getComputedStyle(document.body).backgroundColor,
        corner: [...first.getContext("2d").getImageData(10, 0, 1, 1).data] }, "*"); });"""
    page = attention_page(maps)
    allowed = re.sub(r"'sha256-[^']*'", "'unsafe-inline'", page.html)
    allowed = allowed.replace("</body>", f"<script>{inner}</script></body>")
    frame = AttentionPage(allowed)._repr_html_().replace('style="width: 100%', 'style="width: 360px')
    frame = frame.replace('loading="lazy"', "")
    around = f"""<!doctype html><html><head><meta name="color-scheme" content="light dark"></head><body><script>
      window.told = new Promise(done => addEventListener("message", event => done(event.data)));</script>
      {frame}</body></html>"""
    seen = run_in_page("return await window.told;", around, tmp_path, dark=True)
    assert seen["opened"] == "L2, mean of 4"
    assert seen["read"] == "Query 9 “7”"
    assert (seen["bars"], seen["hidden"], seen["target"], seen["thin"]) == (T, True, "key:0", True)
    assert seen["ground"] == "rgb(22, 23, 27)"
    value = maps.patterns[0, 0, 0, 10]
    assert seen["corner"][:3] != [42, 44, 51]  # above the diagonal, and shown: not the colour of what is unseen
    assert (sum(seen["corner"][:3]) > 300) == bool(value > 0.5)  # bright is much, in the dark
