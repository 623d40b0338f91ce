"""What the environment says, and the configuration directory that the router gets for it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# What ships with the image, and what a mount replaces.
SHIPPED = Path("/opt/gridtie-service/config")
MOUNTED = Path("/etc/gridtie")
# A file system that can be written, also where the image's own cannot.
WORKPLACE = Path("/tmp/gridtie")  # noqa: S108 - the container is this one service's, and has no other users

# Characters: what `openssl rand -hex 8` prints. Whoever reaches the port may try as many keys as they like.
LEAST_KEY = 16
_MAKE_ONE = "make one with `openssl rand -hex 24` and give the same to the jobs"

# The names under which pipelines reach it, at whatever port it is published.
_NAMES = ("127.0.0.1", "localhost", "[::1]", "gridtie")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")

# The whole service is the pipeline's: it may claim every environment of the routing file that ships with the image.
_ENVIRONMENTS = ("ci", "dev", "test", "production")


class SettingError(ValueError):
    """A variable cannot be used; the message names it and never shows a key."""


@dataclass(frozen=True)
class Settings:
    """Who may ask, by which names, and where state is kept. Only the SHA-256 of the key is kept here."""

    key_sha256: str
    hosts: tuple[str, ...]
    state: Path

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Settings:
        """GRIDTIE_KEY, GRIDTIE_HOSTS and GRIDTIE_STATE_DIR. Raises SettingError."""
        extra = [name.strip() for name in environ.get("GRIDTIE_HOSTS", "").split(",") if name.strip()]
        for name in extra:
            if not _NAME.fullmatch(name):
                raise SettingError(
                    f"GRIDTIE_HOSTS has {name!r:.80}; wanted: names or addresses without scheme and port, with commas "
                    "between them, such as docker,10.0.0.7"
                )
        return cls(
            hashlib.sha256(_key(environ).encode()).hexdigest(),
            tuple(f"{name}:*" for name in dict.fromkeys((*_NAMES, *(name.lower() for name in extra)))),
            Path(environ.get("GRIDTIE_STATE_DIR") or WORKPLACE / "state"),
        )


def _key(environ: Mapping[str, str]) -> str:
    key = environ.get("GRIDTIE_KEY", "")
    if not key:
        raise SettingError(f"GRIDTIE_KEY is not set, and nobody may ask without a key; {_MAKE_ONE}")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise SettingError(
            "GRIDTIE_KEY has a space, a line end or another character that no header carries (it is not shown); "
            + _MAKE_ONE
        )
    if len(key) < LEAST_KEY:
        raise SettingError(
            f"GRIDTIE_KEY has {len(key)} character{'' if len(key) == 1 else 's'}, wanted {LEAST_KEY} or more; "
            + _MAKE_ONE
        )
    return key


def write_configuration(settings: Settings, workplace: Path, shipped: Path, mounted: Path) -> Path:
    """A new directory for the router below `workplace`: what ships, what is mounted in its place, and the key.

    What is mounted is linked, so that a file that changes there is seen. Raises OSError.
    """
    directory = workplace / "config"
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.iterdir():
        old.unlink()
    for file in ({path.name: path for path in (*shipped.iterdir(), *_listed(mounted))}).values():
        if file.name not in _OWN:
            (directory / file.name).symlink_to(file)
    station = json.loads((shipped / "station.json").read_text(encoding="utf-8"))
    _write(directory / "station.json", {**station, "hosts": list(settings.hosts)})
    row = {"name": "pipeline", "sha256": settings.key_sha256, "environments": _ENVIRONMENTS, "admin": True}
    _write(directory / "keys.json", {"schema": 1, "keys": [row]})
    return directory


# Written here, whatever is mounted: what the engine in this image serves, and the key of the environment.
_OWN = ("station.json", "keys.json")


def _listed(directory: Path) -> list[Path]:
    return sorted(directory.iterdir()) if directory.is_dir() else []


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
    path.chmod(0o600)
