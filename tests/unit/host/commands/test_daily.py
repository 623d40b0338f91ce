"""What people type every day: the station on one screen, a talk, its logs, its end and its start."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest

from gridtie.gateway.serve import Options
from gridtie.host import cli
from gridtie.host.commands import completion
from gridtie.host.router import Unreachable
from standins.httpd import Httpd, serving

KEY = "gt-" + "a" * 43
TOTALS = {"requests": 3, "local_requests": 2, "cloud_requests": 1, "input_tokens": 1200, "output_tokens": 34,
          "cost_usd": 0.5, "saved_usd": 0.25}  # fmt: skip
MODELS = [
    {"id": "coder", "gridtie": {"kind": "alias", "context": 32768, "served_by": "station/gridtie/small"}},
    {"id": "chat", "gridtie": {"kind": "alias", "context": None}},
    {"id": "here/small", "gridtie": {"kind": "target"}},
]
ANSWER = b'data: {"choices": [{"index": 0, "delta": {"content": "Good day."}}]}\n\ndata: [DONE]\n\n'
# Notes what it was asked, one line a call.
PROGRAM = '#!/bin/sh\necho "$(basename $0) $*" >>{log}\n'


@pytest.fixture
def router(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Httpd]:
    """A station with a native engine, and programs that note what they were asked."""
    with serving() as server:
        station = {
            "schema": 1, "endpoint": server.url, "models": [],
            "engine": {"kind": "ollama", "version": "0.32.15", "mode": "native", "unit": "gridtie-engine.service"},
            "expected": {"router_container": "gridtie-router-1", "docker_host": "unix:///run/docker.sock"},
        }  # fmt: skip
        (tmp_path / "station.json").write_text(json.dumps(station))
        (tmp_path / "station.key").write_text(KEY)
        monkeypatch.setenv("GRIDTIE_CONFIG_DIR", str(tmp_path))
        monkeypatch.setenv("GRIDTIE_STATE_DIR", str(tmp_path))
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        for name in ("docker", "systemctl", "journalctl"):
            (tmp_path / name).write_text(PROGRAM.format(log=tmp_path / "asked"))
            (tmp_path / name).chmod(0o755)
        server.answers["/readyz"] = (200, {"status": "ready", "reasons": []})
        server.answers["/gridtie/usage"] = (200, {"totals": TOTALS})
        server.answers["/v1/models"] = (200, {"data": MODELS})
        server.answers["/v1/chat/completions"] = (200, ANSWER)
        yield server


def asked(tmp_path: Path) -> list[str]:
    """What the programs were asked."""
    return (tmp_path / "asked").read_text().splitlines()


@pytest.mark.parametrize("words", [[], ["status"]])
def test_without_a_word_it_is_the_station_on_one_screen(
    router: Httpd, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 0

    said = capsys.readouterr().out
    for part in ("ready", "ollama 0.32.15 native", "32,768", "station/gridtie/small", "not known", "3 requests"):
        assert part in said
    assert "here/small" not in said
    assert len(said.splitlines()) < 25


def test_what_is_wrong_with_the_files_is_a_warning(router: Httpd, capsys: pytest.CaptureFixture[str]) -> None:
    router.answers["/gridtie/config"] = (200, {"digest": "x", "error": "line 3: no", "warnings": ["hardly meant"]})

    assert cli.main([]) == 0

    said = capsys.readouterr().out
    assert "Warning   line 3: no\nWarning   hardly meant\n" in said


def test_a_router_that_cannot_serve_says_why(router: Httpd, capsys: pytest.CaptureFixture[str]) -> None:
    router.answers["/readyz"] = (503, {"status": "unready", "reasons": ["the engine has not answered yet"]})

    assert cli.main([]) == 1

    said = capsys.readouterr().out
    assert "the engine has not answered yet" in said
    assert "gridtie doctor" in said


def test_a_question_gets_the_answer_alone(router: Httpd, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["chat", "Good", "morning?"]) == 0

    assert capsys.readouterr().out == "Good day.\n"
    body = router.asked[-1].body
    assert (body["model"], body["messages"][0]["content"]) == ("chat", "Good morning?")


def test_a_talk_remembers_until_it_is_told_to_begin_anew(
    router: Httpd, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = iter(["One?", "/model coder", "Two?", "/new", "Three?", "/model", "/bye", "never"])
    monkeypatch.setattr("builtins.input", lambda _: next(lines))
    monkeypatch.setattr("sys.stdin", type("Terminal", (io.StringIO,), {"isatty": lambda self: True})())

    assert cli.main(["chat"]) == 0

    sent = [each.body for each in router.asked if each.path == "/v1/chat/completions"]
    assert [each["model"] for each in sent] == ["chat", "coder", "coder"]
    assert [len(each["messages"]) for each in sent] == [1, 3, 1]
    assert "* coder" in capsys.readouterr().out


def test_a_refusal_does_not_end_a_talk(
    router: Httpd, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    router.answers["/v1/chat/completions"] = (503, {"error": {"code": "x", "message": "nobody can answer"}})
    lines = iter(["One?", "Two?", "/bye"])
    monkeypatch.setattr("builtins.input", lambda _: next(lines))
    monkeypatch.setattr("sys.stdin", type("Terminal", (io.StringIO,), {"isatty": lambda self: True})())

    assert cli.main(["chat"]) == 0

    assert capsys.readouterr().err == "nobody can answer\nnobody can answer\n"
    assert [len(each.body["messages"]) for each in router.asked if each.body] == [1, 1]


def test_the_router_stops_before_the_engine_and_starts_after_it(router: Httpd, tmp_path: Path) -> None:
    assert cli.main(["stop"]) == 0
    assert cli.main(["start"]) == 0

    docker = "docker --host unix:///run/docker.sock"
    assert asked(tmp_path) == [
        f"{docker} stop --time 30 gridtie-router-1",
        "systemctl stop gridtie-engine.service",
        "systemctl start gridtie-engine.service",
        f"{docker} start gridtie-router-1",
    ]


def test_an_engine_of_somebody_else_is_neither_stopped_nor_started(router: Httpd, tmp_path: Path) -> None:
    station = json.loads((tmp_path / "station.json").read_text())
    station["engine"]["source"] = "adopted"
    (tmp_path / "station.json").write_text(json.dumps(station))

    assert cli.main(["stop"]) == 0

    assert not [line for line in asked(tmp_path) if line.startswith("systemctl")]


def test_what_cannot_be_stopped_is_told(router: Httpd, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "docker").write_text("#!/bin/sh\necho 'permission denied' >&2; exit 1\n")

    assert cli.main(["stop"]) == 2

    assert "permission denied; run it with sudo" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["logs"], "docker --host unix:///run/docker.sock logs --tail 100 gridtie-router-1"),
        (["logs", "engine", "-f", "--last", "5"],
         "journalctl --no-pager --unit gridtie-engine.service --lines 5 --follow"),
    ],
)  # fmt: skip
def test_logs_are_those_of_the_part(router: Httpd, tmp_path: Path, words: list[str], command: str) -> None:
    assert cli.main(words) == 0
    assert asked(tmp_path) == [command]


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is what is tested")
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("gridtie ke", "keys"),
        ("gridtie keys re", "revoke"),
        ("gridtie keys add --adm", "--admin"),
        ("gridtie connect codex --wr", "--write"),
        ("gridtie requests --last 5 --js", "--json"),
        ("gridtie keys --help add --adm", "--admin"),
    ],
)
def test_bash_completes_words_of_their_level(line: str, offered: str) -> None:
    words = completion.words_by_path(cli.build_parser().commands.choices)
    typed = line.split(" ")
    ask = f"COMP_WORDS=({' '.join(typed)}); COMP_CWORD={len(typed) - 1}; _gridtie; echo ${{COMPREPLY[@]}}"

    said = subprocess.run(
        ["bash", "-c", completion.script("bash", words) + ask], capture_output=True, text=True, check=True
    )

    assert said.stdout.split() == [offered]


def test_each_shell_gets_a_script_with_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    for shell in ("bash", "zsh", "fish"):
        assert cli.main(["completion", shell]) == 0
        assert '"keys add"' in capsys.readouterr().out


OBEYED = "\x1b[2Jx\u202ey\x9b"


def test_a_terminal_obeys_nothing_of_what_a_model_or_a_client_said(
    router: Httpd, capsys: pytest.CaptureFixture[str]
) -> None:
    delta = json.dumps({"choices": [{"delta": {"content": f"a\tb\n{OBEYED}\ud83d"}}]}).encode()
    router.answers["/v1/chat/completions"] = (200, b"data: " + delta + b"\n\ndata: [DONE]\n\n")
    row = {"id": "1", "time": 0, "key": OBEYED, "asked": "a\nb", "status": 200, "target": OBEYED, "tries": [
        {"target": OBEYED, "outcome": "ok", "message": OBEYED}]}  # fmt: skip
    router.answers["/gridtie/requests"] = (200, {"requests": [row]})
    router.answers["/gridtie/requests/1"] = (200, row)
    router.answers["/readyz"] = (503, {"status": "unready", "reasons": [OBEYED]})
    router.answers["/gridtie/route"] = (400, {})

    for words in (["chat", "hi"], ["requests"], ["requests", "1"], ["status"], ["chat", "--model", "x", "hi"]):
        cli.main(words)
        if words[0] == "chat":
            router.answers["/v1/chat/completions"] = (503, {"error": {"code": "x", "message": OBEYED}})
        said = capsys.readouterr()
        assert "x" in said.out + said.err
        assert not set("\x1b\x9b\u202e\ud83d") & set(said.out + said.err), words


def test_a_router_that_is_gone_for_a_while_does_not_end_a_talk(
    router: Httpd, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    router.answers["/v1/chat/completions"] = (200, b"data: no events\n\n")
    lines = iter(["One?", "/model", "/bye"])
    monkeypatch.setattr("builtins.input", lambda _: next(lines))
    monkeypatch.setattr("sys.stdin", type("Terminal", (io.StringIO,), {"isatty": lambda self: True})())
    monkeypatch.setattr("gridtie.host.commands.chat.chat", Mock(side_effect=Unreachable("nothing listens")))
    monkeypatch.setattr("gridtie.host.commands.chat._names", Mock(side_effect=[["chat"], Unreachable("nor now")]))

    assert cli.main(["chat"]) == 0

    assert capsys.readouterr().err == "nothing listens\nnor now\n"


def test_what_is_no_stream_of_events_is_one_sentence(router: Httpd, capsys: pytest.CaptureFixture[str]) -> None:
    router.answers["/v1/chat/completions"] = (200, b"data: <html>\n\n")

    assert cli.main(["chat", "hi"]) == 2

    assert capsys.readouterr().err.count("\n") == 1


def test_a_stopped_router_says_how_to_start_it(
    router: Httpd, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    station = json.loads((tmp_path / "station.json").read_text())
    (tmp_path / "station.json").write_text(json.dumps(station | {"endpoint": "http://127.0.0.1:9"}))

    assert cli.main([]) == 2

    assert "sudo gridtie start" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["status"], ["chat", "hi"], ["requests"], ["stop"], ["start"], ["logs"]])
@pytest.mark.parametrize("named", [True, False])
def test_without_a_station_it_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], named: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr("gridtie.host.paths.CONFIG_DIR", tmp_path / "none")
    monkeypatch.setenv("GRIDTIE_CONFIG_DIR", str(tmp_path / "none") if named else "")

    assert cli.main(words) == 2

    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "make site" in said or named


def test_the_log_of_an_engine_that_is_no_service_is_somebody_elses(
    router: Httpd, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    station = json.loads((tmp_path / "station.json").read_text())
    station["engine"] |= {"source": "adopted", "unit": ""}
    (tmp_path / "station.json").write_text(json.dumps(station))

    assert cli.main(["logs", "engine"]) == 2
    assert cli.main(["stop"]) == 0

    assert "no service" in capsys.readouterr().err


def test_a_log_that_may_not_be_read_says_who_may(
    router: Httpd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "docker").write_text("#!/bin/sh\nexit 1\n")
    monkeypatch.setattr("os.geteuid", lambda: 1000)

    assert cli.main(["logs"]) == 2

    assert "sudo gridtie logs" in capsys.readouterr().err


def test_a_misspelt_model_is_told_when_it_is_taken(
    router: Httpd, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = iter(["/model codre", "/model coder", "/bye"])
    monkeypatch.setattr("builtins.input", lambda _: next(lines))
    monkeypatch.setattr("sys.stdin", type("Terminal", (io.StringIO,), {"isatty": lambda self: True})())

    assert cli.main(["chat"]) == 0

    assert capsys.readouterr().err == "codre is not listed; /model shows what is\n"


def test_a_name_of_before_is_taken_and_told_by_its_present_one(
    router: Httpd, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    router.answers["/v1/models"] = (200, {"data": [{"id": "coder"}, {"id": "smoke-test"}]})
    lines = iter(["/model probe", "/bye"])
    monkeypatch.setattr("builtins.input", lambda _: next(lines))
    monkeypatch.setattr("sys.stdin", type("Terminal", (io.StringIO,), {"isatty": lambda self: True})())

    assert cli.main(["chat"]) == 0

    assert capsys.readouterr().err == "probe is called smoke-test since 1.1.0; both work\n"


def test_a_router_that_was_removed_does_not_keep_the_engine(router: Httpd, tmp_path: Path) -> None:
    (tmp_path / "docker").write_text("#!/bin/sh\necho 'Error: No such container: gridtie-router-1' >&2; exit 1\n")

    assert cli.main(["stop"]) == 0

    assert asked(tmp_path) == ["systemctl stop gridtie-engine.service"]


def test_stop_says_how_long_the_router_gives_answers_that_are_under_way(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["stop", "--help"])

    assert f"get {Options.read({}).drain_seconds:g} seconds" in " ".join(capsys.readouterr().out.split())
