"""What a row keeps is bounded, and says what was billed."""

from __future__ import annotations

import msgspec
import pytest

from gridtie.ledger import Entry, Try
from gridtie.ledger.entry import bounded
from gridtie.ledger.journal import encode
from standins.ledger import CLOUD, LOCAL, cloud, local, refused

LONG = "x" * 7_500_000


def test_an_entry_within_its_bounds_is_kept_as_it_is() -> None:
    entry = local("a", tags=("x", "y" * 64), asked="m" * 256, agent="g" * 64, error="e" * 300, code="c" * 64)
    assert bounded(entry) is entry


@pytest.mark.parametrize(
    ("field", "value", "length"),
    [
        ("asked", LONG, 256),
        ("error", LONG, 300),
        ("agent", LONG, 64),
        ("engine_version", LONG, 64),
        ("digest", LONG, 128),
        ("code", LONG, 64),
        ("project", LONG, 64),
    ],
)
def test_a_text_without_bounds_is_cut_and_says_so(field: str, value: str, length: int) -> None:
    kept = bounded(refused("a", **{field: value}))
    assert getattr(kept, field) == "x" * (length - 1) + "…"
    assert msgspec.structs.replace(kept, **{field: value}) == refused("a", **{field: value})


def test_tags_are_bounded_in_number_and_length() -> None:
    kept = bounded(local("a", tags=(LONG, *map(str, range(500)))))
    assert (len(kept.tags), len(kept.tags[0]), kept.tags[1]) == (32, 64, "0")


def test_what_a_try_says_is_bounded() -> None:
    tries = tuple(Try(target=LOCAL, locality="local", outcome="broken", message=said) for said in ("short", LONG))
    kept = bounded(refused("a", tries=tries)).tries
    assert (kept[0].message, len(kept[1].message)) == ("short", 300)


def test_no_row_is_larger_than_a_few_kilobytes_whatever_a_client_names() -> None:
    everything = refused("a", asked=LONG, error=LONG, agent=LONG, tags=(LONG,) * 1000, code=LONG, project=LONG)
    assert len(encode(bounded(everything))) < 4000


@pytest.mark.parametrize(
    ("entry", "dollars"),
    [
        (cloud("a"), 0.004),
        (cloud("a", complete=False), 0.004),
        (cloud("a", status=499, complete=False), 0.004),
        (cloud("a", status=400), 0.0),
        (cloud("a", status=502), 0.0),
        (cloud("a", cost_usd=None), 0.0),
        (local("a", cost_usd=9.0), 0.0),
        (refused("a"), 0.0),
    ],
)
def test_only_what_a_cloud_served_is_billed(entry: Entry, dollars: float) -> None:
    assert entry.billed_usd == dollars


@pytest.mark.parametrize(
    ("reserved", "over"), [(0.0, False), (0.004, False), (0.004 - 1e-12, False), (0.003, True), (0.005, False)]
)
def test_an_answer_above_its_reservation_is_told(reserved: float, over: bool) -> None:
    assert cloud("a", reserved_usd=reserved, target=CLOUD).over_reserved is over
