"""Whether the router is well, and how much of why is told without a key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from standins.router import KEY, OTHER_KEY, Station, routing, run
from standins.scripted import Upstream, whole


def test_reasons_are_told_in_full_to_admins_alone(tmp_path: Path) -> None:
    async def ask() -> list[Any]:
        async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
            station.router.ledger.fault = "/var/lib/gridtie is full"
            return [(await station.ask(path="/readyz", key=key)).json["reasons"] for key in (KEY, OTHER_KEY, None)]

    admin, other, nobody = run(ask)

    assert admin == ["/var/lib/gridtie is full"]
    assert other == nobody == ["requests cannot be metered; the router's log says why"]


def test_what_is_held_for_clients_is_a_metric(tmp_path: Path) -> None:
    async def ask() -> str:
        async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
            station.router.app.held.holding("dev").take(12_345)
            return (await station.ask(path="/metrics", key=None)).body.decode()

    assert "gridtie_held_bytes 12345.0" in run(ask)
