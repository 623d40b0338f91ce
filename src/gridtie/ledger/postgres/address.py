"""Where the database is, as a URL in a file, and how it is spoken to: with TLS, unless it is on this machine."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path

import msgspec
import psycopg
from psycopg.conninfo import conninfo_to_dict

# A file holds one URL; this is a wrong file.
_MOST_BYTES = 16 * 1024
_WANTED = "wanted: postgresql://USER:PASSWORD@HOST:5432/DATABASE"
# Seconds for a new connection; and milliseconds after which one that does not answer is given up, which is what a
# network that was parted looks like.
_CONNECT_SECONDS = 5
_IDLE_SECONDS = 5
_SILENT_MS = 10_000
_STATEMENT_MS = 15_000
_LOCK_MS = 5_000


class AddressError(ValueError):
    """The file holds no address that may be used; the message shows nothing of what it holds."""


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """libpq's parameters, the password among them, and what may be shown of them."""

    parameters: dict[str, str | int]
    # Host, port and database.
    shown: str

    def __repr__(self) -> str:
        return f"Address({self.shown!r})"


def read(path: Path, environ: Mapping[str, str]) -> Address:
    """The address in a file. Raises `AddressError`.

    `SSL_CERT_FILE` of the environment says whom to trust where the URL has no `sslrootcert`.
    """
    try:
        with path.open("rb") as stream:
            raw = stream.read(_MOST_BYTES + 1)
        text = raw.decode().strip()
    except OSError as error:
        raise AddressError(f"{path} cannot be read: {error.strerror}; GRIDTIE_DATABASE_FILE names it") from error
    except UnicodeDecodeError:
        raise AddressError(f"{path} is no text; {_WANTED}") from None
    if len(raw) > _MOST_BYTES or not text.startswith(("postgresql://", "postgres://")):
        raise AddressError(f"{path} holds no URL of a PostgreSQL database; {_WANTED}")
    try:
        given = {name: str(value) for name, value in conninfo_to_dict(text).items() if value is not None}
    except psycopg.ProgrammingError:
        # What libpq says of it quotes it.
        raise AddressError(
            f"{path} holds a URL that cannot be read; {_WANTED}, with %-escapes for what is special in a password"
        ) from None
    return _address(path, given, environ)


def _address(path: Path, given: dict[str, str], environ: Mapping[str, str]) -> Address:
    hosts = [host for name in ("host", "hostaddr") for host in given.get(name, "").split(",") if host]
    if not hosts or not given.get("dbname"):
        lacking = "a host" if not hosts else "the name of a database"
        raise AddressError(f"{path} holds a URL without {lacking}; {_WANTED}")
    if not all(map(_on_this_machine, hosts)):
        mode = given.setdefault("sslmode", "verify-full")
        if mode != "verify-full":
            raise AddressError(
                f"{path} says sslmode={mode} for a database on another machine; wanted: verify-full, which is the "
                "default, with sslrootcert=FILE where its certificate is of an authority of your own"
            )
        given.setdefault("sslrootcert", environ.get("SSL_CERT_FILE") or "system")
    settings = {
        "statement_timeout": _STATEMENT_MS,
        "lock_timeout": _LOCK_MS,
        "idle_in_transaction_session_timeout": _STATEMENT_MS,
        # The server's side of the connection, by whose end it knows that this router is gone.
        "tcp_keepalives_idle": _IDLE_SECONDS,
        "tcp_keepalives_interval": 2,
        "tcp_keepalives_count": 3,
        "tcp_user_timeout": _SILENT_MS,
    }
    ours: dict[str, str | int] = {
        "connect_timeout": _CONNECT_SECONDS,
        "keepalives_idle": _IDLE_SECONDS,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": _SILENT_MS,
        "gssencmode": "disable",
        # Of several hosts the one that can be written to.
        "target_session_attrs": "read-write",
        **given,
        "client_encoding": "utf8",
        "options": " ".join([given.get("options", ""), *(f"-c {name}={value}" for name, value in settings.items())]),
    }
    shown = f"{given.get('host') or given['hostaddr']}:{given.get('port', '5432')}/{given['dbname']}"
    return Address(parameters=ours, shown=shown)


def _on_this_machine(host: str) -> bool:
    if host.startswith("/") or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
