"""Real parts for the tests: a station with Ollama, one with the embedded engine, both beside any live one.

`scripts/test.py integration` provisions both with `site.yml` and names their configuration directories.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.station import Station
from standins.fixtures import authority, cloud, shared_cloud

__all__ = ["authority", "cloud", "shared_cloud"]


def _station(variable: str) -> Station:
    where = os.environ.get(variable)
    if not where:
        pytest.fail(
            f"{variable} names no station; run `make test PART=integration`, which provisions one", pytrace=False
        )
    return Station(Path(where))


@pytest.fixture(scope="session")
def station() -> Station:
    """A provisioned station that runs Ollama in a container."""
    return _station("GRIDTIE_TEST_STATION")


@pytest.fixture(scope="session")
def embedded_station() -> Station:
    """A provisioned station that runs the embedded engine."""
    return _station("GRIDTIE_TEST_EMBEDDED_STATION")


@pytest.fixture(scope="session")
def ollama_url(station: Station) -> str:
    """Address of the real Ollama of the station, past the router."""
    return station.engine_url()


@pytest.fixture(scope="session")
def embedded_url(embedded_station: Station) -> str:
    """Address of the llama.cpp server of the embedded station, past the router."""
    return embedded_station.engine_url()


@pytest.fixture
def with_cloud(station: Station) -> Iterator[Station]:
    """The station with a cloud configured: a stand-in over TLS, in a container on the router's network."""
    with station.cloud():
        yield station
