"""The `ollama` command, which sends no key, has it in the path that it is given."""

from __future__ import annotations

import pytest

from gridtie.gateway.exchange import Head
from gridtie.gateway.path_key import take_key, without_key

KEY = "gt-" + "a" * 43


@pytest.mark.parametrize(("rest", "path"), [("", "/"), ("/", "/"), ("/api/chat", "/api/chat")])
def test_a_key_in_front_of_ollamas_paths_is_the_requests(rest: str, path: str) -> None:
    head = Head()
    head.path = f"/{KEY}{rest}"

    assert take_key(head)
    assert (head.path, head.headers[b"authorization"]) == (path, b"Bearer " + KEY.encode())


@pytest.mark.parametrize(
    "path", ["/v1/models", f"/{KEY}/v1/chat/completions", f"/{KEY}/gridtie/usage", f"/{KEY[:-1]}/api/tags"]
)
def test_no_other_path_is_looked_at_for_one(path: str) -> None:
    head = Head()
    head.path = path

    assert not take_key(head)
    assert (head.path, head.headers) == (path, {})


@pytest.mark.parametrize("name", [b"authorization", b"x-api-key"])
def test_a_key_that_is_sent_is_the_only_one(name: bytes) -> None:
    head = Head(headers={name: b"Bearer x"})
    head.path = f"/{KEY}/api/chat"

    assert not take_key(head)


def test_no_message_has_a_key_that_was_in_a_path() -> None:
    assert without_key(f"/{KEY}/v1/models") == "/gt-.../v1/models"
