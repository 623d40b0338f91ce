"""A station whose engine lets its models show what they can."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gridtie.host.catalogue import Catalogue
from standins import model_engine, model_registry
from standins.model_engine import ModelEngine
from standins.model_station import ModelStation


@pytest.fixture
def engine() -> Iterator[ModelEngine]:
    with model_engine.serving() as found:
        found.context = 32768
        found.reserved = 0
        yield found


@pytest.fixture
def station(tmp_path: Path, engine: ModelEngine) -> Iterator[ModelStation]:
    """Its coder is for agents, and calls tools."""
    with model_registry.serving() as registry:
        found = ModelStation(tmp_path, registry)
        models = found.order.catalogue.models
        coder = replace(models["coder:1b"], purposes=("code", "agents"), capabilities=("chat", "tools"))
        catalogue = Catalogue({**models, "coder:1b": coder})
        found.order = replace(found.order, catalogue=catalogue, engine_version="0.32.15", reach=lambda url: engine.url)
        yield found
