"""What routers of a pool say to each other, as it is read from a stranger."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gridtie.providers.relay import Held, Offer, read_held, read_offer, says_busy


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        ({"offer": {"free": 2, "ready": True, "loaded": False}}, Offer(free=2, loaded=False)),
        ({"offer": {"free": 0, "ready": False}, "kind": "model"}, Offer(free=0, ready=False)),
        # Of a version to come.
        ({"offer": {"free": 1, "price": 3}}, Offer(free=1)),
        ({"kind": "model"}, None),
        ({"offer": {"free": -1}}, None),
        ({"offer": {"free": 10**12}}, None),
        ({"offer": {"free": "two"}}, None),
        ({"offer": []}, None),
        (None, None),
        ("offer", None),
    ],
)
def test_an_offer_that_makes_no_sense_is_none(found: Any, wanted: Offer | None) -> None:
    assert read_offer(found) == wanted


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (msgspec.json.encode(Held(slot="abc")), "abc"),
        (b'{"slot":"a', ""),
        (b'{"slot":"a\\r\\nx: y"}', ""),
        (b'{"slot":"' + b"a" * 201 + b'"}', ""),
        (b'{"slot":7}', ""),
        (b"\xff", ""),
    ],
)
def test_a_slot_goes_into_a_header_and_is_held_against_that(body: bytes, wanted: str) -> None:
    assert read_held(body) == wanted


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (b'{"error":{"code":"busy","message":"m"}}', True),
        (b'{"error":{"code":"going_down"}}', False),
        (b'{"error":"busy"}', False),
        (b"<html>", False),
    ],
)
def test_only_a_refusal_for_want_of_a_slot_is_one(body: bytes, wanted: bool) -> None:
    assert says_busy(body) is wanted
