"""`gridtie connect`: what is shown, written, warned of and given back."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import Mock

import pytest

from gridtie.host import cli, keys
from gridtie.host.connect.clients import BY_NAME
from standins.httpd import Httpd, serving

SOURCES = Path(cli.__file__).parents[2]
KEY = "gt-" + "a" * 43
MODELS = {"data": [{"id": "chat", "gridtie": {"context": 8192}}, {"id": "coder", "gridtie": {"context": 32768}}]}
SERVED = {"error": {"code": "method_not_allowed", "message": "POST"}}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nobody's home, and no way to become root."""
    for name in ("OPENAI_API_BASE", "ANTHROPIC_BASE_URL", "OLLAMA_HOST", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name in ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "CONTINUE_GLOBAL_DIR", "LLM_USER_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    own = tmp_path / "home/.config/gridtie"
    own.mkdir(parents=True)
    (own / "key").write_text(KEY + "\n")
    return tmp_path / "home"


@pytest.fixture
def router(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Httpd]:
    with serving() as server:
        (home / ".config/gridtie/endpoint").write_text(server.url)
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
        monkeypatch.delenv("GRIDTIE_CONFIG_DIR", raising=False)
        server.answers["/v1/models"] = (200, MODELS)
        for path in ("/v1/chat/completions", "/v1/messages"):
            server.answers[path] = (405, SERVED)
        yield server


@pytest.fixture
def station(tmp_path: Path, home: Path, router: Httpd, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A station whose keys this user may change."""
    directory = tmp_path / "etc"
    directory.mkdir()
    (directory / "station.json").write_text(json.dumps({"schema": 1, "endpoint": router.url}))
    keys.add(directory, "station", ["dev"], admin=True, key=KEY)
    (directory / "station.key").write_text(KEY)
    monkeypatch.setenv("GRIDTIE_CONFIG_DIR", str(directory))
    monkeypatch.setattr("gridtie.host.keys_in_force.wait", lambda _: None)
    return directory


def settings(home: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((home / ".claude/settings.json").read_text())["env"]
    return found


def test_without_write_nothing_is_written_and_no_key_is_shown(
    home: Path, router: Httpd, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["connect", "claude-code"]) == 0

    said = capsys.readouterr().out
    assert f'"ANTHROPIC_BASE_URL": "{router.url}"' in said
    assert KEY not in said
    assert not (home / ".claude").exists()


def test_a_client_gets_the_context_and_the_limit_of_the_alias(home: Path, router: Httpd) -> None:
    assert cli.main(["connect", "claude-code", "--write", "--shared-key"]) == 0

    assert settings(home)["CLAUDE_CODE_MAX_CONTEXT_TOKENS"] == "32768"
    assert settings(home)["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] == "8192"


def test_a_client_has_a_key_of_its_own_until_it_is_restored(station: Path, home: Path) -> None:
    assert cli.main(["connect", "claude-code", "--write"]) == 0

    rows = {row.name: row for row in keys.read(station)}
    own = next(name for name in rows if name.startswith("claude-code-"))
    assert keys.digest(str(settings(home)["ANTHROPIC_AUTH_TOKEN"])) == rows[own].sha256
    assert rows[own].environments == ("dev",)
    assert not rows[own].admin

    assert cli.main(["connect", "claude-code", "--restore"]) == 0
    assert [row.name for row in keys.read(station)] == ["station"]


def test_written_twice_there_is_one_key_and_one_way_back(station: Path, home: Path) -> None:
    (home / ".claude").mkdir()
    (home / ".claude/settings.json").write_text('{"theme": "dark"}')
    for _ in range(2):
        assert cli.main(["connect", "claude-code", "--write"]) == 0

    assert len(keys.read(station)) == 2
    cli.main(["connect", "claude-code", "--restore"])
    assert (home / ".claude/settings.json").read_text() == '{"theme": "dark"}'


def test_two_at_once_write_one_after_the_other_and_what_was_there_comes_back(
    station: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second waits, and does not take what the first wrote for what was there before."""
    own = home / ".claude/settings.json"
    own.parent.mkdir()
    own.write_text('{"theme": "dark"}')
    key_is_made, go_on = threading.Event(), threading.Event()

    def waiting(_: object) -> None:
        key_is_made.set()
        assert go_on.wait(30)

    monkeypatch.setattr("gridtie.host.keys_in_force.wait", waiting)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cli.main, ["connect", "claude-code", "--write"])
        assert key_is_made.wait(30)
        second = pool.submit(cli.main, ["connect", "claude-code", "--write"])
        with pytest.raises(TimeoutError):
            second.result(0.5)
        assert own.read_text() == '{"theme": "dark"}'
        go_on.set()
        assert (first.result(30), second.result(30)) == (0, 0)

    assert len(own_keys(station)) == 1
    assert cli.main(["connect", "claude-code", "--restore"]) == 0
    assert own.read_text() == '{"theme": "dark"}'


def test_where_no_key_can_be_made_the_shared_one_is_told(
    home: Path, router: Httpd, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["connect", "claude-code", "--write"]) == 0

    assert settings(home)["ANTHROPIC_AUTH_TOKEN"] == KEY
    assert "shared" in capsys.readouterr().err


def test_it_is_restored_also_where_the_station_is_gone(home: Path, router: Httpd) -> None:
    cli.main(["connect", "claude-code", "--write", "--shared-key"])
    (home / ".config/gridtie/key").unlink()

    assert cli.main(["connect", "claude-code", "--restore"]) == 0
    assert not (home / ".claude").exists()


def test_a_persons_other_keys_are_not_shown(home: Path, router: Httpd, capsys: pytest.CaptureFixture[str]) -> None:
    (home / ".aider.conf.yml").write_text("openai-api-key: sk-of-theirs\ndark-mode: true\n")

    assert cli.main(["connect", "aider"]) == 0

    assert "sk-of-theirs" not in capsys.readouterr().out


def test_an_alias_that_is_too_small_for_the_client_is_told(
    home: Path, router: Httpd, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["connect", "claude-code", "--model", "chat"]) == 0

    assert "takes 8,192" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("client", "capabilities", "told"),
    [
        ("claude-code", ["chat"], True),
        ("continue", ["chat"], True),
        ("claude-code", ["chat", "tools"], False),
        # A router of before says nothing of it.
        ("claude-code", None, False),
        ("aider", ["chat"], False),
    ],
)
def test_an_alias_that_calls_no_tools_is_told_to_a_client_that_sends_them(
    home: Path, router: Httpd, client: str, capabilities: list[str] | None, told: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    row = {"id": "coder", "gridtie": {"context": 32768, "capabilities": capabilities}}
    router.answers["/v1/models"] = (200, {"data": [row]})

    assert cli.main(["connect", client]) == 0

    assert ("coder calls none" in capsys.readouterr().err) is told


def test_a_file_that_others_may_read_is_told_since_a_key_is_in_it(
    home: Path, router: Httpd, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its mode is the person's own, and stays; a home that nobody else may enter needs no word."""
    with TemporaryDirectory() as made:
        mine, closed = Path(made, "home"), Path(made, "home/.claude")
        shutil.copytree(home, mine)
        closed.mkdir()
        Path(made).chmod(0o755)
        monkeypatch.setenv("HOME", str(mine))
        for mode, told in ((0o755, True), (0o700, False)):
            (closed / "settings.json").write_text("{}")
            (closed / "settings.json").chmod(0o644)
            closed.chmod(mode)
            assert cli.main(["connect", "claude-code", "--write", "--shared-key"]) == 0
            assert ("chmod 600" in capsys.readouterr().err) is told
            assert (closed / "settings.json").stat().st_mode & 0o777 == 0o644
            cli.main(["connect", "claude-code", "--restore"])


def test_a_router_without_the_clients_surface_is_told_before_anything_is_written(
    home: Path, router: Httpd, capsys: pytest.CaptureFixture[str]
) -> None:
    router.answers["/v1/responses"] = (404, SERVED)

    assert cli.main(["connect", "codex", "--write"]) == 2

    assert "/v1/responses" in capsys.readouterr().err
    assert not (home / ".codex").exists()


def test_a_file_that_cannot_be_edited_is_told_and_makes_no_key(
    station: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / ".claude").mkdir()
    (home / ".claude/settings.json").write_text("// mine\n{}")

    assert cli.main(["connect", "claude-code", "--write"]) == 2

    assert "settings.json" in capsys.readouterr().err
    assert len(keys.read(station)) == 1


def test_a_variable_that_leads_elsewhere_is_told(
    home: Path, router: Httpd, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "https://old.example")

    cli.main(["connect", "claude-code"])

    assert "ANTHROPIC_BASE_URL leads to old.example (this shell)" in capsys.readouterr().err


def test_an_editor_that_no_program_should_write_to_is_shown_by_hand(
    home: Path, router: Httpd, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["connect", "zed"]) == 0
    assert cli.main(["connect", "zed", "--write"]) == 2

    said = capsys.readouterr()
    assert f"{router.url}/v1" in said.out
    assert KEY not in said.out + said.err


def test_the_overview_says_what_is_installed_and_what_is_wired(
    home: Path, router: Httpd, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "bin/claude"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    cli.main(["connect", "claude-code", "--write", "--shared-key"])
    capsys.readouterr()

    assert cli.main(["connect"]) == 0

    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("claude-code"))
    assert str(program) in line
    assert f"coder at {router.url}" in line


class Ledger(dict[str, Any]):
    """The stand-in's answers, with a row for each message that it was asked for; `refused` has keys that it refuses."""

    def __init__(self, server: Httpd, refused: Sequence[str] = (), status: int = 200) -> None:
        super().__init__(server.answers)
        self.server, self.refused, self.status = server, refused, status

    def get(self, path: str, default: Any = None) -> Any:
        if self.server.asked[-1].headers["authorization"].removeprefix("Bearer ") in self.refused:
            return 401, {"error": {"code": "invalid_key", "message": "no"}}
        if path == "/gridtie/requests":
            posts = [each for each in self.server.asked if each.method == "POST"]
            rows = [{"id": str(number), "asked": "coder", "status": self.status} for number in range(len(posts))]
            return 200, {"requests": rows}
        return super().get(path, default)


def program(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


ASKS = f"""#!{sys.executable}
import json, os, pathlib, urllib.error, urllib.request
said = json.loads(pathlib.Path(os.environ["HOME"], ".claude/settings.json").read_text())["env"]
url, head = said["ANTHROPIC_BASE_URL"] + "/v1/messages", {{"Authorization": "Bearer " + said["ANTHROPIC_AUTH_TOKEN"]}}
try:
    urllib.request.urlopen(urllib.request.Request(url, b"{{}}", head))
except urllib.error.HTTPError:
    pass
"""


@pytest.mark.parametrize(
    ("script", "answered", "status", "told"),
    [
        (ASKS, 200, 0, "coder"),
        (ASKS, 502, 1, "its request failed (502)"),
        ("#!/bin/sh\necho connected\n", 200, 1, "no request of its key came"),
        ("#!/bin/sh\necho no >&2; exit 3\n", 200, 1, "ended with 3"),
    ],
    ids=["answered", "failed", "elsewhere", "not well"],
)
def test_a_check_rests_on_what_came_to_the_router(
    home: Path, router: Httpd, tmp_path: Path, script: str, answered: int, status: int, told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    router.answers = Ledger(router, status=answered)
    program(tmp_path, "claude", script)
    cli.main(["connect", "claude-code", "--write", "--shared-key"])

    assert cli.main(["connect", "claude-code", "--check"]) == status

    said = capsys.readouterr()
    assert told in said.out + said.err


def test_a_key_that_the_router_does_not_take_is_ended_and_the_shared_one_told(
    station: Path, home: Path, router: Httpd, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The station of this machine is not the one that is asked."""
    monkeypatch.setattr(keys, "new_key", lambda: "gt-" + "b" * 43)
    router.answers = Ledger(router, refused=["gt-" + "b" * 43])

    assert cli.main(["connect", "claude-code", "--write"]) == 0

    assert settings(home)["ANTHROPIC_AUTH_TOKEN"] == KEY
    assert [row.name for row in keys.read(station)] == ["station"]
    assert "shared" in capsys.readouterr().err


def own_keys(station: Path) -> list[keys.KeyRow]:
    return [row for row in keys.read(station) if row.name.startswith("claude-code-")]


def test_a_key_of_the_same_name_that_is_somebody_elses_stays(station: Path, home: Path) -> None:
    cli.main(["connect", "claude-code", "--write"])
    name = own_keys(station)[0].name
    cli.main(["connect", "claude-code", "--restore"])
    keys.add(station, name, ["dev"])

    cli.main(["connect", "claude-code", "--write"])
    assert [row.name for row in own_keys(station)] == [name, f"{name}-2"]

    cli.main(["connect", "claude-code", "--restore"])
    assert [row.name for row in own_keys(station)] == [name]


def test_a_key_of_its_own_ends_where_the_shared_one_takes_its_place(station: Path, home: Path) -> None:
    cli.main(["connect", "claude-code", "--write"])
    cli.main(["connect", "claude-code", "--write", "--shared-key"])

    assert own_keys(station) == []


def test_a_key_ends_at_the_station_that_it_was_made_at(
    station: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.main(["connect", "claude-code", "--write"])
    other = tmp_path / "other"
    other.mkdir()
    keys.add(other, own_keys(station)[0].name, ["dev"])
    monkeypatch.setenv("GRIDTIE_CONFIG_DIR", str(other))

    cli.main(["connect", "claude-code", "--restore"])

    assert own_keys(station) == []
    assert len(keys.read(other)) == 1


def test_killed_between_key_and_settings_the_key_ends_at_the_restore(
    station: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gridtie.host.keys_in_force.wait", killed)
    cli.main(["connect", "claude-code", "--write"])
    assert len(own_keys(station)) == 1

    assert cli.main(["connect", "claude-code", "--restore"]) == 0

    assert own_keys(station) == []


def test_a_restore_that_was_killed_before_the_key_was_ended_ends_it_the_next_time(
    station: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.main(["connect", "claude-code", "--write"])
    with monkeypatch.context() as patch:
        patch.setattr("gridtie.host.keys.revoke", Mock(side_effect=KeyboardInterrupt))
        cli.main(["connect", "claude-code", "--restore"])
    assert len(own_keys(station)) == 1

    assert cli.main(["connect", "claude-code", "--restore"]) == 0

    assert own_keys(station) == []


def test_a_second_writing_that_is_refused_leaves_no_key(station: Path, home: Path) -> None:
    (home / ".claude").mkdir()
    (home / ".claude/settings.json").write_text("{}")
    cli.main(["connect", "claude-code", "--write"])
    (home / ".claude/settings.json").chmod(0o400)

    assert cli.main(["connect", "claude-code", "--write"]) == 2

    assert own_keys(station) == []


def test_a_key_made_by_sudo_is_one_of_the_station_that_is_asked(
    station: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, "gridtie", f'#!/bin/sh\nPYTHONPATH={SOURCES} exec {sys.executable} -m gridtie.host "$@"\n')
    program(tmp_path, "sudo", '#!/bin/sh\nshift; unset GRIDTIE_CONFIG_DIR; PATH=/usr/bin:/bin exec "$@"\n')
    may = os.access
    monkeypatch.setattr("os.access", lambda path, mode, **more: mode != os.W_OK and may(path, mode, **more))
    monkeypatch.setattr("gridtie.host.keys.add", Mock(side_effect=keys.KeysError("not this user")))
    monkeypatch.setattr("gridtie.host.keys.revoke", Mock(side_effect=keys.KeysError("not this user")))
    monkeypatch.setattr("gridtie.host.connect.written.check", lambda _: None)

    cli.main(["connect", "claude-code", "--write"])
    assert keys.digest(str(settings(home)["ANTHROPIC_AUTH_TOKEN"])) == own_keys(station)[0].sha256

    cli.main(["connect", "claude-code", "--restore"])
    assert own_keys(station) == []


@pytest.mark.parametrize("what", ["--write", "--restore", "--check"])
def test_under_sudo_nobodys_home_is_written_to(
    home: Path, router: Httpd, what: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setenv("SUDO_USER", "anna")

    assert cli.main(["connect", "claude-code", what]) == 2

    assert "without sudo" in capsys.readouterr().err
    assert not (home / ".claude").exists()


def test_the_line_to_source_names_the_file_that_was_written(
    home: Path, router: Httpd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    cli.main(["connect", "openai", "--write", "--shared-key"])

    line = next(line for line in capsys.readouterr().out.splitlines() if "~/.profile" in line)
    assert Path(line.partition(":  . ")[2]).is_file()


def test_what_a_checked_client_says_is_not_obeyed_by_the_terminal(
    home: Path, router: Httpd, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    router.answers = Ledger(router)
    program(tmp_path, "claude", "#!/bin/sh\nprintf 'x\\033[2J\\377'\n")
    cli.main(["connect", "claude-code", "--write", "--shared-key"])
    capsys.readouterr()

    cli.main(["connect", "claude-code", "--check"])

    assert "\x1b" not in capsys.readouterr().out


def test_settings_that_cannot_be_added_are_shown(home: Path, router: Httpd, capsys: pytest.CaptureFixture[str]) -> None:
    (home / ".claude").mkdir()
    (home / ".claude/settings.json").write_text("// mine\n{}")

    assert cli.main(["connect", "claude-code"]) == 2

    assert "ANTHROPIC_BASE_URL" in capsys.readouterr().out


def test_a_restore_with_another_state_directory_says_where_the_way_back_is(
    home: Path, router: Httpd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / ".claude").mkdir()
    (home / ".claude/settings.json").write_text("{}")
    cli.main(["connect", "claude-code", "--write", "--shared-key"])
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "other"))

    assert cli.main(["connect", "claude-code", "--restore"]) == 2

    assert "XDG_STATE_HOME" in capsys.readouterr().err


def test_a_restore_with_another_place_for_the_settings_gives_the_old_one_back(
    home: Path, router: Httpd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.main(["connect", "claude-code", "--write", "--shared-key"])
    file = home / ".claude/settings.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"theme": "dark"}))
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path / "other"))

    assert cli.main(["connect", "claude-code", "--restore"]) == 0

    assert json.loads(file.read_text()) == {"theme": "dark"}


@pytest.mark.parametrize(
    "line",
    ["OPENAI_API_KEYS=of-theirs", "api-key: 'of theirs'", "auth: Basic of-theirs", "url: https://me:of-theirs@a.example",
     "passwd: of theirs", "set: sk-of-theirs-12345678"],
)  # fmt: skip
def test_no_secret_of_a_persons_is_shown(
    home: Path, router: Httpd, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / ".aider.conf.yml").write_text(f"x: y # {line}\n" if "=" in line else f"{line}\n")

    cli.main(["connect", "aider"])

    said = capsys.readouterr()
    assert "theirs" not in said.out + said.err
    assert "openai-api-key: gt-..." in said.out


def test_a_check_wants_a_wired_client_and_its_program(home: Path, router: Httpd) -> None:
    assert cli.main(["connect", "claude-code", "--check"]) == 2
    cli.main(["connect", "claude-code", "--write", "--shared-key"])
    assert cli.main(["connect", "claude-code", "--check"]) == 2


def test_every_client_writes_what_it_gives_back(home: Path, router: Httpd) -> None:
    for path in ("/v1/responses", "/api/chat"):
        router.answers[path] = (405, SERVED)
    for client in BY_NAME.values():
        if client.by_hand:
            continue
        assert cli.main(["connect", client.name, "--write", "--shared-key"]) == 0, client.name
        assert cli.main(["connect", client.name, "--restore"]) == 0, client.name

    left = [path for path in home.rglob("*") if path.is_file() and ".config/gridtie/" not in str(path)]
    assert left == []


class TestOrigins:
    """Clients that are pages inside: what they send as Origin is let in with their key, and ends with it."""

    def origins(self, station: Path) -> list[str]:
        return [origin for row in keys.read(station) for origin in row.origins]

    def test_a_browsers_client_is_let_in_as_long_as_it_is_wired(
        self, station: Path, home: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.main(["connect", "open-webui", "--write"]) == 0
        assert self.origins(station) == ["http://localhost:8080"]
        assert "Pages of http://localhost:8080 may ask as long as that key is there." in capsys.readouterr().out

        assert cli.main(["connect", "open-webui", "--restore"]) == 0
        assert self.origins(station) == []

    def test_before_it_is_written_it_is_said_which_pages_would_be_let_in(
        self, station: Path, home: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.main(["connect", "open-webui", "--origin", "https://chat.example"]) == 0
        assert "Its pages ask from https://chat.example: --write lets these in" in capsys.readouterr().out
        assert self.origins(station) == []

    def test_what_is_given_takes_the_place_of_the_usual(self, station: Path, home: Path) -> None:
        words = ["--origin", "http://localhost:3000", "--origin", "https://chat.example"]
        assert cli.main(["connect", "open-webui", "--write", *words]) == 0
        assert self.origins(station) == ["http://localhost:3000", "https://chat.example"]

    def test_a_client_without_pages_lets_none_in(self, station: Path, home: Path) -> None:
        assert cli.main(["connect", "claude-code", "--write"]) == 0
        assert self.origins(station) == []

    def test_one_that_is_set_up_by_hand_gets_a_key_to_type_and_its_pages_are_let_in(
        self, station: Path, home: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.main(["connect", "obsidian", "--write"]) == 0
        said = capsys.readouterr().out
        own = next(row for row in keys.read(station) if row.name.startswith("obsidian-"))

        assert own.origins == ("app://obsidian.md",)
        assert any(keys.digest(word) == own.sha256 for word in said.split())
        assert cli.main(["connect", "obsidian", "--restore"]) == 0
        assert self.origins(station) == []

    def test_the_overview_says_which_pages_are_let_in(
        self, station: Path, home: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        cli.main(["connect", "obsidian", "--write"])
        capsys.readouterr()
        cli.main(["connect"])

        line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("obsidian"))
        assert line.endswith(", pages of app://obsidian.md")

    def test_without_a_key_of_its_own_the_other_way_is_told(
        self, home: Path, router: Httpd, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.main(["connect", "open-webui", "--write", "--shared-key"]) == 0
        assert "defaults.allowed_origins" in capsys.readouterr().err
        assert cli.main(["connect", "obsidian", "--write"]) == 2
        said = capsys.readouterr()
        assert "pages of app://obsidian.md are not let in" in said.err
        cli.main(["connect"])
        assert "pages of" not in capsys.readouterr().out

    @pytest.mark.parametrize("origin", ["*", "null", "http://localhost:3000/chat", "localhost:3000"])
    def test_what_is_no_origin_is_refused_before_anything_is_made(
        self, station: Path, home: Path, origin: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.main(["connect", "open-webui", "--write", "--origin", origin]) == 2
        assert "cannot be declared" in capsys.readouterr().err
        assert len(keys.read(station)) == 1

    def test_killed_before_the_key_was_noted_the_restore_ends_its_pages_too(
        self, station: Path, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from gridtie.host.connect import client_key

        made = client_key.made

        def cut(*words: Any) -> None:
            made(*words)
            raise KeyboardInterrupt

        monkeypatch.setattr(client_key, "made", cut)
        assert cli.main(["connect", "obsidian", "--write"]) == 130
        assert self.origins(station) == ["app://obsidian.md"]
        assert cli.main(["connect", "obsidian", "--restore"]) == 0
        assert self.origins(station) == []

    def test_by_sudo_the_origins_go_with_the_key(
        self, home: Path, router: Httpd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from gridtie.host.connect import client_key

        asked: list[list[str]] = []
        monkeypatch.setattr(client_key, "_as_root", lambda directory, words: asked.append(words))
        client_key.made(tmp_path / "nowhere", "obsidian-ann", ["app://obsidian.md"])

        assert asked == [
            ["keys", "add", "obsidian-ann", "--environment", "dev", "--origin", "app://obsidian.md"],
        ]  # fmt: skip
