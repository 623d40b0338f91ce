"""A model that lists need not be one that runs: each that was installed answers once before a run counts as done.

What was asked is remembered by its digest, so that a second run asks nothing; an engine that cannot be reached from the
host (one in a virtual machine, or a rootless Docker's) is not waited for again and again either. A model that cannot be
loaded is taken out of the engine's list; its files stay for another try.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Callable, Mapping, Sequence
from urllib.parse import urlsplit

from ..json_file import read_table, write_json
from ..router import Answer, Unreachable, send

# A cold load of the largest model from a slow disk.
ANSWER_S = 900.0
# The embedded engine starts a server for a model that is new in its list: until that listens, and until it has loaded.
LISTEN_S = 120.0
LOAD_S = 600.0
_LOOK_S = 5.0


class DoesNotRun(Exception):
    """The engine has the model and cannot answer with it; the message is the engine's own."""


class Proofs:
    """Which models of an engine were asked, by digest: they answered, or the engine cannot be reached from here."""

    def __init__(self, path: Path, engine: str, again: bool = False) -> None:
        self._path = path
        self._engine = engine
        self._known: dict[str, dict[str, str]] = {} if again else read_table(path)

    def missing(self, models: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The models that have not been asked yet as they are now."""
        known = self._known.get(self._engine, {})
        return [model for model in models if known.get(model["name"]) != _identity(model)]

    def add(self, model: Mapping[str, Any]) -> None:
        self._known.setdefault(self._engine, {})[model["name"]] = _identity(model)
        write_json(self._path, self._known)


def answers(model: Mapping[str, Any], url: str, say: Callable[[str], None]) -> None:
    """Let the model answer once, at the engine's `url`. Raises DoesNotRun, and Unreachable where no engine is there."""
    say(f"{model['name']} answers for the first time")
    ollama = model["dialect"] == "ollama"
    if ollama:
        send("GET", f"{url}/api/version", timeout=_LOOK_S)
    else:
        _started(url)
    path, body, count = _question(model, ollama)
    _generated(send("POST", url + path, body=body, timeout=ANSWER_S), count)


def _question(model: Mapping[str, Any], ollama: bool) -> tuple[str, dict[str, Any], str]:
    """Path and body of a first request, and what its answer counts: tokens, or those of the text that was read."""
    if "embeddings" in model.get("capabilities", ()):
        if ollama:
            return "/api/embed", {"model": model["name"], "input": "Hello"}, "prompt_eval_count"
        return "/v1/embeddings", {"model": model["name"], "input": "Hello"}, "usage.total_tokens"
    if ollama:
        options = {"num_predict": 4, "temperature": 0}
        body = {"model": model["name"], "prompt": "Hello", "stream": False, "options": options}
        return "/api/generate", body, "eval_count"
    return "/completion", {"prompt": "Hello", "n_predict": 4, "temperature": 0}, "tokens_predicted"


def from_host(url: str) -> str:
    """A URL that a container was given, as this host reaches it: containers on a Mac know the Mac by a name."""
    return at_host(url, "127.0.0.1") if urlsplit(url).hostname == "host.docker.internal" else url


def at_host(url: str, host: str) -> str:
    """The same port and scheme at another host."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{host}:{parts.port}"


def _generated(answer: Answer, count: str) -> None:
    content = answer.json()
    if answer.status == 200 and isinstance(content, dict) and _count(content, count) > 0:
        return
    error = content.get("error") if isinstance(content, dict) else None
    text = error.get("message") if isinstance(error, dict) else error
    raise DoesNotRun(str(text or answer.body[:300].decode("utf-8", "replace").strip() or f"status {answer.status}"))


def _count(content: Mapping[str, Any], name: str) -> float:
    """The number under a name, or under one name of another; 0 where there is none."""
    found: Any = content
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found if isinstance(found, (int, float)) else 0


def _started(url: str) -> None:
    """Wait until the model's own server says that it is ready. Raises DoesNotRun, Unreachable."""
    begun = time.monotonic()
    while True:
        try:
            answer = send("GET", f"{url}/health", timeout=_LOOK_S)
        except Unreachable as error:
            # Nobody listens where the engine is: its server has not started, or ends again and again.
            refused = "refused" in str(error)
            if not refused:
                raise
            if time.monotonic() - begun > LISTEN_S:
                raise DoesNotRun(f"its server has not started within {LISTEN_S:.0f} s") from error
        else:
            if answer.status == 200:
                return
            if time.monotonic() - begun > LOAD_S:
                raise DoesNotRun(f"its server is not ready after {LOAD_S:.0f} s")
        time.sleep(0.5)


def _identity(model: Mapping[str, Any]) -> str:
    """For the embedded engine a digest is the file's alone, so context and parallelism belong to it."""
    return f"{model['digest']} {model['context']}x{model['parallel']}"
