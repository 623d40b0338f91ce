"""What is read of a machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from plugins.module_utils import gridtie_docker, gridtie_machine, gridtie_ports, gridtie_reach

from standins.authority import make_authority


def test_os_release_is_read_with_and_without_quotes() -> None:
    text = (
        'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nID=debian\nVERSION_ID="13"\nVERSION_CODENAME=trixie\n# comment\n'
    )

    assert gridtie_machine.parse_os_release(text) == {
        "id": "debian", "version": "13", "codename": "trixie", "name": "Debian GNU/Linux 13 (trixie)",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("id", "version", "runs"),
    [("debian", "13", True), ("debian", "12", True), ("ubuntu", "24.04", True), ("fedora", "44", False)],
)
def test_what_is_compiled_in_the_base_image_runs_on_supported_releases(id: str, version: str, runs: bool) -> None:
    """The lab's mirror has it run on Debian 12, too: tests/lab/test_mirror.py."""
    assert gridtie_machine.runs_compiled({"id": id, "version": version}, "x86_64") is runs


def test_memory_is_counted_in_bytes() -> None:
    text = "MemTotal:       2048 kB\nMemFree:        512 kB\nMemAvailable:   1024 kB\nHugePages_Total:       0\n"

    assert gridtie_machine.parse_meminfo(text) == {"total": 2 * 1024**2, "available": 1024**2}


def test_free_disk_of_a_directory_to_come_is_that_of_its_nearest_parent(tmp_path: Path) -> None:
    disk = gridtie_machine.free_disk(str(tmp_path / "not" / "yet"))

    assert disk["device"] == tmp_path.stat().st_dev


def test_listeners_of_the_kernel_table() -> None:
    table = (
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        "   0: 0100007F:2124 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1\n"
        "   1: 0100007F:2124 0100007F:C350 01 00000000:00000000 00:00000000 00000000  1000        0 4712 1\n"
    )

    assert list(gridtie_ports.parse_listeners(table)) == [(8484, 1000, "4711")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '{"ServerVersion": "26.1", "SecurityOptions": ["name=seccomp", "name=rootless"]}',
            {"rootless": True, "desktop": False},
        ),
        ('{"ServerVersion": "28.0", "OperatingSystem": "Docker Desktop"}', {"rootless": False, "desktop": True}),
        (
            '{"ServerVersion": "28.4", "DockerRootDir": "/var/snap/docker/common/var-lib-docker"}',
            {"rootless": False, "desktop": False, "snap": True},
        ),
        (
            '{"ServerVersion": "20.10", "SecurityOptions": null, "DockerRootDir": "/var/lib/docker"}',
            {"rootless": False, "desktop": False, "snap": False},
        ),
    ],
    ids=["rootless", "desktop", "snap", "plain"],
)
def test_kinds_of_docker_are_told_apart(text: str, expected: dict[str, bool]) -> None:
    info = gridtie_docker.parse_info(text)

    assert {name: info[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("name", "text", "shares"),
    [
        ("settings-store.json", '{"FilesharingDirectories": ["/home", "/srv"]}', ["/home", "/srv"]),
        ("settings.json", '{"filesharingDirectories": ["/data"]}', ["/data"]),
        ("settings-store.json", '{"AutoStart": true}', None),
        ("settings-store.json", "{", None),
    ],
)
def test_docker_desktops_setting_says_what_it_shares_else_it_is_the_home(
    name: str, text: str, shares: list[str] | None, tmp_path: Path
) -> None:
    settings = tmp_path / ".docker" / "desktop" / name
    settings.parent.mkdir(parents=True)
    settings.write_text(text)

    assert gridtie_docker.desktop_shares(str(tmp_path)) == (shares or [str(tmp_path)])


@pytest.mark.parametrize("text", ["", "Cannot connect", '{"ServerVersion": ""}'])
def test_a_docker_that_does_not_answer_has_no_facts(text: str) -> None:
    assert gridtie_docker.parse_info(text) == {}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:secret@mirror/simple/", "https://***@mirror/simple/"),
        ("https://mirror:8443/simple/", "https://mirror:8443/simple/"),
    ],
)
def test_credentials_of_an_address_are_never_shown(url: str, shown: str) -> None:
    assert gridtie_reach.redact(url) == shown


def test_every_bundle_that_the_machine_was_told_to_trust_is_read_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bundle = make_authority(tmp_path)
    for name in ("PIP_CERT", "REQUESTS_CA_BUNDLE"):
        monkeypatch.setenv(name, str(bundle))
    monkeypatch.setenv("CURL_CA_BUNDLE", str(tmp_path / "gone.pem"))

    made = gridtie_reach.context()

    assert "Stand-in authority" in str(made.get_ca_certs())
    assert gridtie_reach.context() is made


def test_a_port_nobody_listens_on_is_unreachable() -> None:
    result = gridtie_reach.Probes({"registry": lambda: "http://user:secret@127.0.0.1:9/v2/"}).results()["registry"]

    assert result["state"] == "unreachable"
    assert "secret" not in str(result)


DOCKER = """#!/bin/sh
echo "$*" >> "$0.calls"
case "$1" in
  info) echo '{"ServerVersion": "26.1.5", "ClientInfo": {"Plugins": PLUGINS}}' ;;
  compose) echo 2.26.1-4 ;;
  buildx) echo "github.com/docker/buildx v0.13.1 788433953af1" ;;
esac
"""


@pytest.mark.parametrize(
    ("plugins", "asked"),
    [
        ('[{"Name": "buildx", "Version": "v0.13.1"}, {"Name": "compose", "Version": "2.26.1-4"}]', []),
        ('[{"Name": "buildx", "Version": "v0.13.1"}, {"Name": "compose", "Err": "broken"}]', ["compose"]),
        ("null", ["compose", "buildx"]),
    ],
)
def test_plugins_that_docker_lists_are_not_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plugins: str, asked: list[str]
) -> None:
    docker = tmp_path / "docker"
    docker.write_text(DOCKER.replace("PLUGINS", plugins))
    docker.chmod(0o755)
    monkeypatch.setattr(gridtie_docker, "find_docker", lambda: str(docker))

    found = gridtie_docker.inspect("unix:///nonexistent.sock")

    assert (found["compose"], found["buildx"], found["version"]) == ("2.26.1-4", "0.13.1", "26.1.5")
    calls = (tmp_path / "docker.calls").read_text().splitlines()
    assert [call.split()[0] for call in calls] == ["info", *asked]
