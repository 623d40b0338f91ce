"""What every request used, what it cost, and what it would have cost elsewhere."""

from gridtie.ledger.budget import Spending
from gridtie.ledger.entry import Entry, Try
from gridtie.ledger.ledger import Ledger, LedgerError
from gridtie.ledger.prices import Charge, Prices, PricesError
from gridtie.ledger.retention import Removal
from gridtie.ledger.store import Store, StoreError
from gridtie.ledger.usage import GROUPS, UsageError, moment, zone_of
from gridtie.ledger.zone import Zone

__all__ = [
    "GROUPS",
    "Charge",
    "Entry",
    "Ledger",
    "LedgerError",
    "Prices",
    "PricesError",
    "Removal",
    "Spending",
    "Store",
    "StoreError",
    "Try",
    "UsageError",
    "Zone",
    "moment",
    "zone_of",
]
