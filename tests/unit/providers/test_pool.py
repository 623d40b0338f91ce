"""Other stations' models as targets: which stand before the station's own, which requests they may see."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from gridtie.config.problems import ConfigError
from gridtie.config.station import Member, Station
from gridtie.providers.registry import Targets
from gridtie.routing.decide import decide
from gridtie.routing.plan import Plan
from gridtie.routing.policy import Policy
from gridtie.routing.snapshot import Snapshot, TargetState
from standins import house
from standins.house import CLOUD, LARGE, SMALL

SERVER = "pool.gpu-server/gridtie/qwen2.5-coder:32b"
SERVER_SMALL = "pool.gpu-server/gridtie/smollm2:135m"


def facts(*names: str, **better: Any) -> Station:
    """The house's station, with members of these names that have a small model and a better one than its own."""
    station = house.station()
    small = replace(station.models[0], dialect="ollama", bytes=100)
    large = replace(
        station.models[1], name="gridtie/qwen2.5-coder:32b", catalogue="qwen2.5-coder:32b", score=72.9, parallel=4
    )
    pool = [
        Member(
            name=name,
            url=f"https://{name}:8443",
            key_file=f"secrets/pool-{name}",
            ca_file="/etc/gridtie/tls/pool-ca.pem",
            models=[small, replace(large, **better)],
        )
        for name in names
    ]
    return replace(station, pool=pool)


def document(**pool: Any) -> dict[str, Any]:
    return {**house.document()["providers"], "pool": {"type": "pool", **pool}}


def targets(station: Station, **pool: Any) -> Targets:
    return house.targets(house.routing(providers=document(**pool)), station)


def local(alias: str, station: Station, **pool: Any) -> list[str]:
    return [target.id for target in targets(station, **pool).candidates(alias, "local")]


def plan(station: Station, *, states: dict[str, TargetState] | None = None, **asked: Any) -> Plan:
    private = asked.pop("declared", None)
    policy = Policy(
        house.routing(providers=document(private=private)),
        targets(station, **({"private": private} if private else {})),
    )
    ready = {id: TargetState(loaded=True) for id in (SMALL, LARGE, SERVER, SERVER_SMALL)}
    return decide(house.request(**asked), policy, Snapshot(now=100.0, states={**ready, **(states or {})}))


def tried(plan: Plan) -> list[str]:
    return [attempt.target.id for attempt in plan.attempts]


@pytest.mark.parametrize(
    ("prefer", "better", "wanted"),
    [
        (None, {}, [SERVER, LARGE]),
        ("better", {}, [SERVER, LARGE]),
        ("better", {"score": 40.0}, [LARGE, SERVER]),
        ("better", {"score": None, "bytes": 10}, [SERVER, LARGE]),
        ("better", {"score": None, "bytes": 0}, [LARGE, SERVER]),
        ("better", {"score": 57.9, "bytes": 10}, [SERVER, LARGE]),
        ("better", {"score": 57.9, "bytes": 0}, [LARGE, SERVER]),
        ("always", {"score": 40.0}, [SERVER, LARGE]),
        ("never", {}, [LARGE, SERVER]),
    ],
)
def test_a_members_model_stands_first_where_it_is_preferred(
    prefer: str | None, better: dict[str, Any], wanted: list[str]
) -> None:
    assert local("coder", facts("gpu-server", **better), **({"prefer": prefer} if prefer else {})) == wanted


def test_without_a_model_of_its_own_a_station_uses_the_pool_whatever_is_preferred() -> None:
    station = replace(facts("gpu-server"), models=[])

    assert local("coder", station, prefer="never") == [SERVER]


def test_each_member_offers_its_best_model_for_a_purpose() -> None:
    assert local("coder", facts("one", "two"))[:2] == [
        "pool.one/gridtie/qwen2.5-coder:32b",
        "pool.two/gridtie/qwen2.5-coder:32b",
    ]


def test_the_model_that_proves_a_machine_is_its_own() -> None:
    assert local("smoke-test", facts("gpu-server"), prefer="always") == [SMALL]


def test_a_pool_that_the_routing_file_does_not_name_is_not_used() -> None:
    assert [target.id for target in house.targets(facts=facts("gpu-server")).candidates("coder", "local")] == [LARGE]


def test_a_member_is_asked_by_tls_with_its_relay_key_and_probed_for_the_model() -> None:
    target = targets(facts("gpu-server")).by_id[SERVER]

    assert (target.base_url, target.probe_url) == ("https://gpu-server:8443/v1", "https://gpu-server:8443/v1/models")
    assert target.headers == (("authorization", "Bearer sk-test"),)
    assert (target.ca_file, target.slots, target.own, target.locality) == (
        "/etc/gridtie/tls/pool-ca.pem",
        4,
        False,
        "local",
    )


def test_a_missing_relay_key_is_named_with_its_member() -> None:
    def read(name: str) -> str:
        if name.startswith("secrets/pool"):
            raise FileNotFoundError(2, "No such file or directory")
        return "sk"

    with pytest.raises(ConfigError, match=r"the key for gpu-server, secrets/pool-gpu-server, cannot be used"):
        Targets.build(house.routing(providers=document()), facts("gpu-server"), read_secret=read)


@pytest.mark.parametrize(
    ("case", "states", "wanted"),
    [
        ("both are well", {}, [SERVER, LARGE, CLOUD]),
        ("the server does not answer", {SERVER: TargetState(ready=False)}, [LARGE, CLOUD]),
        ("the server failed just now", {SERVER: TargetState(loaded=True, retry_at=101.0)}, [LARGE, CLOUD]),
        ("the server is busy", {SERVER: TargetState(loaded=True, in_flight=4)}, [LARGE, SERVER, CLOUD]),
        ("the own engine does not answer", {LARGE: TargetState(ready=False)}, [SERVER, CLOUD]),
    ],
)
def test_development_goes_to_the_better_model_and_to_the_other_when_that_is_away(
    case: str, states: dict[str, TargetState], wanted: list[str]
) -> None:
    assert tried(plan(facts("gpu-server"), states=states)) == wanted


@pytest.mark.parametrize(("declared", "wanted"), [(None, [LARGE]), (False, [LARGE]), (True, [SERVER, LARGE])])
def test_private_requests_stay_on_the_machine_unless_the_pool_is_declared_for_them(
    declared: bool | None, wanted: list[str]
) -> None:
    assert tried(plan(facts("gpu-server"), tags=frozenset({"private"}), declared=declared)) == wanted


def test_a_private_request_is_refused_rather_than_sent_to_the_pool() -> None:
    states = {LARGE: TargetState(ready=False)}
    found = plan(facts("gpu-server"), tags=frozenset({"private"}), states=states)

    assert found.refusal is not None
    assert found.refusal.code == "no_local_ready"


@pytest.mark.parametrize(
    ("alias", "wanted"),
    [
        ("gridtie/qwen2.5-coder:7b", [LARGE]),
        ("coder", [LARGE]),
        ("gridtie/qwen2.5-coder:32b", []),
        ("remote", []),
    ],
)
def test_what_another_router_passes_on_reaches_the_own_engine_and_nothing_else(alias: str, wanted: list[str]) -> None:
    """Not a cloud, not a third host, whatever the rules say: also where nothing else can answer."""
    found = plan(facts("gpu-server"), alias=alias, environment="relay", relayed=True)

    assert tried(found) == wanted
    assert (found.refusal is None) is bool(wanted)


def test_what_another_router_passes_on_saves_nothing_here() -> None:
    assert plan(facts("gpu-server"), environment="relay", relayed=True).baseline == ""
    assert plan(facts("gpu-server")).baseline != ""


@pytest.mark.parametrize(
    ("holds", "first"),
    [(LARGE, "pool."), ("pool.two/gridtie/qwen2.5-coder:7b", "pool.two/")],
    ids=["a session that was at the own engine goes back to a server", "one that is at a server stays there"],
)
def test_a_session_stays_with_a_server_and_not_with_the_engine_that_stood_in(holds: str, first: str) -> None:
    """Which side comes first `prefer` says, also where all of them have one model."""
    same = house.station().models[1]
    station = facts("one", "two", name=same.name, catalogue=same.catalogue)
    policy = Policy(house.routing(providers=document(prefer="always")), targets(station, prefer="always"))

    found = decide(house.request(), policy, Snapshot(now=0.0, states={}, holds_prefix=holds))

    assert policy.twins
    assert tried(found)[0].startswith(first)


def test_with_one_server_no_request_is_read_for_its_session() -> None:
    same = house.station().models[1]
    station = facts("one", name=same.name, catalogue=same.catalogue)

    assert not Policy(house.routing(providers=document()), targets(station)).twins
