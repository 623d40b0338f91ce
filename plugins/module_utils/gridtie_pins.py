"""What was fetched for the first time without a known checksum, and is from then on the only thing accepted."""

from __future__ import annotations

import json
from typing import Any


class PinError(Exception):
    """Something fetched is not what was pinned, or may not be fetched because it is not pinned."""


def read(text: str) -> dict[str, Any]:
    """The pins of a station from the text of its pins.json; none yet where there is no text.

    Raises PinError for text that is not a pins file: going on would accept anything.
    """
    if not text:
        return {"schema": 1, "images": {}}
    try:
        pins = json.loads(text)
        pins["images"].items()
    except (ValueError, KeyError, TypeError, AttributeError):
        raise PinError("pins.json is damaged: repair it, or remove it to accept what upstream serves now") from None
    return dict(pins)


def expected(
    reference: str, artefact: str | None, pins: dict[str, Any], require: bool, kind: str = "images"
) -> str | None:
    """The digest that the image (of ``kind`` `files`: the file) must have, or None where the first use decides.

    ``artefact`` is the digest in config/artefacts.yaml, which outranks what this station recorded.
    """
    if artefact:
        return artefact
    recorded = pins.get(kind, {}).get(reference)
    if recorded is None and require:
        raise PinError(
            f"{reference} has no digest in config/artefacts.yaml, and gridtie_require_pins is on: "
            "write the digest there, or switch gridtie_require_pins off to record it at first use"
        )
    return None if recorded is None else str(recorded)


def recorded(pins: dict[str, Any], reference: str, digest: str, kind: str = "images") -> str:
    """The text of pins.json with one more digest."""
    known = {**pins.get(kind, {}), reference: digest}
    return json.dumps({**pins, kind: dict(sorted(known.items()))}, indent=2) + "\n"
