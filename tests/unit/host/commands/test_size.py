"""`gridtie size` on a host: what it starts, and what that can see."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest

from gridtie.host import cli

# Says what it was asked and given, and does as the file `answer` beside it says.
DOCKER = """#!/bin/sh
here=$(dirname "$0")
if [ "$1" = inspect ]; then echo sha256:abc 991:992; exit; fi
printf '%s\\n' "$@" > "$here/asked"
cat > "$here/stdin"
. "$here/answer"
"""


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A station's files, a plan, and a docker that tells how it was called."""
    for name in ("bin", "etc", "mine/ledger"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("etc/prices.json", "etc/models.json", "mine/ledger/ledger.sqlite", "mine/bench.jsonl"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "mine/plan.yaml").write_text("machines: []\n")
    (tmp_path / "etc/station.json").write_text(json.dumps({"schema": 1, "expected": {"router_container": "router"}}))
    docker = tmp_path / "bin/docker"
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    (tmp_path / "bin/answer").write_text("echo a size; exit 0")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("GRIDTIE_CONFIG_DIR", str(tmp_path / "etc"))
    return tmp_path


def asked(host: Path) -> list[str]:
    return (host / "bin/asked").read_text().splitlines()


def test_it_runs_from_the_routers_image_without_network_and_sees_only_what_is_named(
    host: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = host / "mine"
    named = ["--ledger", str(mine / "ledger/ledger.sqlite"), "--bench", f"a card={mine / 'bench.jsonl'}"]
    assert cli.main(["size", str(mine / "plan.yaml"), *named, "--developers", "30,5", "--json"]) == 0

    words = asked(host)
    assert {"--network=none", "--read-only", "--user=991:992"} <= set(words)
    assert [word for word in words if word.startswith("--mount")] == [
        f"--mount=type=bind,source={host}/etc/prices.json,target=/etc/gridtie/prices.json,readonly",
        f"--mount=type=bind,source={host}/etc/models.json,target=/run/gridtie-size/models.json,readonly",
        f"--mount=type=bind,source={mine}/ledger,target=/run/gridtie-size/ledger,readonly",
        f"--mount=type=bind,source={mine}/bench.jsonl,target=/run/gridtie-size/bench-0.jsonl,readonly",
    ]
    assert words[words.index("sha256:abc") + 1 :] == [
        *("-m", "gridtie.size", "-", "--config=/etc/gridtie", "--since=30d"),
        "--catalogue=/run/gridtie-size/models.json",
        "--ledger=/run/gridtie-size/ledger/ledger.sqlite",
        "--bench=a card=/run/gridtie-size/bench-0.jsonl",
        *("--developers=5,30", "--json"),
    ]
    assert (host / "bin/stdin").read_text() == "machines: []\n"
    assert capsys.readouterr().out == "a size\n"


def test_a_plan_is_read_from_standard_input(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("developers: [3]\n"))

    assert cli.main(["size", "-"]) == 0

    assert (host / "bin/stdin").read_text() == "developers: [3]\n"


@pytest.mark.parametrize("option", ["--ledger", "--catalogue"])
def test_a_file_that_is_not_there_is_named(host: Path, capsys: pytest.CaptureFixture[str], option: str) -> None:
    assert cli.main(["size", str(host / "mine/plan.yaml"), option, str(host / "none")]) == 2

    assert f"{host / 'none'} is not there or may not be read" in capsys.readouterr().err


def test_a_plan_that_cannot_be_read_is_named(host: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["size", str(host / "none.yaml")]) == 2

    assert "none.yaml cannot be read" in capsys.readouterr().err


def test_an_image_of_another_version_is_told_with_what_to_do(host: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (host / "bin/answer").write_text("echo No module named gridtie.size >&2; exit 1")

    assert cli.main(["size", str(host / "mine/plan.yaml")]) == 2

    assert "run `make site`" in capsys.readouterr().err
