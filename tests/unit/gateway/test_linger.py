"""How long and how much is read after a refusal."""

from __future__ import annotations

import pytest

from gridtie.gateway import limits
from gridtie.gateway.linger import CHUNKED, Linger

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("announced", "read"), [(0, MIB), (1000, MIB), (17 * MIB, 17 * MIB), (CHUNKED, 64 * MIB), (10**15, 64 * MIB)]
)
def test_so_much_is_read_as_was_announced_within_bounds(announced: int, read: int) -> None:
    linger = Linger(announced, 0.0)

    assert linger.drop(read, 0.0)
    assert not linger.drop(1, 0.0)


def test_it_goes_on_while_bytes_come_and_not_for_ever() -> None:
    linger = Linger(CHUNKED, 100.0)

    assert not linger.over(100.0 + limits.LINGER_SECONDS - 0.1)
    assert linger.over(100.0 + limits.LINGER_SECONDS)
    linger.drop(1, 101.9)
    assert not linger.over(102.1)
    linger.drop(1, 100.0 + limits.LINGER_TOTAL_SECONDS - 0.1)
    assert linger.over(100.0 + limits.LINGER_TOTAL_SECONDS)
