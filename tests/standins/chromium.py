"""A real Chromium, driven over its own protocol through two pipes: what a page does when it is looked at."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# What has a screen of its own, as packages call it.
PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# A busy machine of two cores starts it in ten.
_LIMIT_S = 60.0

# Contrast as WCAG counts it, against the ground of the page: the least that text, labels of plots and marks have.
_CONTRAST = """(() => {
  const parts = colour => colour.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const light = colour => { const [r, g, b] = parts(colour).map(v => (v /= 255) <= 0.03928 ? v / 12.92
    : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const paper = light(getComputedStyle(document.body).backgroundColor);
  const against = colour => { const [a, b] = [light(colour), paper].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05); };
  const least = (query, name) => Math.min(...[...document.querySelectorAll(query)].map(
    each => against(getComputedStyle(each)[name])));
  return {text: least('p, td, th, li, h2, .card span', 'color'), labels: least('svg text', 'fill'),
    marks: least('rect:not(.fill-rest):not(.hit)', 'fill')};
})()"""


class Tab:
    """One page: what it asked of the network and what it complained of are kept."""

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write, self._left = read, write, b""
        self._numbers = itertools.count(1)
        self._session = ""
        self._loaded = False
        self.requests: list[str] = []
        self.complaints: list[str] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command and its result."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            said = self._message()
            if said.get("id") == number:
                assert "error" not in said, said
                return dict(said["result"])

    def open(self, page: Path | str, *, width: int = 1100, dark: bool = False) -> None:
        """Show a file, or an address, on a screen of this width."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.ask("Emulation.setEmulatedMedia", features=scheme)
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 600)
        self._loaded = False
        self.ask("Page.navigate", url=page if isinstance(page, str) else page.as_uri())
        while not self._loaded:
            self._message()

    def value(self, expression: str) -> Any:
        """What an expression of the page's own language comes to."""
        result = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)["result"]
        assert result.get("subtype") != "error", result
        return result.get("value")

    def until(self, expression: str, seconds: float = _LIMIT_S) -> Any:
        """The same once it comes to something that counts as true."""
        limit = time.monotonic() + seconds
        while not (found := self.value(expression)):
            assert time.monotonic() < limit, f"{expression} is still {found!r}; complaints: {self.complaints}"
            time.sleep(0.05)
        return found

    def contrast(self) -> dict[str, float]:
        """The least contrast of text, of labels in plots, and of what plots are drawn with."""
        return dict(self.value(_CONTRAST))

    def press(self, key: str, code: int, *, text: str = "") -> None:
        """A key of the keyboard: its name, its virtual code, and what it types."""
        for kind in ("keyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, text=text)

    def screenshot(self, *, top: int = 0, height: int | None = None) -> bytes:
        """PNG of the whole page, or of `height` pixels of it from `top` on."""
        part = {}
        if height is not None:
            width = self.value("document.documentElement.clientWidth")
            part["clip"] = {"x": 0, "y": top, "width": width, "height": height, "scale": 1}
        return base64.b64decode(self.ask("Page.captureScreenshot", captureBeyondViewport=True, **part)["data"])

    def printed(self) -> bytes:
        """PDF, as it comes out of a printer."""
        return base64.b64decode(self.ask("Page.printToPDF", printBackground=True)["data"])

    def _message(self) -> dict[str, Any]:
        limit = time.monotonic() + _LIMIT_S
        while b"\0" not in self._left:
            ready, _, _ = select.select([self._read], [], [], max(limit - time.monotonic(), 0))
            more = os.read(self._read, 1 << 20) if ready else b""
            assert more, "Chromium says nothing any more"
            self._left += more
        text, _, self._left = self._left.partition(b"\0")
        said: dict[str, Any] = json.loads(text)
        self._note(said.get("method", ""), said.get("params", {}))
        return said

    def _note(self, event: str, told: dict[str, Any]) -> None:
        if event == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        elif event == "Log.entryAdded":
            self.complaints.append(told["entry"]["text"])
        elif event in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
            self.complaints.append(json.dumps(told))
        elif event == "Page.loadEventFired":
            self._loaded = True


@contextlib.contextmanager
def tab() -> Iterator[Tab]:
    """A browser of its own with one page, gone afterwards with all it wrote."""
    assert PROGRAM
    to_browser, ours_out = os.pipe()
    ours_in, from_browser = os.pipe()
    with tempfile.TemporaryDirectory() as profile:
        # Without its own sandbox, since tests run as root in containers; the page is ours, and has no network.
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        flags += ["--remote-debugging-pipe", f"--user-data-dir={profile}", "--disable-background-networking"]
        # The protocol wants the descriptors 3 and 4.
        script = f'exec "$0" "$@" 3<&{to_browser} 4>&{from_browser}'
        browser = subprocess.Popen(
            ["bash", "-c", script, PROGRAM, *flags],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(to_browser)
        os.close(from_browser)
        try:
            yield Tab(ours_in, ours_out)
        finally:
            os.close(ours_out)  # which it takes as its end
            try:
                browser.wait(timeout=10)
            except subprocess.TimeoutExpired:
                os.killpg(browser.pid, 9)
                browser.wait()
            os.close(ours_in)
