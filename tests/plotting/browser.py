"""A page in headless Chromium: what a script that is added to it finds. Tests skip where there is no browser."""

import json
import shutil
import subprocess
from base64 import b64encode
from hashlib import sha256
from html import unescape
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-features=IsolateSandboxedIframes",  # virtual time would not wait for frames in other processes
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--virtual-time-budget=4000",
    "--dump-dom",
)
_START, _END = '<pre id="found">', "</pre>"
_AROUND = """addEventListener("load", async () => {
  let found;
  try { found = await (async () => { %s })(); } catch (error) { found = { broken: String(error.stack || error) }; }
  const note = document.createElement("pre");
  note.id = "found";
  note.textContent = JSON.stringify(found);
  document.body.append(note);
});
"""


def found_by(script: str, html: str, folder: Path, address: str = "", width: int = 1300, dark: bool = False) -> Any:
    """What the body of an asynchronous function returns in the loaded page, as JSON. Fails the test if it throws.

    ``address`` follows the name of the file, such as "#row=3". The page's own policy stays in force: the script is
    named in it, and nothing else is loosened.
    """
    browser = next(filter(None, map(shutil.which, _NAMES)), None)
    if browser is None:
        pytest.skip("no Chromium on this machine")
    text = _AROUND % script
    digest = b64encode(sha256(text.encode()).digest()).decode()
    page = folder / "page.html"
    own = "\"default-src 'none'; script-src "  # not that of a page in a frame, where quotes are escaped
    allowed = html.replace(own, f"{own}'sha256-{digest}' ")
    page.write_text(allowed.replace("</body>", f"<script>{text}</script></body>"), encoding="utf-8")
    theme = ("--blink-settings=preferredColorScheme=0",) if dark else ()
    command = (browser, *_FLAGS, *theme, f"--window-size={width},900", f"--user-data-dir={folder / 'profile'}")
    done = subprocess.run((*command, page.as_uri() + address), capture_output=True, text=True, timeout=60, check=False)
    _, mark, rest = done.stdout.partition(_START)
    assert mark, f"the page found nothing:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    found = json.loads(unescape(rest.partition(_END)[0]))
    assert not (isinstance(found, dict) and "broken" in found), found
    return found
