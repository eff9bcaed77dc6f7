"""Run a script in a page in headless Chromium. Tests skip where there is no browser."""

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
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--disable-features=IsolateSandboxedIframes",  # virtual time would not wait for frames in other processes
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--virtual-time-budget=4000",
    "--dump-dom",
)
_START, _END = '<pre id="result">', "</pre>"
_AROUND = """addEventListener("load", async () => {
  let result;
  try { result = await (async () => { %s })(); } catch (error) { result = { broken: String(error.stack || error) }; }
  const note = document.createElement("pre");
  note.id = "result";
  note.textContent = JSON.stringify(result);
  document.body.append(note);
});
"""


def run_in_page(script: str, html: str, folder: Path, address: str = "", width: int = 1300, dark: bool = False) -> Any:
    """Return, as JSON, what the body of an asynchronous function returns in the loaded page. An exception fails.

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
    assert mark, f"the page returned nothing:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    result = json.loads(unescape(rest.partition(_END)[0]))
    assert not (isinstance(result, dict) and "broken" in result), result
    return result
