"""What every command ends with: 1 a check failed, 2 usage or connection error."""

from __future__ import annotations

from pathlib import Path

import pytest

from gridtie.cli import main
from standins.commands import COMMANDS
from standins.httpd import serving

# What is about this machine or files alone, and how it ends where no station is: the doctor's checks fail.
WITHOUT_A_STATION = {
    "audit": 0,
    "backup": 0,
    "restore": 0,
    "connect": 0,
    "doctor": 1,
    "fit": 0,
    "keys add": 0,
    "keys list": 0,
    "keys revoke": 2,
    "completion": 0,
    "readings": 0,
    "version": 0,
}
# About price lists, which are fetched, and about cards, which this machine has or has not.
NO_BUSINESS_OF_A_STATIONS = {"prices refresh", "prices check", "prices history", "gpu"}
OF_THE_ROUTER = [
    "status",
    "chat",
    "usage",
    "requests",
    "ledger prune",
    "ledger erase",
    "route explain",
    "bench",
    "quality",
]
# Where a word has a form; any other gets a name.
FORMS = {"older_than": "90d", "environment": "production"}


def typed(name: str) -> list[str]:
    """The command with no more than it must be given."""
    words = name.split()
    for action in COMMANDS[name]._actions:
        value = next(iter(action.choices)) if action.choices else FORMS.get(action.dest, "name")
        if action.option_strings and action.required:
            words += [action.option_strings[-1], value]
        elif not action.option_strings and action.nargs != "?":
            words.append(value)
    return words


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without a station."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GRIDTIE_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("GRIDTIE_STATE_DIR", str(tmp_path))
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", COMMANDS)
def test_an_option_that_no_command_has_is_an_error_of_usage(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*typed(name), "--no-such-option"])

    assert caught.value.code == 2
    assert "--no-such-option" in capsys.readouterr().err


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - NO_BUSINESS_OF_A_STATIONS))
def test_where_no_station_is_a_command_that_needs_one_ends_with_2(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(typed(name)) == WITHOUT_A_STATION.get(name, 2)


@pytest.mark.parametrize("name", OF_THE_ROUTER)
def test_a_router_that_refuses_what_is_asked_is_no_failed_check(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving() as refusing:
        monkeypatch.delenv("GRIDTIE_CONFIG_DIR", raising=False)
        monkeypatch.setenv("OPENAI_BASE_URL", refusing.url + "/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "grid-key")
        monkeypatch.setenv("GRIDTIE_STATE_DIR", str(tmp_path))
        monkeypatch.chdir(tmp_path)

        assert main(typed(name)) == 2

    assert "grid-key" not in "".join(capsys.readouterr())
