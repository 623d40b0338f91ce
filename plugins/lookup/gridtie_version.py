"""The version of this collection, in a checkout as well as installed."""

from __future__ import annotations

from typing import Any

from ansible.plugins.lookup import LookupBase

from ..plugin_utils.gridtie_collection import version

DOCUMENTATION = """
name: gridtie_version
short_description: The version of this collection
description:
  - Returns what MANIFEST.json says, or galaxy.yml in a checkout.
options: {}
author: Gridtie contributors
"""


class LookupModule(LookupBase):
    """Takes no terms."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """Read it."""
        return [version()]
