"""What requests claim in their headers, and what their keys allow."""

from __future__ import annotations

import pytest

from gridtie.gateway.claims import Claims, claims, unknown_header
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
        ({b"x-gridtie-environment": b" CI "}, Claims("ci")),
        ({b"x-gridtie-environment": b" "}, Claims("dev")),
        ({b"x-gridtie-agent": b" Coder"}, Claims("dev", "coder")),
        ({b"x-gridtie-tags": b"HIPAA, hipaa"}, Claims("dev", None, frozenset({"hipaa"}))),
        ({b"x-gridtie-purpose": b"Doctor"}, Claims("dev", purpose="doctor")),
        ({b"x-gridtie-purpose": b""}, Claims("dev")),
    ],
)
def test_headers_say_where_a_request_belongs(headers: dict[bytes, bytes], claimed: Claims) -> None:
    assert claims(headers, KEY) == claimed


@pytest.mark.parametrize(
    ("headers", "status", "word"),
    [
        ({b"x-gridtie-environment": b"production"}, 403, "production"),
        ({b"x-gridtie-environment": b"x" * 30_000}, 400, "x-gridtie-environment"),
        ({b"x-gridtie-environment": b"a b"}, 400, "x-gridtie-environment"),
        ({b"x-gridtie-environment": b"\xdf"}, 400, "x-gridtie-environment"),
        ({b"x-gridtie-purpose": b"savings"}, 400, "doctor, verify, demo, bench, quality"),
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


def test_a_refusal_is_short_whatever_was_sent() -> None:
    for header in (b"x-gridtie-environment", b"x-gridtie-agent", b"x-gridtie-tags", b"x-gridtie-purpose"):
        refusal = claims({header: b"y" * 30_000}, KEY)
        assert isinstance(refusal, Refusal)
        assert len(refusal.message) < 300


@pytest.mark.parametrize(
    ("name", "near"),
    [
        (b"x-gridtie-tag", "x-gridtie-tags"),
        (b"x_gridtie_tags", "x-gridtie-tags"),
        (b"gridtie-environment", "x-gridtie-environment"),
        (b"x-gridtie-agnet", "x-gridtie-agent"),
    ],
)
def test_an_unknown_header_of_ours_is_told_the_nearest(name: bytes, near: str) -> None:
    told = unknown_header({b"host": b"h", name: b"private"})

    assert repr(name.decode()) in told
    assert f'did you mean "{near}"?' in told


def test_an_unknown_header_that_is_near_none_is_told_all_of_them() -> None:
    told = unknown_header({b"x-gridtie-" + b"z" * 30_000: b""})

    assert "known: x-gridtie-agent, x-gridtie-environment, x-gridtie-purpose, x-gridtie-tags" in told
    assert len(told) < 300


@pytest.mark.parametrize(
    "name",
    [
        *(b"x-gridtie-environment", b"x-gridtie-agent", b"x-gridtie-tags", b"x-gridtie-purpose"),
        # What our own answers say may be sent back.
        *(b"x-gridtie-request-id", b"x_gridtie_rule", b"x-gridtie-output-limit", b"x-gridtie-cost-usd"),
        *(b"user-agent", b"content-type", b"x-grid"),
    ],
)
def test_names_that_are_known_or_not_ours_are_passed_over(name: bytes) -> None:
    assert unknown_header({name: b"gridtie"}) == ""
