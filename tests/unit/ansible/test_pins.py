"""Digests that are recorded at first use."""

from __future__ import annotations

import pytest
from plugins.module_utils import gridtie_pins as pins

NAME, DIGEST, OTHER = "docker.io/ollama/ollama:1", "sha256:aa", "sha256:bb"


def test_the_first_use_decides_and_is_remembered() -> None:
    none = pins.read("")

    assert pins.expected(NAME, None, none, require=False) is None
    assert pins.expected(NAME, None, pins.read(pins.recorded(none, NAME, DIGEST)), require=False) == DIGEST


def test_the_projects_pin_outranks_what_a_station_recorded() -> None:
    known = pins.read(pins.recorded(pins.read(""), NAME, DIGEST))

    assert pins.expected(NAME, OTHER, known, require=False) == OTHER


def test_where_pins_are_required_the_first_use_is_refused_with_what_to_do() -> None:
    with pytest.raises(pins.PinError, match=r"config/artefacts\.yaml.*gridtie_require_pins"):
        pins.expected(NAME, None, pins.read(""), require=True)


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": 1}', '{"images": []}'])
def test_a_damaged_file_is_an_error_and_not_an_empty_one(text: str) -> None:
    with pytest.raises(pins.PinError, match=r"pins\.json is damaged"):
        pins.read(text)
