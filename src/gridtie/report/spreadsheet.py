"""The report as one CSV table: a line for each value of each dimension, for spreadsheets and databases."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

# Of these a spreadsheet takes the first letter of a cell for that of a formula; agents and tags are named by clients.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def spreadsheet(report: Mapping[str, Any]) -> str:
    """Commas, UTF-8, a head, empty where a figure is not known. The dimension `total` is all traffic."""
    lines = [("total", "", report["totals"])]
    lines += [(name, row["group"], row) for name, rows in report["by"].items() for row in rows]
    names = [name for name in report["totals"] if name != "group"]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("dimension", "group", "currency", *names))
    for dimension, group, row in lines:
        cells = ("" if row[name] is None else row[name] for name in names)
        writer.writerow((dimension, harmless(str(group)), report["currency"], *cells))
    return out.getvalue()


def harmless(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return "'" + text if text.startswith(_FORMULA) else text
