"""What an engine is told about its hardware where nobody chose."""

from __future__ import annotations

from typing import Any

import pytest
from plugins.filter.gridtie_tuning import tuned

GIB = 1 << 30
OLLAMA = {"engine": "ollama", "source": "release"}


def machine(*cards: dict[str, Any], memory: int = 32) -> dict[str, Any]:
    return {
        "memory": {"total": memory * GIB},
        "graphics": {"backend": "cuda" if cards else "", "cards": [{"expected": True, **card} for card in cards]},
    }


def nvidia(gib: int, target: str = "8.6") -> dict[str, Any]:
    return {"vendor": "NVIDIA", "memory": gib * GIB, "target": target}


@pytest.mark.parametrize(
    ("cards", "parallel"),
    [([], 1), ([nvidia(8)], 1), ([nvidia(24)], 2), ([nvidia(24), nvidia(24)], 4), ([nvidia(80, "9.0")], 4)],
    ids=["processor", "8 GB", "24 GB", "2x24 GB", "80 GB"],
)
def test_large_cards_answer_several_requests_at_once(cards: list[dict[str, Any]], parallel: int) -> None:
    assert tuned(machine(*cards), OLLAMA, "", "auto")["parallel"] == parallel


@pytest.mark.parametrize(
    ("choice", "gpu"),
    [
        ({"engine": "ollama", "source": "packages"}, "auto"),
        ({"engine": "embedded", "source": "packages"}, "auto"),
        ({"engine": "ollama", "source": "adopted"}, "auto"),
        (OLLAMA, "off"),
        (OLLAMA, False),
    ],
)
def test_cards_that_the_engine_does_not_use_do_not_count(choice: dict[str, str], gpu: Any) -> None:
    assert tuned(machine(nvidia(80)), choice, "", gpu)["parallel"] == 1


@pytest.mark.parametrize(
    ("gib", "listens", "keep_alive"), [(8, "", "5m"), (32, "", "30m"), (8, "0.0.0.0", "-1")]
)  # fmt: skip
def test_an_idle_model_gives_its_memory_back_the_sooner_the_smaller_the_machine(
    gib: int, listens: str, keep_alive: str
) -> None:
    assert tuned(machine(memory=gib), OLLAMA, listens, "auto")["keep_alive"] == keep_alive


@pytest.mark.parametrize(("target", "flash"), [("6.1", False), ("7.0", True), ("12.0", True), ("", True)])
def test_chips_before_volta_do_without_flash_attention(target: str, flash: bool) -> None:
    assert tuned(machine(nvidia(8, target)), OLLAMA, "", "auto")["flash_attention"] is flash
