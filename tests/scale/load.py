"""Constant load through OpenAI's own SDK, with the retries that it makes by itself: what was sent, and what came.

    python load.py --name llm.lab --addresses 172.31.100.10,... --rate 20

The name has several addresses, as one in the DNS would have; the key comes from GRIDTIE_LOAD_KEY, the authority from
SSL_CERT_FILE. Prints a line when it begins. With SIGTERM it asks nothing more, waits for what is under way, and prints
one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import socket
import time
from collections import Counter
from typing import Any

from openai import APIConnectionError, APIError, APITimeoutError, AsyncOpenAI

WHOLE_TEXT = "Hello from the stand-in cloud."
PROMPT = "Say hello, and nothing else. " * 8
# Before an answer's first byte, and between two of its pieces. It is that of a client whose host has died.
SILENCE_S = 10.0
# A stream that breaks off is no longer the SDK's to repeat: whoever reads it asks again, as agents do.
ASKED_AGAIN = 3
CLIENTS = 6


class Load:
    """Counts what became of each request."""

    def __init__(self, clients: list[AsyncOpenAI], model: str) -> None:
        self._clients = clients
        self._model = model
        self.ids: list[str] = []
        self.counts: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.slowest = 0.0

    async def one(self, number: int) -> None:
        """One request to its answer, or to the end of all tries; every third is streamed."""
        began = time.monotonic()
        self.counts["sent"] += 1
        for again in range(1 + ASKED_AGAIN):
            try:
                await self._ask(self._clients[number % len(self._clients)], stream=number % 3 == 0)
            except _Broken:
                self.counts["broken_off"] += 1
                if again < ASKED_AGAIN:
                    continue
                self.failed["its stream broke off each time"] += 1
            except APIError as error:
                self.failed[_told(error)] += 1
            else:
                self.counts["answered"] += 1
                self.slowest = max(self.slowest, time.monotonic() - began)
            return

    async def _ask(self, client: AsyncOpenAI, *, stream: bool) -> None:
        asked: dict[str, Any] = {
            "model": self._model,
            "messages": [{"role": "user", "content": PROMPT}],
            "max_completion_tokens": 16,
        }
        if not stream:
            raw = await client.chat.completions.with_raw_response.create(**asked)
            self._came(raw, raw.parse().choices[0].message.content)
            return
        raw = await client.chat.completions.with_raw_response.create(**asked, stream=True)
        text, finish = "", None
        try:
            async for chunk in raw.parse():
                for choice in chunk.choices:
                    text, finish = text + (choice.delta.content or ""), choice.finish_reason or finish
        except Exception as error:
            raise _Broken from error
        if finish is None:
            raise _Broken
        self._came(raw, text)

    def _came(self, raw: Any, text: str | None) -> None:
        assert text == WHOLE_TEXT, text
        self.ids.append(raw.headers["x-gridtie-request-id"])
        self.counts["retried"] += raw.retries_taken > 0

    def told(self, seconds: float) -> dict[str, Any]:
        """Everything, as JSON has it."""
        return {
            **{name: self.counts[name] for name in ("sent", "answered", "retried", "broken_off")},
            "failed": dict(self.failed),
            "slowest_s": round(self.slowest, 2),
            "seconds": round(seconds, 1),
            "ids": self.ids,
        }


class _Broken(Exception):
    """A stream that ended before its answer did."""


def _told(error: APIError) -> str:
    if isinstance(error, APITimeoutError):
        return "timed out"
    if isinstance(error, APIConnectionError):
        return "no connection"
    return f"{getattr(error, 'status_code', '')} {error.code or error.type or ''}".strip()


def resolve(name: str, addresses: list[str]) -> None:
    """Have a name stand for several addresses in this process, in another order each time, as a DNS server does it."""
    known = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        if host not in (name, name.encode()):
            return known(host, port, *rest, **more)
        shuffled = random.sample(addresses, len(addresses))
        return [found for address in shuffled for found in known(address, port, *rest, **more)]

    socket.getaddrinfo = getaddrinfo


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", required=True)
    parser.add_argument("--port", type=int, default=8443)
    parser.add_argument("--addresses", required=True, help="with commas between them")
    parser.add_argument("--model", default="coder")
    parser.add_argument("--rate", type=float, default=20.0, help="requests a second, whatever became of those before")
    parser.add_argument("--seconds", type=float, default=900.0, help="at most")
    options = parser.parse_args()
    resolve(options.name, options.addresses.split(","))
    key, url = os.environ["GRIDTIE_LOAD_KEY"], f"https://{options.name}:{options.port}/v1"
    clients = [AsyncOpenAI(api_key=key, base_url=url, timeout=SILENCE_S, max_retries=2) for _ in range(CLIENTS)]
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    print("begun", flush=True)
    load, began = Load(clients, options.model), time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(round(options.rate * options.seconds)):
            await asyncio.sleep(began + number / options.rate - time.monotonic())
            if stop.is_set():
                break
            group.create_task(load.one(number))
    print(json.dumps(load.told(time.monotonic() - began)))
    for client in clients:
        await client.close()


if __name__ == "__main__":
    asyncio.run(main())
