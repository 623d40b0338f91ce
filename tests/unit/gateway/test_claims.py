"""What requests claim in their headers, and what their keys allow."""

from __future__ import annotations

import pytest

from gridtie.gateway.claims import Claims, claims
from gridtie.gateway.keys import Key
from gridtie.routing.plan import Refusal

KEY = Key(name="team", environments=("dev", "ci"))


@pytest.mark.parametrize(
    ("headers", "claimed"),
    [
        ({}, Claims("dev")),
        ({b"x-gridtie-environment": b"ci"}, Claims("ci")),
        ({b"x-gridtie-agent": b"coder"}, Claims("dev", "coder")),
        ({b"x-gridtie-tags": b" Private, batch ,,batch"}, Claims("dev", None, frozenset({"private", "batch"}))),
        ({b"x-gridtie-tags": b""}, Claims("dev")),
    ],
)
def test_headers_say_where_a_request_belongs(headers: dict[bytes, bytes], claimed: Claims) -> None:
    assert claims(headers, KEY) == claimed


@pytest.mark.parametrize(
    ("headers", "status", "word"),
    [
        ({b"x-gridtie-environment": b"production"}, 403, "production"),
        ({b"x-gridtie-agent": b"a b"}, 400, "x-gridtie-agent"),
        ({b"x-gridtie-agent": b"x" * 65}, 400, "x-gridtie-agent"),
        ({b"x-gridtie-tags": b"a,b c"}, 400, "x-gridtie-tags"),
        ({b"x-gridtie-tags": ",".join(f"t{i}" for i in range(17)).encode()}, 400, "at most 16"),
    ],
)
def test_what_is_malformed_or_not_allowed_is_refused(headers: dict[bytes, bytes], status: int, word: str) -> None:
    refusal = claims(headers, KEY)

    assert isinstance(refusal, Refusal)
    assert refusal.status == status
    assert word in refusal.message
