"""`gridtie ledger`: rows leave only where somebody said so, and what was done is told."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest

from gridtie.host import cli
from standins.httpd import Httpd, serving

PATH = "/gridtie/ledger/prune"
DONE: dict[str, Any] = {
    "schema": 1,
    "older_than": "90d",
    "rows": 1200,
    "attempts": 3,
    "bytes_before": 5 << 20,
    "bytes_after": 2 << 20,
    "space": "",
    "torn": 0,
    "copies": {"ledger-schema1-20261129T000000Z.sqlite": 17},
}


class Terminal(io.StringIO):
    """A person at the keyboard."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def router(monkeypatch: pytest.MonkeyPatch) -> Iterator[Httpd]:
    with serving() as server:
        monkeypatch.delenv("GRIDTIE_CONFIG_DIR", raising=False)
        monkeypatch.setenv("OPENAI_BASE_URL", server.url + "/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "gt-" + "a" * 43)
        monkeypatch.setattr("sys.stdin", io.StringIO())
        server.answers[PATH] = (200, DONE)
        yield server


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (["prune", "--older-than", "90d"], {"older_than": "90d"}),
        (["erase", "--key", "ann"], {"key": "ann"}),
    ],
)
def test_the_router_is_asked_to_do_it(router: Httpd, words: list[str], body: dict[str, str]) -> None:
    assert cli.main(["ledger", *words, "--yes"]) == 0
    assert [(asked.method, asked.path, asked.body) for asked in router.asked] == [("POST", PATH, body)]


def test_what_was_done_is_told(router: Httpd, capsys: pytest.CaptureFixture[str]) -> None:
    router.answers[PATH] = (200, {**DONE, "torn": 2, "space": "1 MiB are free"})
    cli.main(["ledger", "prune", "--older-than", "90d", "--yes"])
    assert capsys.readouterr().out.splitlines() == [
        "1,200 rows deleted, and 3 attempts without an end; 3.0 MiB given back.",
        "ledger-schema1-20261129T000000Z.sqlite: 17 rows deleted.",
        "2 unreadable records that had been set aside are deleted.",
        "1 MiB are free",
    ]


def test_json_is_what_the_router_said(router: Httpd, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["ledger", "prune", "--older-than", "90d", "--yes", "--json"])
    assert json.loads(capsys.readouterr().out) == DONE


def test_where_nobody_can_be_asked_nothing_is_deleted_without_yes(
    router: Httpd, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["ledger", "erase", "--key", "ann"]) == 2
    assert "say --yes" in capsys.readouterr().err
    assert router.asked == []


@pytest.mark.parametrize(("answer", "status", "requests"), [("y\n", 0, 1), ("\n", 2, 0), ("no\n", 2, 0)])
def test_a_person_is_asked(
    router: Httpd,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: str,
    status: int,
    requests: int,
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    assert cli.main(["ledger", "erase", "--key", "ann"]) == status
    assert 'Delete every row of the key "ann" for good?' in capsys.readouterr().err
    assert len(router.asked) == requests


def test_a_key_without_rows_may_be_misspelt(router: Httpd, capsys: pytest.CaptureFixture[str]) -> None:
    router.answers[PATH] = (200, {**DONE, "rows": 0, "attempts": 0, "copies": {"old": 0}})
    assert cli.main(["ledger", "erase", "--key", "anne", "--yes"]) == 1
    assert 'no row of a key "anne"' in capsys.readouterr().err
    assert cli.main(["ledger", "prune", "--older-than", "90d", "--yes"]) == 0


def test_the_routers_no_is_passed_on(router: Httpd, capsys: pytest.CaptureFixture[str]) -> None:
    router.answers[PATH] = (403, {"error": {"code": "not_admin", "message": "an admin key is wanted"}})
    assert cli.main(["ledger", "prune", "--older-than", "90d", "--yes"]) == 2
    assert capsys.readouterr().err == "gridtie: an admin key is wanted\n"
