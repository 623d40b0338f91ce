"""`gridtie audit`: who changed what, of both logs, for people and for programs."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from gridtie.host import audit
from gridtie.host.cli import main
from gridtie.host.key_limits import stamp

DIGEST = "0123456789abcdef" * 4


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRIDTIE_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("GRIDTIE_STATE_DIR", str(tmp_path / "state"))


def write(directory: Path, ago: float, what: str, **more: Any) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    line = {"time": stamp(time.time() - ago), "what": what, "uid": 0, "user": "root", "sudo_user": "", "by": "gridtie"}
    with (directory / audit.FILE).open("a") as log:
        log.write(json.dumps({**line, **more}) + "\n")


def test_both_logs_are_told_in_the_order_of_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(audit.of_host(tmp_path), 300, "key added", key="app", limits={"requests_per_minute": 60}, sudo_user="ann")
    write(audit.of_router(tmp_path / "state"), 200, "keys taken up", before=DIGEST, by="router", user="gridtie")
    write(audit.of_host(tmp_path), 100, "file written", file="/etc/gridtie/llm_routing.yaml", by="ansible")
    assert main(["audit"]) == 0
    added, taken, written = capsys.readouterr().out.splitlines()[2:]

    assert "ann as root" in added
    assert added.endswith("key added      key app, limits requests_per_minute=60")
    assert "router" in taken
    assert DIGEST[:12] in taken
    assert DIGEST not in taken
    assert "ansible  file written   file /etc/gridtie/llm_routing.yaml" in written


def test_only_what_is_young_enough_and_the_newest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for ago in (90000, 3000, 2000, 1000):
        write(audit.of_host(tmp_path), ago, "key added", key=f"k{ago}")
    main(["audit", "--since", "24h", "--json"])
    assert [json.loads(line)["key"] for line in capsys.readouterr().out.splitlines()] == ["k3000", "k2000", "k1000"]
    main(["audit", "--last", "2", "--json"])
    assert [json.loads(line)["key"] for line in capsys.readouterr().out.splitlines()] == ["k2000", "k1000"]


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_what_stands_in_the_routers_log_is_the_routers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], form: list[str]
) -> None:
    # Whoever breaks into the router may write there, and not in the name of root.
    write(audit.of_router(tmp_path / "state"), 100, "key added", key="app", by="gridtie", sudo_user="ann")
    assert main(["audit", *form]) == 0
    said = capsys.readouterr().out.splitlines()[-1]

    if form:
        assert json.loads(said)["by"] == "router"
    else:
        assert "router  key added" in said


def test_a_log_of_the_routers_that_cannot_be_read_hides_nothing_of_the_hosts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(audit.of_host(tmp_path), 100, "key added", key="app")
    audit.of_router(tmp_path / "state").mkdir(parents=True)
    (audit.of_router(tmp_path / "state") / audit.FILE).symlink_to("/dev/zero")

    assert main(["audit"]) == 2
    said = capsys.readouterr()
    assert "key app" in said.out
    assert f"{audit.FILE} cannot be read" in said.err


def test_a_line_that_is_nested_deeply_hides_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(audit.of_router(tmp_path / "state"), 200, "keys taken up", before=json.loads("[" * 500 + "]" * 500))
    write(audit.of_host(tmp_path), 100, "key added", key="app")

    assert main(["audit"]) == 0
    assert "key app" in capsys.readouterr().out


def test_where_nothing_was_noted_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit"]) == 0
    assert capsys.readouterr().out == "Nothing was noted.\n"


def test_what_may_not_be_read_says_how_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def denied(directory: Path) -> list[dict[str, Any]]:
        raise PermissionError(13, "Permission denied", str(directory))

    monkeypatch.setattr(audit, "read", denied)

    assert main(["audit"]) == 2
    assert "run it with sudo" in capsys.readouterr().err


def test_what_a_terminal_would_obey_is_not_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(audit.of_host(tmp_path), 1, "key added", key="\x1b[2Japp")
    main(["audit"])

    assert "\x1b" not in capsys.readouterr().out
