"""Which files of a station a backup has, where each lies, and whose it is: all that no run of the playbook can make.

Not among them are models (by digest from where they came), what is copied from `config/`, and station.json, which says
what this machine is.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterator, Mapping, Optional

from gridtie.host import audit
from gridtie.host.ledger_file import JOURNAL_SEGMENT
from gridtie.host.paths import config_dir, read_station, state_dir

from .archive import BackupError, valid_name

LEDGER = "ledger/ledger.sqlite"
_JOURNAL = "ledger/journal/"
_CONTROLLER = "controller/"
# What root did, and what the router took up.
_AUDIT = re.compile(rf"(config/audit|ledger)/{re.escape(audit.FILE)}(\.\d)?")
# Of the configuration: what a run writes from config/, and what it finds out about the machine.
_MADE_BY_A_RUN = frozenset(["models.yaml", "models.lock.yaml", "prices.json", "station.json", "pins.json"])
# Of the models directory: what was added by hand, and what `auto` came to.
_MODELS = ("added.json", "resolved.json")
# The controller's lock, and the authority of its certificates.
_CONTROLLERS = ("lock", "ca_certificate", "ca_key")
# A file of the configuration is a page of text; what is larger is none of ours.
_LARGEST = 16 << 20
# Readable to its owner alone, the router's group, or everybody.
_OWNER, _GROUP, _ALL = 0o600, 0o640, 0o644
_MODES = {"models/added.json": _OWNER, f"{_CONTROLLER}ca_key": _OWNER}


@dataclass(frozen=True)
class Places:
    """The directories of one station, and what its station.json says; that is empty before there is one."""

    config: Path
    state: Path
    station: Mapping[str, Any] = field(default_factory=dict)

    @property
    def project(self) -> str:
        return str(self.station.get("project") or "gridtie")

    @property
    def controller(self) -> Mapping[str, Path]:
        """Files of its controller, where the playbook runs on this machine itself."""
        told = self.station.get("controller") or {}
        return {key: Path(told[key]) for key in _CONTROLLERS if told.get(key)}

    @property
    def ledger(self) -> Path:
        return self.state / "ledger" / "ledger.sqlite"

    @property
    def journal(self) -> Path:
        return self.state / "ledger" / "journal"

    def path_of(self, name: str) -> Optional[Path]:
        """Where a member belongs; None for one of the controller where that is elsewhere. Raises `BackupError`."""
        kind, _, rest = name.partition("/")
        if kind == "config" and valid_name(name) and rest not in _MADE_BY_A_RUN:
            return self.config / rest
        if is_audit(name):
            return audit.of_router(self.state) / rest
        if name == LEDGER:
            return self.ledger
        if name.startswith(_JOURNAL) and JOURNAL_SEGMENT.fullmatch(name[len(_JOURNAL) :]):
            return self.journal / name[len(_JOURNAL) :]
        if kind == "models" and rest in _MODELS:
            return self.state / "models" / rest
        if kind == "controller" and rest in _CONTROLLERS:
            return self.controller.get(rest)
        raise BackupError(f"{name} is no part of a station; the backup is of another program, or of a newer gridtie")


def places_of(environ: Mapping[str, str]) -> Places:
    """Where the station is that the environment names, or would be. Raises `StationError`."""
    config = config_dir(environ)
    try:
        there = (config / "station.json").exists()
    except PermissionError:
        there = True  # What to do is said by who reads it.
    # Where the configuration is a link, its files are replaced where they are.
    return Places(config.resolve(), state_dir(environ), read_station(config) if there else {})


def small_files(places: Places) -> Iterator[tuple[str, bytes]]:
    """Name and content of everything but the ledger. Raises `BackupError`, OSError."""
    for directory, below, files in os.walk(places.config, onerror=_refuse):
        below[:] = sorted(each for each in below if not each.startswith("."))
        # A directory that is a link is not gone into.
        for each in sorted([*files, *(each for each in below if Path(directory, each).is_symlink())]):
            path = Path(directory, each)
            name = f"config/{path.relative_to(places.config)}"
            # What is hidden is on its way to be another file.
            if not each.startswith(".") and str(path.relative_to(places.config)) not in _MADE_BY_A_RUN:
                yield name, _content(name, path)
    for path in sorted(audit.of_router(places.state).glob(f"{audit.FILE}*")):
        if is_audit(f"ledger/{path.name}"):
            yield f"ledger/{path.name}", _content(f"ledger/{path.name}", path)
    for each in _MODELS:
        if (path := places.state / "models" / each).is_file():
            yield f"models/{each}", _content(f"models/{each}", path)
    for each, path in places.controller.items():
        if path.is_file():
            yield f"{_CONTROLLER}{each}", _content(f"{_CONTROLLER}{each}", path)


def _refuse(error: OSError) -> None:
    raise error


def _content(name: str, path: Path) -> bytes:
    if not valid_name(name):
        raise BackupError(f"{path} has a name that is too long; move it away")
    return plain_file(path)


def plain_file(path: Path) -> bytes:
    """All of it. What the router's user may have put in its place is not followed, nor waited for.

    Raises `BackupError`, OSError.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        # A link, a socket.
        if error.errno not in (errno.ELOOP, errno.ENXIO):
            raise
        raise _odd(path) from None
    with os.fdopen(handle, "rb", buffering=0) as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise _odd(path)
        if found.st_size > _LARGEST:
            raise BackupError(f"{path} has {found.st_size >> 20} MiB, {_LARGEST >> 20} at most; move it away")
        return file.readall()


def _odd(path: Path) -> BackupError:
    return BackupError(f"{path} is a link, no plain file; move it away")


def is_audit(name: str) -> bool:
    """Whether a member is of an audit log, which nothing ever replaces."""
    return _AUDIT.fullmatch(name) is not None


def mode_of(name: str) -> int:
    """Who may read a member where it belongs."""
    if name in _MODES:
        return _MODES[name]
    return _ALL if name.startswith(("models/", _CONTROLLER)) else _GROUP


def secret_in(name: str) -> str:
    """What a member gives away to who reads it, in words; "" where that is nothing."""
    words = {
        r"config/station\.key": "the station's own key, which may do everything",
        r"config/keys\.json": "the hashes of all keys",
        r"config/secrets/pool-.*": "a key for another station",
        r"config/secrets/.*": "a key of a cloud",
        r"config/tls/server\.pem": "a certificate with its private key",
        r"controller/ca_key": "the private key of the certificate authority",
    }
    return next((said for pattern, said in words.items() if re.fullmatch(pattern, name)), "")
