"""Erasing from the ledger."""

from __future__ import annotations

from pathlib import Path
from time import time
from typing import Any

import pytest

from gridtie.ledger.ledger import Ledger, LedgerError
from standins.router import KEY, OTHER_KEY, Answered, Station, routing, run
from standins.scripted import Upstream, whole

PATH = "/gridtie/ledger/prune"


class Erased:
    """What the ledger was asked to erase; it erases nothing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fault: Exception | None = None) -> None:
        self.asked: list[tuple[float | None, str | None]] = []
        self._fault = fault
        monkeypatch.setattr(Ledger, "prune", self._prune, raising=False)

    def _prune(self, *, before: float | None = None, key: str | None = None) -> dict[str, int]:
        self.asked.append((before, key))
        if self._fault is not None:
            raise self._fault
        return {"requests": 3}


def ask(tmp_path: Path, body: Any, key: str = KEY) -> Answered:
    async def send() -> Answered:
        async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
            return await station.ask(body, path=PATH, key=key)

    return run(send)


def test_what_is_older_is_erased_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    erased = Erased(monkeypatch)

    answered = ask(tmp_path, {"older_than_seconds": 3600, "key": None})

    assert (answered.status, answered.json) == (200, {"requests": 3})
    ((before, key),) = erased.asked
    assert before == pytest.approx(time() - 3600, abs=30)
    assert key is None


def test_one_keys_rows_are_erased_whatever_their_age(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    erased = Erased(monkeypatch)

    assert ask(tmp_path, {"key": "dev"}).status == 200
    assert erased.asked == [(None, "dev")]


def test_it_is_for_admins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    erased = Erased(monkeypatch)

    answered = ask(tmp_path, {"key": "dev"}, OTHER_KEY)

    assert (answered.status, answered.error["code"], erased.asked) == (403, "not_admin", [])


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({}, "neither"),
        (b"", "neither"),
        ({"older_than": 1}, "older_than"),
        ({"older_than_seconds": "1"}, "older_than_seconds"),
        ({"older_than_seconds": -1}, "0 or more"),
        ({"older_than_seconds": 1e300}, "0 or more"),
        ({"key": ""}, "name of a key"),
        (b"{oops", "does not say what to erase"),
        (b"[" * 100_000, "does not say what to erase"),
    ],
)
def test_what_does_not_say_what_to_erase_erases_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: Any, word: str
) -> None:
    erased = Erased(monkeypatch)

    answered = ask(tmp_path, body)

    assert (answered.status, answered.error["code"], erased.asked) == (400, "invalid_body", [])
    assert word in answered.error["message"]


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (LedgerError("the disk is full"), 503, "ledger_unavailable"),
        (RuntimeError("a fault of ours"), 500, "internal_error"),
    ],
)
def test_what_fails_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception, status: int, code: str
) -> None:
    Erased(monkeypatch, fault)

    answered = ask(tmp_path, {"key": "dev"})

    assert (answered.status, answered.error["code"]) == (status, code)
    assert "a fault of ours" not in answered.error["message"]
