"""What models cost before: a file beside the price snapshot, which `gridtie prices refresh` continues.

Rows of the ledger carry the rates that they were priced with; this is for people who ask when a price moved.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from gridtie.ledger.prices import ModelPrices, PriceFile, PricesError

NAME = "prices_history.json"


class Former(ModelPrices, frozen=True, kw_only=True):
    """Rates that held until a day, ISO, that day not included."""

    until: str


class History(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The file: of each model what it cost before, oldest first; what it costs now is in the snapshot."""

    schema: int = 1
    currency: str = "USD"
    unit: str = "million tokens"
    models: dict[str, list[Former]] = {}


def load(path: Path) -> History:
    """Read the file; an empty history where there is none. Raises `PricesError`."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=History)
    except FileNotFoundError:
        return History()
    except (OSError, msgspec.DecodeError) as error:
        raise PricesError(f"{path}: {error}; take the file that ships with gridtie, or remove it") from error
    if (found.schema, found.currency, found.unit) != (1, "USD", "million tokens"):
        raise PricesError(
            f"{path}: schema {found.schema}, {found.currency} per {found.unit} found; schema 1, USD per million tokens "
            "wanted; take the file that ships with gridtie, or remove it"
        )
    return found


def continued(
    history: History, before: PriceFile | None, fresh: PriceFile, told: Mapping[str, Iterable[Former]]
) -> History:
    """The history once a fresh snapshot takes the place of the one before.

    `told` is what the source itself knows of former prices: it has the day on which a price moved, where two snapshots
    only say that it did in between.
    """
    models = {ref: {each.until: each for each in formers} for ref, formers in history.models.items()}
    for ref, formers in told.items():
        models.setdefault(ref, {}).update({each.until: each for each in formers})
    for ref, listed in (before.models if before else {}).items():
        moved = ref in fresh.models and fresh.models[ref] != listed
        known = models.setdefault(ref, {})
        if before and moved and not any(before.date < until <= fresh.date for until in known):
            # Of two moves on one day the first one says what held until then.
            known.setdefault(fresh.date, Former(until=fresh.date, **msgspec.structs.asdict(listed)))
    return History(
        models={ref: [known[until] for until in sorted(known)] for ref, known in sorted(models.items()) if known}
    )
