"""Settings of a shell that lead a client somewhere else than to the station."""

from __future__ import annotations

import re
import urllib.parse
from pathlib import Path
from typing import Iterator, List, Mapping, NamedTuple, Tuple

# What leads a client: the variables by which it finds its server. The first of a group is the one that counts.
_ADDRESSES = (
    "OPENAI_BASE_URL",
    "OPENAI_API_BASE",
    "ANTHROPIC_BASE_URL",
    "OLLAMA_HOST",
    "OLLAMA_API_BASE",
)
_STARTS = (".profile", ".bash_profile", ".bashrc", ".zshenv", ".zprofile", ".zshrc")
_SET = re.compile(rf"\s*(?:export\s+)?({'|'.join(_ADDRESSES)})=[\"']?([^\"'\s#;]*)")
# Those that are read by a client of the name's beginning.
_OF = {"openai": "OPENAI", "langchain": "OPENAI", "aider": "OPENAI", "llm": "OPENAI", "open-webui": "OPENAI"}
_OF.update({"claude-code": "ANTHROPIC", "anthropic": "ANTHROPIC", "ollama": "OLLAMA"})


class Lead(NamedTuple):
    """A variable that leads elsewhere, and where it was set: "this shell", or a file and its line."""

    name: str
    host: str
    where: str


def leads(client: str, root: str, environ: Mapping[str, str], home: Path) -> List[Lead]:
    """Variables that the client reads and that name another server than `root`; of an address the host alone."""
    kind = _OF.get(client, "")
    if not kind:
        return []
    return [
        Lead(name, _host(value), where)
        for name, value, where in _set(environ, home)
        if name.startswith(kind) and value and _server(value) != _server(root)
    ]


def only_the_old_name(client: str, environ: Mapping[str, str]) -> bool:
    """Whether OpenAI's address stands in the variable that its SDK has not read since 2024, and in no other."""
    reads = client in ("openai", "langchain")
    return reads and bool(environ.get("OPENAI_API_BASE")) and not environ.get("OPENAI_BASE_URL")


def _set(environ: Mapping[str, str], home: Path) -> Iterator[Tuple[str, str, str]]:
    for name in _ADDRESSES:
        yield name, environ.get(name, ""), "this shell"
    for file in _STARTS:
        try:
            lines = (home / file).read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        for number, line in enumerate(lines, 1):
            found = _SET.match(line)
            if found:
                yield found[1], found[2], f"{home / file}:{number}"


def _server(address: str) -> str:
    """The same for all names of this machine."""
    return re.sub(r"^(localhost|127\.0\.0\.1|\[::1\])(?=:|$)", "127.0.0.1", _host(address).lower())


def _host(address: str) -> str:
    """Host and port; what else an address holds may be a password."""
    try:
        return urllib.parse.urlsplit(address if "//" in address else f"//{address}").netloc.rpartition("@")[2]
    except ValueError:
        return "an address that cannot be read"
