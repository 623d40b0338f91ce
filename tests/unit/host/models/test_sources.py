"""What models are obtained with."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gridtie.host.catalogue import GgufSource, Pin
from gridtie.host.models import sources
from gridtie.host.models.sources import Means, ObtainError, find_pip, gguf_from_location
from standins.model_registry import serving


def test_a_host_without_pip_gets_one_if_somebody_can_bring_it(monkeypatch: pytest.MonkeyPatch) -> None:
    there: list[str] = []
    monkeypatch.setattr(sources, "_answers", lambda command: bool(there))

    assert find_pip(lambda: there.append("pip")) == [sys.executable, "-m", "pip"]


def test_a_host_that_stays_without_pip_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_answers", lambda command: False)

    with pytest.raises(ObtainError, match="apt install python3-pip"):
        find_pip()
    with pytest.raises(ObtainError, match="apt install python3-pip"):
        find_pip(lambda: None)


def test_a_file_without_a_pin_is_not_continued_from_another_of_its_name(tmp_path: Path) -> None:
    contents = {"/one/model.gguf": b"first" * 100, "/two/model.gguf": b"second" * 100}
    with serving() as registry:
        registry.files.update(contents)
        means = Means(tmp_path, registry.url)
        found = [gguf_from_location(GgufSource(registry.url + path), Pin(), means).read_bytes() for path in contents]

    assert found == list(contents.values())
