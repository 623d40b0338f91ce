"""What acceptance asks of vLLM: its own paths, and what it cannot do said as such."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gridtie.host.acceptance.engine import Clock, Engine, Refused, Vllm, engine_of
from standins.fixtures import running
from standins.vllm_wire import CONTEXT


@pytest.fixture
def engine() -> Iterator[Engine]:
    with running(None) as cloud:
        url = cloud.base_url("vllm", "127.0.0.1").removesuffix("/v1")
        yield engine_of("vllm", url, "small", Clock(30), False)


def test_the_engine_of_a_station_with_vllm_is_asked_in_its_own_way(engine: Engine) -> None:
    assert isinstance(engine, Vllm)
    assert engine.context() == CONTEXT
    assert engine.reserved() is None


def test_gaps_are_not_filled(engine: Engine) -> None:
    with pytest.raises(Refused, match="fills no gaps"):
        engine.middle("a", "b", 4)
