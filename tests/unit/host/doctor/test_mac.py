"""The doctor on a Mac: launchd, lsof and ps tell what systemd and /proc tell elsewhere. Not run on a Mac."""

from __future__ import annotations

import plistlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tests.standins.healthy import CONFIG, MIB, MODEL, STATE, Healthy

from gridtie.host.command import Ran
from gridtie.host.gpu.system import System
from gridtie.host.machine import launchd

FIXTURES = Path(__file__).resolve().parents[3] / "fixtures" / "mac"
LABEL = "io.gridtie.gridtie.engine"
TREES = Path("/Users/dev/.gridtie/opt/ollama")
TREE = TREES / "0.32.15-0123456789ab"
PERSON = 501


class HealthyMac(Healthy):
    """A station on a Mac whose engine is an agent of launchd; everything belongs to the person."""

    mac = True

    def __init__(self) -> None:
        super().__init__()
        url = "http://host.docker.internal:11434"
        self.station["engine"] = {
            "kind": "ollama", "mode": "native", "source": "release", "version": "0.32.15", "why": "test",
            "unit": LABEL, "url": url, "tree": str(TREE), "program": "ollama",
        }  # fmt: skip
        for model in self.station["models"]:
            model["url"] = url
        self.agent = {
            "Label": LABEL,
            "ProgramArguments": [str(TREES / "current/ollama"), "serve"],
            "EnvironmentVariables": {"LLAMA_ARG_CACHE_RAM": "256"},
            "RunAtLoad": True,
        }
        self.tables = {
            "launchctl": f"PID\tStatus\tLabel\n4711\t0\t{LABEL}\n",
            "lsof": (FIXTURES / "lsof-listen.txt").read_text(),
            "ps": (FIXTURES / "ps.txt").read_text(),
        }
        self.files[TREE / "ollama"] = "program"
        self.current = TREE
        self.graphics = replace(self.graphics, system=System(architecture="arm64"))
        self.engine["/api/ps"] = (200, _ps(on_cards=316 * MIB))
        for path in [*self.files, CONFIG / "station.json"]:
            self.owners[path] = PERSON
        self.modes[TREE / "ollama"] = 0o755

    def run(self, argv: Sequence[str], timeout: float = 10.0) -> Ran:
        return Ran(0, self.tables[argv[0]], "") if argv[0] in self.tables else super().run(argv, timeout)

    def read(self, path: Path) -> str:
        assert Path("/proc") not in path.parents, f"a Mac has no {path}"
        if path == Path.home() / launchd.AGENTS / f"{LABEL}.plist":
            return plistlib.dumps(self.agent).decode()
        return super().read(path)

    def resolved(self, path: Path) -> Path:
        assert path == TREES / "current"
        return self.current


def _ps(on_cards: int) -> str:
    return f'{{"models": [{{"name": "{MODEL}", "size": {316 * MIB}, "size_vram": {on_cards}}}]}}'


@pytest.fixture
def station() -> HealthyMac:
    return HealthyMac()


def test_a_healthy_mac_passes_every_check(station: HealthyMac) -> None:
    assert [result for result in station.examine().values() if not result.ok] == []


@pytest.mark.parametrize(
    ("check", "table", "text", "says"),
    [
        ("service.running", "launchctl", "PID\tStatus\tLabel\n-\t78\t" + LABEL + "\n", "is inactive"),
        ("service.running", "launchctl", "PID\tStatus\tLabel\n", "is inactive"),
        ("network.listening", "lsof", "p4711\nf3\nn*:11434\n", "0.0.0.0 port 11434"),
        ("network.listening", "lsof", "p9\nf3\nn[fe80::1%en0]:8484\n", "fe80::1 port 8484"),
        ("memory.fit", "ps", " 4711 1 35840\n 4720 4711 9365568\n", "resident 9181 MiB"),
    ],
)
def test_what_a_macs_tools_tell_is_judged(station: HealthyMac, check: str, table: str, text: str, says: str) -> None:
    station.tables[table] = text

    result = station.examine()[check]

    assert not result.ok
    assert says in result.found


def test_another_release_than_the_last_is_noticed(station: HealthyMac) -> None:
    station.current = TREES / "0.32.14-0123456789ab"

    assert "0.32.14" in station.examine()["service.program"].found


def test_an_agent_that_does_not_start_with_the_session_is_noticed(station: HealthyMac) -> None:
    station.agent["RunAtLoad"] = False

    assert station.examine()["service.running"].found == f"{LABEL} is disabled"


def test_an_idle_metal_is_a_fault_where_the_mac_has_it(station: HealthyMac) -> None:
    station.engine["/api/ps"] = (200, _ps(on_cards=0))
    result = station.examine()["gpu.used"]
    assert not result.ok
    assert result.found.startswith("Metal lies idle")


def test_a_mac_with_an_intel_processor_has_no_metal_to_use(station: HealthyMac) -> None:
    station.engine["/api/ps"] = (200, _ps(on_cards=0))
    station.graphics = replace(station.graphics, system=System(architecture="x86_64"))

    assert station.examine()["gpu.used"].ok


def test_secrets_are_the_persons_alone(station: HealthyMac) -> None:
    station.owners[CONFIG / "station.key"] = 502

    assert station.examine()["config.secrets"].found == f"{CONFIG}/station.key belongs to user 502"


def test_the_log_is_a_file(station: HealthyMac) -> None:
    station.engine["/api/version"] = (0, "refused")

    assert f"tail {STATE}/engine.log" in station.examine()["engine.reachable"].fix


@pytest.mark.parametrize("text", ["", "nonsense", "<plist>", '<plist version="1.0"><array/></plist>'])
def test_what_is_no_property_list_describes_nothing(text: str) -> None:
    assert launchd.parse_agent(text) == {}


def test_homebrews_property_list_is_read_in_systemds_words() -> None:
    agent = launchd.parse_agent((FIXTURES / "homebrew.mxcl.ollama.plist").read_text())

    assert launchd.as_service(4711, agent) == {
        "ActiveState": "active",
        "UnitFileState": "enabled",
        "MainPID": "4711",
        "ExecStart": "/opt/homebrew/opt/ollama/bin/ollama serve",
        "Environment": "OLLAMA_FLASH_ATTENTION=1 OLLAMA_KV_CACHE_TYPE=q8_0",
    }
