"""What clouds may bill: taken before it is asked for, and never more than the limit."""

from __future__ import annotations

from pathlib import Path

import pytest

from gridtie.bench.purse import Purse, SpentUp
from gridtie.demo.results import FILES, Run


def test_two_sides_of_one_comparison_do_not_spend_more_than_its_limit_together(tmp_path: Path) -> None:
    run = Run(version="1", started="2026-11-29T12:00:00+00:00", sides=(), tasks=(), seeds=1)
    with FILES.begin(tmp_path / "demo.jsonl", run) as book:
        one, other = Purse(book, 1.0), Purse(book, 1.0)
        first, second = one.take(0.4), other.take(0.4)
        one.settle(first, 0.3)
        other.settle(second, 0.35)

        assert book.results.spent == pytest.approx(0.65)
        assert one.left == other.left == pytest.approx(0.35)
        with pytest.raises(SpentUp):
            one.take(0.4)
    assert FILES.read(tmp_path / "demo.jsonl").spent == pytest.approx(0.65)
