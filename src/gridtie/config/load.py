"""The routing file from disk: read, typed, checked; or every problem in it with file, line and key."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from gridtie.config import source
from gridtie.config.canonical import canonicalised
from gridtie.config.check_providers import BY_NATURE
from gridtie.config.checks import check
from gridtie.config.convert import convert
from gridtie.config.problems import ConfigError, Problem
from gridtie.config.schema import Locality, Routing

__all__ = ["ConfigError", "Problem", "RoutingFile", "judge", "load", "load_routing", "parse"]


class RoutingFile(msgspec.Struct, frozen=True):
    """A routing file that holds, and where its keys stand: for problems that only show later."""

    routing: Routing
    source: source.Source
    # SHA-256 of the file's bytes, in hex.
    digest: str

    def located(self, error: ConfigError) -> ConfigError:
        """The same problems with the file and line of the keys that they name."""
        return ConfigError([problem if problem.file else self.source.locate(problem) for problem in error.problems])


def load_routing(path: Path) -> Routing:
    """The routing of a file. Raises `ConfigError` with all that is wrong."""
    return load(path).routing


def load(path: Path) -> RoutingFile:
    """A routing file with its lines and digest. Raises `ConfigError` with all that is wrong."""
    return parse(source.read_bytes(path), str(path))


def parse(raw: bytes, file: str) -> RoutingFile:
    """Routing from YAML text; `file` is only for messages. Raises `ConfigError` with all that is wrong."""
    found = source.parse(raw, file)
    return RoutingFile(judge(found), found, hashlib.sha256(raw).hexdigest())


def judge(found: source.Source) -> Routing:
    """The routing that plain data describe, its names in canonical form. Raises `ConfigError` with all that is wrong.

    Pure: the same data give the same routing. What is wrong is told in the words of the file.
    """
    routing, problems = convert(found.data, Routing)
    if routing is not None:
        routing = _local_by_nature(routing)
        problems = [*_station_in_the_cloud(found), *check(routing)]
    if problems or routing is None:
        located = [found.locate(problem) for problem in problems]
        raise ConfigError(sorted(located, key=lambda problem: problem.line or 0))
    return canonicalised(routing)


def _local_by_nature(routing: Routing) -> Routing:
    """A station is this machine, and a pool are machines of the same inventory: local without saying so."""
    local: Locality = "local"
    providers = {
        name: msgspec.structs.replace(provider, locality=local) if provider.type in BY_NATURE else provider
        for name, provider in routing.providers.items()
    }
    return msgspec.structs.replace(routing, providers=providers)


def _station_in_the_cloud(found: source.Source) -> list[Problem]:
    """Asked of the text, since the type cannot tell a written `cloud` from the default."""
    return [
        Problem(
            path=("providers", name, "locality"), what=f"a {provider['type']} is local by nature", fix="remove the key"
        )
        for name, provider in found.data["providers"].items()
        if provider["type"] in BY_NATURE and provider.get("locality") == "cloud"
    ]
