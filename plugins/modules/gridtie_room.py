#!/usr/bin/python
"""Look at what a host has room for, before the models of its group are decided."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import gridtie_room
from ..module_utils.gridtie_host.gpu.devices import DeviceError
from ..module_utils.gridtie_host.models.order import Directories
from ..module_utils.gridtie_host.models.resolve import former_answer
from ..module_utils.gridtie_host.models.seed import SeedError, open_seed
from ..module_utils.gridtie_host.models.served_speed import tokens_per_second
from ..module_utils.gridtie_host.models.standing import directories_of
from ..module_utils.gridtie_host.models.store import NAMESPACE, Checked

DOCUMENTATION = r"""
module: gridtie_room
short_description: Look at what a host has room for
description:
  - Returns what C(gridtie_models=auto) is decided by. Changes nothing. Where it is not written down yet how fast the
    memory is, that is measured, for 2 s.
options:
  models_dir:
    description: Directory of the stores.
    type: path
    required: true
  engine:
    description: For which engine.
    type: str
    choices: [ollama, embedded]
    required: true
  container:
    description: Whether the engine runs in a container.
    type: bool
    default: true
  docker:
    description: The Docker that runs it, as the fact C(gridtie_docker).
    type: dict
    default: {}
  gpu_devices:
    description: The graphics cards that the engine may use, as M(gridtie_machine) has them.
    type: raw
  adopted_store:
    description: The store of an Ollama that somebody else installed.
    type: str
    default: ""
  seed:
    description: A directory or an uncompressed tar on the host with models in Ollama's layout.
    type: path
  ledger:
    description: The router's ledger, whose times of real answers count instead of an estimate of a model's speed.
    type: str
    default: ""
  catalogue_json:
    description: Where the host's catalogue is. How fast the machine's memory is lies beside it.
    type: str
    default: ""
author: Gridtie contributors
"""
EXAMPLES = r"""
- name: Look at what the host has room for
  gridtie.gridtie.gridtie_room:
    engine: ollama
    models_dir: /var/lib/gridtie/models
"""
RETURN = r"""
room:
  description: >-
    C(hardware) as C(gridtie fit --json) has it, the C(names) of models that are here, C(speeds) of models in tokens a
    second, and what C(auto) gave it in an earlier run, C(former).
  type: dict
  returned: success
"""

_OPTIONS: dict[str, dict[str, Any]] = {
    "models_dir": {"type": "path", "required": True},
    "engine": {"type": "str", "choices": ["ollama", "embedded"], "required": True},
    "container": {"type": "bool", "default": True},
    "docker": {"type": "dict", "default": {}},
    "gpu_devices": {"type": "raw"},
    "adopted_store": {"type": "str", "default": ""},
    "seed": {"type": "path"},
    "ledger": {"type": "str", "default": ""},
    "catalogue_json": {"type": "str", "default": ""},
}


def names_here(directories: Directories, engine: str, seed: Optional[str]) -> list[str]:
    """Models of the catalogue that nothing has to be fetched for: of the store, under our name, and of a seed.

    Raises SeedError or OSError for a seed that cannot be used.
    """
    found = set(directories.store(engine).names())
    if seed:
        found |= set(open_seed(Path(seed), Checked(directories.checked)).names())
    return sorted({name[len(NAMESPACE) + 1 :] if name.startswith(f"{NAMESPACE}/") else name for name in found})


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(argument_spec=_OPTIONS, supports_check_mode=True)
    given = module.params
    directories = directories_of(given)
    memory = int(given["docker"].get("memory") or 0) if given["container"] else 0
    former = former_answer(directories.resolved)
    try:
        hardware = gridtie_room.hardware(
            given["catalogue_json"], memory, again=False, write=False, devices=given["gpu_devices"]
        )
        room = {
            "hardware": hardware.as_document(),
            "names": names_here(directories, given["engine"], given["seed"]),
            "speeds": dict(tokens_per_second(Path(given["ledger"]))) if given["ledger"] else {},
            "former": asdict(former) if former else None,
        }
    except SeedError as error:
        module.fail_json(msg=f"gridtie_models_seed: {error}")
    except DeviceError as error:
        module.fail_json(msg=f"{error}; {error.fix}")
    except OSError as error:
        module.fail_json(msg=f"{error.filename or given['models_dir']}: {error.strerror or error}")
    module.exit_json(changed=False, room=room)


if __name__ == "__main__":
    main()
