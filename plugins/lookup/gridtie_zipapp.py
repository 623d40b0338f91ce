"""The host's `gridtie` command as one file, packed from this collection."""

from __future__ import annotations

import base64
from typing import Any

from ansible.plugins.lookup import LookupBase

from ..plugin_utils.gridtie_collection import ROOT, package

DOCUMENTATION = """
name: gridtie_zipapp
short_description: The host's gridtie command, packed
description:
  - Returns the zipapp of C(gridtie.host) in base64. Its bytes depend on the sources alone.
options: {}
author: Gridtie contributors
"""


class LookupModule(LookupBase):
    """Takes no terms."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """Pack it."""
        packed = package("gridtie.host.zipapp").pack(ROOT / "src/gridtie/host")
        return [base64.b64encode(packed).decode()]
