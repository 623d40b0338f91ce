"""The agents and commands that people use, each in an empty home that `gridtie connect` wired, asked for real through a
router process to a stand-in of every kind of target.

Two of them here, as in CI; `make test PART=clients` asks all (GRIDTIE_TEST_AGENTS=all).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clients.agents import AGENTS, FILE, SOME, Agent, Home
from clients.environments import ROOT
from gridtie.host import keys, keys_in_force
from gridtie.host.connect.clients import BY_NAME
from standins.behaviour import Behaviour
from standins.cloud import Cloud
from standins.fixtures import RouterProcess
from standins.recorder import Recorder, recording
from standins.targets import SECRETS, TARGETS, every_target, station_of

ALL = os.environ.get("GRIDTIE_TEST_AGENTS") == "all"
ASKED = [agent for agent in AGENTS if ALL or agent.client in SOME]
# Moments at which `gridtie connect --write` is killed.
KILLS = 24 if ALL else 8
WORD = "vermilion"
WHOLE = "test_it_is_answered_in_one_piece"
# Claude Code and Codex have words of their own where a prompt does not fit, Claude Code also where a key is wrong.
SAID = {
    "context": ("9083", "9,083", "too long", "ran out of room in the model's context window"),
    "invalid": ("invalid value for 'messages'",),
    "key": ("key", "401", "unauthorized", "not logged in"),
}
GREETING = "Say hello to me."
TOO_NEW = pytest.mark.skipif(sys.version_info >= (3, 13), reason="aider 0.86 wants Python 3.12 or earlier")


def agents(*asked: Agent) -> pytest.MarkDecorator:
    """The test for each of these."""
    marked = [pytest.param(agent, id=agent.row, marks=[TOO_NEW] * ("aider" in agent.row)) for agent in asked]
    return pytest.mark.parametrize("agent", marked)


EVERY_AGENT = agents(*ASKED)
# A person's own settings of before, in the form of each file.
# Cline writes its file anew each time, and leaves out what it does not know.
OWN_OF_CLINE = (
    '{"version": 1, "lastUsedProvider": "ollama", "modes": {}, "providers": {"ollama": {"settings": '
    '{"provider": "ollama", "model": "mine"}, "updatedAt": "2026-11-01T00:00:00.000Z", "tokenSource": "manual"}}}\n'
)
OWN = {
    ".json": '{\n  "mine": {"a": 1}\n}\n',
    ".toml": "mine = 1\n",
    ".yaml": "",
    ".yml": "# mine\nmine: 1\n",
    ".env": "# mine\n",
}

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def router(shared_cloud: Cloud, authority: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RouterProcess]:
    text = every_target(shared_cloud, authority, ("agent", "context", "invalid"))
    process = RouterProcess(tmp_path_factory.mktemp("router"), text, SECRETS)
    yield process
    assert process.stop() == 0


@pytest.fixture(scope="module")
def recorder(router: RouterProcess) -> Iterator[Recorder]:
    """In front of the router, as the station that `gridtie connect` finds."""
    with recording(router.port) as made:
        station_of(router, made)
        yield made


@pytest.fixture
def home(router: RouterProcess, recorder: Recorder, cloud: Cloud, tmp_path: Path) -> Iterator[Home]:
    recorder.requests.clear()
    made = Home(tmp_path / "home", router.config)
    yield made
    made.end_what_stayed()
    for row in keys.read(router.config):
        if row.environments == ("dev",) and row.created:
            keys.revoke(router.config, row.name)


@pytest.fixture(autouse=True)
def row(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> None:
    """Which row of docs/clients.md a test is about."""
    record_property("client", request.node.callspec.params["agent"].row)
    record_property("how", "whole" if request.node.originalname == WHOLE else "streamed")


def told_once(agent: Agent, recorder: Recorder) -> bool:
    """Whether nothing was asked again as it was: an agent may leave something out and try that."""
    sent = [(each.path, each.headers.get("anthropic-beta"), each.body) for each in recorder.requests]
    return not agent.told_once or len(sent) == len(set(sent))


@pytest.mark.parametrize("target", TARGETS)
@EVERY_AGENT
def test_it_answers_with_what_its_tool_found(agent: Agent, home: Home, cloud: Cloud, target: str) -> None:
    """The router's model calls the agent's own tool, the agent runs it, and shows what the model made of it."""
    home.connect(agent.client, "--write", "--model", f"{target}-agent")
    (home.work / FILE).write_text(f"{WORD}\n")
    calls = (agent.tool(home.work),) if agent.tool else ()
    cloud.be("standin-agent", Behaviour(agent=True, calls=calls))

    done = home.ask(agent, f"Read {FILE}.", model=f"{target}-agent")

    assert done.returncode == 0, done.stdout + done.stderr
    assert (WORD if agent.tool else "no tool") in done.stdout, done.stdout + done.stderr
    assert {request.dialect for request in cloud.requests} == {target}


@pytest.mark.parametrize("target", TARGETS)
@agents(*(agent for agent in ASKED if agent.whole is not None))
def test_it_is_answered_in_one_piece(agent: Agent, home: Home, recorder: Recorder, target: str) -> None:
    """Those that can be told to ask so; the others always stream."""
    home.connect(agent.client, "--write", "--model", f"{target}-agent")
    recorder.requests.clear()

    done = home.ask(agent, GREETING, model=f"{target}-agent", streamed=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "no tool" in done.stdout
    assert not any(json.loads(sent.body).get("stream") for sent in recorder.requests if sent.body)


@pytest.mark.parametrize("fault", ["context", "invalid"])
@EVERY_AGENT
def test_it_shows_what_is_wrong(agent: Agent, home: Home, recorder: Recorder, fault: str) -> None:
    """A prompt that does not fit, and what upstream refuses: a sentence for the person, and no tries in vain."""
    home.connect(agent.client, "--write", "--model", f"ollama-{fault}")
    recorder.requests.clear()

    done = home.ask(agent, GREETING, model=f"ollama-{fault}")

    shown = " ".join((done.stdout + done.stderr).lower().split())
    assert any(words in shown for words in SAID[fault]), shown
    assert told_once(agent, recorder), [(sent.path, len(sent.body)) for sent in recorder.requests]


@EVERY_AGENT
def test_it_shows_that_its_key_is_wrong(agent: Agent, home: Home, recorder: Recorder) -> None:
    """Its key was ended by somebody: a sentence about it, and no minutes of silence."""
    home.connect(agent.client, "--write", "--model", "ollama-agent")
    name = next(row.name for row in keys.read(home.config) if row.name.startswith(agent.client))
    keys.revoke(home.config, name)
    assert keys_in_force.wait(home.config) == ""
    recorder.requests.clear()

    done = home.ask(agent, GREETING, model="ollama-agent")

    shown = " ".join((done.stdout + done.stderr).lower().split())
    assert any(words in shown for words in SAID["key"]), shown
    assert told_once(agent, recorder), [(sent.path, len(sent.body)) for sent in recorder.requests]


@EVERY_AGENT
def test_after_a_conversation_its_files_are_as_before(agent: Agent, home: Home) -> None:
    """Byte for byte, with their modes; and its key is gone."""
    files = [path for path, _ in BY_NAME[agent.client].files(home.path, home.environ)]
    own = {path: OWN_OF_CLINE if agent.client == "cline" else OWN[path.suffix] for path in files}
    # Cline lets nobody else read its file, each time that it runs.
    mode = 0o600 if agent.client == "cline" else 0o640
    for path, text in own.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
    home.connect(agent.client, "--write", "--model", "ollama-agent")
    home.ask(agent, GREETING, model="ollama-agent")

    home.connect(agent.client, "--restore")

    for path, text in own.items():
        assert (path.read_text(), path.stat().st_mode & 0o777) == (text, mode)
        assert [each.name for each in path.parent.glob("*gridtie*")] == []
    assert [row.name for row in keys.read(home.config) if row.name.startswith(agent.client)] == []


@EVERY_AGENT
def test_killed_at_any_moment_everything_is_as_before_after_a_restore(agent: Agent, home: Home) -> None:
    """kill -9 while it writes; then `--restore`: no file, no directory and no key of it is left, or changed."""
    path = BY_NAME[agent.client].files(home.path, home.environ)[0][0]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(OWN[path.suffix])
    (home.path / ".local/state").mkdir(parents=True)
    before = tree(home.path)
    environ = {**home.environ, "PYTHONPATH": str(ROOT / "src")}
    words = home.command("connect", agent.client, "--write", "--model", "ollama-agent")
    began = time.monotonic()
    subprocess.run(words, env=environ, capture_output=True, check=True)
    whole = time.monotonic() - began
    home.connect(agent.client, "--restore")

    for moment in range(KILLS):
        writing = subprocess.Popen(words, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(whole * moment / KILLS)
        writing.send_signal(signal.SIGKILL)
        writing.wait()
        home.connect(agent.client, "--restore")

        assert tree(home.path) == before
        assert [row.name for row in keys.read(home.config) if row.name.startswith(agent.client)] == []


def tree(home: Path) -> dict[str, tuple[int, bytes]]:
    """Everything in a home that is a file or a directory of its own; what the station's record lies in may stay."""
    return {
        str(path.relative_to(home)): (path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in home.rglob("*")
        if path.relative_to(home).parts[:3] != (".local", "state", "gridtie")
    }
