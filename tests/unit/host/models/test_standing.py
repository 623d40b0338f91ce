"""How much is fetched unasked is a number of GB, or follows the machine."""

from __future__ import annotations

import pytest

from gridtie.host.models.standing import most_bytes


@pytest.mark.parametrize(
    ("limit", "most"),
    [("auto", None), (" auto ", None), ("0", 0), ("10", 10**10), ("10.0", 10**10), ("4.5", 45 * 10**8)],
)
def test_a_limit_is_auto_or_gigabytes(limit: str, most: int | None) -> None:
    assert most_bytes(limit) == most


@pytest.mark.parametrize("limit", ["", "ten", "-1", "nan", "inf", "1e9", "10 GB", "Auto"])
def test_anything_else_is_refused_with_what_is_wanted(limit: str) -> None:
    with pytest.raises(ValueError, match="wanted: auto, or a number of GB"):
        most_bytes(limit)
