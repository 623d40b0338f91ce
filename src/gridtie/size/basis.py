"""What a figure rests on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Basis:
    """One thing that was put in: what, how much, whether somebody measured it, and where it is from."""

    what: str
    value: str
    status: Literal["measured", "assumed", "computed", "unknown"]
    source: str
