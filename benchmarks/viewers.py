"""People with the dashboard open.

`python benchmarks/viewers.py PORT VIEWERS SECONDS KEY...`: each signs in with a code of one of the keys, as `gridtie
dashboard` has it, reads what is so now without an end, and asks for a period's figures and for the last requests every
ten seconds. Prints a JSON line of what they got.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from collections import Counter
from time import monotonic

import httpx

ASK_SECONDS = 10.0
PERIODS = ("hour", "day", "week", "month")


class Seen:
    """What all viewers got."""

    def __init__(self) -> None:
        self.events = self.answers = self.errors = 0
        self.slowest = 0.0
        # How often each kind of failure came.
        self.failures: Counter[str] = Counter()


async def sign_in(client: httpx.AsyncClient, key: str) -> None:
    """Redeem a code; the cookie stays in the client."""
    code = await client.post("/gridtie/sign-in", json={}, headers={"authorization": f"Bearer {key}"})
    (await client.post("/dashboard/session", json=code.raise_for_status().json())).raise_for_status()


async def watch(client: httpx.AsyncClient, seen: Seen, until: float) -> None:
    """Read the stream of what is so now; the router ends it after some minutes, and it is begun again."""
    while monotonic() < until:
        async with client.stream("GET", "/dashboard/live") as stream:
            stream.raise_for_status()
            async for line in stream.aiter_lines():
                seen.events += line.startswith("data:")
                if monotonic() > until:
                    return


async def look(client: httpx.AsyncClient, seen: Seen, until: float) -> None:
    """Ask for figures and for requests, as a person who turns the pages."""
    for period in itertools.cycle(PERIODS):
        if monotonic() > until:
            return
        for path in (f"/dashboard/history?period={period}", "/dashboard/requests"):
            asked = monotonic()
            (await client.get(path)).raise_for_status()
            seen.slowest = max(seen.slowest, monotonic() - asked)
            seen.answers += 1
        await asyncio.sleep(min(ASK_SECONDS, max(0.0, until - monotonic())))


async def view(port: int, key: str, seen: Seen, until: float) -> None:
    """One person, until then."""
    address = f"http://127.0.0.1:{port}"
    own = {"origin": address, "sec-fetch-site": "same-origin"}
    async with httpx.AsyncClient(base_url=address, headers=own, timeout=30, trust_env=False) as client:
        await sign_in(client, key)
        while monotonic() < until:
            try:
                # A group ends the other one when one fails: a person whose page is begun anew has one, not two.
                async with asyncio.TaskGroup() as page:
                    page.create_task(watch(client, seen, until))
                    page.create_task(look(client, seen, until))
            except* httpx.HTTPError as group:
                seen.errors += 1
                seen.failures.update(
                    str(error).partition("\n")[0] or type(error).__name__ for error in group.exceptions
                )
                await asyncio.sleep(1)


async def main(port: int, viewers: int, seconds: float, keys: list[str]) -> None:
    """Watch for so long, then print what was seen."""
    seen, until = Seen(), monotonic() + seconds
    await asyncio.gather(*(view(port, keys[each % len(keys)], seen, until) for each in range(viewers)))
    sys.stdout.write(json.dumps({"viewers": viewers, **vars(seen)}) + "\n")


if __name__ == "__main__":
    given = sys.argv[1:]
    asyncio.run(main(int(given[0]), int(given[1]), float(given[2]), given[3:]))
