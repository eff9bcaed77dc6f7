"""Records for the attention page, what a page holds, and what a script in it may use."""

import base64
import json
import re
from typing import Any

import numpy as np

from circuits.plotting import AttentionPage
from circuits.probes.attention.maps import AttentionMaps
from tests.plotting.reading import random_maps

ROLES = (*["path"] * 2, *["distractor"] * 4, *["path"] * 2, "goal", "start", "answer")
TOKENS = ("7", "3", "9", "2", "9", "5", "3", "8", "8", "7", "3")
T, L, H = len(TOKENS), 3, 4
NASTY = "</script><img src=x onerror=document.title='owned'>"
MAPS = random_maps(L, H, TOKENS, ROLES, query=9)


def record(**changes: Any) -> AttentionMaps:
    return MAPS._replace(**changes)


def embedded(page: AttentionPage) -> dict[str, Any]:
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page.html, re.DOTALL)
    return json.loads(data)


def frame(data: dict[str, Any], model: int = 0, step: int = 0) -> dict[str, Any]:
    return data["models"][model]["frames"][step]


def unpacked(packed: dict[str, Any], shape: tuple[int, ...]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(packed["values"]), "<u2").reshape(shape) * packed["unit"]


TOOLS = """
const at = id => document.getElementById(id) ?? document.querySelector(`.${id}`), text = id => at(id).textContent;
const thumbs = [...document.querySelectorAll(".thumbnails button")];
const bars = () => [...document.querySelectorAll(".bars tr")].map(row =>
  [...row.querySelectorAll("td:first-child, .token, small, td:last-child")].map(part => part.textContent));
const masses = () => Object.fromEntries([...document.querySelectorAll(".masses li")].map(item =>
  [item.dataset.role, item.querySelector(".number").textContent]));
const cells = () => [...document.querySelectorAll(".everywhere button")].map(button => button.title.split(": ")[1]);
const pressed = list => list.findIndex(button => button.getAttribute("aria-pressed") === "true");
const pattern = at("pattern");
const pointer = (kind, row, key) => {
  const bounds = pattern.getBoundingClientRect();
  pattern.dispatchEvent(new PointerEvent(kind, { bubbles: true,
    clientX: bounds.left + views[0].box.left + (key + 0.5) * views[0].box.cell,
    clientY: bounds.top + views[0].box.top + (row + 0.5) * views[0].box.cell }));
};
const press = (target, key) =>
  target.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
const pixel = (canvas, x, y) => [...canvas.getContext("2d").getImageData(x, y, 1, 1).data];
"""
