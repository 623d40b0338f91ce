"""The command: exit status 0, 1 or 2, one clear line where something is wrong."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import gridtie.cli
from gridtie.host import cli
from gridtie.host.version import __version__
from standins.httpd import Httpd, serving

KEY = "gt-" + "a" * 43


@pytest.fixture
def router(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Httpd]:
    """A router that says what a test tells it to; the environment names it."""
    with serving() as server:
        monkeypatch.delenv("GRIDTIE_CONFIG_DIR", raising=False)
        monkeypatch.setenv("OPENAI_BASE_URL", server.url + "/v1")
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("GRIDTIE_STATE_DIR", str(tmp_path))
        yield server


PLAN: dict[str, Any] = {
    "rule": "dev-local-first",
    "local_only": "",
    "attempts": [{"target": "station/m", "locality": "local", "reason": "loaded"}],
    "skipped": [{"target": "openai/gpt", "reason": "no key"}],
    "refusal": None,
}
ROW = {
    "id": "req-1",
    "status": 200,
    "cost_usd": None,
    "tags": ["a", "b"],
    "tries": [{"target": "station/m", "outcome": "ok", "duration": 0.5, "message": "warm"}],
}


def test_the_version_is_the_projects(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["version"]) == 0
    assert capsys.readouterr().out == f"gridtie {__version__}\n"


@pytest.mark.parametrize("command", sorted(cli.build_parser().commands.choices))
def test_a_command_that_is_read_alone_is_the_same_as_among_all(command: str) -> None:
    alone, all_of_them = (cli.build_parser(words).commands.choices for words in ([command], None))

    assert alone[command].format_help() == all_of_them[command].format_help()


def test_a_command_is_there_without_the_modules_of_the_others() -> None:
    code = "import sys; from gridtie.host import cli; cli.build_parser(['doctor']); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    commands = {name for name in loaded if name.startswith("gridtie.host.commands.")}
    assert commands == {"gridtie.host.commands.doctor"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["docter"], "did you mean doctor?"),
        (["route", "explian"], "did you mean explain?"),
        (["usage", "--bye", "day"], "did you mean --by?"),
        (["usage", "--by", "dya"], "did you mean day?"),
        (["usage", "--last"], "unrecognized arguments: --last\n"),
        (["add"], "invalid choice: 'add'"),
    ],
)
def test_a_misspelt_word_is_refused_with_the_nearest_one(
    capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(words)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "begins"),
    [
        (["status"], "The station on one screen: what runs"),
        (["start"], "Start engine and router again, and wait until they serve."),
        (["doctor"], "Check the whole station and print one verdict. Sends three small requests"),
        (["keys", "list"], "Names, rights and limits; the keys themselves are not stored."),
    ],
)
def test_a_commands_own_help_says_what_it_is_for(
    command: list[str], begins: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        cli.main([*command, "--help"])

    usage, description, *_ = capsys.readouterr().out.split("\n\n")
    assert usage.startswith("usage: gridtie")
    assert " ".join(description.split()).startswith(begins)


def test_a_word_of_another_level_is_not_offered(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["revok"], ["chat", "--environmen"], ["--recompute"]):
        with pytest.raises(SystemExit):
            cli.main(words)

    offered = re.findall(r"did you mean (\S+)\?", capsys.readouterr().err)
    assert not {"revoke", "--environment", "--recompute"} & set(offered)


def test_route_explain_asks_and_shows_the_decision(router: Httpd, capsys: pytest.CaptureFixture[str]) -> None:
    router.answers["/gridtie/route"] = (200, PLAN)
    words = ["--model", "coder", "--environment", "dev", "--tag", "private", "--tag", "x", "--stream", "--tokens", "9"]
    assert cli.main(["route", "explain", *words]) == 0
    assert router.asked[0].body == {
        "model": "coder",
        "environment": "dev",
        "tags": ["private", "x"],
        "stream": True,
        "prompt_tokens": 9,
    }
    out = capsys.readouterr().out
    assert "attempt 1 station/m (local): loaded" in out
    assert "skipped   openai/gpt: no key" in out


def test_route_explain_says_where_a_session_has_its_prefix(router: Httpd, capsys: pytest.CaptureFixture[str]) -> None:
    router.answers["/gridtie/route"] = (200, PLAN | {"holds_prefix": "pool.two/m"})

    assert cli.main(["route", "explain", "--session", "s-1"]) == 0

    assert router.asked[0].body == {"session": "s-1"}
    assert "session   its prefix is at pool.two/m" in capsys.readouterr().out


def test_route_explain_is_1_for_a_request_that_would_be_refused(
    router: Httpd, capsys: pytest.CaptureFixture[str]
) -> None:
    refusal = {"status": 503, "code": "no_local_target", "message": "the engine is down"}
    router.answers["/gridtie/route"] = (200, PLAN | {"attempts": [], "refusal": refusal, "local_only": "tag private"})
    assert cli.main(["route", "explain"]) == 1
    out = capsys.readouterr().out
    assert "refused   503 no_local_target: the engine is down" in out
    assert "no cloud on any path: tag private" in out


def test_route_explain_shows_time_outs_and_retries_with_whose_they_are(
    router: Httpd, capsys: pytest.CaptureFixture[str]
) -> None:
    bounds = {
        "timeouts": {"connect": 2.0, "total": 60.0, "whole": None},
        "retries": {"count": 2, "backoff": 0.5, "max_backoff": 8.0},
        "set_by": {"timeouts.total": 'rule "ci"', "retries.count": 'alias "coder"'},
    }
    router.answers["/gridtie/route"] = (200, PLAN | bounds)
    assert cli.main(["route", "explain"]) == 0
    out = capsys.readouterr().out
    assert 'time-outs connect 2 s, total 60 s (rule "ci")\n' in out
    assert 'retries   2 at the same target (alias "coder"), after 0.5 s, doubled with each up to 8 s\n' in out


def test_requests_shows_a_row_and_unknown_costs_as_unknown(router: Httpd, capsys: pytest.CaptureFixture[str]) -> None:
    router.answers["/gridtie/requests/req-1"] = (200, ROW)
    assert cli.main(["requests", "req-1"]) == 0
    out = capsys.readouterr().out
    assert "cost_usd            unknown" in out
    assert "station/m ok after 0.50 s: warm" in out


def test_requests_without_an_id_are_the_latest(router: Httpd, capsys: pytest.CaptureFixture[str]) -> None:
    row = {**ROW, "time": 1795953600.0, "key": "dev", "asked": "coder", "target": "here/small", "duration": 1.25}
    lost = {**row, "id": "req-2", "target": None, "status": 503, "code": "no_target"}
    router.answers["/gridtie/requests"] = (200, {"requests": [row, lost]})

    assert cli.main(["requests", "--last", "2"]) == 0

    said = capsys.readouterr().out
    assert router.asked[0].path == "/gridtie/requests?last=2"
    assert "here/small" in said
    assert "no_target" in said


def test_requests_as_json_is_the_row(router: Httpd, capsys: pytest.CaptureFixture[str]) -> None:
    router.answers["/gridtie/requests/req-1"] = (200, ROW)
    assert cli.main(["requests", "req-1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == ROW


def test_the_routers_no_is_2_in_one_line(router: Httpd, capsys: pytest.CaptureFixture[str]) -> None:
    router.answers["/gridtie/requests/no"] = (404, {"error": {"code": "not_found", "message": "no request 'no'"}})
    assert cli.main(["requests", "no"]) == 2
    assert capsys.readouterr().err == "gridtie: no request 'no'\n"


def test_an_id_cannot_lead_elsewhere(router: Httpd) -> None:
    cli.main(["requests", "../usage"])
    assert router.asked[0].path == "/gridtie/requests/..%2Fusage"


def test_no_router_is_2(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("GRIDTIE_CONFIG_DIR", raising=False)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert cli.main(["usage"]) == 2
    told = capsys.readouterr().err
    assert "http://127.0.0.1:1/gridtie/usage?since=30d" in told
    assert "does not answer: connection refused" in told


def test_no_key_is_2(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("GRIDTIE_CONFIG_DIR", str(tmp_path))
    assert cli.main(["usage"]) == 2
    assert "no key of this station was found" in capsys.readouterr().err


def test_the_controllers_command_has_the_hosts_and_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        gridtie.cli.main(["--help"])
    out = capsys.readouterr().out
    assert all(word in out for word in ("doctor", "usage", "fit", "keys", "route", "prices"))


def test_prices_refresh_writes_the_snapshot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "prices.json"
    assert gridtie.cli.main(["prices", "refresh", "--out", str(path)]) == 0
    assert "openai/gpt-5.4-mini" in json.loads(path.read_text())["models"]
    assert "genai-prices" in capsys.readouterr().out
