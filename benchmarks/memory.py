"""The most memory that clients can make the router take.

`python benchmarks/memory.py [--seconds 40] [--json FILE]`

200 clients at a time, each a connection that asks again when it has ended, with bodies that are large (15 MB, with
their length and without it), in chunks of 2 bytes, slow, and endless (a body, a chunk extension, a trailer, a head,
requests one behind another), before an upstream that takes every request and answers none. Half of them have a key.
Resident memory is read ten times a second; the kernel's own peak (VmHWM) is printed, and is to stay below 256 MB.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from stand import KEY, free_port, resident_mb, router, wait_for

CLIENTS = 200
BOUND_MB = 256.0

LARGE = 15 * 1000 * 1000
_PIECE = 64 * 1024
_HEAD = "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {key}\r\n"
_TEXT = b'{"model": "coder", "messages": [{"role": "user", "content": "'

Body = Callable[[], AsyncIterator[bytes]]


async def large() -> AsyncIterator[bytes]:
    """A body whose length is known."""
    yield b"content-length: %d\r\n\r\n%b" % (LARGE, _TEXT)
    left = LARGE - len(_TEXT) - 4
    while left > 0:
        yield b"x" * min(left, _PIECE)
        left -= _PIECE
    yield b'"}]}'


async def large_in_chunks() -> AsyncIterator[bytes]:
    """As large, and its length is not known."""
    yield b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(_TEXT), _TEXT)
    for _ in range(LARGE // _PIECE):
        yield b"%x\r\n%b\r\n" % (_PIECE, b"x" * _PIECE)
    yield b'4\r\n"}]}\r\n0\r\n\r\n'


async def tiny_chunks() -> AsyncIterator[bytes]:
    """As large, two bytes at a time."""
    yield b"transfer-encoding: chunked\r\n\r\n"
    for _ in range(LARGE // 20_000):
        yield b"2\r\nxy\r\n" * 10_000
    yield b"0\r\n\r\n"


async def slow() -> AsyncIterator[bytes]:
    """A few kilobytes a second of a large body."""
    yield b"content-length: %d\r\n\r\n" % LARGE
    while True:
        await asyncio.sleep(0.5)
        yield b"x" * 2000


async def endless() -> AsyncIterator[bytes]:
    """A body that goes on."""
    yield b"transfer-encoding: chunked\r\n\r\n"
    while True:
        yield b"%x\r\n%b\r\n" % (_PIECE, b"x" * _PIECE)


async def endless_extension() -> AsyncIterator[bytes]:
    """A chunk whose size does not end."""
    yield b"transfer-encoding: chunked\r\n\r\n1;"
    while True:
        yield b"x" * _PIECE


async def endless_trailer() -> AsyncIterator[bytes]:
    """What comes after the body does not end."""
    yield b"transfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nx: "
    while True:
        yield b"x" * _PIECE


async def endless_head() -> AsyncIterator[bytes]:
    """A header that does not end."""
    yield b"x: "
    while True:
        yield b"x" * _PIECE


async def pipelined() -> AsyncIterator[bytes]:
    """Small requests behind one that waits."""
    yield b'content-length: %d\r\n\r\n%bhi"}]}' % (len(_TEXT) + 6, _TEXT)
    while True:
        yield b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n" * 1000


BODIES: tuple[Body, ...] = (
    large, large_in_chunks, tiny_chunks, slow, endless, endless_extension, endless_trailer, endless_head, pipelined
)  # fmt: skip


async def client(number: int, port: int, end: float, told: Counter[str]) -> None:
    """Asks again and again; what the router says is counted by kind of body and status."""
    body = BODIES[number % len(BODIES)]
    key = KEY if number // len(BODIES) % 2 else "gt-wrong"
    while time.monotonic() < end:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            told[f"{body.__name__} not connected"] += 1
            await asyncio.sleep(0.1)
            continue
        answer = asyncio.ensure_future(reader.readline())
        try:
            writer.write(_HEAD.format(port=port, key=key).encode())
            async with asyncio.timeout(max(0.1, end - time.monotonic())):
                async for piece in body():
                    if answer.done():
                        break
                    writer.write(piece)
                    await writer.drain()
                line = await answer
            told[f"{body.__name__} {line[9:12].decode() or 'closed'}"] += 1
        except TimeoutError:
            told[f"{body.__name__} waiting"] += 1
        except OSError:
            told[f"{body.__name__} reset"] += 1
        finally:
            answer.cancel()
            writer.transport.abort()


async def silent(port: int) -> asyncio.Server:
    """An upstream that takes everything and answers nothing."""

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.read(1 << 18):
                pass
        except OSError:
            pass
        finally:
            writer.transport.abort()

    return await asyncio.start_server(take, "127.0.0.1", port)


async def watch(pid: int, port: int, seconds: float, told: Counter[str]) -> float:
    """All clients, while memory is read; the most that was found, in MB."""
    end = time.monotonic() + seconds
    asking = asyncio.gather(*(client(number, port, end, told) for number in range(CLIENTS)))
    most = 0.0
    while not asking.done():
        most = max(most, resident_mb(pid))
        await asyncio.sleep(0.1)
    await asking
    return most


def peak_mb(pid: int) -> float:
    """The kernel's own account of the most."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise SystemExit("the kernel does not say how much memory the router took at most")


async def measure(directory: Path, seconds: float) -> tuple[float, float, float, Counter[str]]:
    """Resident before, at most as read, and at most as the kernel says, in MB; and what clients were told."""
    back, port = free_port(), free_port()
    core = min(os.sched_getaffinity(0))
    told: Counter[str] = Counter()
    async with await silent(back):
        with router(directory, back, port, core) as served:
            await asyncio.to_thread(wait_for, port)
            await asyncio.sleep(0.5)
            before = resident_mb(served.pid)
            most = await watch(served.pid, port, seconds, told)
            if served.poll() is not None:
                raise SystemExit("the router has ended")
            return before, most, peak_mb(served.pid), told


def main() -> None:
    """Run, print the figures, exit 1 where they are too high."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gridtie-memory-") as directory:
        before, most, peak, told = asyncio.run(measure(Path(directory), min(options.seconds, 60.0)))
    for what, count in sorted(told.items()):
        print(f"{count:7,}  {what}")
    print(f"resident before {before:.0f} MB, at most {most:.0f} MB as read, {peak:.0f} MB as the kernel says")
    if options.json:
        figures = {"before_mb": before, "most_mb": most, "peak_mb": peak, "bound_mb": BOUND_MB, "told": dict(told)}
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    if peak > BOUND_MB:
        sys.exit(f"more than {BOUND_MB:.0f} MB")


if __name__ == "__main__":
    main()
