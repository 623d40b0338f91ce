"""What was provisioned on this machine: /etc/gridtie/station.json, written by the playbook."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec
from msgspec.structs import replace

from gridtie.config import address
from gridtie.config.problems import ConfigError, Problem
from gridtie.host.ollama_name import runs_at_ollama_com
from gridtie.host.purpose_names import current_purpose

_FIX = "run `ansible-playbook site.yml` again: it writes this file"


class Engine(msgspec.Struct, frozen=True, kw_only=True):
    """The engine that was resolved, and why that one."""

    # vllm_router: it computes nothing and asks the routers of the pool, by the key that is theirs.
    kind: Literal["ollama", "embedded", "vllm", "vllm_router"]
    mode: Literal["container", "native"]
    source: str = ""
    version: str = ""
    why: str = ""
    image: str = ""
    container: str = ""


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What a model has shown on this engine before it counted."""

    date: str = ""
    engine_version: str = ""
    # Name of the check -> held, failed, not run.
    checks: dict[str, str] = {}

    def __hash__(self) -> int:
        # Targets are kept in sets, and a dictionary has no hash.
        return hash((self.date, self.engine_version, tuple(self.checks.items())))


class StationModel(msgspec.Struct, frozen=True, kw_only=True):
    """One model that the engine serves, with the context length that was set for it."""

    name: str  # as the engine knows it: gridtie/smollm2:135m
    catalogue: str  # as the catalogue knows it: smollm2:135m
    dialect: Literal["ollama", "openai"]
    url: str  # as the router reaches it
    context: int
    parallel: int = 1
    # Behind vllm-router: the servers' URLs, and how many requests each takes at once.
    servers: dict[str, int] = {}
    digest: str = ""
    quantisation: str = ""
    source: str = ""
    capabilities: list[str] = []
    purposes: list[str] = []
    # aider edit, percent; None: never measured.
    score: float | None = None
    bytes: int = 0
    # None: nothing is known of its architecture.
    predicted_bytes: int | None = 0
    # 0: not said, by a station of before.
    trained_context: int = 0
    # Tokens, and the bytes that it would take with them; ascending, up to what it was trained for.
    larger_contexts: list[tuple[int, int]] = []
    why: str = ""
    # Whether it calls tools only where it is held to a schema of them.
    held_calls: bool = False
    # None: it was not asked yet.
    acceptance: Shown | None = None


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """Another station, whose router takes requests of this one. Its files are named relative to station.json."""

    name: str  # as the inventory calls it
    url: str  # of its router, without a path: https://gpu-server:8443
    key_file: str
    ca_file: str
    models: list[StationModel]


class Station(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file. Keys that this version does not know are left for the versions that do."""

    schema: Literal[1]
    engine: Engine
    models: list[StationModel]
    project: str = "gridtie"
    version: str = ""
    endpoint: str = "http://127.0.0.1:8484"
    # Names by which the router may be asked beside those of loopback, as a Host header says them: with their port.
    hosts: list[str] = []
    pool: list[Member] = []
    # Its engine is about to be switched: other stations' requests are sent elsewhere, those that are here end.
    draining: bool = False


def load_station(path: Path) -> Station | None:
    """The station's facts; None where nothing was provisioned yet. Raises `ConfigError`."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _error(path, f"cannot be read: {error.strerror}") from error
    try:
        station = msgspec.json.decode(raw, type=Station)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _error(path, f"not the facts of a station: {error}") from error
    if problems := [Problem(file=str(path), what=what, fix=_FIX) for what in _faults(station)]:
        raise ConfigError(problems)
    # The router reads it in a container, where the directory has another name than on the host.
    pool = [
        replace(member, ca_file=str(path.parent / member.ca_file), models=_current(member.models))
        for member in station.pool
    ]
    return replace(station, pool=pool, models=_current(station.models))


def _current(models: list[StationModel]) -> list[StationModel]:
    """Their purposes as they are called now: a station of 1.0.0 has a `probe`."""
    return [replace(model, purposes=[current_purpose(word) for word in model.purposes]) for model in models]


def _faults(station: Station) -> Iterator[str]:
    for model in (*station.models, *(each for member in station.pool for each in member.models)):
        if model.parallel < 1:
            yield f"{model.name}: parallel is {model.parallel}, wanted 1 or more"
        if model.context < 1:
            yield f"{model.name}: context is {model.context}, wanted 1 or more"
        if runs_at_ollama_com(model.name):
            yield f"{model.name}: Ollama sends the prompts of such models to ollama.com; take it out of gridtie_models"
        if fault := _address_fault(model.url):
            yield f"{model.name}: its url {fault}"
    for member in station.pool:
        if fault := _address_fault(member.url):
            yield f"{member.name}: its url {fault}"
        elif not member.url.lower().startswith("https://"):
            yield f"{member.name}: its url is not https, so key and prompts would travel in clear text"


def _address_fault(url: str) -> str:
    try:
        address.read(url)
    except ValueError as error:
        return str(error)
    return ""


def _error(path: Path, what: str) -> ConfigError:
    return ConfigError([Problem(file=str(path), what=what, fix=_FIX)])
