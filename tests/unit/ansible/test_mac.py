"""A Mac as the modules see it, from what its tools print; tests/fixtures/mac/README.md says whose form that is."""

from __future__ import annotations

import plistlib
import sys
from pathlib import Path
from typing import Any

import pytest
from plugins.module_utils import (
    gridtie_docker,
    gridtie_files,
    gridtie_launchd,
    gridtie_mac,
    gridtie_ports,
    gridtie_release,
)
from plugins.modules import gridtie_launch_agent

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "mac"
GIB = 1024**3


def told(name: str) -> str:
    return (FIXTURES / name).read_text(encoding="utf-8")


def test_sw_vers_is_read_as_an_os_release() -> None:
    assert gridtie_mac.parse_sw_vers(told("sw_vers.txt")) == {
        "id": "macos", "version": "15.3.1", "codename": "", "name": "macOS 15.3.1",
    }  # fmt: skip


def test_a_mac_is_described_without_anything_of_linux(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gridtie_mac, "ask", lambda command: told(f"{command[0]}.txt"))
    monkeypatch.setattr(gridtie_mac.platform, "machine", lambda: "arm64")

    machine = gridtie_mac.describe([str(tmp_path)])

    assert machine["memory"] == {"total": 16 * GIB, "available": 6 * GIB}
    assert (machine["init"], machine["architecture"], machine["gpu_groups"]) == ("launchd", "aarch64", [])
    assert machine["disks"][0]["path"] == str(tmp_path)


@pytest.mark.parametrize(("kind", "desktop"), [("desktop", True), ("colima", False), ("orbstack", False)])
def test_every_docker_of_a_mac_tells_the_memory_of_its_virtual_machine(kind: str, desktop: bool) -> None:
    info = gridtie_docker.parse_info(told(f"docker-{kind}.json"))

    assert info["desktop"] is desktop
    assert 1 * GIB < int(str(info["memory"])) < 8 * GIB


def test_lsof_names_who_listens() -> None:
    assert gridtie_ports.parse_lsof(told("lsof-port.txt")) == (4711, "ollama")
    assert gridtie_ports.parse_lsof("") == (0, "")


def test_a_mac_asks_lsof_for_the_holder_of_a_port(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(gridtie_ports, "run", lambda command: asked.append(command) or (0, told("lsof-port.txt"), ""))

    assert gridtie_ports.holder(11434) == "ollama (pid 4711)"
    assert "-iTCP:11434" in asked[0]


@pytest.fixture
def homebrew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """A Mac on which `brew services` runs Ollama; what the commands print and who answers may be changed."""
    agents = tmp_path / gridtie_launchd.AGENTS
    agents.mkdir(parents=True)
    (agents / "homebrew.mxcl.ollama.plist").write_text(told("homebrew.mxcl.ollama.plist"))
    mac: dict[str, Any] = {"list": told("launchctl-list.txt"), "getenv": "", "process": 4711, "version": "0.32.3"}
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(gridtie_launchd, "run", lambda command: (0, mac[command[1]], ""))
    monkeypatch.setattr(gridtie_launchd, "process_on", lambda port: mac["process"])
    monkeypatch.setattr(gridtie_launchd, "told_version", lambda url: mac["version"])
    return mac


def test_homebrews_ollama_is_found(homebrew: dict[str, Any], tmp_path: Path) -> None:
    found = gridtie_launchd.find_ollama(11434, "gridtie")

    assert found["own_ollama"] is False
    assert {name: found["ollama"][name] for name in ("unit", "url", "version", "store", "exposed")} == {
        "unit": "homebrew.mxcl.ollama",
        "url": "http://127.0.0.1:11434",
        "version": "0.32.3",
        "store": f"{tmp_path}/.ollama/models",
        "exposed": False,
    }


def test_a_variable_of_the_whole_session_opens_it_to_others(homebrew: dict[str, Any]) -> None:
    homebrew["getenv"] = "0.0.0.0"

    assert gridtie_launchd.find_ollama(11434, "gridtie")["ollama"]["exposed"] is True


@pytest.mark.parametrize(
    ("changes", "own"),
    [
        ({"process": 4999}, True),
        ({"process": 901}, True),
        ({"version": ""}, False),
    ],
    ids=["the app's server, or one by hand", "an app's own process", "something else listens"],
)
def test_what_is_no_agent_is_not_adopted(homebrew: dict[str, Any], changes: dict[str, Any], own: bool) -> None:
    homebrew.update(changes)

    assert gridtie_launchd.find_ollama(11434, "gridtie") == {"ollama": {}, "own_ollama": own}


def test_the_stations_own_engine_is_nobody_elses(homebrew: dict[str, Any]) -> None:
    homebrew["list"] += "4712\t0\tio.gridtie.gridtie.engine\n"
    homebrew["process"] = 4712

    assert gridtie_launchd.find_ollama(11434, "gridtie") == {"ollama": {}, "own_ollama": False}
    assert gridtie_launchd.find_ollama(11434, "other") == {"ollama": {}, "own_ollama": True}


def test_an_adopted_agent_that_is_there_and_does_not_answer_is_named(homebrew: dict[str, Any]) -> None:
    engine = {"adopted": True, "unit": "homebrew.mxcl.ollama"}

    assert gridtie_launchd.silent(engine, {}) == "homebrew.mxcl.ollama"
    assert gridtie_launchd.silent(engine, {"unit": "homebrew.mxcl.ollama"}) == ""
    assert gridtie_launchd.silent({**engine, "unit": "gone"}, {}) == ""
    assert gridtie_launchd.silent({"unit": "homebrew.mxcl.ollama"}, {}) == ""


def test_the_property_list_says_what_is_run_and_keeps_it_running() -> None:
    text = gridtie_launchd.plist("io.gridtie.x.engine", ["/a b/ollama", "serve"], {"A": "<1>&"}, "/log")

    assert plistlib.loads(text.encode()) == {
        "Label": "io.gridtie.x.engine",
        "ProgramArguments": ["/a b/ollama", "serve"],
        "EnvironmentVariables": {"A": "<1>&"},
        "RunAtLoad": True,
        "KeepAlive": True,
        "ProcessType": "Interactive",
        "StandardOutPath": "/log",
        "StandardErrorPath": "/log",
    }


class Launchd:
    """launchctl, as far as an agent needs it: what is loaded was loaded from the file as it was then."""

    def __init__(self) -> None:
        self.running: dict[str, str] = {}
        self.said: list[str] = []

    def ask(self, command: list[str]) -> tuple[int, str, str]:
        assert command == ["launchctl", "list"]
        return 0, "PID\tStatus\tLabel\n" + "".join(f"7\t0\t{label}\n" for label in self.running), ""

    def do(self, command: list[str], **_: Any) -> str:
        verb, *words = command[1:]
        self.said.append(verb)
        if verb == "bootout":
            del self.running[words[0].rpartition("/")[2]]
        if verb == "bootstrap":
            path = Path(words[1])
            assert path.stem not in self.running, "Bootstrap failed: 5: Input/output error"
            self.running[path.stem] = path.read_text()
        return ""


@pytest.fixture
def launchd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Launchd:
    fake = Launchd()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(gridtie_launchd, "run", fake.ask)
    monkeypatch.setattr(gridtie_launch_agent, "follow", fake.do)
    return fake


def given(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    return {
        "directories": [], "link": {"path": str(tmp_path / "current"), "target": "1"}, "log": "/log",
        "program": ["/ollama"], "environment": {"A": "1"}, **changes,
    }  # fmt: skip


def test_an_agent_is_loaded_once_and_again_only_when_it_differs(launchd: Launchd, tmp_path: Path) -> None:
    agent = gridtie_launch_agent.Agent("io.gridtie.x.engine")

    assert agent.bring(given(tmp_path), check=False)[0]
    assert launchd.said == ["enable", "bootstrap"]
    assert agent.bring(given(tmp_path), check=False) == (False, [])
    assert agent.bring(given(tmp_path, environment={"A": "2"}), check=True)[0]
    assert launchd.said == ["enable", "bootstrap"]
    assert agent.bring(given(tmp_path, environment={"A": "2"}), check=False)[0]
    assert launchd.said[2:] == ["bootout", "enable", "bootstrap"]
    assert launchd.running == {agent.label: Path(agent.path).read_text()}


def test_a_run_that_was_killed_before_it_loaded_the_agent_is_finished_by_the_next(
    launchd: Launchd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = gridtie_launch_agent.Agent("io.gridtie.x.engine")
    agent.bring(given(tmp_path), check=False)
    with monkeypatch.context() as patch:
        patch.setattr(gridtie_launch_agent.Agent, "load", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            agent.bring(given(tmp_path, program=["/other"]), check=False)

    assert agent.bring(given(tmp_path, program=["/other"]), check=False) == (True, [])
    assert "/other" in launchd.running[agent.label]


def test_on_a_mac_nothing_is_given_away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    entry = {"path": str(tmp_path / "file"), "content": "x", "owner": "nobody-of-that-name", "group": "nor-that"}

    assert gridtie_files.ensure_file(entry, check=False)
    assert gridtie_files.ensure_file(entry, check=False) is None


@pytest.mark.parametrize(
    ("programs", "file", "found"),
    [
        (("ollama", "bin/ollama"), "ollama", "ollama"),
        (("ollama", "bin/ollama"), "bin/ollama", "bin/ollama"),
        (("ollama", "bin/ollama"), "Ollama.app/Contents/Resources/ollama", ""),
        (("bin/ollama",), "ollama", ""),
    ],
    ids=["a Mac's archive", "laid out as for Linux", "the app is another artefact", "a Mac's archive on Linux"],
)
def test_a_release_is_only_what_has_its_program_in_place(
    programs: tuple[str, ...], file: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gridtie_release, "PROGRAMS", programs)
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_bytes(b"")

    assert gridtie_release.program_of(tmp_path) == found
