"""A browser that is signed in at a router in the test's own loop, without the browser."""

from __future__ import annotations

import json
from typing import Any

from standins.router import KEY, Answered, Station


class Browser:
    """Sends what the dashboard's page sends."""

    def __init__(self, station: Station, key: str = KEY) -> None:
        self.station = station
        self._key = key
        self.cookie = ""

    @property
    def headers(self) -> dict[str, str]:
        """What our own page's requests have."""
        own = {"origin": f"http://127.0.0.1:{self.station.port}", "sec-fetch-site": "same-origin"}
        return {**own, **({"cookie": self.cookie} if self.cookie else {})}

    async def code(self) -> str:
        answered = await self.station.ask({}, path="/gridtie/sign-in", key=self._key)
        return str(answered.json["code"])

    async def redeem(self, code: str) -> Answered:
        answered = await self.send("POST", "session", {"code": code})
        if answered.status == 200:
            self.cookie = answered.headers["set-cookie"].partition(";")[0]
        return answered

    async def send(self, method: str, path: str, body: Any = None, **headers: str) -> Answered:
        content = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.station.ask(
            content, path=f"/dashboard/{path}", method=method, key=None, headers={**self.headers, **headers}
        )

    async def get(self, path: str, **headers: str) -> Answered:
        return await self.send("GET", path, **headers)


async def signed_in(station: Station, key: str = KEY) -> Browser:
    """One that has redeemed its code."""
    browser = Browser(station, key)
    assert (await browser.redeem(await browser.code())).status == 200
    return browser
