"""Who asks whom in an inventory, also where a run touches only some of its hosts."""

from __future__ import annotations

from typing import Any

import pytest
from plugins.filter import gridtie_team as team

SITE = {"url": "https://gpu:8443", "authority": "PEM"}
MODELS = [{"name": "big"}]
INVENTORY: dict[str, Any] = {
    "gpu": {"gridtie_resolved_site": SITE, "gridtie_resolved_models": MODELS},
    "one": {"gridtie_pool": ["gpu"], "gridtie_resolved_relays": {"gpu": "1" * 64}},
    "two": {"gridtie_pool": ["gpu"]},
    "alone": {},
}
MEMBER = {
    "name": "gpu",
    "url": "https://gpu:8443",
    "key_file": "secrets/pool-gpu",
    "ca_file": "tls/pool-gpu.pem",
    "models": MODELS,
}


def test_a_member_is_described_by_what_it_found_out_in_this_run() -> None:
    assert team.members(["gpu"], INVENTORY, {}) == [MEMBER]
    assert team.authorities(["gpu"], INVENTORY, "/tls") == [{"path": "/tls/pool-gpu.pem", "content": "PEM"}]


def test_a_member_that_takes_no_part_stays_as_it_was() -> None:
    assert team.members(["gpu"], {"gpu": {}}, {"pool": [MEMBER]}) == [MEMBER]
    assert team.members(["gpu"], {"gpu": {}}, {}) == []
    assert team.authorities(["gpu"], {"gpu": {}}, "/tls") == []


def test_a_member_that_nobody_knows_is_told_unless_it_is_yet_to_come() -> None:
    assert team.unknown(["gpu", "off"], INVENTORY, {}, []) == ["off"]
    assert team.unknown(["gpu", "off"], INVENTORY, {}, ["off"]) == []
    assert team.unknown(["gpu"], {"gpu": {}}, {"pool": [MEMBER]}, []) == []


def served(name: str, *models: dict[str, Any]) -> dict[str, Any]:
    return {**MEMBER, "name": name, "url": f"https://{name}:8443", "models": list(models)}


def test_what_all_members_serve_is_what_vllm_router_is_asked_for() -> None:
    small = {"name": "m", "context": 4096, "parallel": 8, "capabilities": ["chat", "json"], "file": "vllm/m"}
    large = {**small, "context": 8192, "parallel": 16, "capabilities": ["chat", "tools"], "digest": "sha256:a"}
    other = {**small, "name": "of one alone"}

    (found,) = team.served_by_all([served("a", small, other), served("b", large)], "http://engine:8000")

    assert (found["name"], found["url"], found["dialect"]) == ("m", "http://engine:8000", "openai")
    assert (found["context"], found["parallel"], found["capabilities"]) == (4096, 24, ["chat"])
    assert found["servers"] == {"https://a:8443": 8, "https://b:8443": 16}
    assert (found["why"], found["predicted_bytes"]) == ("served by a, b", None)
    assert "file" not in found
    assert team.served_by_all([served("a", small), served("b", other)], "") == []
    assert team.served_by_all([], "") == []


def test_vllm_router_is_told_each_server_with_who_vouches_for_it() -> None:
    assert team.balanced([served("a")]) == [{"name": "a", "url": "https://a:8443", "ca_file": "pool-a.pem"}]


@pytest.mark.parametrize(
    ("wanted", "sizes"),
    [("", ["1", "25%"]), (3, ["3"]), ("2, 50%", ["2", "50%"]), ([1, "100%"], ["1", "100%"])],
)
def test_the_sizes_of_waves_are_read_as_people_write_them(wanted: Any, sizes: list[str]) -> None:
    assert team.waves(wanted, "1,25%") == sizes


@pytest.mark.parametrize("wanted", ["half", "0", "1,,2", [], -1])
def test_what_is_no_size_of_a_wave_is_refused(wanted: Any) -> None:
    with pytest.raises(ValueError, match="gridtie_serial"):
        team.waves(wanted, "1,25%")


def test_a_server_accepts_those_who_have_it_in_their_pool() -> None:
    assert team.relays("gpu", INVENTORY) == {"one": "1" * 64, "two": ""}
    assert team.relays("one", INVENTORY) == {}


def runs(engine: str, architecture: str = "x86_64") -> dict[str, Any]:
    return {
        "gridtie_machine": {"architecture": architecture, "system": {"id": "debian"}},
        "gridtie_resolved_choice": {"engine": engine, "mode": "container", "source": "packages"},
    }


def test_the_first_host_of_a_kind_makes_the_images_for_the_others() -> None:
    hosts = {"a": runs("ollama"), "b": runs("embedded"), "c": runs("ollama"), "d": runs("ollama", "aarch64")}

    made = {name: team.builder(name, list(hosts), hosts) for name in hosts}

    assert made == {"a": "a", "b": "b", "c": "a", "d": "d"}


def test_the_image_of_a_router_that_sends_traces_is_made_by_one_that_sends_some_too() -> None:
    """The host that made the other image was asked for it, and each built its own with a notice like a fault."""
    sends = {"gridtie_traces_endpoint": "http://collector:4318"}
    plain = {"gridtie_traces_endpoint": ""}
    hosts = {"a": runs("ollama"), "b": runs("ollama") | sends, "c": runs("ollama") | plain, "d": runs("ollama") | sends}

    made = {name: team.builder(name, list(hosts), hosts, ["gridtie_traces_endpoint"]) for name in hosts}

    assert made == {"a": "a", "b": "b", "c": "a", "d": "b"}


def test_routers_are_scraped_where_they_let_somebody_in_and_the_own_one_on_loopback() -> None:
    """By the inventory alone: nobody has to be up. The own one needs no port for other machines."""
    inventory: dict[str, Any] = {
        "laptop": {},
        "gpu": {"gridtie_listen": "0.0.0.0", "gridtie_tls_port": 443, "ansible_host": "192.0.2.10"},
        "big": {"gridtie_listen": "2001:db8::1", "gridtie_address": "2001:db8::1"},
        "here": {"gridtie_listen": "0.0.0.0"},
    }

    found = team.scrape_targets(list(inventory), inventory, "here", 8484)

    assert found == [
        {"targets": ["[2001:db8::1]:8443"], "labels": {"instance": "big", "__scheme__": "https"}},
        {"targets": ["192.0.2.10:443"], "labels": {"instance": "gpu", "__scheme__": "https"}},
        {"targets": ["127.0.0.1:8484"], "labels": {"instance": "here", "__scheme__": "http"}},
    ]
