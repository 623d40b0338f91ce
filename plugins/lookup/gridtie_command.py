"""The command that runs one of this collection's playbooks, as whoever reads a message can type it."""

from __future__ import annotations

from typing import Any

from ansible.plugins.lookup import LookupBase

from ..plugin_utils.gridtie_collection import command

DOCUMENTATION = """
name: gridtie_command
short_description: The command that runs a playbook of this collection
description:
  - Returns C(make site) in a checkout, which has a Makefile, and C(ansible-playbook gridtie.gridtie.site) where the
    collection is installed.
options:
  _terms:
    description: The playbook's name, and arguments if there are any.
    type: list
    elements: str
    required: true
author: Gridtie contributors
"""
EXAMPLES = """
- name: Tell how a damaged model is fetched again
  ansible.builtin.debug:
    msg: "{{ lookup('gridtie.gridtie.gridtie_command', 'site', '-e gridtie_models_deep=true') }}"
"""
RETURN = """
_raw:
  description: The command, as one line.
  type: list
  elements: str
"""


class LookupModule(LookupBase):
    """The first term is the playbook, the others are its arguments."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """Word it."""
        playbook, *arguments = map(str, terms)
        return [command(playbook, *arguments)]
