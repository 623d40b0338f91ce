"""The judgement of a machine before anything is changed."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from plugins.module_utils.gridtie_judge import judge, judge_restore, listing

GIB = 1024**3
OK = {"state": "ok", "detail": "HTTP 200", "url": "https://there"}
GONE = {"state": "unreachable", "detail": "timed out", "url": "https://there"}
WANTED = {
    "project": "gridtie",
    "engine": "auto",
    "mode": "auto",
    "source": "auto",
    "mirror_url": "",
    "min_memory_gb": 2.0,
    "min_disk_gb": 6.0,
    "mounted": ["/var/lib/gridtie", "/etc/ssl/ca.pem"],
}
FREE_PORT = {"number": 8484, "holder": "", "container": "", "project": ""}
NO_DOCKER = {"works": False, "cli": "", "host": "", "named": False, "error": "", "compose": "", "buildx": ""}
DOCKER = {
    **NO_DOCKER,
    "works": True,
    "host": "unix:///var/run/docker.sock",
    "version": "26.1.5+dfsg1",
    "compose": "2.26.1",
    "buildx": "0.13.1",
    "desktop": False,
}
MACHINE = {
    "system": {"id": "debian", "version": "13", "name": "Debian 13", "codename": "trixie"},
    "architecture": "x86_64",
    "cpus": 2,
    "memory": {"total": 4 * GIB, "available": 3 * GIB},
    "disks": [
        {"path": "/var/lib/gridtie", "device": 1, "free": 20 * GIB},
        {"path": "/var/lib/docker", "device": 1, "free": 20 * GIB},
    ],
    "init": "systemd",
    "user": {"name": "dev", "uid": 1000},
    "privilege": "sudo",
    "docker": NO_DOCKER,
    "reach": {"apt": OK, "pypi": OK, "go": OK, "registry": GONE},
}


def changed(path: str, value: Any) -> dict[str, Any]:
    machine = copy.deepcopy(MACHINE)
    *parents, last = path.split(".")
    place: Any = machine
    for name in parents:
        place = place[name]
    place[last] = value
    return machine


def found(machine: dict[str, Any], **more: Any) -> str:
    arguments = {"wanted": WANTED, "station": {}, "port": FREE_PORT, **more}
    return " | ".join(entry["found"] for entry in judge(machine, **arguments)[1])


def test_a_plain_machine_has_nothing_in_the_way() -> None:
    choice, problems = judge(MACHINE, WANTED, {}, FREE_PORT)

    assert problems == []
    assert choice is not None
    assert choice["engine"] == "ollama"


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("privilege", "none", "there is no sudo"),
        ("architecture", "riscv64", "this is Debian 13 on riscv64"),
        ("memory.total", int(1.5 * GIB), "1.5 GiB of memory; at least 2"),
        ("disks", [{"path": "/var/lib/docker", "device": 1, "free": GIB}], "1.0 GiB free where /var/lib/docker"),
        ("docker", {**DOCKER, "version": "19.3.1"}, "Docker Engine 19.3.1"),
        ("docker", {**NO_DOCKER, "named": True, "host": "tcp://10.0.0.5:2375"}, "another machine"),
        (
            "docker",
            {**NO_DOCKER, "named": True, "host": "unix:///run/user/1000/docker.sock"},
            "that you chose does not answer",
        ),
        ("reach.pypi", GONE, "the Python package index does not answer"),
        ("reach.apt", GONE, "package mirror does not answer"),
    ],
)
def test_each_thing_in_the_way_is_named(path: str, value: Any, says: str) -> None:
    assert says in found(changed(path, value))


def test_backups_by_a_timer_need_systemd() -> None:
    machine = changed("init", "none")
    assert "gridtie_backup_directory needs a timer" in found(machine, wanted={**WANTED, "backups": True})
    assert "gridtie_backup_directory" not in found(machine)
    assert "gridtie_backup_directory" not in found(MACHINE, wanted={**WANTED, "backups": True})


def test_a_restore_that_was_broken_off_is_finished_first() -> None:
    (problem,) = judge_restore({"stage": "decided", "backup": "/srv/b.tar.gz"})
    assert "/srv/b.tar.gz was interrupted" in problem["found"]
    assert "gridtie restore" in problem["fix"]
    assert judge_restore({"stage": "staging"}) == judge_restore({}) == []


ROCKY = {"id": "rocky", "version": "9.5", "name": "Rocky Linux 9.5", "codename": ""}


@pytest.mark.parametrize("docker", [NO_DOCKER, DOCKER], ids=["without Docker", "with Docker"])
def test_a_system_that_is_not_supported_is_refused_in_one_sentence(docker: dict[str, Any]) -> None:
    _, problems = judge({**changed("docker", docker), "system": ROCKY}, WANTED, {}, FREE_PORT)

    assert len(problems) == 1
    for part in ("this is Rocky Linux 9.5 on x86_64", "a station runs on Debian 12", "would have to be had: images"):
        assert part in problems[0]["found"]


def test_a_station_that_is_there_goes_on_where_a_new_one_would_be_refused() -> None:
    machine = {**changed("docker", DOCKER), "system": ROCKY}
    station = {"engine": {"kind": "ollama", "mode": "container", "source": "release", "why": "it answered"}}

    assert found(machine, station=station) == ""


@pytest.mark.parametrize(
    ("system", "architecture", "wsl"),
    [
        ({"id": "ubuntu", "version": "24.04", "name": "Ubuntu 24.04"}, "x86_64", 0),
        ({"id": "ubuntu", "version": "24.04", "name": "Ubuntu 24.04"}, "x86_64", 2),
        ({"id": "debian", "version": "13", "name": "Debian 13"}, "aarch64", 0),
    ],
    ids=["Ubuntu", "WSL2", "arm64"],
)
def test_what_is_expected_to_work_passes(system: dict[str, str], architecture: str, wsl: int) -> None:
    machine = {**MACHINE, "system": {**system, "codename": ""}, "architecture": architecture, "wsl": wsl}

    assert found(machine) == ""


def test_the_first_subsystem_for_linux_is_refused_with_the_way_to_the_second() -> None:
    assert "wsl --set-version" in found({**MACHINE, "wsl": 1})


def test_everything_is_told_at_once() -> None:
    machine = changed("memory.total", GIB)
    machine["privilege"] = "none"
    port = {**FREE_PORT, "holder": "nginx (pid 7)"}

    text = found(machine, port=port)

    assert all(part in text for part in ("GiB of memory", "no sudo", "taken by nginx (pid 7)"))


@pytest.mark.parametrize(
    ("port", "taken"),
    [
        ({"holder": "docker-proxy (pid 9)", "container": "gridtie-router-1", "project": "gridtie"}, False),
        ({"holder": "docker-proxy (pid 9)", "container": "other-router-1", "project": "other"}, True),
    ],
    ids=["our own router", "another station"],
)
def test_only_somebody_else_can_have_taken_the_port(port: dict[str, str], taken: bool) -> None:
    assert ("is taken by" in found(MACHINE, port={"number": 8484, **port})) is taken


def test_a_provisioned_station_needs_no_network() -> None:
    machine = changed("reach", dict.fromkeys(("apt", "pypi", "go", "registry"), GONE))
    station = {"engine": {"kind": "ollama", "source": "packages", "why": "no registry then"}}

    assert found(machine, station=station) == ""


def test_the_list_numbers_the_problems_and_says_what_to_do() -> None:
    text = listing([{"found": "no sudo", "fix": "install it"}, {"found": "no disk", "fix": "buy one"}])

    assert text.splitlines() == [
        "2 things stand in the way. Nothing has been changed.",
        "  1. no sudo",
        "     What to do: install it",
        "  2. no disk",
        "     What to do: buy one",
    ]


@pytest.mark.parametrize(
    ("shares", "says"),
    [
        (
            ["/home/dev"],
            "shares only /home/dev with containers, and the station needs /var/lib/gridtie, /etc/ssl/ca.pem",
        ),
        (["/home", "/etc", "/var/lib/gridtie"], ""),
        (["/home", "/et", "/var/lib/gridtie/"], "needs /etc/ssl/ca.pem"),
        (["/"], ""),
    ],
)
def test_docker_desktop_must_share_what_the_station_mounts(shares: list[str], says: str) -> None:
    machine = changed("docker", {**DOCKER, "desktop": True, "shares": shares, "named": True})

    assert found(machine).endswith(says) if says else not found(machine)


SNAP = {**DOCKER, "snap": True}


@pytest.mark.parametrize(
    ("mounted", "files", "says"),
    [
        (
            ["/var/lib/gridtie", "/home/ca.pem"],
            ["/etc/gridtie"],
            "installed from snap, sees only /home, /media, /mnt of this machine, and the station needs "
            "/var/lib/gridtie, /etc/gridtie",
        ),
        (["/home/dev/state", "/home/ca.pem"], ["/home/dev/etc"], ""),
    ],
    ids=["where stations are", "below home"],
)
def test_docker_from_snap_must_see_what_the_station_needs(mounted: list[str], files: list[str], says: str) -> None:
    wanted = {**WANTED, "mounted": mounted, "files": files}
    text = found(changed("docker", SNAP), wanted=wanted)

    assert says in text if says else not text


# -- a native engine --------------------------------------------------------------------------------------------------

ENGINE_PORT = {"number": 11434, "holder": "python3 (pid 9)", "container": "", "project": ""}
ARCHIVES = {**MACHINE["reach"], "release": OK}
SERVICE = {"unit": "ollama.service", "url": "http://127.0.0.1:11434", "version": "0.32.15"}


@pytest.mark.parametrize(
    ("engine_port", "says"),
    [
        ({**ENGINE_PORT}, "port 11434 on this machine is taken by python3 (pid 9)"),
        ({**ENGINE_PORT, "project": "gridtie"}, ""),
        ({**ENGINE_PORT, "holder": ""}, ""),
        (None, ""),
    ],
    ids=["somebody else", "the station's own engine", "nobody", "not asked"],
)
def test_the_port_of_a_native_engine_must_be_free_or_its_own(engine_port: dict[str, Any] | None, says: str) -> None:
    assert found(changed("reach", ARCHIVES), engine_port=engine_port) == says


def test_who_finds_the_engines_port_taken_is_told_which_variable_to_change() -> None:
    _, problems = judge(changed("reach", ARCHIVES), WANTED, {}, FREE_PORT, ENGINE_PORT)

    assert "-e gridtie_engine_port=11435" in problems[0]["fix"]


def test_an_adopted_engine_needs_no_free_port() -> None:
    machine = {**changed("reach", ARCHIVES), "ollama": SERVICE}

    choice, problems = judge(machine, WANTED, {}, FREE_PORT, {**ENGINE_PORT, "holder": "ollama (pid 9)"})

    assert problems == []
    assert choice is not None
    assert choice["adopted"] == SERVICE


@pytest.mark.parametrize(
    "seen", [{"own_ollama": True}, {"ollama": {**SERVICE, "version": "0.24.0"}}], ids=["by hand", "too old"]
)
def test_a_container_beside_another_ollama_does_not_need_its_port(seen: dict[str, Any]) -> None:
    machine = {**changed("reach", {**ARCHIVES, "registry": OK}), **seen}

    choice, problems = judge(machine, WANTED, {}, FREE_PORT, {**ENGINE_PORT, "holder": "ollama (pid 9)"})

    assert problems == []
    assert choice is not None
    assert choice["mode"] == "container"


@pytest.mark.parametrize(("rootless", "desktop"), [(True, False), (False, True)], ids=["rootless", "desktop"])
def test_a_persons_own_docker_means_a_container(rootless: bool, desktop: bool) -> None:
    machine = changed("reach", {**ARCHIVES, "registry": OK})
    machine["docker"] = {**DOCKER, "rootless": rootless, "desktop": desktop, "shares": ["/"]}

    choice, _ = judge(machine, WANTED, {}, FREE_PORT)

    assert choice is not None
    assert choice["mode"] == "container"


def test_an_adopted_service_that_does_not_answer_is_on_the_list() -> None:
    station = {"engine": {"kind": "ollama", "mode": "native", "source": "adopted", "adopted": True}}
    machine = {**changed("reach", ARCHIVES), "silent": "ollama.service"}

    assert "ollama.service, which is this station's engine" in found(machine, station=station)


HOME = "/Users/dev"
MAC: dict[str, Any] = {
    **MACHINE,
    "system": {"id": "macos", "version": "15.3.1", "name": "macOS 15.3.1", "codename": ""},
    "architecture": "aarch64",
    "init": "launchd",
    "user": {"name": "dev", "uid": 501, "home": HOME},
    "docker": {**DOCKER, "named": True, "host": f"unix://{HOME}/.docker/run/docker.sock", "desktop": True},
    "reach": {"pypi": OK, "release": OK, "registry": OK},
}
ON_MAC = {**WANTED, "mounted": [f"{HOME}/.gridtie/var", f"{HOME}/.gridtie/ca.pem"]}


def test_a_mac_needs_neither_apt_nor_systemd_nor_root() -> None:
    choice, problems = judge(MAC, ON_MAC, {}, FREE_PORT)

    assert problems == []
    assert choice and (choice["mode"], choice["source"]) == ("native", "release")


@pytest.mark.parametrize(
    ("changes", "wanted", "says"),
    [
        ({"docker": {**NO_DOCKER, "error": "no docker command"}}, ON_MAC, "no Docker answers (no docker command)"),
        ({"docker": {**MAC["docker"], "works": False}}, ON_MAC, "no Docker answers"),
        ({"docker": {**MAC["docker"], "buildx": ""}}, ON_MAC, "lacks the compose or buildx plugin"),
        ({"user": {**MAC["user"], "uid": 0}}, ON_MAC, "runs as root"),
        ({}, WANTED, "/var/lib/gridtie and /etc/ssl/ca.pem lie outside /Users/dev"),
    ],
    ids=["no docker", "docker is not started", "no plugin", "root", "directories of Linux"],
)
def test_what_stands_in_the_way_on_a_mac_is_named_once(
    changes: dict[str, Any], wanted: dict[str, Any], says: str
) -> None:
    _, problems = judge({**MAC, **changes}, wanted, {}, FREE_PORT)

    assert len(problems) == 1
    assert says in problems[0]["found"]


def test_every_docker_of_a_mac_is_named_where_none_answers() -> None:
    _, problems = judge({**MAC, "docker": {**NO_DOCKER, "error": "no docker command"}}, ON_MAC, {}, FREE_PORT)

    assert all(name in problems[0]["fix"] for name in ("Docker Desktop", "Colima", "OrbStack"))


def test_ollamas_app_holds_the_port_of_a_macs_engine() -> None:
    held = {"number": 11434, "holder": "ollama (pid 7)", "container": "", "project": ""}
    _, problems = judge({**MAC, "own_ollama": True}, ON_MAC, {}, FREE_PORT, held)

    assert [entry["found"] for entry in problems] == ["port 11434 on this machine is taken by ollama (pid 7)"]
