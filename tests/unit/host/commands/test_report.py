"""`gridtie report` on a host: what it starts, what that can see, and what becomes of what it says."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gridtie.host import cli

# Says what it was asked, and does as the file `answer` beside it says.
DOCKER = """#!/bin/sh
here=$(dirname "$0")
if [ "$1" = --host ]; then echo "$1 $2" > "$here/daemon"; shift 2; fi
if [ "$1" = inspect ]; then . "$here/inspected"; exit; fi
printf '%s\\n' "$@" > "$here/asked"
cat > "$here/stdin"
. "$here/answer"
"""


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A station's files, and a docker that tells how it was called."""
    for name in ("bin", "etc", "var/ledger"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "var/ledger/ledger.sqlite").write_text("a ledger")
    expected = {"router_container": "lab-router", "docker_host": "unix:///run/lab.sock"}
    (tmp_path / "etc/station.json").write_text(json.dumps({"schema": 1, "expected": expected}))
    docker = tmp_path / "bin/docker"
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    (tmp_path / "bin/inspected").write_text("echo sha256:abc 991:992")
    (tmp_path / "bin/answer").write_text("echo the page; echo a word >&2; exit 0")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("GRIDTIE_CONFIG_DIR", str(tmp_path / "etc"))
    monkeypatch.setenv("GRIDTIE_STATE_DIR", str(tmp_path / "var"))
    monkeypatch.setenv("TZ", "UTC")
    return tmp_path


def asked(host: Path) -> list[str]:
    return (host / "bin/asked").read_text().splitlines()


def test_it_runs_from_the_routers_image_as_its_user_without_network_and_without_a_key(
    host: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["report", "--since", "7d", "--environment=-odd", "--kwh", "3"]) == 0

    words = asked(host)
    assert {"--network=none", "--read-only", "--cap-drop=ALL", "--user=991:992", "--rm"} <= set(words)
    assert [word for word in words if word.startswith("--mount")] == [
        f"--mount=type=bind,source={host}/var/ledger,target=/var/lib/gridtie/ledger,readonly",
        f"--mount=type=bind,source={host}/etc/llm_routing.yaml,target=/etc/gridtie/llm_routing.yaml,readonly",
        f"--mount=type=bind,source={host}/etc/prices.json,target=/etc/gridtie/prices.json,readonly",
    ]
    assert words[words.index("sha256:abc") + 1 :] == [
        *("-m", "gridtie.report"),
        *("--ledger", "/var/lib/gridtie/ledger/ledger.sqlite", "--config", "/etc/gridtie"),
        *("--since=7d", "--kwh=3.0", "--environment=-odd", "--utc-offset=0"),
    ]
    assert (host / "bin/daemon").read_text() == "--host unix:///run/lab.sock\n"
    assert capsys.readouterr() == ("the page\n", "a word\n")


@pytest.mark.parametrize("option", [(), ("--out",)])
@pytest.mark.parametrize("status", [0, 1])
def test_the_file_is_written_on_the_host(
    host: Path, capsys: pytest.CaptureFixture[str], status: int, option: tuple[str, ...]
) -> None:
    (host / "bin/answer").write_text(f"echo the page; exit {status}")

    assert cli.main(["report", "--html", *option, str(host / "november.html")]) == status

    assert (host / "november.html").read_text() == "the page\n"
    assert "--html" in asked(host)
    assert not [word for word in asked(host) if word.startswith("--out")]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("status", [1, 2])
def test_without_an_answer_the_file_is_left_as_it_was(host: Path, status: int) -> None:
    """1 is also how a Python ends that breaks down, and a comparison in which a figure differs."""
    (host / "november.html").write_text("before")
    (host / "bin/answer").write_text(f"echo Traceback >&2; exit {status}")

    assert cli.main(["report", "--html", "--out", str(host / "november.html")]) == status

    assert (host / "november.html").read_text() == "before"


def test_a_saved_report_goes_in_by_the_input_since_the_container_does_not_see_the_host(host: Path) -> None:
    (host / "saved.json").write_text('{"schema": 1}')

    assert cli.main(["report", "--recompute", str(host / "saved.json")]) == 0

    assert "--recompute=-" in asked(host)
    assert (host / "bin/stdin").read_text() == '{"schema": 1}'


def test_the_file_of_what_if_goes_in_the_same_way(host: Path) -> None:
    (host / "what.yaml").write_text("candidates: []")

    assert cli.main(["report", "--what-if", str(host / "what.yaml")]) == 0

    assert "--what-if=-" in asked(host)
    assert (host / "bin/stdin").read_text() == "candidates: []"


def test_results_of_several_targets_go_in_as_one_list(host: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("local", "cloud"):
        (host / f"{name}.json").write_text(f'{{"of": "{name}"}}')
    words = ["--quality", str(host / "local.json"), "--quality", str(host / "cloud.json")]

    assert cli.main(["report", *words]) == 0
    assert json.loads((host / "bin/stdin").read_text()) == [{"of": "local"}, {"of": "cloud"}]
    assert asked(host).count("--quality=-") == 1

    assert cli.main(["report", *words, "--what-if", str(host / "local.json")]) == 2
    assert "wanted: one of --recompute, --what-if and --quality" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("echo 'no such image' >&2; exit 125", "no container of the router's image can be run: no such image"),
        ("echo 'No module named gridtie.report' >&2; exit 1", "the router's image is of another gridtie"),
    ],
)
def test_a_container_that_cannot_be_run_is_one_sentence_and_a_2(
    host: Path, capsys: pytest.CaptureFixture[str], answer: str, says: str
) -> None:
    (host / "bin/answer").write_text(answer)

    assert cli.main(["report"]) == 2

    said = capsys.readouterr()
    assert says in said.err
    assert (said.out, said.err.count("\n")) == ("", 1)


def test_without_the_routers_container_it_says_so(host: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (host / "bin/inspected").write_text("echo 'No such container' >&2; exit 1")

    assert cli.main(["report"]) == 2

    assert "the router's container lab-router is not there" in capsys.readouterr().err


def test_a_ledger_or_a_saved_report_that_is_not_there_is_told_before_anything_is_started(
    host: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["report", "--recompute", "/nonexistent.json"]) == 2
    assert "/nonexistent.json cannot be read" in capsys.readouterr().err

    assert cli.main(["report", "--out", "/nonexistent/x"]) == 2
    assert "/nonexistent/x cannot be written" in capsys.readouterr().err

    (host / "var/ledger/ledger.sqlite").unlink()
    assert cli.main(["report"]) == 2
    assert "is not there or may not be read by this user; run it with sudo" in capsys.readouterr().err
