"""`gridtie bench` on a host: what it starts, what that can see and write, and what it is told of the machine."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gridtie.host import cli

KEY = "gt-" + "k" * 43
# Says what it was asked and which key it was given, and does as the file `answer` beside it says.
DOCKER = """#!/bin/sh
here=$(dirname "$0")
case "$1" in
  inspect) echo sha256:abc 991:992; exit ;;
  info) cat "$here/info"; exit ;;
  run) ;;
  *) exit 1 ;;
esac
printf '%s\\n' "$@" > "$here/asked"
echo "$OPENAI_BASE_URL $OPENAI_API_KEY $GRIDTIE_CONFIG_DIR" > "$here/given"
echo "$HOME" > "$here/home"
. "$here/answer"
"""


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A station's files, a working directory, and a docker that tells how it was called."""
    for name in ("bin", "etc", "work"):
        (tmp_path / name).mkdir()
    station(tmp_path, "container")
    (tmp_path / "etc/station.key").write_text(KEY)
    docker = tmp_path / "bin/docker"
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    (tmp_path / "bin/info").write_text("[name=seccomp,profile=builtin]")
    (tmp_path / "bin/answer").write_text("echo measured; exit 0")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("GRIDTIE_CONFIG_DIR", str(tmp_path / "etc"))
    monkeypatch.delenv("SUDO_UID", raising=False)
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def station(host: Path, mode: str) -> None:
    facts = {
        "schema": 1,
        "endpoint": "http://127.0.0.1:9000",
        "engine": {"mode": mode},
        "expected": {"router_container": "lab-router"},
    }
    (host / "etc/station.json").write_text(json.dumps(facts))


def asked(host: Path) -> list[str]:
    return (host / "bin/asked").read_text().splitlines()


def test_it_runs_from_the_routers_image_on_the_routers_network_as_whoever_called(host: Path) -> None:
    assert cli.main(["bench", "coder", "--concurrency", "1,2", "--expect=first-token < 2 s"]) == 0

    words = asked(host)
    assert {"--network=container:lab-router", "--read-only", "--cap-drop=ALL", "--rm", "--group-add=992"} <= set(words)
    assert f"--user={os.getuid()}:{os.getgid()}" in words
    assert f"--workdir={host}/work" in words
    inside = words[words.index("sha256:abc") + 1 :]
    assert inside[:3] == ["-m", "gridtie.bench", "coder"]
    assert {"--concurrency=1,2", "--expect=first-token < 2 s", "--requests=20"} <= set(inside)


def test_it_reads_the_configuration_and_writes_where_the_caller_is(host: Path) -> None:
    cli.main(["bench", "--out", str(host / "elsewhere.jsonl")])

    mounts = [word.removeprefix("--mount=type=bind,") for word in asked(host) if word.startswith("--mount")]
    assert f"source={host}/etc,target=/etc/gridtie,readonly" in mounts
    # The working directory lies within the one that was named.
    assert [each for each in mounts if not each.endswith(",readonly")] == [f"source={host},target={host}"]


def test_the_key_is_on_no_command_line(host: Path) -> None:
    cli.main(["bench"])

    assert not [word for word in asked(host) if KEY in word]
    # The image's own GRIDTIE_CONFIG_DIR would name another key: it is set to nothing.
    assert (host / "bin/given").read_text().split() == ["http://127.0.0.1:8484", KEY]
    assert "--env=GRIDTIE_CONFIG_DIR" in asked(host)


def test_the_containers_home_is_not_that_of_docker_itself(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker reads there which daemon its user works with (`docker context use`)."""
    monkeypatch.setenv("HOME", str(host))
    cli.main(["bench"])

    assert (host / "bin/home").read_text() == f"{host}\n"
    assert "--env=HOME=/" in asked(host)


def test_a_native_station_is_asked_where_it_says_that_it_listens(host: Path) -> None:
    station(host, "native")
    cli.main(["bench"])

    assert (host / "bin/given").read_text().split()[0] == "http://127.0.0.1:9000"


def test_with_sudo_the_files_belong_to_whoever_called(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", "1234")
    monkeypatch.setenv("SUDO_GID", "2345")
    cli.main(["bench"])

    assert "--user=1234:2345" in asked(host)


def test_in_a_rootless_docker_its_root_is_the_caller(host: Path) -> None:
    (host / "bin/info").write_text("[name=seccomp,profile=builtin name=rootless]")
    cli.main(["bench"])

    assert "--user=0:0" in asked(host)


def test_what_the_machine_uses_is_told_by_a_file(host: Path) -> None:
    (host / "bin/answer").write_text(
        'for word in "$@"; do case "$word" in *gridtie-meter,readonly) '
        'from=${word#*source=}; sleep 0.5; cat "${from%%,*}/samples.jsonl" > "$here/samples";; esac; done'
    )
    cli.main(["bench"])

    first = json.loads((host / "bin/samples").read_text().splitlines()[0])
    assert set(first) == {"time", "resident", "joules", "watts"}
    assert "--meter=/run/gridtie-meter/samples.jsonl" in asked(host)


@pytest.mark.parametrize("status", [1, 2, 130])
def test_its_exit_status_is_the_containers(host: Path, status: int) -> None:
    (host / "bin/answer").write_text(f"exit {status}")

    assert cli.main(["bench"]) == status


def test_a_container_that_does_not_start_is_said(host: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (host / "bin/answer").write_text("echo no such image >&2; exit 125")

    assert cli.main(["bench"]) == 2
    assert "no container of the router's image can be run" in capsys.readouterr().err


def test_results_do_not_go_where_the_image_has_its_own(host: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "--out", "/usr/results.jsonl"]) == 2
    assert "/usr is no place for results" in capsys.readouterr().err
    assert cli.main(["bench", "--out", str(host / "nowhere/results.jsonl")]) == 2
    assert "is not a directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--concurrency", "0"], "wanted a whole number"),
        (["--concurrency", "4096"], "at most 1024"),
        (["--requests", "many"], "wanted a whole number"),
        (["--spend", "0"], "wanted US dollars above 0"),
        (["--spend", "inf"], "wanted US dollars above 0"),
        (["--profil", "chat", "--reqests", "5"], "did you mean --requests"),
    ],
)
def test_arguments_that_make_no_sense_are_told_before_anything_starts(
    host: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["bench", *words])

    assert ended.value.code == 2
    assert said in capsys.readouterr().err
    assert not (host / "bin/asked").exists()
