"""How a target is found: the real router says where a request would go, and the configuration where its engine is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from gridtie.bench.command import allowed
from gridtie.bench.errors import BenchError
from gridtie.bench.target import Configuration, Route, find_route
from gridtie.host.router import Declined
from gridtie.host.router import Router as Client
from standins.router import KEY, OTHER_KEY, Station, run
from standins.scripted import Upstream, stream

T = TypeVar("T")

RULES = """
version: 1
providers:
  here: {type: openai, base_url: '%s', locality: local}
  openai: {type: openai, base_url: 'http://127.0.0.1:1/v1'%s}
models:
  coder: {local: here/small, cloud: {provider: openai, model: gpt-5.4-mini}}
  remote: {local: null, cloud: {provider: openai, model: gpt-5.4}}
rules:
  - {name: private, when: {tags: [private]}, use: [local], never: cloud}
  - {name: dev, when: {environment: [dev, test, ci]}, use: [local, cloud]}
  - {name: production, when: {environment: [production]}, use: [cloud, local]}
"""


def asked(tmp_path: Path, question: Callable[[Client], T], key: str = KEY, provider: str = "", alive: bool = True) -> T:
    """What a question to a real router comes to; `alive`: whether the local engine is there."""

    async def work() -> T:
        async with (
            Upstream(stream("a")) as here,
            Station(tmp_path, RULES % (here.url if alive else "http://127.0.0.1:1/v1", provider)) as station,
        ):
            return await asyncio.to_thread(question, Client(f"http://127.0.0.1:{station.port}", key))

    return run(work)


def route(tmp_path: Path, wanted: str, environment: str | None = None, **options: Any) -> Route:
    return asked(tmp_path, lambda router: find_route(router, wanted, environment), **options)


def test_a_local_target_is_asked_for_by_its_own_id_and_kept_on_the_machine(tmp_path: Path) -> None:
    """Whatever the rules say, such a request cannot end at a cloud."""
    found = route(tmp_path, "coder")

    assert (found.target, found.locality, found.model, found.tags) == (
        "here/small",
        "local",
        "here/small",
        ("private",),
    )
    assert found.clouds == ()


def test_a_cloud_target_is_found_under_the_alias_and_environment_that_lead_to_it(tmp_path: Path) -> None:
    found = route(tmp_path, "openai/gpt-5.4-mini")

    assert (found.target, found.locality, found.model, found.environment) == (
        "openai/gpt-5.4-mini", "cloud", "coder", "production",
    )  # fmt: skip
    assert found.clouds == ("openai/gpt-5.4-mini",)


def test_an_alias_for_a_cloud_alone_is_one(tmp_path: Path) -> None:
    assert route(tmp_path, "remote").target == "openai/gpt-5.4"


def test_where_the_engine_is_down_the_cloud_that_stands_in_is_told_with_the_reason(tmp_path: Path) -> None:
    """What is measured then is another model, and costs money: nobody may take it for the machine's own."""
    found = route(tmp_path, "coder", "dev", alive=False)

    assert found.locality == "cloud"
    assert [each.partition(":")[0] for each in found.skipped] == ["here/small"]
    assert "does not answer" in found.skipped[0]


def test_the_environment_can_be_named(tmp_path: Path) -> None:
    assert route(tmp_path, "coder", "production").target == "openai/gpt-5.4-mini"


def test_without_a_name_it_is_what_the_router_takes_unasked(tmp_path: Path) -> None:
    assert route(tmp_path, "").target == "here/small"


def test_our_requests_say_whose_they_are(tmp_path: Path) -> None:
    headers = dict(route(tmp_path, "coder").headers)

    assert (headers["x-gridtie-purpose"], headers["x-gridtie-agent"]) == ("bench", "gridtie-bench")


@pytest.mark.parametrize("wanted", ["coders", "here/larger", "nobody/nothing"])
def test_a_target_that_is_not_there_is_told_with_those_that_are(tmp_path: Path, wanted: str) -> None:
    with pytest.raises(BenchError, match=f"no target '{wanted}'.*coder, remote"):
        route(tmp_path, wanted)


def test_a_key_that_may_not_go_there_finds_no_way(tmp_path: Path) -> None:
    """The second key may claim `dev` alone, where the model of the machine comes first."""
    with pytest.raises(BenchError, match=r"reaches no target 'openai/gpt-5\.4-mini'"):
        route(tmp_path, "openai/gpt-5.4-mini", key=OTHER_KEY)


def test_a_router_that_refuses_the_key_says_so(tmp_path: Path) -> None:
    with pytest.raises(Declined) as declined:
        route(tmp_path, "coder", key="gt-" + "x" * 43)

    assert declined.value.status == 401


class _PoolThatIsNotDeclaredForPrivateRequests:
    """A router whose rules name the alias alone: a pool's machine is first, a cloud behind it, and nothing private."""

    def get(self, path: str) -> Any:
        return {"data": [{"id": "coder"}]}

    def post(self, path: str, body: Any) -> Any:
        attempts = [
            {"target": "pool.gpu/large", "locality": "local"},
            {"target": "openai/gpt-5.4-mini", "locality": "cloud"},
        ]
        leads = body["model"] == "coder" and "private" not in body.get("tags", ())
        return {"environment": "dev", "attempts": attempts if leads else [], "skipped": []}


def test_a_local_target_that_a_cloud_stands_behind_is_not_asked_without_a_limit() -> None:
    """Not every machine takes private requests; the first failure of this one would be paid for."""
    found = find_route(_PoolThatIsNotDeclaredForPrivateRequests(), "coder")

    assert (found.locality, found.tags, found.clouds) == ("local", (), ("openai/gpt-5.4-mini",))
    with pytest.raises(BenchError, match=r"may be answered for by openai/gpt-5\.4-mini, and"):
        allowed(found, Configuration(), 0.0)


class TestConfiguration:
    def read(self, tmp_path: Path, provider: str = "") -> Configuration:
        return asked(tmp_path, lambda _: Configuration.read(tmp_path / "config"), provider=provider)

    def test_the_engine_of_a_local_target_is_known(self, tmp_path: Path) -> None:
        beside = self.read(tmp_path).beside(Route("here/small", "local", None, "m", "dev"))

        assert beside.target is not None
        assert (beside.target.base_url[:17], beside.target.model) == ("http://127.0.0.1:", "small")

    def test_a_cloud_is_never_asked_past_the_router(self, tmp_path: Path) -> None:
        beside = self.read(tmp_path).beside(Route("openai/gpt-5.4", "cloud", None, "m", "dev"))

        assert beside.target is None
        assert "counts what it costs" in beside.why

    def test_what_cannot_be_read_is_said(self, tmp_path: Path) -> None:
        beside = Configuration.read(tmp_path / "nowhere").beside(Route("here/small", "local", None, "m", "dev"))

        assert beside.target is None
        assert "cannot be read here" in beside.why

    def test_another_target_is_not_taken_for_it(self, tmp_path: Path) -> None:
        beside = self.read(tmp_path).beside(Route("here/larger", "local", None, "m", "dev"))

        assert beside.target is None
        assert "no target here/larger" in beside.why

    def test_a_key_that_this_user_may_not_read_keeps_only_its_own_provider_away(self, tmp_path: Path) -> None:
        (tmp_path / "config" / "secrets").mkdir(parents=True)
        key = tmp_path / "config" / "secrets" / "openai"
        key.write_text("sk-test")
        found = self.read(tmp_path, ", key_file: secrets/openai")
        key.unlink()
        found = Configuration.read(tmp_path / "config")

        assert found.locked == {"openai"}
        assert found.beside(Route("here/small", "local", None, "m", "dev")).target is not None
