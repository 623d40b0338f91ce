"""Pictures of the dashboard as a real browser shows it: light, dark, on a phone, with nothing in it, and failing."""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

from standins import chromium
from standins.dashboard import Scene, scene
from standins.router import KEY, OTHER_KEY

# Pixels across, and down.
SCREEN, PHONE = (1000, 860), (360, 1300)
DRAWN = "document.querySelectorAll('#leading tr, #leading p').length && document.querySelectorAll('#station tr').length"
ROWS = "document.querySelectorAll('#requests tr, #requests p.soft').length"


def opened(tab: chromium.Tab, here: Scene, key: str = KEY, *, width: int = SCREEN[0], dark: bool = False) -> None:
    """The dashboard, signed in, with every panel drawn."""
    # Not from one address of the page to another, which would load nothing.
    tab.open("about:blank", width=width, dark=dark)
    tab.open(here.sign_in(key), width=width, dark=dark)
    tab.until(DRAWN)
    tab.until(ROWS)


def shots(directory: Path) -> Iterator[tuple[str, bytes]]:
    """Names of files and what is in them."""
    with scene(directory / "busy") as busy, chromium.tab() as tab:
        for key in (KEY, OTHER_KEY, OTHER_KEY):
            busy.ask(key)
        opened(tab, busy)
        # Until there is a pace, and the engine has said what it holds.
        tab.until("document.querySelector('#station').innerText.includes('GiB')")
        time.sleep(4)
        yield "dashboard-light.png", _shot(tab, SCREEN)
        opened(tab, busy, dark=True)
        tab.until("document.querySelector('#station').innerText.includes('GiB')")
        top = tab.value("Math.floor(document.querySelector('#money-title').getBoundingClientRect().top + scrollY)")
        yield "dashboard-dark.png", _shot(tab, SCREEN, top)
        opened(tab, busy, width=PHONE[0])
        tab.until("document.querySelector('#station').innerText.includes('GiB')")
        yield "dashboard-phone.png", _shot(tab, PHONE)
    with scene(directory / "empty", None) as empty, chromium.tab() as tab:
        opened(tab, empty)
        yield "dashboard-empty.png", _shot(tab, SCREEN)
    with scene(directory / "failing") as failing, chromium.tab() as tab:
        failing.engine.well = False
        opened(tab, failing)
        tab.until("document.querySelector('#station').innerText.includes('cannot serve')")
        yield "dashboard-failing.png", _shot(tab, SCREEN)


def size(png: bytes) -> tuple[int, int]:
    """Pixels across and down."""
    width, height = struct.unpack(">II", png[16:24])
    return int(width), int(height)


def _shot(tab: chromium.Tab, screen: tuple[int, int], top: int = 0) -> bytes:
    tab.ask("Emulation.setScrollbarsHidden", hidden=True)
    return smaller(tab.screenshot(top=top, height=screen[1]))


def smaller(png: bytes) -> bytes:
    """The same picture, packed as well as zlib can: browsers pack for speed."""
    at, chunks, packed = 8, [], b""
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        if kind == b"IDAT":
            packed += data
        else:
            chunks.append((kind, data))
        at += 12 + length
    chunks.insert(-1, (b"IDAT", zlib.compress(zlib.decompress(packed), 9)))
    return png[:8] + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
