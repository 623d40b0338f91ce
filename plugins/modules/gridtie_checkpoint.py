#!/usr/bin/python
"""The checkpoint that vLLM serves: bring it here, hold it to the machine, and say how vLLM is to be started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import gridtie_network, gridtie_progress, gridtie_room
from ..module_utils.gridtie_host.acceptance.record import FILE as ACCEPTED
from ..module_utils.gridtie_host.acceptance.record import Acceptances
from ..module_utils.gridtie_host.fit.budget import budget_in_memory
from ..module_utils.gridtie_host.fit.checkpoint import CheckpointError
from ..module_utils.gridtie_host.fit.memory import MARGIN
from ..module_utils.gridtie_host.fit.vllm import Card
from ..module_utils.gridtie_host.gpu import CUDA, DISCRETE
from ..module_utils.gridtie_host.gpu.devices import DeviceError
from ..module_utils.gridtie_host.models.checkpoint_files import in_directory
from ..module_utils.gridtie_host.models.checkpoint_install import install
from ..module_utils.gridtie_host.models.download import Fetcher
from ..module_utils.gridtie_host.models.hugging_face import read_token
from ..module_utils.gridtie_host.models.vllm_model import arranged, built_in, directory_of, wanted_of
from ..module_utils.gridtie_host.paths import StationError

DOCUMENTATION = r"""
module: gridtie_checkpoint
short_description: Bring a checkpoint of safetensors to where vLLM reads it
description:
  - Copies it from a directory of the machine, or fetches it from Hugging Face at a commit, each file checked by what
    that commit says of it. It is visible when all of it is there.
  - Holds it to the machine's memory by its own configuration, and returns the arguments of vLLM's server.
options:
  model:
    description: What is wanted, as the variable C(gridtie_vllm_model) says it.
    type: dict
    required: true
  models_dir:
    description: Where the station's models lie.
    type: path
    required: true
  version:
    description: The version of vLLM that is to run, for what the model has shown to it before.
    type: str
    default: ""
  processor:
    description: Whether the processor computes, and no card.
    type: bool
    default: false
  runs:
    description: Whether the engine runs already, and holds memory that is therefore not free.
    type: bool
    default: false
  docker:
    description: Docker's facts; in a virtual machine it has its own memory.
    type: dict
    default: {}
  gpu_devices:
    description: The cards that may be used, as C(gridtie_gpu_devices).
    type: raw
  catalogue_json:
    description: The host's catalogue, beside which it is written down how fast its memory is.
    type: str
    default: ""
  hub:
    description: A mirror of Hugging Face; empty for the Hub itself.
    type: str
    default: ""
  token_file:
    description: A file on the machine with a token for gated models.
    type: path
  ca_bundle:
    description: Whom to trust.
    type: str
    default: ""
  deep:
    description: Read and hash what is there already.
    type: bool
    default: false
extends_documentation_fragment: [gridtie.gridtie.gridtie_network]
author: Gridtie contributors
"""

EXAMPLES = r"""
- name: Bring a checkpoint
  gridtie.gridtie.gridtie_checkpoint:
    model: {name: "qwen3:8b", source: hf.co/Qwen/Qwen3-8B, revision: b968826d9c46dd6066d109eabc6255188de91218}
    models_dir: /var/lib/gridtie/models
"""

RETURN = r"""
arguments:
  description: Those of vLLM's server.
  type: list
  returned: success
cache_gib:
  description: GiB for the cache where the processor computes, else 0.
  type: int
  returned: success
model:
  description: The model as station.json holds it.
  type: dict
  returned: success
"""

_OPTIONS: dict[str, dict[str, Any]] = {
    "model": {"type": "dict", "required": True},
    "models_dir": {"type": "path", "required": True},
    "version": {"type": "str", "default": ""},
    "processor": {"type": "bool", "default": False},
    "runs": {"type": "bool", "default": False},
    "docker": {"type": "dict", "default": {}},
    "gpu_devices": {"type": "raw"},
    "catalogue_json": {"type": "str", "default": ""},
    "hub": {"type": "str", "default": ""},
    # A path, and no token.
    "token_file": {"type": "path", "no_log": False},
    "ca_bundle": {"type": "str", "default": ""},
    "deep": {"type": "bool", "default": False},
    **gridtie_network.ARGUMENTS,
}


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(argument_spec=_OPTIONS, supports_check_mode=True)
    given = module.params
    gridtie_network.use(given["network"])
    try:
        module.exit_json(**_bring(given, module.check_mode))
    except (CheckpointError, StationError, DeviceError) as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or given['models_dir']}: {error.strerror or error}")


def _bring(given: dict[str, Any], check: bool) -> dict[str, Any]:
    wanted = wanted_of(given["model"])
    installed, found = None, built_in()
    if wanted.source:
        target = directory_of(Path(given["models_dir"]), wanted)
        token = read_token(Path(given["token_file"])) if given["token_file"] else ""
        fetcher = Fetcher(given["ca_bundle"] if Path(given["ca_bundle"]).is_file() else "", token=token)
        installed = install(
            wanted.source,
            target,
            fetcher,
            given["hub"],
            check=check,
            deep=given["deep"],
            say=gridtie_progress.report,
        )
        if check and installed.changed:
            # What it takes is known once it is here.
            return {"changed": True, "arguments": [], "cache_gib": 0, "model": {"name": wanted.name}}
        found = in_directory(target)
    cards = _cards(given)
    done = arranged(wanted, found, installed, cards, on_processor=given["processor"], runs=given["runs"])
    # What it has shown to this version before, which `gridtie models accept` wrote down.
    shown = Acceptances(Path(given["models_dir"]) / ACCEPTED).find(done.model, "vllm", given["version"])
    return {
        "changed": installed is not None and installed.changed,
        "arguments": list(done.arguments),
        "cache_gib": done.cache_gib,
        "model": shown.told_of(done.model) if shown else dict(done.model),
    }


def _cards(given: dict[str, Any]) -> list[Card]:
    memory = int(given["docker"].get("memory") or 0)
    hardware = gridtie_room.hardware(
        given["catalogue_json"], memory, again=False, write=False, devices=given["gpu_devices"]
    )
    if given["processor"]:
        budget = budget_in_memory(hardware)
        return [Card("main memory", budget.total - MARGIN, budget.available)]
    return [
        Card(card.title, card.memory, card.memory if card.free is None else card.free)
        for card in hardware.graphics
        if card.usable_by_engine and card.kind == DISCRETE and card.backend == CUDA and card.memory
    ]


if __name__ == "__main__":
    main()
