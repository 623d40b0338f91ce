"""Replicas for the tests: stores of directories of their own over one database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gridtie.ledger.postgres.address import Address, read
from gridtie.ledger.postgres.store import PostgresStore
from standins.fixtures import authority
from standins.postgresql import Server

__all__ = ["authority"]

Open = Callable[[str], PostgresStore]


@pytest.fixture
def url(postgresql_server: Server) -> str:
    return postgresql_server.database()


@pytest.fixture
def address(url: str, tmp_path: Path) -> Address:
    path = tmp_path / "database"
    path.write_text(url)
    return read(path, {})


@pytest.fixture
def replica(address: Address, tmp_path: Path) -> Iterator[Open]:
    """Opens the store of a directory by its name."""
    opened: list[PostgresStore] = []

    def open_store(name: str) -> PostgresStore:
        directory = tmp_path / name
        directory.mkdir(exist_ok=True)
        opened.append(PostgresStore(address, directory / "ledger.sqlite"))
        return opened[-1]

    yield open_store
    for store in opened:
        store.close()
