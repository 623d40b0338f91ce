"""How fast models were, by the ledger: only what tells something about the station's own engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gridtie.host.models.served_speed import served_speeds, tokens_per_second
from gridtie.ledger.store import SqliteStore
from standins.ledger import NOON, cloud, local

# 101 tokens, the last 100 of them in two seconds.
STREAMED = {"stream": True, "first_token": 0.5, "duration": 2.5, "output_tokens": 101}


def ledger(path: Path, *rows: dict[str, Any], entry: Any = local) -> Path:
    store = SqliteStore(path / "ledger.sqlite")
    store.save([entry(str(number), **{**STREAMED, "time": NOON + number, **row}) for number, row in enumerate(rows)])
    store.close()
    return path / "ledger.sqlite"


def test_a_models_speed_is_the_median_of_its_streamed_answers_from_the_first_token_on(tmp_path: Path) -> None:
    found = served_speeds(ledger(tmp_path, {}, {}, {}, {"duration": 1.5}, {"duration": 20.5}))

    assert set(found) == {"smollm2:135m"}
    assert (found["smollm2:135m"].median, found["smollm2:135m"].runs) == (50.0, 5)


@pytest.mark.parametrize(
    "changes",
    [
        {"stream": False},
        {"complete": False},
        {"estimated": True},
        {"output_tokens": 15},
        {"duration": 0.501},
        {"target": "gpu-server/gridtie/smollm2:135m"},
        {"target": "station/smollm2:135m"},
    ],
    ids=["whole", "cut off", "tokens not counted", "short", "held back", "a neighbour's", "not the station's model"],
)
def test_what_says_nothing_about_this_engines_pace_does_not_count(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert served_speeds(ledger(tmp_path, *[changes] * 5)) == {}


def test_a_clouds_pace_does_not_count(tmp_path: Path) -> None:
    assert served_speeds(ledger(tmp_path, *[{}] * 5, entry=cloud)) == {}


def test_fewer_than_five_answers_are_no_measurement(tmp_path: Path) -> None:
    assert tokens_per_second(ledger(tmp_path, *[{}] * 4)) == {}


def test_the_latest_answers_count_so_that_a_new_engine_is_soon_known(tmp_path: Path) -> None:
    slow, fast = [{"duration": 10.5}] * 60, [{}] * 50

    assert tokens_per_second(ledger(tmp_path, *slow, *fast)) == {"smollm2:135m": 50.0}


def test_a_ledger_that_is_not_there_or_is_none_tells_nothing(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("not a database, and longer than the header of one" * 10)

    assert tokens_per_second(tmp_path / "ledger.sqlite") == {} == tokens_per_second(tmp_path / "other")
    assert not (tmp_path / "ledger.sqlite").exists()
