"""Real parts for the tests: a station with Ollama, one with the embedded engine, both beside any live one.

`scripts/test.py integration` provisions both with `site.yml` and names their configuration directories.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gridtie.catalogue import load, load_lock
from gridtie.host.fit.placement import Budget
from gridtie.host.models.order import Directories, Order
from gridtie.host.models.provision import provision
from gridtie.host.models.sources import Means
from integration.station import TOOLS_MODEL, Station, container, ready
from standins.fixtures import authority, cloud, shared_cloud

__all__ = ["authority", "cloud", "shared_cloud"]

ROOT = Path(__file__).parents[2]


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


@pytest.fixture(scope="session")
def tools_model_url(embedded_station: Station, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The model for agents' protocols in the embedded engine, which was told of it as of any other."""
    directories = Directories(tmp_path_factory.mktemp("tools") / "models")
    provision(
        Order(
            directories=directories,
            catalogue=load(ROOT / "config" / "models.yaml"),
            lock=load_lock(ROOT / "config" / "models.lock.yaml"),
            models=[TOOLS_MODEL],
            engine="embedded",
            means=Means(directories.incoming, "http://127.0.0.1:9"),
            probe=dict,
            require_pins=True,
            budget=lambda: Budget("memory", 1 << 40, 1 << 40, None),
        )
    )
    listed = json.loads(directories.embedded_list.read_text())
    port = next(each["port"] for each in listed if each["name"] == f"gridtie/{TOOLS_MODEL}")
    with container(embedded_station.facts["engine"]["image"], (directories.root, "/models", "ro")) as address:
        yield ready(f"http://{address}:{port}", "/health")
