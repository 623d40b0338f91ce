"""The host's `gridtie` command as one file, packed from this checkout."""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import Any

from ansible.plugins.lookup import LookupBase

DOCUMENTATION = """
name: gridtie_zipapp
short_description: The host's gridtie command, packed
description:
  - Returns the zipapp of C(gridtie.host) in base64. Its bytes depend on the sources alone.
options: {}
author: Gridtie contributors
"""

_SOURCES = Path(__file__).resolve().parents[2] / "src"


class LookupModule(LookupBase):
    """Takes no terms."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """Pack it."""
        if str(_SOURCES) not in sys.path:
            sys.path.append(str(_SOURCES))
        from gridtie.host.zipapp import pack

        return [base64.b64encode(pack(_SOURCES / "gridtie" / "host")).decode()]
