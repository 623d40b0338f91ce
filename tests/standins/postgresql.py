"""A real PostgreSQL, the distribution's, on loopback: with TLS, without syncing, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

import pytest

try:
    import psycopg
except ImportError:  # an environment without it has the other tests all the same
    psycopg = None  # type: ignore[assignment]

from standins.authority import make_authority
from standins.process import PATIENCE_S, free_port
from standins.router import ROOT

# Where scripts/postgresql.py unpacks the packages: installing them would start a service of the machine.
PLACE = ROOT / ".cache" / "postgresql"
_BIN = "usr/lib/postgresql/*/bin"
# The server refuses to be run by root.
NOBODY = pwd.getpwnam("nobody")

# Who may come in: everybody over TLS, and this machine without it; each with a password.
_HBA = "hostssl all all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n"
_QUICK = ("fsync=off", "full_page_writes=off", "shared_buffers=16MB", "max_connections=60")


def _programs() -> Path | None:
    for root in (Path("/"), PLACE):
        for found in sorted(root.glob(_BIN)):
            if (found / "initdb").is_file():
                return found
    return None


PROGRAMS = _programs()


class Server:
    """One that runs; `ca` is the authority of its certificate, which is for localhost."""

    def __init__(self, directory: Path, ca: Path, password: str) -> None:
        self.port = free_port()
        self.ca = ca
        self._directory = directory
        self._password = password
        self._child: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres", *, host: str = "127.0.0.1", password: str = "", rest: str = "") -> str:
        return f"postgresql://station:{password or self._password}@{host}:{self.port}/{database}{rest}"

    def database(self) -> str:
        """An empty one; its URL. It is always the same: fifty of them would be 15,000 files."""
        if not self.run("SELECT 1 FROM pg_database WHERE datname = 'ledger'"):
            self.make("ledger")
        self.let_in("ledger", True)
        self.run("DROP SCHEMA IF EXISTS gridtie CASCADE", self.url("ledger"))
        return self.url("ledger")

    def make(self, name: str, encoding: str = "UTF8") -> str:
        """Another one; its URL."""
        self.run(f"CREATE DATABASE {name} TEMPLATE template0 LOCALE 'C' ENCODING '{encoding}'")
        return self.url(name)

    def let_in(self, name: str, whether: bool) -> None:
        """Whether anybody may connect to a database; who is connected is cut off."""
        self.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {whether}")
        self.run(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'")

    def run(self, sql: str, url: str = "") -> list[tuple[object, ...]]:
        """What a statement gives, in a connection of its own."""
        with psycopg.connect(url or self.url(), autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        assert PROGRAMS is not None
        settings = [f"port={self.port}", "listen_addresses=127.0.0.1", "unix_socket_directories=", "ssl=on", *_QUICK]
        options = [word for setting in settings for word in ("-c", setting)]
        with (self._directory / "log").open("ab") as log:
            self._child = subprocess.Popen(
                [*_as_nobody(), PROGRAMS / "postgres", "-D", self._directory / "data", *options],
                stdout=log,
                stderr=log,
                env=_environment(),
                cwd=self._directory,
            )
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                psycopg.connect(self.url(), connect_timeout=2).close()
            except psycopg.OperationalError:
                log_text = (self._directory / "log").read_text()[-2000:]
                assert self._child.poll() is None and time.monotonic() < deadline, log_text
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """At once: whoever is connected is cut off."""
        if self._child is not None:
            self._child.send_signal(signal.SIGQUIT)
            self._child.wait()
            self._child = None


def _as_nobody() -> list[str]:
    if os.geteuid():
        return []
    return ["setpriv", f"--reuid={NOBODY.pw_uid}", f"--regid={NOBODY.pw_gid}", "--clear-groups"]


def _environment() -> dict[str, str]:
    libraries = [str(path) for path in sorted((PLACE / "usr/lib").glob("*-linux-*"))]
    return {"PATH": os.environ["PATH"], "LC_ALL": "C", "LD_LIBRARY_PATH": ":".join(libraries)}


@contextmanager
def postgresql() -> Iterator[Server]:
    """A server of its own."""
    assert PROGRAMS is not None
    # Not below pytest's directory, which is its user's alone.
    with tempfile.TemporaryDirectory(prefix="gridtie-postgresql-") as scratch:
        directory, password = Path(scratch), token_hex(12)
        ca = make_authority(directory / "tls")
        (directory / "password").write_text(password)
        _hand_over(directory)
        initdb = [PROGRAMS / "initdb", "-D", directory / "data", "-U", "station", "--pwfile", directory / "password"]
        subprocess.run(
            [*_as_nobody(), *initdb, "--no-sync", "--auth=scram-sha-256", "--encoding=UTF8"],
            env=_environment(),
            cwd=directory,
            check=True,
            stdout=sys.stderr,
        )
        (directory / "data" / "pg_hba.conf").write_text(_HBA)
        for name in ("server.crt", "server.key"):  # one PEM file has both
            shutil.copy(directory / "tls" / "server.pem", directory / "data" / name)
            (directory / "data" / name).chmod(0o600)
        _hand_over(directory)
        server = Server(directory, ca, password)
        try:
            server.start()
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Server]:
    """One for all tests of a session, each of which begins with an empty database."""
    if PROGRAMS is None or psycopg is None:
        pytest.skip("there is no PostgreSQL here; `python scripts/postgresql.py` unpacks Debian's")
    with postgresql() as server:
        yield server


def _hand_over(directory: Path) -> None:
    if os.geteuid() == 0:
        for path in (directory, *directory.rglob("*")):
            os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid)
