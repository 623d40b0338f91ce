"""One replica's connection: checked, made again when it is lost, and never tried more often than makes sense."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic, sleep, time
from typing import Any

import psycopg
from psycopg import errors

from gridtie.ledger.postgres.address import Address
from gridtie.ledger.postgres.schema import MIGRATIONS, VERSION
from gridtie.ledger.store import StoreError

log = logging.getLogger("gridtie.ledger")

_END = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE (pid, backend_start) = (%s, %s)"
# From the tables themselves: what PostgreSQL remembers of names may be older than a lock that was waited for.
_THERE = """
    SELECT count(space.oid) > 0, count(station.oid) > 0 FROM pg_namespace AS space
    LEFT JOIN pg_class AS station ON station.relnamespace = space.oid AND relname = 'station'
    WHERE nspname = 'gridtie'
"""

Cursor = psycopg.Cursor[tuple[Any, ...]]
_Connection = psycopg.Connection[tuple[Any, ...]]

# Seconds between two tries to connect: doubled from the first to the last.
_FIRST_PAUSE, _LAST_PAUSE = 0.25, 15.0
# A connection whose other end died without a word is noticed by the server after some ten seconds.
_NAME_SECONDS = 15.0
# A server that takes a question and does not answer at all, where it should have given up by itself before.
_ANSWER_SECONDS = 20.0
# Steps of the schema take as long as they take; and so long at most what another router makes at the same time.
_MIGRATION_SECONDS = 600.0
# For the end of a connection that the server was told to end.
_END_SECONDS = 3.0
# Clocks that are further apart put rows into another hour than the other replicas do.
CLOCK_SECONDS = 2.0
# An answer that took longer says too little about the time.
_CLOCK_ANSWER_SECONDS = 1.0
# Any number that is the same in every gridtie: "gridtie" in hexadecimal.
_LOCK = 0x67726964746965
_NEWER = "schema {found} found, {newest} is the newest this gridtie knows; start the newer gridtie that made it"


class Database:
    """Calls may come from any thread; one transaction runs at a time."""

    def __init__(self, address: Address, replica: str) -> None:
        """Connect, and bring an older schema to the present one. Raises `StoreError`."""
        self.address = address
        self.replica = replica
        # Of the database: another one is not written to.
        self.id = ""
        # Seconds by which the database's clock is ahead of ours.
        self.clock_s = 0.0
        self._clock_told = False
        self._guard = threading.RLock()
        self._connection: _Connection | None = None
        self._pause, self._retry_at, self.fault = 0.0, 0.0, ""
        # Process and start of the last connection's other end.
        self._session: tuple[Any, ...] | None = None
        with self._guard:
            self._connect(patience=_NAME_SECONDS)

    @contextmanager
    def transaction(self, seconds: float | None = None) -> Iterator[Cursor]:
        """All of what is done within, or nothing, in `seconds` at most, where that is not the usual.

        Raises `StoreError`: at once, as long as it makes no sense to try.
        """
        with self._guard:
            connection = self._connection or self._connected_again()
            try:
                with (
                    _given_up(connection, seconds or _ANSWER_SECONDS),
                    connection.transaction(),
                    connection.cursor() as cursor,
                ):
                    yield cursor
            except psycopg.Error as error:
                # Also where it has become one that only reads: then another of its hosts is the one that writes.
                read_only = isinstance(error, errors.ReadOnlySqlTransaction)
                if connection.closed or read_only or isinstance(error, psycopg.OperationalError):
                    self._lost(_told(error))
                raise StoreError(f"{self.address.shown}: {_told(error)}") from error

    def compare_clocks(self, cursor: Cursor) -> None:
        """Note how far the database's clock is from this machine's, and say so where it is too far."""
        before, began = time(), monotonic()
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())::double precision")
        answered = monotonic() - began
        if answered > _CLOCK_ANSWER_SECONDS:
            return
        self.clock_s = _one(cursor) - before - answered / 2
        off = abs(self.clock_s) > CLOCK_SECONDS
        if off and not self._clock_told:
            log.error(
                "the clock of the database %s is %+.1f s from this machine's; rows are counted in hours and days of "
                "this machine: set both by the same time server",
                self.address.shown,
                self.clock_s,
            )
        elif self._clock_told and not off:
            log.warning("the clocks of the database and of this machine agree again")
        self._clock_told = off

    def close(self) -> None:
        """Idempotent."""
        with self._guard:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            self._retry_at, self.fault = float("inf"), "closed"

    # Connecting

    def _connected_again(self) -> _Connection:
        if monotonic() < self._retry_at:
            raise StoreError(f"{self.address.shown}: {self.fault}")
        try:
            connection = self._connect(patience=0.0)
        except StoreError as error:
            self._lost(str(error).removeprefix(f"{self.address.shown}: "))
            raise
        log.warning("the database %s answers again", self.address.shown)
        return connection

    def _lost(self, why: str) -> None:
        if not self._pause:
            log.error("the database %s cannot be used: %s", self.address.shown, why)
        self.fault = why
        self._pause = min(max(2 * self._pause, _FIRST_PAUSE), _LAST_PAUSE)
        self._retry_at = monotonic() + self._pause
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self, patience: float) -> _Connection:
        shown = self.address.shown
        try:
            connection = psycopg.connect(
                **self.address.parameters,  # type: ignore[arg-type]
                autocommit=True,
                application_name=f"gridtie {self.replica}",
                prepare_threshold=None,
            )
        except psycopg.Error as error:
            raise StoreError(f"{shown}: {_told(error)}; {_advice(_told(error))}") from error
        try:
            limit = _ANSWER_SECONDS if self.id else _MIGRATION_SECONDS
            with _given_up(connection, patience + limit), connection.cursor() as cursor:
                self._claim(cursor, patience)
                self._check(cursor)
                cursor.execute("SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()")
                self._session = cursor.fetchone()
        except psycopg.Error as error:
            connection.close()
            raise StoreError(f"{shown}: {_told(error)}; {_advice(_told(error))}") from error
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        self._pause, self.fault = 0.0, ""
        return connection

    def _claim(self, cursor: Cursor, patience: float) -> None:
        """Be the only one of this name, as long as the connection lives."""
        until = monotonic() + patience
        while True:
            cursor.execute("SELECT pg_try_advisory_lock(hashtext('gridtie'), hashtext(%s))", (self.replica,))
            if _one(cursor):
                return
            if self._session is not None:
                # Our own of before, whose end the server has not noticed.
                cursor.execute(_END, self._session)
                self._session, until = None, monotonic() + _END_SECONDS
            if monotonic() >= until:
                raise StoreError(
                    f'{self.address.shown}: a router called "{self.replica}" is there already; the name stands in '
                    "`replica` beside the ledger: give each router a state directory of its own, and do not copy one"
                )
            sleep(0.2)

    def _check(self, cursor: Cursor) -> None:
        cursor.execute("SELECT current_setting('server_encoding'), current_setting('server_version_num')::int")
        encoding, server = cursor.fetchone() or ("", 0)
        if encoding != "UTF8" or server < 130000:
            raise StoreError(
                f"{self.address.shown}: PostgreSQL {server // 10000} with the encoding {encoding} found; wanted: "
                "13 or later, and a database that was made with ENCODING 'UTF8'"
            )
        version, id = self._version(cursor)
        # Where there was another one before, nothing is made in this one.
        if self.id and self.id != id:
            raise StoreError(
                f"{self.address.shown}: another database answers than the one that this router began with; put that "
                "one back, or restart the router where the other one is meant"
            )
        if version < VERSION:
            self._migrate(cursor)
            version, id = self._version(cursor)
        # One that runs goes on while the others are replaced by newer ones: a step only adds.
        if version > VERSION and not self.id:
            raise StoreError(f"{self.address.shown}: {_NEWER.format(found=version, newest=VERSION)}")
        self.id = id

    def _version(self, cursor: Cursor) -> tuple[int, str]:
        """0 where there is nothing of ours yet."""
        cursor.execute(_THERE)
        there, ours = cursor.fetchone() or (False, False)
        if not there:
            return 0, ""
        if not ours:
            raise StoreError(
                f"{self.address.shown}: it has a schema `gridtie` that is not a ledger's; give the ledger a database "
                "of its own"
            )
        cursor.execute("SELECT version, id::text FROM gridtie.station")
        version, id = cursor.fetchone() or (0, "")
        return version, id

    def _migrate(self, cursor: Cursor) -> None:
        """The steps that are lacking, each whole or not at all; of routers that start together one does them."""
        with cursor.connection.transaction():
            cursor.execute("SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0")
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            version, _ = self._version(cursor)
            for number in range(version, VERSION):
                cursor.execute(MIGRATIONS[number].encode())
                cursor.execute("UPDATE gridtie.station SET version = %s", (number + 1,))
            if version and version < VERSION:
                log.warning("ledger: schema %d of %s became %d", version, self.address.shown, VERSION)


@contextmanager
def _given_up(connection: _Connection, seconds: float) -> Iterator[None]:
    """Cut a connection whose other end says nothing for so long: whoever waits for it gets an error."""
    timer = threading.Timer(seconds, _cut, (connection,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _cut(connection: _Connection) -> None:
    # The descriptor is closed by the thread that waits, and not under its hands.
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as end:
        end.shutdown(socket.SHUT_RDWR)


def _one(cursor: Cursor) -> Any:
    (value,) = cursor.fetchone() or (None,)
    return value


def _told(error: psycopg.Error) -> str:
    """In one line. What the server says of rows may quote them, and stays out."""
    primary = error.diag.message_primary
    if isinstance(error, (errors.DataError, errors.IntegrityError)):
        return f"it refuses a row (SQLSTATE {error.sqlstate})"
    return " ".join((primary or str(error)).split())[:300]


def _advice(told: str) -> str:
    """What to do, by what the server or libpq said."""
    for words, advice in _ADVICE:
        if any(word in told for word in words):
            return advice
    return "see that the database runs and can be reached from here"


_ADVICE = (
    (("password authentication failed", "no password supplied"), "correct user and password in GRIDTIE_DATABASE_FILE"),
    (("certificate", "SSL", "root.crt"), "the server must have TLS, and sslrootcert in the URL name its authority"),
    (("permission denied",), "the user needs CREATE on the database: GRANT CREATE ON DATABASE ... TO ..."),
    (("does not exist",), "make it first: CREATE DATABASE ... ENCODING 'UTF8'"),
    (("pg_hba.conf",), "let this machine in, with TLS, in the server's pg_hba.conf"),
)
