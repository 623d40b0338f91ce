"""What models are obtained with."""

from __future__ import annotations

import sys

import pytest

from gridtie.host import obtain
from gridtie.host.obtain import ObtainError, find_pip


def test_a_host_without_pip_gets_one_if_somebody_can_bring_it(monkeypatch: pytest.MonkeyPatch) -> None:
    there: list[str] = []
    monkeypatch.setattr(obtain, "_answers", lambda command: bool(there))

    assert find_pip(lambda: there.append("pip")) == [sys.executable, "-m", "pip"]


def test_a_host_that_stays_without_pip_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(obtain, "_answers", lambda command: False)

    with pytest.raises(ObtainError, match="apt install python3-pip"):
        find_pip()
    with pytest.raises(ObtainError, match="apt install python3-pip"):
        find_pip(lambda: None)
