"""Every check holds on a healthy station and fails, with found and fix, on one that is ill in its way."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from gridtie.host.command import Ran
from gridtie.host.doctor.checks import CHECKS
from gridtie.host.doctor.probe import HostProbe
from gridtie.host.router import Answer
from standins.authority import make_authority
from standins.healthy import CONFIG, MIB, MODEL, STATE, TREE, Healthy, answer, failure, sockets

Break = Callable[[Healthy], object]


@pytest.mark.parametrize("id", [check.id for check in CHECKS])
@pytest.mark.parametrize("engine", ["ollama", "embedded", "vllm", "vllm_router", "native", "adopted"])
def test_it_holds_on_a_healthy_station(id: str, engine: str) -> None:
    station = Healthy()
    if engine != "ollama":
        getattr(station, engine)()
    result = station.examine()[id]
    assert result.ok, result


# -- ways to break a station -----------------------------------------------------------------------------------------


def has(**attributes: object) -> Break:
    """Give the stand-in other values."""
    return lambda station: station.__dict__.update(attributes)


def says(path: str, said: Answer) -> Break:
    """The router answers `path` like this."""
    return lambda station: station.answers.update({path: said})


def engine_says(path: str, status: int, body: str) -> Break:
    return lambda station: station.engine.update({path: (status, body)})


def file(path: Path | str, text: str) -> Break:
    return lambda station: station.files.update({Path(path): text})


def mode(path: Path, bits: int) -> Break:
    return lambda station: station.modes.update({path: bits})


def container(role: str, part: str, **changes: object) -> Break:
    """Another value somewhere in `docker inspect`."""
    return lambda station: station.containers[f"gridtie-{role}-1"][part].update(changes)


def host(**changes: object) -> Break:
    return container("engine", "HostConfig", **changes)


def bound(role: str, ports: dict[str, object]) -> Break:
    return container(role, "NetworkSettings", Ports=ports)


def at(address: str) -> dict[str, object]:
    return {"11434/tcp": [{"HostIp": address, "HostPort": "11434"}]}


def manifest(station: Healthy) -> Path:
    return next(path for path in station.files if "manifests" in path.parts)


def blob(station: Healthy) -> Path:
    return next(path for path, text in station.files.items() if text == "weights")


def grown(station: Healthy) -> None:
    station.files[blob(station)] += "x"


def spoilt(station: Healthy) -> None:
    """Other content of the same size."""
    station.files[blob(station)] = "stheigw"


def another_manifest(station: Healthy) -> None:
    station.files[manifest(station)] += " "


def no_manifest(station: Healthy) -> None:
    station.files[manifest(station)] = "{}"


def docker_says(status: int, error: str) -> Break:
    return has(docker=Ran(status, "", error))


CLOUD = {"rule": "r", "local_only": "x", "attempts": [{"target": "openai/gpt", "locality": "cloud", "reason": "x"}]}
LEAKY = {"rule": "private", "local_only": "", "attempts": []}
EVERYWHERE_V4, EVERYWHERE_V6 = "00000000:2124", "0" * 32 + ":2124"
NO_MODELS = answer(200, {"data": []})


def reserved(size: int) -> str:
    """Ollama's /api/ps."""
    return json.dumps({"models": [{"name": MODEL, "size": size}]})


# Check, what is broken, a part of what is found.
ILL: list[tuple[str, Break, str]] = [
    ("config.station", lambda s: s.unreadable.add(CONFIG / "station.json"), "may not be read by this user"),
    ("config.station", lambda s: s.station.update(schema=2), "another schema"),
    ("config.station", lambda s: s.station.update(models=[]), "no model"),
    ("config.files", lambda s: s.files.pop(CONFIG / "prices.json"), "missing in /etc/gridtie: prices.json"),
    ("config.secrets", mode(CONFIG / "keys.json", 0o644), "keys.json has mode 0644"),
    ("config.secrets", mode(CONFIG / "station.key", 0o660), "station.key has mode 0660"),
    ("config.secrets", mode(CONFIG / "secrets" / "openai", 0o604), "openai has mode 0604"),
    ("config.secrets", lambda s: s.owners.update({CONFIG / "keys.json": 1000}), "belongs to user 1000"),
    ("docker.answers", docker_says(1, "Cannot connect to the Docker daemon"), "Cannot connect"),
    ("docker.answers", docker_says(127, "there is no docker command here"), "no docker"),
    ("docker.answers", docker_says(1, "permission denied on socket"), "permission denied"),
    ("containers.exist", lambda s: s.containers.pop("gridtie-engine-1"), "there is no container gridtie-engine-1"),
    ("containers.running", container("router", "State", Running=False, Status="exited"), "router-1 is exited"),
    ("containers.running", container("engine", "State", Health={"Status": "unhealthy"}), "engine-1 is unhealthy"),
    ("containers.running", container("engine", "State", Health={}), "without a health check"),
    ("containers.image", container("engine", "Config", Image="gridtie/engine-ollama:old"), "engine-ollama:old"),
    ("containers.hardened", container("router", "Config", User=""), "gridtie-router-1: runs as root"),
    ("containers.hardened", container("router", "Config", User="0:994"), "runs as root"),
    ("containers.hardened", container("engine", "Config", User="994:994"), "engine and router are one user"),
    ("containers.hardened", host(ReadonlyRootfs=False), "gridtie-engine-1: has a writable root"),
    ("containers.hardened", host(CapDrop=None), "keeps capabilities"),
    ("containers.hardened", host(CapAdd=["NET_ADMIN"]), "keeps capabilities"),
    ("containers.hardened", host(SecurityOpt=None), "may gain privileges"),
    ("containers.hardened", host(SecurityOpt=["no-new-privileges:false"]), "may gain privileges"),
    ("containers.hardened", host(PidsLimit=None), "no process limit"),
    ("containers.hardened", host(Memory=0), "no memory limit"),
    ("containers.hardened", host(Privileged=True), "is privileged"),
    ("containers.hardened", host(NetworkMode="host"), "shares the host's network"),
    ("containers.hardened", host(PidMode="host"), "shares the host's processes"),
    ("containers.hardened", host(IpcMode="host"), "shares the host's IPC"),
    (
        "containers.hardened",
        lambda s: s.containers["gridtie-router-1"].update(Mounts=[{"Source": "/run/docker.sock"}]),
        "holds the Docker socket",
    ),
    ("engine.reachable", engine_says("/api/version", 0, "timed out"), "/api/version: timed out"),
    ("engine.reachable", engine_says("/api/version", 502, ""), "status 502"),
    ("engine.version", engine_says("/api/version", 200, '{"version":"0.31.0"}'), "0.31.0"),
    ("engine.models", engine_says("/api/tags", 200, '{"models":[]}'), f"not offered: {MODEL}"),
    ("engine.models", engine_says("/api/tags", 500, ""), "status 500"),
    ("engine.digests", another_manifest, "recorded as sha256:"),
    ("engine.digests", no_manifest, "not a model manifest"),
    ("engine.digests", lambda s: s.files.pop(manifest(s)), "No such file or directory"),
    ("engine.digests", grown, "has 8 bytes, 7 recorded"),
    ("engine.digests", spoilt, "does not hold what its name says"),
    ("engine.digests", lambda s: s.files.pop(blob(s)), "No such file or directory"),
    ("router.alive", has(router_up=False), "connection refused"),
    ("router.alive", says("/healthz", answer(500, {})), "answers 500"),
    ("router.ready", says("/readyz", answer(503, {"reasons": ["the engine is silent"]})), "503: the engine is silent"),
    ("router.key", says("/v1/models", failure(401, "invalid_key")), "401: because of invalid_key"),
    ("router.key", says("/v1/models", answer(200, {"data": [{"id": "coder"}]})), "models coder"),
    ("router.unknown_key", says("/v1/models", NO_MODELS), "200 for a key that nobody"),
    ("router.no_key", says("/v1/models", NO_MODELS), "200 for a request without a key"),
    ("router.config", lambda s: s.config.update(error="llm_routing.yaml:3: rules"), "llm_routing.yaml:3"),
    ("router.config", lambda s: s.config.update(digest="0" * 64), "routing file 000000000000 is loaded"),
    ("router.config", says("/gridtie/config", failure(403, "not_admin")), "because of not_admin"),
    ("engine.deterministic", has(greedy=["It is Paris.", "It is Lyon."]), "'It is Paris.', then 'It is Lyon.'"),
    ("engine.deterministic", has(greedy=["", ""]), "an empty answer"),
    ("engine.deterministic", says("/v1/chat/completions", failure(503, "busy")), "status 503: because of busy"),
    ("engine.constrained", has(choice='{"answer": "Tokyo"}'), "Tokyo"),
    ("engine.constrained", has(choice="Paris, of course"), "Paris, of course"),
    ("route.dev", has(locality="cloud"), "(cloud)"),
    ("route.dev", has(target="station/other"), "station/other"),
    ("route.private", has(plan=CLOUD), "dev: openai/gpt"),
    ("route.private", has(plan=LEAKY), "rule private may choose a cloud later"),
    ("route.private", says("/gridtie/route", failure(500, "broken")), "because of broken"),
    ("ledger.row", lambda s: s.row.update(output_tokens=0), "0 out"),
    ("ledger.row", lambda s: s.row.update(input_tokens=7), "7 tokens in"),
    ("ledger.row", says("/gridtie/requests/req-1", failure(404, "not_found")), "404: because of not_found"),
    ("network.published", bound("engine", at("127.0.0.1")), "127.0.0.1:11434"),
    ("network.published", bound("engine", at("")), "0.0.0.0:11434"),
    ("network.published", bound("router", {}), "published: nothing"),
    ("network.confined", has(networks=Ran(0, "gridtie_default false\n", "")), "gridtie_default, which leads out"),
    ("network.confined", has(networks=Ran(1, "", "no such network")), "no such network"),
    ("network.listening", file("/proc/net/tcp", sockets(EVERYWHERE_V4)), "0.0.0.0 port 8484"),
    ("network.listening", file("/proc/net/tcp6", sockets(EVERYWHERE_V6)), ":: port 8484"),
    ("memory.fit", has(resident_kib=(2_000_000,)), "resident 1953 MiB"),
    ("memory.fit", has(resident_kib=(100_000,)), "resident 97 MiB"),
    ("memory.fit", engine_says("/api/ps", 200, reserved(500 * MIB)), "reserved 500 MiB"),
    ("memory.fit", engine_says("/api/ps", 200, '{"models":[]}'), "predicted 0 MiB"),
    ("disk.space", has(free=100 * MIB), f"100 MiB free at {STATE}"),
    ("backup.timer", lambda s: s.station.update(backup_directory="/srv/backups"), "gridtie-backup.timer is inactive"),
]


@pytest.mark.parametrize(("id", "broken", "found"), ILL, ids=[f"{id}-{n}" for n, (id, _, _) in enumerate(ILL)])
def test_it_fails_where_its_promise_is_broken(id: str, broken: Break, found: str) -> None:
    station = Healthy()
    broken(station)
    result = station.examine()[id]
    assert not result.ok
    assert found in result.found
    assert result.wanted and result.fix and not result.blocked_by


# -- a native engine: a service of the machine ------------------------------------------------------------------------


def unit(**properties: str | None) -> Break:
    """Another value of the service's properties; None: systemd does not know the property."""

    def change(station: Healthy) -> None:
        station.unit.update({name: value for name, value in properties.items() if value is not None})
        for name in (name for name, value in properties.items() if value is None):
            del station.unit[name]

    return change


OLDER = TREE.with_name("0.31.0-0123456789ab")
ELSEWHERE = "{ path=/usr/bin/ollama ; argv[]=/usr/bin/ollama serve ; ignore_errors=no ; status=0/0 }"
SERVICE_ILL: list[tuple[str, Break, str]] = [
    ("service.running", unit(ActiveState="failed", Result="exit-code"), "gridtie-engine.service is failed (exit-code)"),
    ("service.running", unit(ActiveState="activating"), "is activating"),
    ("service.running", unit(UnitFileState="disabled"), "gridtie-engine.service is disabled"),
    ("service.running", has(unit={}), "systemd does not answer: System has not been booted with systemd"),
    ("service.program", lambda s: s.links.update({TREE.parent / "current": OLDER}), f"{OLDER}; started as"),
    ("service.program", lambda s: s.links.clear(), "current: No such file"),
    ("service.program", unit(ExecStart=ELSEWHERE), "started as { path=/usr/bin/ollama"),
    ("service.program", lambda s: s.files.pop(TREE / "bin/ollama"), "bin/ollama: No such file"),
    ("service.program", mode(TREE / "bin/ollama", 0o775), "others than root may change"),
    ("service.program", lambda s: s.owners.update({TREE / "bin/ollama": 994}), "others than root may change"),
    *(
        ("service.hardened", unit(**{name: value}), f"{name}={value}")
        for name, value in {
            "NoNewPrivileges": "no", "ProtectSystem": "full", "ProtectHome": "no", "PrivateTmp": "no",
            "CapabilityBoundingSet": "cap_sys_admin", "RestrictNamespaces": "no", "RestrictSUIDSGID": "no",
            "LockPersonality": "no", "ProtectKernelModules": "no", "ProtectKernelTunables": "no",
            "ProtectControlGroups": None,
        }.items()
    ),
    ("service.hardened", unit(User=""), "runs as root"),
    ("service.hardened", unit(User="root"), "runs as root"),
    ("service.hardened", unit(User="gridtie", UID="994"), "runs as the router's user"),
    ("service.hardened", unit(MemoryMax="infinity"), "no memory limit"),
    ("service.hardened", unit(MemoryMax=None), "no memory limit"),
    ("network.confined", unit(IPAddressDeny=""), "IPAddressDeny="),
    ("network.confined", unit(IPAddressDeny="0.0.0.0/0"), "IPAddressDeny=0.0.0.0/0"),
    ("network.listening", file("/proc/net/tcp", sockets("0100007F:2124", "00000000:2CAA")), "0.0.0.0 port 11434"),
    ("network.listening", file("/proc/net/tcp", sockets("00000000:2124", "0100007F:2CAA")), "0.0.0.0 port 8484"),
    ("network.published", bound("router", at("0.0.0.0")), "published: 0.0.0.0:11434"),
    ("containers.running", container("router", "State", Running=False, Status="exited"), "router-1 is exited"),
    ("containers.hardened", container("router", "HostConfig", PidMode="host"), "shares the host's processes"),
    ("engine.reachable", engine_says("/api/version", 0, "refused"), "http://127.0.0.1:11434/api/version: refused"),
    ("memory.fit", file("/proc/412/status", "PPid:\t335\nVmRSS:\t2000000 kB\n"), "resident 1986 MiB"),
    ("memory.fit", unit(MainPID="815"), "resident 8789 MiB"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("id", "broken", "found"), SERVICE_ILL, ids=[f"{id}-{n}" for n, (id, _, _) in enumerate(SERVICE_ILL)]
)
def test_it_fails_where_a_service_breaks_its_promise(id: str, broken: Break, found: str) -> None:
    station = Healthy()
    station.native()
    broken(station)
    result = station.examine()[id]
    assert not result.ok
    assert found in result.found
    assert result.wanted and result.fix and not result.blocked_by


def test_backups_by_themselves_are_looked_at_where_they_are_declared() -> None:
    station = Healthy()
    assert "no backup is made by itself" in station.examine()["backup.timer"].found

    station.station["backup_directory"] = "/srv/backups"
    station.backup_timer, station.backup_result = "active", "exit-code"
    failed = station.examine()["backup.timer"]
    assert failed.ok
    assert "the last backup failed (exit-code): `journalctl -u gridtie-backup`" in failed.warning

    station.backup_result = "success"
    assert station.examine()["backup.timer"].found == "gridtie-backup.timer is active, into /srv/backups"


def test_the_fix_of_a_service_names_its_own_log() -> None:
    station = Healthy()
    station.native()
    station.unit["ActiveState"] = "failed"
    assert "journalctl -u gridtie-engine.service" in station.examine()["service.running"].fix


@pytest.mark.parametrize(
    ("id", "broken"),
    [("engine.deterministic", has(greedy=["", ""])), ("engine.constrained", has(choice="Paris, of course"))],
)
def test_where_it_generates_wrongly_the_fix_names_its_own_log(id: str, broken: Break) -> None:
    station = Healthy()
    station.native()
    broken(station)
    assert "journalctl -u gridtie-engine.service" in station.examine()[id].fix


@pytest.mark.parametrize(("listed", "asked"), [(["smoke-test"], "smoke-test"), (["coder", "probe"], "probe")])
def test_the_smoke_test_model_is_asked_by_the_alias_that_the_router_has(listed: list[str], asked: str) -> None:
    station = Healthy()
    station.answers["/v1/models"] = answer(200, {"data": [{"id": name} for name in listed]})

    result = station.examine()

    assert result["router.key"].ok and result["engine.deterministic"].ok
    assert station.asked == {asked}


def test_a_router_without_that_alias_fails_with_what_to_write() -> None:
    station = Healthy()
    station.answers["/v1/models"] = answer(200, {"data": [{"id": "coder"}]})

    assert "add the alias `smoke-test`" in station.examine()["router.key"].fix


def test_what_is_hardly_meant_in_the_configuration_is_shown_and_fails_nothing() -> None:
    station = Healthy()
    station.config["warnings"] = ["llm_routing.yaml:9: budgets[0].key: there is no key"]
    result = station.examine()["router.config"]
    assert result.ok
    assert "as on disk; warning: llm_routing.yaml:9: budgets[0].key: there is no key" in result.found


def test_processes_that_end_while_memory_is_counted_are_left_out() -> None:
    station = Healthy()
    station.native()
    station.files[Path("/proc/999/status")] = ""
    station.unreadable.add(Path("/proc/999/status"))
    assert station.examine()["memory.fit"].ok


def test_memory_of_a_model_whose_architecture_is_unknown_is_not_judged_but_said() -> None:
    station = Healthy()
    station.station["models"][0]["predicted_bytes"] = None
    result = station.examine()["memory.fit"]

    assert result.ok
    assert "nothing is known of the memory" in result.found


def test_the_memory_of_other_services_is_not_counted() -> None:
    station = Healthy()
    station.native()
    assert station.examine()["memory.fit"].found == Healthy().examine()["memory.fit"].found


def test_beside_a_container_nobody_asks_systemd() -> None:
    results = Healthy().examine()
    assert {results[id].found for id in ("service.running", "service.program", "service.hardened")} == {
        "the engine runs in a container"
    }


@pytest.mark.parametrize("id", ["service.program", "service.hardened", "network.confined"])
def test_of_a_service_that_was_here_before_nothing_is_promised(id: str) -> None:
    station = Healthy()
    station.adopted()
    assert "ollama.service was here before" in station.examine()[id].found


@pytest.mark.parametrize(
    ("id", "broken", "found"),
    [
        ("service.running", unit(ActiveState="inactive", Result="success"), "ollama.service is inactive"),
        ("engine.version", engine_says("/api/version", 200, '{"version":"0.33.0"}'), "0.33.0"),
        ("engine.models", engine_says("/api/tags", 200, '{"models":[]}'), f"not offered: {MODEL}"),
        ("engine.digests", spoilt, "does not hold what its name says"),
    ],
)
def test_but_it_must_run_and_have_the_stations_models(id: str, broken: Break, found: str) -> None:
    station = Healthy()
    station.adopted()
    broken(station)
    result = station.examine()[id]
    assert not result.ok
    assert found in result.found


def test_where_other_machines_reach_a_service_that_was_here_before_it_is_told() -> None:
    station = Healthy()
    station.adopted()
    station.files[Path("/proc/net/tcp")] = sockets("0100007F:2124", "00000000:2CAA")
    result = station.examine()["network.listening"]
    assert result.ok
    assert "ollama.service, which was here before, on 0.0.0.0 port 11434" in result.found


def test_every_check_has_a_failure_here_except_those_of_graphics_cards() -> None:
    tested = {id for id, _, _ in (*ILL, *SERVICE_ILL)} | {"router.origin", "router.host", "network.tls"}
    tested |= {"network.firewall"}  # test_firewall.py has it.
    # Those are in test_graphics.py and test_models.py; one of them warns alone.
    assert {check.id for check in CHECKS} - tested == {"gpu.ready", "gpu.used", "models.accepted", "models.coding"}


@pytest.mark.parametrize(("id", "header"), [("router.origin", "Origin"), ("router.host", "Host")])
def test_a_router_that_lets_strangers_in_fails(id: str, header: str, monkeypatch: pytest.MonkeyPatch) -> None:
    station = Healthy()
    routed = station._routed

    def careless(path: str, body: object, headers: dict[str, str]) -> object:
        return routed(path, body, {name: value for name, value in headers.items() if name != header})

    monkeypatch.setattr(station, "_routed", careless)
    result = station.examine()[id]
    assert not result.ok
    assert result.found.startswith("200 for ")


@pytest.mark.parametrize(("version", "ok"), [("0.4.0", True), ("0.3.9", False)])
def test_the_embedded_engines_version_is_that_of_its_package(version: str, ok: bool) -> None:
    station = Healthy()
    station.embedded()
    station.xllamacpp = version
    assert station.examine()["engine.version"].ok is ok


def test_the_embedded_engine_names_its_models_in_openais_way() -> None:
    station = Healthy()
    station.embedded()
    station.engine["/v1/models"] = (200, '{"data":[{"id":"another"}]}')
    assert station.examine()["engine.models"].found == f"not offered: {MODEL}"


def test_the_embedded_engines_file_is_hashed() -> None:
    station = Healthy()
    station.embedded()
    spoilt(station)
    assert "does not hold" in station.examine()["engine.digests"].found


@pytest.mark.parametrize(
    ("said", "ok"), [((200, '{"version":"0.32.0"}'), True), ((200, '{"version":"0.31.1"}'), False), ((404, ""), False)]
)
def test_vllm_says_its_version_itself(said: tuple[int, str], ok: bool) -> None:
    station = Healthy()
    station.vllm()
    station.engine["/version"] = said
    assert station.examine()["engine.version"].ok is ok


def test_servers_behind_vllm_router_that_are_down_are_told_and_fail_only_where_none_is_left() -> None:
    station = Healthy()
    station.vllm_router()
    station.balanced["https://gpu-2:8443"] = False
    one = station.examine()["engine.models"]
    station.balanced = {}
    none = station.examine()["engine.models"]

    assert (one.ok, one.found, one.warning) == (True, "gpu-1", "not asked now, drained or down: gpu-2")
    assert (none.ok, none.wanted) == (False, "gpu-1, gpu-2")


def test_a_checkpoint_is_held_to_what_was_taken() -> None:
    station = Healthy()
    weights = station.vllm() / "model.safetensors"
    station.files[weights] = "w3ights"
    assert "does not hold" in station.examine()["engine.digests"].found
    station.files[weights] = "weigh"
    assert "has 5 bytes, 7 recorded" in station.examine()["engine.digests"].found


def test_a_checkpoint_that_is_gone_or_another_is_told() -> None:
    station = Healthy()
    place = station.vllm()
    for name in ("config.json", "model.safetensors", ".gridtie.json"):
        del station.files[place / name]
    assert "is not what was recorded" in station.examine()["engine.digests"].found


def test_the_only_model_of_a_server_with_vllm_is_a_coding_model_and_the_small_one_of_its_image_is_not() -> None:
    station = Healthy()
    station.vllm()
    station.station["models"][0] |= {"purposes": ["code", "chat", "smoke-test"], "source": "hub"}
    assert station.examine()["models.coding"].warning == ""
    station.station["models"][0]["source"] = "image"
    assert "there is no coding model here" in station.examine()["models.coding"].warning


def test_a_station_that_a_killed_upgrade_left_closed_to_others_is_named() -> None:
    station = Healthy()
    assert station.examine()["config.station"].warning == ""

    station.station.update(draining=True, site_command="ansible-playbook our.yml")
    result = station.examine()["config.station"]

    assert result.ok
    assert "requests of other stations are refused" in result.warning
    assert result.warning.endswith("one was killed: run it again, or `ansible-playbook our.yml`, which lets them in")


def test_a_model_of_the_image_has_no_files_of_its_own() -> None:
    station = Healthy()
    station.vllm()
    station.station["models"][0] |= {"file": "", "digest": ""}
    result = station.examine()["engine.digests"]
    assert result.ok
    assert "is in the image" in result.found


@pytest.mark.parametrize(("deep", "ok"), [(False, True), (True, False)])
def test_large_files_are_hashed_only_when_asked(deep: bool, ok: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gridtie.host.doctor.checks.engine.HASH_BYTES", 3)
    station = Healthy()
    spoilt(station)
    assert station.examine(deep=deep)["engine.digests"].ok is ok


@pytest.mark.parametrize(
    "said",
    [
        {"SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless"]},
        {"OperatingSystem": "Docker Desktop"},
    ],
    ids=["rootless", "desktop"],
)
def test_root_in_the_containers_of_a_persons_own_docker_is_that_person(said: dict[str, object]) -> None:
    station = Healthy()
    station.daemon.update(said)
    station.containers["gridtie-router-1"]["Config"]["User"] = "0:0"
    assert station.examine()["containers.hardened"].ok


def test_without_cgroups_the_container_is_asked_for_its_memory() -> None:
    station = Healthy()
    station.cgroups = False
    assert station.examine()["memory.fit"].found == Healthy().examine()["memory.fit"].found


def test_limits_that_this_docker_does_not_enforce_are_said() -> None:
    station = Healthy()
    station.daemon.update(MemoryLimit=False, PidsLimit=False)
    assert "does not enforce memory and process limits" in station.examine()["containers.hardened"].found


@pytest.mark.parametrize("address", ["0100007F:2124", "0101007F:2124"])
def test_all_of_127_is_loopback(address: str) -> None:
    station = Healthy()
    station.files[Path("/proc/net/tcp")] = sockets(address)
    assert station.examine()["network.listening"].ok


@pytest.mark.parametrize(
    ("address", "ok"),
    [
        ("00000000000000000000000001000000:2124", True),  # ::1
        ("0000000000000000FFFF00000100007F:2124", True),  # ::ffff:127.0.0.1
        ("0000000000000000FFFF00000500000A:2124", False),  # ::ffff:10.0.0.5
    ],
)
def test_ipv6_addresses_are_read_as_the_kernel_writes_them(address: str, ok: bool) -> None:
    station = Healthy()
    station.files[Path("/proc/net/tcp6")] = sockets(address)
    assert station.examine()["network.listening"].ok is ok


def test_of_a_container_that_is_stopped_it_counts_what_it_would_publish() -> None:
    station = Healthy()
    router = station.containers["gridtie-router-1"]
    router["NetworkSettings"]["Ports"] = {}
    router["HostConfig"]["PortBindings"] = {"8484/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8484"}]}
    assert station.examine()["network.published"].ok


def test_other_peoples_ports_are_none_of_ours() -> None:
    station = Healthy()
    station.files[Path("/proc/net/tcp")] = sockets("00000000:0016", "0100007F:2124")
    assert station.examine()["network.listening"].ok


def test_a_kernel_without_ipv6_is_fine() -> None:
    station = Healthy()
    del station.files[Path("/proc/net/tcp6")]
    assert station.examine()["network.listening"].ok


def team(*breaks: Break) -> Healthy:
    """A station that lets other machines in, ill in these ways."""
    station = Healthy()
    station.serves_a_team()
    for each in breaks:
        each(station)
    return station


@pytest.mark.parametrize("id", ["network.published", "network.listening", "network.tls"])
def test_what_was_declared_for_other_machines_holds(id: str) -> None:
    result = team().examine()[id]
    assert result.ok, result


@pytest.mark.parametrize(
    ("id", "broken", "found"),
    [
        ("network.published", bound("router", {"1/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8484"}]}), "0.0.0.0:8484"),
        ("network.listening", file("/proc/net/tcp", sockets(EVERYWHERE_V4)), "0.0.0.0 port 8484"),
        ("network.tls", has(certificate_names=["gpu-server"]), "as 10.0.0.7: certificate is not valid"),
        ("network.tls", has(certificate_days=6.0), "good for 6 days"),
        ("network.tls", lambda station: station.files.pop(CONFIG / "tls" / "server.pem"), "No such file"),
    ],
)
def test_anything_else_is_found(id: str, broken: Break, found: str) -> None:
    result = team(broken).examine()[id]
    assert not result.ok
    assert found in result.found
    assert result.fix


def test_a_real_certificate_is_examined_as_its_clients_do(tmp_path: Path) -> None:
    """By its names and its end, and against what is on disk, whoever signed it."""
    make_authority(tmp_path / "ours", "gpu-server")
    make_authority(tmp_path / "other", "gpu-server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "ours" / "server.pem")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        server = threading.Thread(target=_handshakes, args=(listener, context, 3))
        server.start()
        try:
            probe = HostProbe()
            ends = probe.certificate_ends("127.0.0.1", port, "gpu-server", tmp_path / "ours" / "server.pem")
            assert 1 < (ends - probe.now()) / 86400 <= 2
            with pytest.raises(ssl.SSLCertVerificationError):
                probe.certificate_ends("127.0.0.1", port, "elsewhere", tmp_path / "ours" / "server.pem")
            with pytest.raises(ssl.SSLCertVerificationError):
                probe.certificate_ends("127.0.0.1", port, "gpu-server", tmp_path / "other" / "server.pem")
        finally:
            server.join()


def _handshakes(listener: socket.socket, context: ssl.SSLContext, count: int) -> None:
    for _ in range(count):
        raw, _ = listener.accept()
        with contextlib.suppress(OSError), context.wrap_socket(raw, server_side=True) as wrapped:
            wrapped.recv(1)


@pytest.mark.parametrize(("silent", "ok"), [(1, True), (99, False)], ids=["once", "always"])
def test_a_command_in_the_router_that_ends_without_a_word_is_run_once_more(silent: int, ok: bool) -> None:
    station, runs = Healthy(), []
    healthy = station.run

    def run(argv: list[str], timeout: float = 10.0) -> Ran:
        if "exec" in argv and "gridtie-router-1" in argv:
            runs.append(argv)
            if len(runs) <= silent:
                return Ran(137, "", "")
        return healthy(argv, timeout)

    station.run = run
    result = station.examine()["engine.reachable"]

    assert result.ok is ok
    assert ok or "exit status 137" in result.found
