"""Deleting rows from the ledger."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gridtie.ledger.ledger import Ledger, LedgerError
from gridtie.ledger.retention import Removal
from standins.router import KEY, OTHER_KEY, Answered, Station, chat, routing, run
from standins.scripted import Upstream, whole

PATH = "/gridtie/ledger/prune"


def ask(tmp_path: Path, body: Any, key: str = KEY, *, before: int = 0) -> tuple[Answered, int]:
    """The answer, and how many rows there are afterwards of the requests that were made with the other key."""

    async def send() -> tuple[Answered, int]:
        async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
            for _ in range(before):
                await station.ask(chat(), key=OTHER_KEY)
            answered = await station.ask(body, path=PATH, key=key)
            return answered, len(await station.rows(0))

    return run(send)


def test_one_keys_rows_are_deleted_and_counted(tmp_path: Path) -> None:
    answered, left = ask(tmp_path, {"key": "dev"}, before=3)

    assert (answered.status, answered.json["rows"], left) == (200, 3, 0)


def test_what_is_younger_stays(tmp_path: Path) -> None:
    answered, left = ask(tmp_path, {"older_than": "90d"}, before=2)

    assert (answered.status, answered.json["rows"], left) == (200, 0, 2)


def test_it_is_for_admins(tmp_path: Path) -> None:
    answered, left = ask(tmp_path, {"key": "dev"}, OTHER_KEY, before=1)

    assert (answered.status, answered.error["code"], left) == (403, "not_admin", 1)


@pytest.mark.parametrize(
    "body",
    [
        {},
        b"",
        {"older_than": 1},
        {"older_than": "1"},
        {"older_than": "-90d"},
        {"older_than": "1d"},
        {"older_than": "9" * 400 + "d"},
        {"older_than_seconds": 1},
        {"key": ""},
        {"key": "dev", "older_than": "90d"},
        b"{oops",
        b"[" * 100_000,
        b"\xff",
    ],
)
def test_what_does_not_say_what_to_delete_deletes_nothing(tmp_path: Path, body: Any) -> None:
    answered, left = ask(tmp_path, body, before=1)

    assert (answered.status, answered.error["code"], left) == (400, "invalid_body", 1)
    assert any(wanted in answered.error["message"] for wanted in ('{"older_than": "90d"}', "such as 90d", "32d"))


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
    def remover(_: Ledger, removal: Removal) -> Callable[[], dict[str, Any]]:
        def work() -> dict[str, Any]:
            raise fault

        return work

    monkeypatch.setattr(Ledger, "remover", remover)

    answered, _ = ask(tmp_path, {"key": "dev"})

    assert (answered.status, answered.error["code"]) == (status, code)
    assert "a fault of ours" not in answered.error["message"]
