"""The engine's server is found where it runs, is another user's, and never outlives the one who asked it."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gridtie.host.models import engine_server
from gridtie.host.models.engine_server import NotAtHand, find_server, identity

CONTAINER = {"kind": "ollama", "version": "0.32.15", "mode": "container", "container": "gridtie-engine-1"}


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_server.os, "geteuid", lambda: 0)


def native(tmp_path: Path, **more: str) -> dict[str, str]:
    program = tmp_path / "tree" / "lib" / "ollama" / "llama-server"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    user = "nobody"
    return {"kind": "ollama", "version": "1", "mode": "native", "tree": str(tmp_path / "tree"), "user": user, **more}


@pytest.mark.parametrize(
    ("kind", "program"),
    [("ollama", "/usr/lib/ollama/llama-server"), ("embedded", "/opt/gridtie-engine/bin/llama-server")],
)
def test_an_engine_in_a_container_is_asked_in_it(tmp_path: Path, kind: str, program: str) -> None:
    found = find_server({**CONTAINER, "kind": kind}, tmp_path, ["docker", "--host", "unix:///x"])

    assert list(found.command[:6]) == ["docker", "--host", "unix:///x", "exec", "-i", "gridtie-engine-1"]
    assert found.command[-1] == program
    assert (found.folder, found.seen, found.account) == (tmp_path, "/models", None)


def test_an_engine_that_is_a_service_is_asked_as_its_own_user(tmp_path: Path) -> None:
    found = find_server(native(tmp_path), tmp_path)

    assert found.command == [f"{tmp_path}/tree/lib/ollama/llama-server"]
    assert found.account == (pwd.getpwnam("nobody").pw_uid, pwd.getpwnam("nobody").pw_gid)
    assert str(found.folder) == found.seen


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"user": ""}, "which user the engine runs as"),
        ({"user": "nobody-of-that-name"}, "which user the engine runs as"),
        ({"tree": "/no/tree"}, "its llama-server was not found in /no/tree/lib/ollama"),
    ],
)
def test_a_service_that_cannot_be_asked_says_why(tmp_path: Path, change: dict[str, str], message: str) -> None:
    with pytest.raises(NotAtHand, match=message):
        find_server(native(tmp_path, **change), tmp_path)


def test_without_root_nothing_of_strangers_is_parsed_as_ones_own_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_server.os, "geteuid", lambda: 1000)

    with pytest.raises(NotAtHand, match="as the engine's user: use sudo"):
        find_server(native(tmp_path), tmp_path)


def test_an_engine_that_is_ones_own_is_asked_as_oneself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a Mac, where the station is a person's."""
    monkeypatch.setattr(engine_server.os, "geteuid", os.getuid)
    found = find_server(native(tmp_path, user=pwd.getpwuid(os.getuid()).pw_name), tmp_path)

    assert found.account is None


def test_a_container_sees_only_what_lies_among_its_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_server.os, "access", lambda path, mode: False)

    with pytest.raises(NotAtHand, match=r"may put no file into .*: use sudo"):
        find_server(CONTAINER, tmp_path)


def test_another_image_or_tree_is_another_engine() -> None:
    one, other = {**CONTAINER, "image": "engine:a"}, {**CONTAINER, "image": "engine:b"}

    assert identity(one) != identity(other)
    assert identity(one) == identity({**one, "why": "something else", "container": "another-1"})


@pytest.mark.parametrize("end", ["kill", "close"])
def test_in_a_container_the_server_ends_with_whoever_asked(tmp_path: Path, end: str) -> None:
    """The script that runs there, run here: its standard input ends when the client does, however that ends."""
    notes = tmp_path / "pid"
    program = f"import os, time; open({str(notes)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    script = find_server(CONTAINER, tmp_path).command[6]
    client = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    inside = subprocess.Popen(["sh", "-c", script, "sh", sys.executable, "-c", program], stdin=client.stdout)
    assert client.stdin and client.stdout
    client.stdout.close()
    while not (notes.is_file() and notes.read_text()):
        time.sleep(0.01)
    pid = int(notes.read_text())
    assert Path(f"/proc/{pid}").exists()
    client.kill() if end == "kill" else client.stdin.close()
    assert inside.wait(10) != 0
    client.wait(10)
    client.stdin.close()
    assert not Path(f"/proc/{pid}").exists()


def test_a_server_that_ends_by_itself_ends_the_question(tmp_path: Path) -> None:
    begun = time.monotonic()
    script = find_server(CONTAINER, tmp_path).command[6]
    inside = subprocess.Popen(
        ["sh", "-c", script, "sh", sys.executable, "-c", "print('done'); raise SystemExit(3)"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert inside.stdin and inside.stdout
    assert inside.stdout.read() == b"done\n"
    assert inside.wait(10) == 3
    inside.stdin.close()
    inside.stdout.close()
    assert time.monotonic() - begun < 20
