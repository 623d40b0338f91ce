"""What is told of the configuration, and to whom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from standins.router import KEY, OTHER_KEY, Station, routing, run
from standins.scripted import Upstream, whole


def test_a_mistake_is_told_in_full_to_admins_alone(tmp_path: Path) -> None:
    async def ask() -> tuple[Any, Any, str, str]:
        async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
            path = station.config / "llm_routing.yaml"
            path.write_text(path.read_text().replace("version: 1", "version: 1\nhunter2: yes"))
            await station.router.settings.reload()
            told = [(await station.ask(path="/gridtie/config", key=key)).json for key in (KEY, OTHER_KEY)]
            public = [(await station.ask(path=path, key=None)).body.decode() for path in ("/readyz", "/metrics")]
            return told[0], told[1], *public

    admin, other, ready, metrics = run(ask)

    assert "hunter2" in admin["error"]
    assert other["error"]
    assert "hunter2" not in other["error"]
    assert {name: other[name] for name in ("digest", "loaded_at")} == {
        name: admin[name] for name in ("digest", "loaded_at")
    }
    assert "hunter2" not in ready + metrics
    assert "gridtie_config_error 1.0" in metrics


def test_what_is_hardly_meant_is_told_to_admins_alone(tmp_path: Path) -> None:
    async def ask() -> list[Any]:
        rules = routing("http://127.0.0.1:9/v1", use="[local]")
        rules += "budgets: [{name: hunter2, usd: 1, key: nobody}]\n"
        async with Station(tmp_path, rules) as station:
            return [(await station.ask(path="/gridtie/config", key=key)).json for key in (KEY, OTHER_KEY)]

    admin, other = run(ask)

    assert 'there is no key "nobody", so the budget "hunter2" limits nobody' in admin["warnings"][0]
    assert admin["error"] is None
    assert "warnings" not in other


def test_without_a_mistake_there_is_none_for_anybody(tmp_path: Path) -> None:
    async def ask() -> list[Any]:
        async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
            return [(await station.ask(path="/gridtie/config", key=key)).json["error"] for key in (KEY, OTHER_KEY)]

    assert run(ask) == [None, None]
