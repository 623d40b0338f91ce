"""What something fetched must be: pinned by the project, learned by a host of the inventory, or not known yet."""

from __future__ import annotations

import json
from typing import Any, Mapping, Optional

# Where stations of earlier versions recorded what they learned, each for itself, and how a lock calls it.
_FORMER = {"images": ("images", "digest"), "files": ("archives", "sha256")}


class PinError(Exception):
    """Something may not be fetched because its digest is not known, or a record of digests cannot be used."""


class UnpinnedError(Exception):
    """Something was fetched whose digest nobody knew: the hosts of an inventory have to agree on it first."""


def expected(reference: str, pinned: Optional[str], learned: Mapping[str, str], learn: bool) -> Optional[str]:
    """The digest that it must have, None where the first use decides. The project's pin outranks what was learned.

    Raises PinError where the first use may not decide.
    """
    known = pinned or learned.get(reference)
    if known is None and not learn:
        raise PinError(
            f"{reference} has a digest neither in config/artefacts.yaml (or gridtie_artefacts_file) nor in the "
            "inventory's lock, and gridtie_pins is require: run once for one host with -e gridtie_pins=learn, which "
            "writes it into the lock"
        )
    return known


def former(station: str, models: str) -> dict[str, dict[str, dict[str, str]]]:
    """What a station of an earlier version recorded, as a lock says it, from the texts of its two files.

    Raises PinError for a text that is no such record: going on would accept anything.
    """
    try:
        artefacts = json.loads(station) if station else {}
        named = json.loads(models)["models"] if models else {}
        found: dict[str, dict[str, dict[str, str]]] = {
            kind: {reference: {digest: str(value)} for reference, value in artefacts.get(before, {}).items()}
            for before, (kind, digest) in _FORMER.items()
        }
        found["models"] = {name: {key: str(value) for key, value in pin.items()} for name, pin in named.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise PinError("the pins.json of an earlier version is damaged") from None
    return {kind: things for kind, things in found.items() if things}


def as_learned(kind: str, digests: Mapping[str, str]) -> dict[str, Any]:
    """Reference to digest as a lock says it."""
    name = dict(_FORMER.values())[kind]
    return {kind: {reference: {name: digest} for reference, digest in digests.items()}}
