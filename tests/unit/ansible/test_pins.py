"""What something fetched must be, and what earlier versions recorded of it."""

from __future__ import annotations

import json

import pytest
from plugins.module_utils import gridtie_pins as pins

NAME, DIGEST, OTHER = "docker.io/ollama/ollama:1", "sha256:aa", "sha256:bb"


def test_the_first_use_decides_and_is_all_that_is_accepted_later() -> None:
    assert pins.expected(NAME, None, {}, learn=True) is None
    assert pins.expected(NAME, None, {NAME: DIGEST}, learn=True) == DIGEST
    assert pins.expected(NAME, None, {NAME: DIGEST}, learn=False) == DIGEST


def test_the_projects_pin_outranks_what_was_learned() -> None:
    assert pins.expected(NAME, OTHER, {NAME: DIGEST}, learn=True) == OTHER


def test_where_pins_are_required_the_first_use_is_refused_with_what_to_do() -> None:
    with pytest.raises(pins.PinError, match=r"config/artefacts\.yaml.*gridtie_pins.*gridtie_pins=learn"):
        pins.expected(NAME, None, {}, learn=False)


def test_what_stations_of_earlier_versions_recorded_is_read_as_a_lock_says_it() -> None:
    station = {"schema": 1, "images": {NAME: DIGEST}, "files": {"1/ollama.tgz": "cc"}}
    models = {"schema": 1, "models": {"coder:1b": {"manifest": "dd", "gguf": "ee"}}}

    assert pins.former(json.dumps(station), json.dumps(models)) == {
        "images": {NAME: {"digest": DIGEST}},
        "archives": {"1/ollama.tgz": {"sha256": "cc"}},
        "models": {"coder:1b": {"manifest": "dd", "gguf": "ee"}},
    }
    assert pins.former("", "") == {}


@pytest.mark.parametrize("text", ["{", "[]", '{"images": []}', '{"files": 3}'])
def test_a_damaged_record_is_an_error_and_not_an_empty_one(text: str) -> None:
    with pytest.raises(pins.PinError, match=r"pins\.json of an earlier version is damaged"):
        pins.former(text, "")
    with pytest.raises(pins.PinError, match=r"pins\.json of an earlier version is damaged"):
        pins.former("", text)
