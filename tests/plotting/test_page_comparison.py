"""The attention page with several models, training steps, single problems and scores; captions and exports."""

import re
from pathlib import Path

import numpy as np
import pytest

from circuits.plotting import attention_page
from circuits.probes.attention.maps import ALIGNED
from tests.plotting.browser import run_in_page
from tests.plotting.page import MAPS, ROLES, TOKENS, TOOLS, H, L, T, embedded, frame, record, unpacked
from tests.plotting.reading import random_maps, softmax


def test_two_large_records_without_errors_fit():
    maps = random_maps(8, 8, tuple(map(str, range(96))), ("other",) * 96, query=95)._replace(errors=None)
    assert len(attention_page(maps, maps).html.encode()) < 5e6


def test_the_example_in_the_gallery_has_the_current_script_and_style():
    """Otherwise repeat the command that docs/gallery.md names."""
    example = (Path(__file__).parents[2] / "docs" / "_static" / "ntp-beside-mtp.html").read_text(encoding="utf-8")
    assert len(example) < 1e6
    for part in (r"<style>.*?</style>", r"<script>.*?</script>"):
        current, stored = (re.findall(part, html, re.S) for html in (attention_page(MAPS).html, example))
        assert stored == current


def test_the_caption_says_how_positions_were_ordered():
    aligned = attention_page(record(notes={"examples": 544, "rows and columns": ALIGNED})).html
    for text in ("averaged over 544 problems", "query positions down, key positions across", "not the future"):
        assert text in aligned
    written = attention_page(record(notes={"examples": 1})).html
    assert "A query cannot attend to the future" in written
    assert "averaged" not in written
    assert "cannot attend" not in attention_page(record(patterns=softmax(L, H, T, causal=False), notes={})).html


def test_models_steps_and_scores_are_embedded_in_order():
    first, last = record(patterns=softmax(L, H, T, causal=False)), record(title="B", notes={"examples": 32})
    effect = np.array([[np.nan, *[0.5] * (H - 1)]] * L)
    page = attention_page([first, MAPS], [last, last], steps=[0, 500], scores=[{"effect": effect}])
    data = embedded(page)
    assert data["steps"] == [0, 500]
    assert not data["causal"]
    assert [model["title"] for model in data["models"]] == ["A star", "B"]
    assert data["models"][0]["scores"] == {"effect": [[None, *[0.5] * (H - 1)]] * L}
    assert data["models"][1]["scores"] == {}
    gap = [np.abs(unpacked(frame(data, 0, step)["patterns"], (L, H, T, T)) - first.patterns).max() for step in (0, 1)]
    assert gap[0] < 1e-4 < gap[1]
    assert "<dt>examples</dt> <dd>64 | 32</dd>" in page.html
    assert "<h1>A star | B</h1>" in page.html


@pytest.mark.parametrize(
    ("others", "options", "message"),
    [
        ([MAPS._replace(tokens=TOKENS[::-1])], {}, "tokens: must be those of the first record"),
        ([MAPS._replace(query=8)], {}, "query: must be those of the first record"),
        ([random_maps(L, H + 1, TOKENS, ROLES, query=9)], {}, "patterns: must have shape (3, 4, 11, 11)"),
        ([[MAPS, MAPS]], {}, "maps: must be one record without steps, got 2"),
        ([], {"steps": [1, 2]}, "maps: must be 2 records, one for each of the steps, got 1"),
        ([], {"steps": [2, 1]}, "steps: must be increasing, got [2, 1]"),
        ([], {"scores": {"a": np.zeros((H, L))}}, "scores['a']: must have shape (3, 4)"),
        ([], {"scores": {"a": np.full((L, H), np.inf)}}, "scores['a']: must not be infinite"),
        ([], {"scores": [{}, {}]}, "scores: must be at most 1 mappings, got 2"),
    ],
)
def test_what_does_not_fit_together(others, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        attention_page(MAPS, *others, **options)


_SCRIPT = r"""
const each = name => views.map(view => view.part(name).textContent);
const change = (id, value, kind = "change") => { at(id).value = value; at(id).dispatchEvent(new Event(kind)); };
const values = view => [...view.part("bars").querySelectorAll("td:last-child")].map(part => part.textContent);
const grid = view => [...view.part("everywhere").querySelectorAll("button")];
const wait = time => new Promise(done => setTimeout(done, time));
const seen = { opened: each("opened"), effects: views.map(view => grid(view).map(cell => cell.textContent)),
  red: grid(views[0])[11].style.background, blue: grid(views[0])[0].style.background, quiet: text("live") };
grid(views[1])[6].click();
seen.common = [each("opened"), views.map(view => pressed(view.thumbnails.map(each => each.button))), location.hash];
seen.values = views.map(values);
change("step", 0, "input");
seen.early = [text("reached"), each("opened"), values(views[0])];
at("play").click();
seen.playing = text("play");
await wait(1000);
seen.played = [text("reached"), text("play")];
change("example", 1);
seen.example = [each("opened"), views.map(values), location.hash];
change("layer", 2); change("head", 0); change("row", 4);
seen.selects = [each("opened"), each("read"), text("live")];
press(pattern, "ArrowRight"); press(pattern, "ArrowRight"); press(pattern, "ArrowDown");
seen.keyboard = [each("cell"), text("live")];
press(pattern, "Escape");
seen.left = each("cell");
change("example", -1);
seen.csv = table().split("\r\n");
const whole = picture();
seen.png = [whole.width > 2 * pattern.width, whole.height > pattern.height];
seen.saved = [];
HTMLAnchorElement.prototype.click = function () { seen.saved.push([this.download, this.href.slice(0, 5)]); };
at("csv").click(); at("png").click();
seen.name = pattern.getAttribute("aria-label");
return seen;
"""


def written(patterns: np.ndarray, errors: np.ndarray | None, layer: int, head: int, query: int) -> list[str]:
    """Return what the page writes for each visible key."""
    row = patterns[layer, head, query, : query + 1]
    spread = [""] * len(row) if errors is None else [f" ± {error:.3f}" for error in errors[layer, head, query]]
    return [f"{value:.3f}{spread[key]}" for key, value in enumerate(row)]


def test_two_models_over_training_with_scores_and_single_problems(tmp_path):
    one, two = softmax(L, H, T), np.flip(softmax(L, H, T), 0)
    last = record(patterns=one, examples=np.stack([two, one]), title="NTP")
    other = record(patterns=two, errors=None, examples=np.stack([one, two]), title="3, MTP")
    effects = {"effect": np.linspace(-1, 1, L * H).reshape(L, H)}
    page = attention_page([last._replace(patterns=two), last], [other, other], steps=[0, 1500], scores=effects)
    seen = run_in_page(TOOLS + _SCRIPT, page.html, tmp_path)

    errors = np.asarray(last.errors)
    assert seen["opened"] == ["NTP, L0H0, step 1,500", "3, MTP, L0H0, step 1,500"]
    assert seen["effects"][0][::11] == ["−1.00", "1.00"]
    assert set(seen["effects"][1]) == {"–"}
    assert seen["red"] != seen["blue"]
    assert seen["quiet"] == ""
    assert seen["common"][:2] == [["NTP, L1H2, step 1,500", "3, MTP, L1H2, step 1,500"], [6, 6]]
    assert seen["common"][2] == "#layer=1&head=2&row=9&step=1&example=-1"
    assert seen["values"] == [written(one, errors, 1, 2, 9), written(two, None, 1, 2, 9)]
    assert seen["early"] == ["0", ["NTP, L1H2, step 0", "3, MTP, L1H2, step 0"], written(two, errors, 1, 2, 9)]
    assert (seen["playing"], seen["played"]) == ("pause", ["1,500", "play"])
    assert seen["example"][0][0] == "NTP, L1H2, step 1,500, problem 1"
    assert seen["example"][1] == [written(one, None, 1, 2, 9), written(two, None, 1, 2, 9)]
    assert seen["example"][2].endswith("step=1&example=1")
    assert seen["selects"][0][1] == "3, MTP, L2H0, step 1,500, problem 1"
    assert seen["selects"][1] == ["Query 4 “9”, distractor"] * 2
    key = int(np.argmax(one[2, 0, 4]))
    said = f"NTP: most attention to key {key} “{TOKENS[key]}”, {ROLES[key]}, {written(one, None, 2, 0, 4)[key]}; "
    assert said in seen["selects"][2]
    cells = [f"attention to key 1 “3”, path: {written(each, None, 2, 0, 5)[1]}" for each in (one, two)]
    assert seen["keyboard"][0] == cells
    assert "L2H0, step 1,500, problem 1, query 5 “5”, distractor. NTP: attention to key 1" in seen["keyboard"][1]
    assert seen["left"] == ["", ""]
    assert "query positions down, key positions across" in seen["name"]

    assert len(seen["csv"]) == 2 + 2 * T * T
    assert seen["csv"][0].startswith("model,step,problem,layer,head,query,query_token,query_role,key,")
    line = seen["csv"][1 + 2 * T + 1].split(",")
    assert line[:11] == ["NTP", "1500", "mean", "2", "0", "2", "9", "distractor", "1", "3", "path"]
    np.testing.assert_allclose([float(each) for each in line[11:]], [one[2, 0, 2, 1], errors[2, 0, 2, 1]], atol=1e-5)
    assert re.fullmatch(r'"3, MTP",1500,mean,2,0,10,3,answer,10,3,answer,\d\.\d{6},', seen["csv"][-2])
    assert seen["png"] == [True, True]
    assert [(name[-4:], address) for name, address in seen["saved"]] == [(".csv", "blob:"), (".png", "blob:")]
