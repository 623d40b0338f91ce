#!/usr/bin/python
"""Let a station's models show what they can on the engine that runs now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import gridtie_network, gridtie_progress
from ..module_utils.gridtie_host.models.standing import save
from ..module_utils.gridtie_host.models.upgraded import NotAsLeft, on_engine, order_without_choice, shown_anew

DOCUMENTATION = r"""
module: gridtie_acceptance
short_description: Let a station's models show what they can on another version of their engine
description:
  - What M(gridtie_models) does with models that are there, by what the last run asked for. Nothing is chosen, and where
    the models are not those that it left, nothing is asked, which RV(remarks) say.
  - Fails where a model is not what it is said to be on this version (a schema that is not held, a context that is cut,
    memory beyond its range, other vectors). Purposes that it lost are in RV(remarks).
  - What is asked of models is then written down with this engine, for C(gridtie models add).
options:
  models_dir:
    description: Directory of the stores.
    type: path
    required: true
  engine:
    description: The engine that runs now, as the fact C(gridtie_resolved_engine).
    type: dict
    required: true
  models:
    description: The models of station.json.
    type: list
    elements: dict
    required: true
  accept_s:
    description: At most so many seconds a model, 5 for that of the smoke test. C(0) asks none.
    type: float
    default: 120
author: Gridtie contributors
"""
EXAMPLES = r"""
- name: Let the models show what they can
  gridtie.gridtie.gridtie_acceptance:
    models_dir: /var/lib/gridtie/models
    engine: "{{ gridtie_resolved_engine }}"
    models: "{{ gridtie_station.models }}"
"""
RETURN = r"""
models:
  description: The models as station.json holds them; O(models) where they could not be asked.
  type: list
  returned: success
remarks:
  description: What a person should know; empty where every model showed what it is there for.
  type: list
  returned: success
"""

_OPTIONS: dict[str, dict[str, Any]] = {
    "models_dir": {"type": "path", "required": True},
    "engine": {"type": "dict", "required": True},
    "models": {"type": "list", "elements": "dict", "required": True},
    "accept_s": {"type": "float", "default": 120},
}


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(argument_spec=_OPTIONS)
    given = module.params
    try:
        asked = on_engine(Path(given["models_dir"]), given["engine"], given["accept_s"])
        gridtie_network.use(asked.get("network"))
        shown = shown_anew(order_without_choice(asked, gridtie_progress.report))
    except NotAsLeft as error:
        told = f"the models were not asked what they can on this version: {error}"
        module.exit_json(changed=False, models=given["models"], remarks=[told])
    if shown.faults:
        module.fail_json(
            msg=f"on {given['engine'].get('version')} not what it is said to be: {'; '.join(shown.faults)}"
        )
    save(asked)
    # What it writes is its own record; what others read of it changes with station.json.
    module.exit_json(changed=False, models=shown.models, remarks=shown.remarks)


if __name__ == "__main__":
    main()
