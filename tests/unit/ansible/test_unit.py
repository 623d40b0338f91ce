"""The unit of a native engine: written beside what a person wrote, and started only where it has to be.

That systemd does what it is told is proven in the lab; here a script of a few lines takes its place and notes what it
is told.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from plugins.module_utils import gridtie_services
from plugins.module_utils.gridtie_services import ServiceError
from plugins.modules import gridtie_unit
from plugins.modules.gridtie_unit import Unit, write

ROOT = Path(__file__).resolve().parents[3]
NAME = "gridtie-engine.service"

SYSTEMCTL = """#!/bin/sh
case "$1" in
  show) cat '{state}' ;;
  *) echo "$*" >> '{told}' ;;
esac
"""


class Systemd:
    """What it says of the unit, and what it was told to do."""

    def __init__(self, directory: Path) -> None:
        self._state, self._told = directory / "state", directory / "told"
        command = directory / "systemctl"
        command.write_text(SYSTEMCTL.format(state=self._state, told=self._told))
        command.chmod(0o755)
        self.says()

    def says(self, **changes: str) -> None:
        state = {"LoadState": "loaded", "ActiveState": "active", "UnitFileState": "enabled", "NeedDaemonReload": "no"}
        self._state.write_text("".join(f"{name}={value}\n" for name, value in {**state, **changes}.items()))

    @property
    def told(self) -> list[str]:
        return [line.split()[0] for line in self._told.read_text().splitlines()] if self._told.exists() else []


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    (tmp_path / "command").mkdir()
    made = Systemd(tmp_path / "command")
    monkeypatch.setenv("PATH", f"{tmp_path / 'command'}:{os.environ['PATH']}")
    return made


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The variables that the service was started with."""
    variables = {"GRIDTIE_STAMP": "now"}
    monkeypatch.setattr(gridtie_services, "running_environment", lambda unit: variables)
    return variables


@pytest.fixture
def units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """systemd's directory of units."""
    directory = tmp_path / "units"
    directory.mkdir()
    monkeypatch.setattr(gridtie_unit, "UNITS", str(directory))
    return directory


def given(units: Path, tmp_path: Path, setting: str = "1") -> dict[str, Any]:
    drop_in = f"[Service]\nEnvironment=OLLAMA_NUM_PARALLEL={setting}\n"
    return {
        "directories": [{"path": str(units / f"{NAME}.d")}],
        "files": [
            {
                "path": str(units / NAME),
                "content": "[Service]\nExecStart=/opt/gridtie/ollama/current/bin/ollama serve\n",
            },
            {"path": str(units / f"{NAME}.d/10-gridtie.conf"), "content": drop_in},
        ],
        "link": {"path": str(tmp_path / "current"), "target": f"0.32.15-{setting}"},
    }


# -- what is written --------------------------------------------------------------------------------------------------


def test_unit_drop_in_and_link_are_written_once(units: Path, tmp_path: Path) -> None:
    assert len(write(given(units, tmp_path), False)) == 4
    assert write(given(units, tmp_path), False) == []


def test_check_mode_writes_nothing_and_tells_all_of_it(units: Path, tmp_path: Path) -> None:
    assert len(write(given(units, tmp_path), True)) == 4
    assert list(units.iterdir()) == []


def test_a_persons_own_settings_outlive_an_upgrade(units: Path, tmp_path: Path) -> None:
    write(given(units, tmp_path), False)
    own = units / f"{NAME}.d/override.conf"
    own.write_text("[Service]\nEnvironment=OLLAMA_KEEP_ALIVE=24h\n")

    write(given(units, tmp_path, setting="2"), False)

    assert own.read_text() == "[Service]\nEnvironment=OLLAMA_KEEP_ALIVE=24h\n"
    assert "OLLAMA_NUM_PARALLEL=2" in (units / f"{NAME}.d/10-gridtie.conf").read_text()
    assert str((tmp_path / "current").readlink()) == "0.32.15-2"


def test_a_persons_own_drop_in_is_read_after_ours() -> None:
    variables = (ROOT / "roles/station/vars/main.yml").read_text()
    names = re.findall(r"([\w-]+\.conf)\b(?!\.j2)", variables)

    # systemd reads drop-ins in the order of their names; `systemctl edit` writes override.conf.
    assert names
    assert all(name < "override.conf" for name in names)


# -- what is started --------------------------------------------------------------------------------------------------


def test_a_service_that_runs_with_what_is_on_disk_is_left_alone(systemd: Systemd, runs: dict[str, str]) -> None:
    assert not Unit(NAME).start_with("now", changed=False)
    assert systemd.told == []


@pytest.mark.parametrize(
    ("state", "stamp", "changed", "told"),
    [
        pytest.param({}, "now", True, ["daemon-reload", "restart"], id="files changed"),
        pytest.param({}, "before", False, ["restart"], id="killed between writing and starting"),
        pytest.param({"NeedDaemonReload": "yes"}, "now", False, ["daemon-reload", "restart"], id="not read anew"),
        pytest.param({"UnitFileState": "disabled"}, "now", False, ["enable", "restart"], id="not started at boot"),
        pytest.param({"ActiveState": "inactive"}, "", False, ["restart"], id="stopped"),
        pytest.param({"ActiveState": "failed"}, "", False, ["reset-failed", "restart"], id="failed too often"),
        pytest.param(
            {"LoadState": "not-found", "UnitFileState": ""}, "", True, ["daemon-reload", "enable", "restart"], id="new"
        ),
    ],
)
def test_it_is_started_again_where_it_does_not_run_with_what_is_on_disk(
    state: dict[str, str], stamp: str, changed: bool, told: list[str], systemd: Systemd, runs: dict[str, str]
) -> None:
    systemd.says(**state)
    runs["GRIDTIE_STAMP"] = stamp

    assert Unit(NAME).start_with("now", changed)
    assert systemd.told == told


@pytest.mark.parametrize(
    ("version", "says"), [("", "does not answer"), ("0.31.0", "says that it is 0.31.0")], ids=["silent", "another one"]
)
def test_a_service_that_does_not_become_what_was_wanted_fails_with_its_log(
    version: str, says: str, systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gridtie_services, "told_version", lambda url: version)
    monkeypatch.setattr(gridtie_services, "journal", lambda unit: "the end of the log")

    with pytest.raises(ServiceError, match=f"{says} at http://127.0.0.1:11434; wanted 0.32.15") as raised:
        Unit(NAME).wait("http://127.0.0.1:11434", "0.32.15", limit_s=0)
    assert raised.value.output == "the end of the log"


def test_a_service_that_failed_is_not_waited_for(systemd: Systemd, monkeypatch: pytest.MonkeyPatch) -> None:
    systemd.says(ActiveState="failed")
    monkeypatch.setattr(gridtie_services, "told_version", lambda url: "")

    with pytest.raises(ServiceError, match="does not answer"):
        Unit(NAME).wait("http://127.0.0.1:11434", "0.32.15", limit_s=3600)


# -- what is removed --------------------------------------------------------------------------------------------------


def ours(units: Path) -> list[str]:
    return [str(units / NAME), str(units / f"{NAME}.d/10-gridtie.conf")]


def test_a_removal_stops_it_first_and_leaves_nothing(systemd: Systemd, units: Path, tmp_path: Path) -> None:
    write(given(units, tmp_path), False)

    changes = Unit(NAME).remove(ours(units), False)

    assert len(changes) == 2
    assert list(units.iterdir()) == []
    assert systemd.told == ["disable", "daemon-reload"]


def test_a_removal_leaves_a_persons_own_settings(systemd: Systemd, units: Path, tmp_path: Path) -> None:
    write(given(units, tmp_path), False)
    (units / f"{NAME}.d/override.conf").write_text("[Service]\n")

    Unit(NAME).remove(ours(units), False)

    assert [str(path.relative_to(units)) for path in units.rglob("*")] == [f"{NAME}.d", f"{NAME}.d/override.conf"]


def test_a_purge_takes_them_too(systemd: Systemd, units: Path, tmp_path: Path) -> None:
    write(given(units, tmp_path), False)
    (units / f"{NAME}.d/override.conf").write_text("[Service]\n")

    Unit(NAME).remove([*ours(units), str(units / f"{NAME}.d")], False)

    assert list(units.iterdir()) == []


def test_a_removal_in_check_mode_stops_nothing(systemd: Systemd, units: Path, tmp_path: Path) -> None:
    write(given(units, tmp_path), False)

    assert len(Unit(NAME).remove(ours(units), True)) == 2
    assert (units / NAME).exists()
    assert systemd.told == []


def test_a_second_removal_finds_nothing_to_do(systemd: Systemd, units: Path) -> None:
    systemd.says(LoadState="not-found")

    assert Unit(NAME).remove(ours(units), False) == []
    assert systemd.told == []


# -- the unit itself --------------------------------------------------------------------------------------------------


def rendered(template: str, **values: Any) -> str:
    text = (ROOT / "roles/engine_ollama/templates" / template).read_text()
    return jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False).from_string(text).render(
        gridtie_project="gridtie", _station_engine_unit=NAME, **values
    )  # fmt: skip


@pytest.fixture
def unit() -> dict[str, list[str]]:
    """The role's unit on a machine with a card, as systemd reads it: values by name."""
    return read_unit(on_cards=True)


def unit_text(*, on_cards: bool, below_home: bool = False) -> str:
    state = "/home/dev/gridtie" if below_home else "/var/lib/gridtie"
    return rendered(
        "engine.service.j2", gridtie_engine_user="gridtie-engine", gridtie_engine_group="gridtie-engine",
        gridtie_state_dir=state, gridtie_config_dir="/etc/gridtie", _engine_limit="12g",
        _ollama_current="/opt/gridtie/ollama/current", _ollama_on_cards=on_cards, _ollama_below_home=below_home,
        _ollama_bound=[f"{state}/models/ollama"], gridtie_machine={"gpu_groups": ["render", "video"]},
    )  # fmt: skip


def read_unit(*, on_cards: bool, below_home: bool = False) -> dict[str, list[str]]:
    text = unit_text(on_cards=on_cards, below_home=below_home)
    found: dict[str, list[str]] = {}
    for name, value in (line.split("=", 1) for line in text.splitlines() if "=" in line and line[0] not in "#["):
        found.setdefault(name, []).append(value)
    return found


def test_the_unit_holds_no_setting_that_a_person_may_want_to_change(unit: dict[str, list[str]]) -> None:
    assert unit["Environment"] == ["HOME=%C/gridtie-engine"], "settings are in the drop-in; a caller's PATH is nowhere"


def test_the_unit_starts_what_the_link_leads_to_as_a_user_of_its_own(unit: dict[str, list[str]]) -> None:
    assert unit["ExecStart"] == ["/opt/gridtie/ollama/current/bin/ollama serve"]
    assert (unit["User"], unit["Group"]) == (["gridtie-engine"], ["gridtie-engine"])


def test_of_the_stations_files_the_engine_sees_its_models_alone(unit: dict[str, list[str]]) -> None:
    """Whatever their modes: the ledger lies beside the models, keys in the configuration."""
    assert unit["TemporaryFileSystem"] == ["/var/lib/gridtie:ro"]
    assert unit["BindReadOnlyPaths"] == ["/var/lib/gridtie/models/ollama"]
    assert unit["InaccessiblePaths"] == ["-/etc/gridtie"]


def test_a_state_directory_below_home_is_bound_into_what_hides_homes() -> None:
    unit = read_unit(on_cards=False, below_home=True)

    assert unit["ProtectHome"] == ["tmpfs"]
    assert unit["BindReadOnlyPaths"] == ["/home/dev/gridtie/models/ollama"]
    assert "TemporaryFileSystem" not in unit


@pytest.mark.parametrize(
    ("state", "prefix", "below", "bound"),
    [
        ("/var/lib/gridtie", "/opt/gridtie", False, ["STATE/models/ollama"]),
        ("/home/dev/gridtie", "/opt/gridtie", True, ["STATE/models/ollama", "PREFIX/ollama"]),
        ("/var/lib/gridtie", "/root/gridtie", True, ["STATE/models/ollama", "PREFIX/ollama"]),
        ("/homes/gridtie", "/opt/gridtie", False, ["STATE/models/ollama"]),
    ],
)
def test_what_lies_below_a_home_is_known(state: str, prefix: str, below: bool, bound: list[str]) -> None:
    text = yaml.safe_load((ROOT / "roles/engine_ollama/vars/main.yml").read_text())
    names = ("_ollama_below_home", "_ollama_bound", "_ollama_store", "_ollama_trees")
    variables = {name: trust_as_template(text[name]) for name in names}
    role = Templar(loader=DataLoader(), variables={**variables, "gridtie_state_dir": state, "gridtie_prefix": prefix})

    wanted = [each.replace("STATE", state).replace("PREFIX", prefix) for each in bound]
    assert role.template(trust_as_template("{{ [_ollama_below_home, _ollama_bound] }}")) == [below, wanted]


@pytest.mark.parametrize(
    ("source", "ollama", "version"),
    [
        ("release", {"version": "1.0.0", "packages": {"version": "2.0.0"}}, "1.0.0"),
        ("packages", {"version": "1.0.0", "packages": {"version": "2.0.0"}}, "2.0.0"),
        # A file of one's own, from before there were two.
        ("packages", {"version": "1.0.0"}, "1.0.0"),
    ],
)
def test_the_version_that_is_installed_is_that_of_the_source(source: str, ollama: dict[str, Any], version: str) -> None:
    text = yaml.safe_load((ROOT / "roles/engine_ollama/vars/main.yml").read_text())["_ollama_version"]
    given = {"_ollama_pins": {"ollama": ollama}, "gridtie_resolved_choice": {"source": source}}
    role = Templar(loader=DataLoader(), variables=given)

    assert str(role.template(trust_as_template(text))).strip() == version


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")
@pytest.mark.parametrize("on_cards", [True, False], ids=["with a card", "without"])
def test_systemd_itself_rates_the_exposure_at_two_or_better(on_cards: bool, tmp_path: Path) -> None:
    file = tmp_path / NAME
    file.write_text(unit_text(on_cards=on_cards).replace("/opt/gridtie/ollama/current/bin/ollama", "/bin/true"))

    rated = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", file],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    # Above the threshold, which is in tenths, its exit status is 1.
    assert rated.returncode == 0, rated.stdout + rated.stderr


def test_the_hardening_does_not_cost_the_graphics_card(unit: dict[str, list[str]]) -> None:
    costly = {"PrivateDevices", "DevicePolicy", "DeviceAllow", "ProtectClock", "MemoryDenyWriteExecute", "ProcSubset"}

    assert not costly & unit.keys()
    assert unit["SupplementaryGroups"] == ["render video"]


def test_without_a_card_it_gets_no_device_nodes_and_no_groups_of_theirs() -> None:
    unit = read_unit(on_cards=False)

    assert unit["PrivateDevices"] == ["yes"]
    assert "SupplementaryGroups" not in unit


def test_models_lie_apart_from_programs_so_that_an_upgrade_cannot_lose_them() -> None:
    variables = yaml.safe_load((ROOT / "roles/engine_ollama/vars/main.yml").read_text())

    assert variables["_ollama_trees"].startswith("{{ gridtie_prefix }}/")
    assert variables["_ollama_store"].startswith("{{ gridtie_state_dir }}/")
    assert variables["_ollama_settings"]["OLLAMA_MODELS"] == "{{ _ollama_store }}"
    assert variables["_ollama_settings"]["OLLAMA_NOPRUNE"] == "1"


def test_a_setting_reaches_the_service_as_it_is() -> None:
    value = 'a "quoted" 100% \\ word'

    text = rendered("settings.conf.j2", _ollama_environment={"A": value, "B": 1})

    # systemd.syntax(7): quotes and backslashes as in a shell, and %% for %.
    lines = [line.removeprefix("Environment=") for line in text.splitlines() if line.startswith("Environment=")]
    assert [shlex.split(line)[0].replace("%%", "%") for line in lines] == [f"A={value}", "B=1"]
