#!/usr/bin/python
"""How fast a model of the engine generates, over several runs, and whether that is slower than before."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import gridtie_progress
from ..module_utils.gridtie_engine_address import reached
from ..module_utils.gridtie_host.models.proof import DoesNotRun
from ..module_utils.gridtie_host.models.speed import NotMeasured, compare, from_document, measure, objection
from ..module_utils.gridtie_host.router import Unreachable

DOCUMENTATION = r"""
module: gridtie_speed
short_description: How fast the engine generates, compared with an earlier measurement
description:
  - Asks the engine itself, not the router, several times for a text of its own, after one that is not counted. Changes
    nothing.
  - Fails where the engine cannot generate, where it cannot be reached and could be O(before), and where it is slower
    than O(least_share) of O(before) beyond chance.
    Where it cannot be measured, RV(problem) says why; that is a failure if O(least_share) is set.
options:
  model:
    description: The model, as the engine knows it.
    type: str
    required: true
  url:
    description: The engine, as station.json has it.
    type: str
    required: true
  container:
    description: The engine's container, where it runs in one.
    type: str
    default: ""
  docker:
    description: The Docker that runs it, as M(gridtie_machine) describes it.
    type: dict
    default: {}
  runs:
    description: How many runs are counted. With fewer than 5 nothing is measured, and RV(problem) says so.
    type: int
    default: 7
  before:
    description: An earlier RV(speed); empty where there is none.
    type: dict
    default: {}
  least_share:
    description: The share of the speed before that is still accepted.
    type: float
    default: 0
author: Gridtie contributors
"""
EXAMPLES = r"""
- name: Measure the speed
  gridtie.gridtie.gridtie_speed:
    model: gridtie/smollm2:135m
    url: http://127.0.0.1:11434
"""
RETURN = r"""
speed:
  description: C(median), C(low) and C(high) in tokens a second, of how many C(runs); empty where it cannot be measured.
  type: dict
  returned: success
slower:
  description: Whether it is slower than before, beyond chance.
  type: bool
  returned: success
verdict:
  description: What the comparison came to, in words; empty without one.
  type: str
  returned: always
problem:
  description: Why nothing was measured; empty where it was.
  type: str
  returned: success
"""


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "model": {"type": "str", "required": True},
            "url": {"type": "str", "required": True},
            "container": {"type": "str", "default": ""},
            "docker": {"type": "dict", "default": {}},
            "runs": {"type": "int", "default": 7},
            "before": {"type": "dict", "default": {}},
            "least_share": {"type": "float", "default": 0},
        },
        supports_check_mode=True,
    )
    given = module.params
    nothing: dict[str, Any] = {"changed": False, "speed": {}, "slower": False, "verdict": "", "problem": ""}
    before = from_document(given["before"])
    if module.check_mode:
        module.exit_json(**{**nothing, "problem": "nothing is measured in check mode"})
    try:
        url = reached(given["url"], given["container"], given["docker"])
        speed = measure(url, given["model"], given["runs"], gridtie_progress.report)
    except DoesNotRun as error:
        module.fail_json(msg=f"{given['model']} does not run: {error}", verdict="")
    except (NotMeasured, Unreachable) as error:
        if why := objection(error, before, given["least_share"]):
            module.fail_json(msg=why, verdict="")
        module.exit_json(**{**nothing, "problem": str(error)})
    told = {**nothing, "speed": speed.document(), "stage_note": str(speed)}
    if before:
        found = compare(before, speed, given["least_share"])
        told.update(slower=found.slower, verdict=found.text, stage_note=found.text)
        if found.refused:
            module.fail_json(msg=f"{given['model']} became slower: {found.text}", **told)
    module.exit_json(**told)


if __name__ == "__main__":
    main()
