#!/usr/bin/python
"""The models of a station: choose, fetch, check, set the context, and say what is there."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict
from typing import Any, Mapping, Optional

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import gridtie_apt, gridtie_network, gridtie_progress, gridtie_reach, gridtie_room
from ..module_utils.gridtie_files import ensure_file
from ..module_utils.gridtie_host.catalogue import CatalogueError, Pin
from ..module_utils.gridtie_host.fit.budget import budget_for
from ..module_utils.gridtie_host.gpu.devices import DeviceError
from ..module_utils.gridtie_host.machine.detect import this_machine
from ..module_utils.gridtie_host.machine.hardware import Hardware
from ..module_utils.gridtie_host.machine.record import SpeedRecord
from ..module_utils.gridtie_host.models.install import InstallError
from ..module_utils.gridtie_host.models.order import OLLAMA_URL, Order
from ..module_utils.gridtie_host.models.provision import provision, withdraw
from ..module_utils.gridtie_host.models.standing import NoSuchOwner, directories_of, order_of, save
from ..module_utils.gridtie_host.models.store import sha256_of

DOCUMENTATION = r"""
module: gridtie_models
short_description: Provision a station's models as declared
description:
  - Compares all wanted models with the engine's store by digest, fetches what is missing (several at once, resumed
    where it stopped, checked by sha256) and serves each as C(gridtie/NAME) with our own context length.
  - A blob that is damaged is found and fetched again. Nothing half-written is ever visible to the engine.
  - The choice of C(auto) is made once, from memory, an estimate of speed, licences, scores and what can be reached, and
    stays until the request changes.
options:
  catalogue_file:
    description: The model catalogue, on the controller. An error names file, line and key.
    type: path
    required: true
  lock_file:
    description: Its lock with the project's digests, on the controller.
    type: path
    required: true
  catalogue:
    description: The catalogue's content. Set by the action plugin from O(catalogue_file).
    type: dict
  lock:
    description: The lock's content. Set by the action plugin from O(lock_file).
    type: dict
  models:
    description: >-
      C(auto), or a list of names and of entries C({name, context}); C({name, gguf, sha256}) is a model file of your
      own, C({name, ollama, manifest}) a model of the Ollama library that the catalogue does not know.
    type: raw
    default: auto
  purposes:
    description: What C(auto) chooses a model for, one each, the most important first.
    type: list
    elements: str
    choices: [code, chat, agents, completion, embeddings]
    default: [code]
  engine:
    description: For which engine.
    type: str
    choices: [ollama, embedded]
    required: true
  models_dir:
    description: Directory of the stores.
    type: path
    required: true
  registry:
    description: Base URL that speaks Ollama's pull protocol.
    type: str
    default: https://registry.ollama.ai
  container:
    description: The engine's container, where it runs in one.
    type: str
    default: ""
  docker:
    description: The Docker that runs it, as the fact C(gridtie_docker).
    type: dict
    default: {}
  gpu_devices:
    description: The graphics cards that the engine may use, as M(gridtie_machine) has them.
    type: raw
  server:
    description: >-
      The engine, as the fact C(gridtie_resolved_engine). Its own llama-server is asked what it would reserve for a
      model before that is fetched, and again after an upgrade; a model that it cannot load is not fetched.
    type: dict
    default: {}
  owner:
    description: User that the engine runs as.
    type: str
  group:
    description: Its group.
    type: str
  parallel:
    description: Requests that a model answers at once; each gets the whole context.
    type: int
    default: 1
  kv_type:
    description: Type of the key/value cache.
    type: str
    choices: [f16, q8_0, q4_0]
    default: f16
  flash_attention:
    description: Whether the engine uses flash attention.
    type: bool
    default: true
  max_download_gb:
    description: >-
      Largest download in GB that C(auto) takes upon itself; 0 is no limit, V(auto) what the graphics have room for, and
      10 where there are none.
    type: str
    default: auto
  engine_version:
    description: The engine's version, where it is known.
    type: str
    default: ""
  stock:
    description: Whether the engine computes with llama.cpp as published, and not with Ollama's own build of it.
    type: bool
    default: false
  learned:
    description: >-
      Digests that a host of the inventory learned before, as O(lock). From the action plugin, which reads them from
      O(inventory_lock).
    type: dict
    default: {}
  learn:
    description: >-
      Whether a model without a known digest may be taken. What the library has now is told as RV(learned) before a
      byte is fetched, and written into the inventory's lock. From the action plugin, by O(pins).
    type: bool
    default: true
  inventory_lock:
    description: The inventory's lock, on the controller.
    type: path
  agreed:
    description: >-
      What C(auto) means where a group of hosts has one choice, as C(gridtie_group_choice) decided it, C(group) and
      C(models). A host that chose for itself before there was one keeps that, unless it is to O(choose_again).
    type: dict
    default: {}
  choose_again:
    description: Forget the earlier choice.
    type: bool
    default: false
  graphics:
    description: Whether the engine computes on graphics cards where it can; off counts main memory alone.
    type: bool
    default: false
  deep:
    description: Read and hash every blob, also those that did not change since they were last hashed.
    type: bool
    default: false
  seed:
    description: >-
      A directory or an uncompressed tar on the host with manifests and blobs in Ollama's layout. What it has and what
      the lock allows is taken over, checked, instead of fetched.
    type: path
  prune:
    description: >-
      Remove the models that this module installed and that are no longer wanted, with the files that no other model of
      the store needs. In check mode they are named.
    type: bool
    default: false
  adopted_store:
    description: >-
      The store of an Ollama that somebody else installed. Models are installed there under our own names; what is
      written there gets that store's owner.
    type: str
    default: ""
  ollama_url:
    description: Where the router reaches Ollama.
    type: str
    default: http://engine:11434
  accept_s:
    description: >-
      At most so many seconds in which a model that is new shows what it can, 5 for that of the smoke test. C(0) asks
      none.
    type: float
    default: 120
  state:
    description: With C(absent), take away all that this module installed, and nothing else.
    type: str
    choices: [present, absent]
    default: present
  ledger:
    description: The router's ledger, whose times of real answers count instead of an estimate of a model's speed.
    type: str
    default: ""
  catalogue_json:
    description: >-
      Where the host's command reads catalogue and lock, as JSON; empty writes none. How fast the machine's memory is
      lies beside it, in C(machine.json), and is measured once.
    type: str
    default: ""
  ca_bundle:
    description: CA bundle for downloads; empty is the system's.
    type: str
    default: ""
  pip:
    description: Environment variables of pip, where Ansible's caller has them. From the action plugin.
    type: dict
    default: {}
  pip_addresses:
    description: Those of them that may hold a password.
    type: dict
    default: {}
extends_documentation_fragment:
  - gridtie.gridtie.gridtie_apt
  - gridtie.gridtie.gridtie_network
  - gridtie.gridtie.gridtie_pins
author: Gridtie contributors
"""
EXAMPLES = r"""
- name: Provision the models
  gridtie.gridtie.gridtie_models:
    catalogue_file: config/models.yaml
    lock_file: config/models.lock.yaml
    models: auto
    engine: ollama
    models_dir: /var/lib/gridtie/models
"""
RETURN = r"""
models:
  description: The models as station.json holds them.
  type: list
  returned: when RV(agreed)
added:
  description: >-
    The sha256 of the list of models that were added by hand, as it was before it was read; empty where there is none.
  type: str
  returned: when RV(agreed)
others:
  description: Why the rest of the catalogue was not taken, by name.
  type: dict
  returned: always
remarks:
  description: What a person should know, such as a digest that was recorded.
  type: list
  returned: always
learned:
  description: Digests that nobody knew before, as a lock says them.
  type: dict
  returned: always
agreed:
  description: False where nothing was done yet, since what was RV(learned) has to be written into the lock first.
  type: bool
  returned: always
"""

_PURPOSES = ["code", "chat", "agents", "completion", "embeddings"]

_OPTIONS: dict[str, dict[str, Any]] = {
    "catalogue_file": {"type": "path"},
    "lock_file": {"type": "path"},
    "catalogue": {"type": "dict", "required": True},
    "lock": {"type": "dict", "required": True},
    "models": {"type": "raw", "default": "auto"},
    "purposes": {"type": "list", "elements": "str", "choices": _PURPOSES, "default": ["code"]},
    "engine": {"type": "str", "choices": ["ollama", "embedded"], "required": True},
    "models_dir": {"type": "path", "required": True},
    "registry": {"type": "str", "default": "https://registry.ollama.ai"},
    "container": {"type": "str", "default": ""},
    "docker": {"type": "dict", "default": {}},
    "gpu_devices": {"type": "raw"},
    "server": {"type": "dict", "default": {}},
    "owner": {"type": "str"},
    "group": {"type": "str"},
    "parallel": {"type": "int", "default": 1},
    "kv_type": {"type": "str", "choices": ["f16", "q8_0", "q4_0"], "default": "f16"},
    "flash_attention": {"type": "bool", "default": True},
    "max_download_gb": {"type": "str", "default": "auto"},
    "engine_version": {"type": "str", "default": ""},
    "stock": {"type": "bool", "default": False},
    "learned": {"type": "dict", "default": {}},
    "learn": {"type": "bool", "default": True},
    "agreed": {"type": "dict", "default": {}},
    "choose_again": {"type": "bool", "default": False},
    "graphics": {"type": "bool", "default": False},
    "deep": {"type": "bool", "default": False},
    "seed": {"type": "path"},
    "prune": {"type": "bool", "default": False},
    "accept_s": {"type": "float", "default": 120},
    "adopted_store": {"type": "str", "default": ""},
    "ollama_url": {"type": "str", "default": OLLAMA_URL},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "ledger": {"type": "str", "default": ""},
    "catalogue_json": {"type": "str", "default": ""},
    "ca_bundle": {"type": "str", "default": ""},
    "pip": {"type": "dict", "default": {}, "no_log": False},
    "pip_addresses": {"type": "dict", "default": {}, "no_log": True},
    **gridtie_apt.ARGUMENTS,
    **gridtie_network.ARGUMENTS,
}


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(argument_spec=_OPTIONS, supports_check_mode=True)
    given = module.params
    gridtie_network.use(given["network"])
    os.environ.update({**given["pip"], **given["pip_addresses"]})
    if given["ca_bundle"]:
        os.environ.setdefault("PIP_CERT", given["ca_bundle"])
    try:
        if given["state"] == "absent":
            gone = withdraw(directories_of(_owned(module)), module.check_mode)
            module.exit_json(changed=bool(gone), models=[], others={}, remarks=gone, learned={}, agreed=True)
        order = _order(module)
        # Before: what is added meanwhile makes it another list, and not one that was read already.
        added = sha256_of(order.directories.added) if order.directories.added.is_file() else ""
        done = provision(order, module.check_mode)
        written = _catalogue(given, module.check_mode)
        if not module.check_mode:
            write_down_speed(gridtie_room.record(given["catalogue_json"]))
            save(given)
    except _Unagreed as unagreed:
        module.exit_json(changed=True, learned=unagreed.learned, agreed=False)
    except gridtie_apt.PackageError as error:
        module.fail_json(msg=str(error), stdout=error.output)
    except (InstallError, CatalogueError, NoSuchOwner, DeviceError) as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or given['models_dir']}: {error.strerror or error}")
    module.exit_json(
        changed=done.changed or bool(written),
        models=done.models,
        added=added,
        others=done.others,
        remarks=done.remarks,
        learned=_learned(done.learned),
        agreed=True,
        diff=[{"before": done.before, "after": done.after}, *written],
    )


def _learned(pins: Mapping[str, Pin]) -> dict[str, Any]:
    """As a lock says it."""
    found = {name: {key: value for key, value in asdict(pin).items() if value} for name, pin in pins.items()}
    return {"models": found} if found else {}


def _catalogue(given: dict[str, Any], check: bool) -> list[dict[str, Any]]:
    """Write catalogue and lock for the host's command; what that changes, for a diff."""
    if not given["catalogue_json"]:
        return []
    documents = {name: given[name] for name in ("catalogue", "lock")}
    text = json.dumps(documents, indent=1, sort_keys=True) + "\n"
    change = ensure_file({"path": given["catalogue_json"], "mode": "0644", "content": text}, check)
    return [change["diff"]] if change else []


def _order(module: AnsibleModule) -> Order:
    given = module.params
    return order_of(
        _owned(module),
        given["catalogue"],
        given["lock"],
        budget=lambda: budget_for(_hardware(module), given["graphics"]),
        probe=lambda: _unreachable(given["registry"]),
        install_pip=lambda: _install_pip(module),
        agree=_agree,
        say=gridtie_progress.report,
    )


def _owned(module: AnsibleModule) -> dict[str, Any]:
    """The arguments; in check mode without an owner that the machine does not have yet."""
    given = dict(module.params)
    if module.check_mode:
        try:
            directories_of(given)
        except NoSuchOwner:
            return {**given, "owner": None}
    return given


class _Unagreed(Exception):
    """Digests that nobody knew: the controller decides whether they hold, before anything is fetched."""

    def __init__(self, learned: dict[str, Any]) -> None:
        super().__init__()
        self.learned = learned


def _agree(pins: Mapping[str, Pin]) -> None:
    raise _Unagreed(_learned(pins))


def _hardware(module: AnsibleModule) -> Hardware:
    given = module.params
    memory = int(given["docker"].get("memory") or 0) if given["container"] else 0
    return gridtie_room.hardware(
        given["catalogue_json"],
        memory,
        again=given["choose_again"],
        write=not module.check_mode,
        devices=given["gpu_devices"],
    )


def write_down_speed(record: Optional[SpeedRecord]) -> None:
    """Also on a station that keeps what it chose before there was a record: else whoever asks there measures anew."""
    if record and not record.path.exists():
        # Nothing of this run depends on it.
        with suppress(OSError):
            this_machine(record)


def _install_pip(module: AnsibleModule) -> None:
    """A host that is reached over SSH has no virtual environment of ours to take pip from."""
    gridtie_apt.Apt(module.params["lock_wait_s"], module.warn).install(["python3-pip"])


def _unreachable(registry: str) -> dict[str, str]:
    """Only the library is asked: pip says by itself what it cannot reach, and it knows more ways than one URL."""
    answer = gridtie_reach.probe_all({"registry": registry.rstrip("/") + "/v2/"})["registry"]
    if answer["state"] == "ok":
        return {}
    return {"ollama": f"the model library {answer['url']} does not answer ({answer['detail']})"}


if __name__ == "__main__":
    main()
