"""Pictures of the dashboard as a real browser shows it: light, dark, on a phone, with nothing in it, and failing."""

from __future__ import annotations

import struct
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from standins import chromium
from standins.dashboard import Scene, scene
from standins.router import KEY, OTHER_KEY

# Pixels across, and down.
SCREEN, SHORT, PHONE = (1000, 860), (1000, 600), (360, 1000)
# Of a picture: as many as go into half a byte.
_COLOURS = 16
# Every panel has what it was waiting for.
DRAWN = "!document.getElementById('panels').hidden && !/Waiting for the|Reading the/.test(document.body.innerText)"


def opened(tab: chromium.Tab, here: Scene, key: str = KEY, *, width: int = SCREEN[0], dark: bool = False) -> None:
    """The dashboard, signed in, with every panel drawn."""
    # Not from one address of the page to another, which would load nothing.
    tab.open("about:blank", width=width, dark=dark)
    tab.ask("Emulation.setScrollbarsHidden", hidden=True)
    tab.open(here.sign_in(key), width=width, dark=dark)
    tab.until(DRAWN)


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
        yield "dashboard-dark.png", _shot(tab, SHORT, top)
        opened(tab, busy, width=PHONE[0])
        tab.until("document.querySelector('#station').innerText.includes('GiB')")
        yield "dashboard-phone.png", _shot(tab, PHONE)
    with scene(directory / "empty", None) as empty, chromium.tab() as tab:
        opened(tab, empty)
        yield "dashboard-empty.png", _shot(tab, SHORT)
    with scene(directory / "failing") as failing, chromium.tab() as tab:
        failing.engine.well = False
        opened(tab, failing)
        tab.until("document.querySelector('#station').innerText.includes('cannot serve')")
        yield "dashboard-failing.png", _shot(tab, SHORT)


def size(png: bytes) -> tuple[int, int]:
    """Pixels across and down."""
    width, height = struct.unpack(">II", png[16:24])
    return int(width), int(height)


def _shot(tab: chromium.Tab, screen: tuple[int, int], top: int = 0) -> bytes:
    return smaller(tab.screenshot(top=top, height=screen[1]))


def smaller(png: bytes) -> bytes:
    """The same picture in few colours, and packed well: the collection's tarball has them, too, and is bounded."""
    width, height = size(png)
    pixels = _pixels(png, width, height)
    colours = Counter(pixels)
    palette = [colour for colour, _ in colours.most_common(_COLOURS)]
    nearest = {colour: _nearest(colour, palette) for colour in colours}
    rows = b"".join(
        b"\0" + _halves([nearest[colour] for colour in pixels[at : at + width]])
        for at in range(0, width * height, width)
    )
    head = struct.pack(">IIBBBBB", width, height, 4, 3, 0, 0, 0)
    parts = ((b"IHDR", head), (b"PLTE", b"".join(palette)), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    return png[:8] + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )


def _halves(row: list[int]) -> bytes:
    """Two pixels a byte."""
    row = [*row, *[0] * (len(row) % 2)]
    return bytes(one << 4 | two for one, two in zip(row[::2], row[1::2], strict=True))


def _nearest(colour: bytes, palette: list[bytes]) -> int:
    return min(range(len(palette)), key=lambda at: sum((a - b) ** 2 for a, b in zip(colour, palette[at], strict=True)))


def _pixels(png: bytes, width: int, height: int) -> list[bytes]:
    """Three bytes each, row by row, of a PNG as Chromium makes them: 8 bits a colour, without alpha."""
    assert png[24:26] == b"\x08\x02"
    at, packed = 8, b""
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            packed += png[at + 8 : at + 8 + length]
        at += 12 + length
    data, line = zlib.decompress(packed), width * 3
    pixels: list[bytes] = []
    before = bytearray(line)
    for start in range(0, height * (line + 1), line + 1):
        before = _unfiltered(data[start], bytearray(data[start + 1 : start + 1 + line]), before)
        pixels += [bytes(before[x : x + 3]) for x in range(0, line, 3)]
    return pixels


def _unfiltered(kind: int, row: bytearray, above: bytearray) -> bytearray:
    """A row of pixels (PNG specification, 9.2)."""
    if kind == 1:
        for x in range(3, len(row)):
            row[x] = (row[x] + row[x - 3]) & 255
    elif kind == 2:
        for x, up in enumerate(above):
            row[x] = (row[x] + up) & 255
    elif kind == 3:
        for x, up in enumerate(above):
            row[x] = (row[x] + ((row[x - 3] if x > 2 else 0) + up) // 2) & 255
    elif kind == 4:
        for x, up in enumerate(above):
            left, corner = (row[x - 3], above[x - 3]) if x > 2 else (0, 0)
            row[x] = (row[x] + _paeth(left, up, corner)) & 255
    return row


def _paeth(left: int, up: int, corner: int) -> int:
    from_left, from_up, from_corner = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
    if from_left <= from_up and from_left <= from_corner:
        return left
    return up if from_up <= from_corner else corner
