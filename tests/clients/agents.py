"""The agents and commands that people ask the router through: where each is, how it is asked, which tool it has."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from clients.environments import CHAT, MESSAGES, OLLAMA, PLACE, RESPONSES, ROOT, bare, programs, there
from standins.behaviour import ToolCall

# An agent that tries again for long is told to stop by the router, or the test is right to fail.
ANSWER_S = 90.0
FILE = "notes.txt"


@dataclass(frozen=True)
class Agent:
    """One agent by one interface that it speaks.

    `client` is its name for `gridtie connect`, `name` that of this row where the client has several. `words` go before
    the question, `whole` before these where it is to be answered in one piece. `tool` is the call by which it reads
    `FILE` of a directory, None where it has no tools. `told_once`: it asks once where trying again cannot help.
    `sourced`: the file of variables that it is started with. It may take `answer_s` seconds.
    """

    client: str
    interface: str
    place: str
    words: tuple[str, ...]
    whole: tuple[str, ...] | None = None
    tool: Callable[[Path], ToolCall] | None = None
    told_once: bool = True
    name: str = ""
    sourced: str = ""
    answer_s: float = ANSWER_S

    @property
    def row(self) -> str:
        """What it is called among the others."""
        return self.name or self.client

    @property
    def program(self) -> Path:
        """What is started. A test fails here where it is not installed."""
        kind, _, path = self.place.partition("/")
        return there(PLACE / kind / path, kind)


# In CI: the lightest.
SOME = ("llm", "continue")
_READ = "def read(path: str) -> str:\n    'Reads a file.'\n    return open(path).read()\n"
_AIDER = ("--no-git", "--yes-always", "--no-show-release-notes", "--no-check-update")


def _read(name: str, argument: str) -> Callable[[Path], ToolCall]:
    return lambda directory: ToolCall(name, {argument: str(directory / FILE)})


def _shell(directory: Path) -> ToolCall:
    return ToolCall("exec_command", {"cmd": f"cat {directory / FILE}"})


def _read_files(directory: Path) -> ToolCall:
    return ToolCall("read_files", {"files": [{"path": str(directory / FILE)}]})


AGENTS: tuple[Agent, ...] = (
    Agent(
        "llm", CHAT, "sdks/python/bin/llm",
        ("-m", "gridtie/{model}", "--functions", _READ), ("--no-stream",), tool=_read("read", "path"),
    ),
    Agent(
        "continue", CHAT, "some-agents/node/node_modules/.bin/cn", ("-p",),
        tool=_read("Read", "filepath"),
    ),
    Agent(
        "claude-code", MESSAGES, "agents/node/node_modules/.bin/claude", ("-p",), tool=_read("Read", "file_path"),
    ),
    Agent(
        "codex", RESPONSES, "agents/node/node_modules/.bin/codex",
        ("exec", "--skip-git-repo-check", "--sandbox", "read-only"), tool=_shell, told_once=False,
    ),
    Agent(
        "opencode", CHAT, "agents/node/node_modules/.bin/opencode", ("run",),
        tool=_read("read", "filePath"),
    ),
    Agent(
        "cline", CHAT, "agents/node/node_modules/.bin/cline", ("-p", "--timeout", "60"),
        tool=_read_files,
    ),
    Agent(
        "aider", CHAT, "agents/python/bin/aider",
        (*_AIDER, "--message"), ("--no-stream",),
    ),
    Agent(
        "ollama", OLLAMA, "agents/python/bin/aider",
        ("--model", "ollama_chat/{model}", "--no-show-model-warnings", *_AIDER, "--message"), ("--no-stream",),
        # litellm takes each error of Ollama's for one of the connection, which aider tries again for a minute.
        told_once=False, name="aider-ollama", sourced=".config/gridtie/connect/ollama.env", answer_s=240.0,
    ),
)  # fmt: skip


# A command that can write nothing but its home, and sees no other process.
_SEALED = (
    "unshare", *(() if os.geteuid() == 0 else ("--map-root-user",)),
    *("--mount", "--pid", "--fork", "--mount-proc", "--kill-child"), "sh", "-euc",
    'mount --bind "$HOME" "$HOME"; for place in $(findmnt -rno TARGET); do case $place in "$HOME"|/proc*|/dev*) ;; '
    '*) mount -o remount,bind,ro "$place" 2>/dev/null || :; esac; done; cd "$PWD"; exec "$@"', "sh",
)  # fmt: skip


@dataclass(frozen=True)
class Home:
    """A person's empty home, with the station that `gridtie connect` finds there."""

    path: Path
    config: Path
    programs: tuple[Path, ...] = ()

    @property
    def environ(self) -> dict[str, str]:
        """What a login there would have; `programs` are directories of what this person has installed."""
        path = os.pathsep.join([*map(str, (*self.programs, *programs())), "/usr/bin", "/bin"])
        return bare(self.path, PATH=path, GRIDTIE_CONFIG_DIR=str(self.config), TERM="dumb")

    @property
    def work(self) -> Path:
        """The directory that agents are started in."""
        made = self.path / "work"
        made.mkdir(exist_ok=True)
        return made

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "gridtie.host", *words]

    def connect(self, *words: str) -> str:
        """`gridtie connect ...`, which must succeed; what it says."""
        environ = {**self.environ, "PYTHONPATH": str(ROOT / "src")}
        done = subprocess.run(self.command("connect", *words), env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def ask(self, agent: Agent, prompt: str, *, model: str, streamed: bool = True) -> subprocess.CompletedProcess[str]:
        """Put a question by the agent's own program."""
        return subprocess.run(
            self._words(agent, prompt, model, streamed=streamed), cwd=self.work, env=self.environ,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=agent.answer_s,
            check=False,
        )  # fmt: skip

    def begin(
        self, agent: Agent, prompt: str, *, model: str, streamed: bool, said: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        """The same, sealed: a real model may have it run any command, and may have it go on for long."""
        words = [*_SEALED, *self._words(agent, prompt, model, streamed=streamed)]
        return subprocess.Popen(
            words, cwd=self.work, env=self.environ, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT
        )

    def _words(self, agent: Agent, prompt: str, model: str, *, streamed: bool) -> list[str]:
        words = [word.replace("{model}", model) for word in (*(() if streamed else agent.whole or ()), *agent.words)]
        # As its user does it: `. FILE`, and the program.
        start = ["sh", "-euc", '. "$0"; exec "$@"', str(self.path / agent.sourced)] if agent.sourced else []
        return [*start, str(agent.program), *words, prompt]

    def end_what_stayed(self) -> None:
        """Kill what an agent left running in the background, which knows this home as its own."""
        own = f"HOME={self.path}".encode()
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if own in (process / "environ").read_bytes().split(b"\0"):
                    os.kill(int(process.name), signal.SIGKILL)
