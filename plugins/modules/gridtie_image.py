#!/usr/bin/python
"""Make a station's container image unless it is there already."""

from __future__ import annotations

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import gridtie_apt, gridtie_network, gridtie_pins
from ..module_utils.gridtie_bootstrap import alone
from ..module_utils.gridtie_build_sources import NoMirrorError
from ..module_utils.gridtie_command import CommandError
from ..module_utils.gridtie_images import Images, missing_cpu_flags, not_reached

DOCUMENTATION = r"""
module: gridtie_image
short_description: A container image of the station
description:
  - An image's tag is a hash of everything it is made from, so an image that is there is the right one.
  - Called through the action plugin of the same name, which works out the steps from the checkout and, where something
    has to be built, brings the files here.
options:
  steps:
    description: What is made, in this order; the last step is the image itself. From the action plugin.
    type: list
    elements: dict
    required: true
  contexts:
    description: Where the files of each step lie on this machine, step name to path. From the action plugin.
    type: dict
  docker:
    description: The Docker to use, as M(gridtie_machine) describes it.
    type: dict
    required: true
  learned:
    description: >-
      Digests that a host of the inventory learned before, image name to digest. From the action plugin, which reads
      them from O(lock_file).
    type: dict
    default: {}
  learn:
    description: >-
      Whether an image without a known digest may be pulled. It is not used yet then: what was RV(learned) is written
      into the lock first. From the action plugin, by O(pins).
    type: bool
    default: true
  lock_file:
    description: The inventory's lock, on the controller.
    type: path
  ca_bundle:
    description: The CA bundle that builds trust.
    type: path
    default: /etc/ssl/certs/ca-certificates.crt
  package_settings:
    description: Variables that say how packages are fetched, where Ansible's caller has them. From the action plugin.
    type: dict
    default: {}
  package_addresses:
    description: The same for addresses of package sources, which may hold credentials.
    type: dict
    default: {}
extends_documentation_fragment:
  - gridtie.gridtie.gridtie_apt
  - gridtie.gridtie.gridtie_network
  - gridtie.gridtie.gridtie_pins
author: Gridtie contributors
"""
EXAMPLES = r"""
- name: Make the router's image
  gridtie.gridtie.gridtie_image:
    name: router
    machine: "{{ gridtie_machine }}"
    docker: "{{ gridtie_docker }}"
    lock_file: "{{ inventory_dir }}/gridtie.lock.yaml"
    pins: learn
"""
RETURN = r"""
image:
  description: The name by which the image is run; with its digest where it came from a registry.
  type: str
  returned: success
made:
  description: The steps that were carried out, with the seconds each took.
  type: list
  returned: success
not_reached:
  description: Whether a failure means that no connection was made, so that another source may be tried.
  type: bool
  returned: failure
learned:
  description: Digests that nobody knew before, as a lock says them. Where there are some, the image is not made yet.
  type: dict
  returned: success
recorded:
  description: What of them was written into the lock, as C(name@digest). From the action plugin.
  type: list
  returned: success
"""


class Maker:
    """Carries out the steps on this machine."""

    def __init__(self, given: dict[str, Any], apt: gridtie_apt.Apt) -> None:
        self._given, self._apt = given, apt
        sources = {**given["package_settings"], **given["package_addresses"]}
        self._images = Images(given["docker"], given["ca_bundle"], sources)
        self._lock: list[int] = []
        self.learned: dict[str, str] = {}

    def find(self, step: dict[str, Any]) -> str | None:
        """The name by which an image is run, where it is here already, else None."""
        if step["kind"] == "pull":
            digest = self._expected(step["reference"], step["digest"])
            if digest is None:
                return None
            repository = step["pull_from"].rsplit(":", 1)[0]
            named = f"{repository}@{digest}"
        else:
            named = step["reference"]
        return named if self._images.is_there(named) else None

    def ensure(self, step: dict[str, Any]) -> tuple[str, float]:
        """The image's name and the seconds it took to make it, 0 where another run has made it meanwhile."""
        started = time.monotonic()
        with alone(step["name"]) as self._lock:
            found = self.find(step)
            return (found, 0.0) if found else (self._make(step), time.monotonic() - started)

    def _make(self, step: dict[str, Any]) -> str:
        """Make one image and return the name by which it is run."""
        if step["kind"] == "pull":
            return self._pull(step)
        if step["kind"] == "bootstrap" or (step.get("upstream") and not self._has_upstream(step)):
            self._install("mmdebstrap")
            self._images.bootstrap(step, self._lock)
        else:
            self._images.build(step, self._given["contexts"][step["name"]], self._lock)
        return str(step["reference"])

    def _has_upstream(self, step: dict[str, Any]) -> bool:
        """Pull what the base is made from. False where the daemon does not get there and the mirror can stand in."""
        try:
            step["arguments"]["UPSTREAM"] = self._pull(step["upstream"])
        except CommandError as error:
            if "script" in step and not_reached(error.output):
                return False
            raise
        return True

    def _install(self, package: str) -> None:
        missing = gridtie_apt.missing([package])
        if missing:
            self._apt.install(missing)

    def _expected(self, reference: str, artefact: str | None) -> str | None:
        return gridtie_pins.expected(reference, artefact, self._given["learned"], self._given["learn"])

    def _pull(self, image: dict[str, Any]) -> str:
        """Pull an image of a registry; its digest is checked. Raises UnpinnedError where it is not known yet."""
        reference, digest = image["reference"], self._expected(image["reference"], image["digest"])
        named = self._images.pull(image.get("pull_from", reference), digest, self._lock)
        if digest is None:
            self.learned[reference] = named.rpartition("@")[2]
            raise gridtie_pins.UnpinnedError(reference)
        return named


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "steps": {"type": "list", "elements": "dict", "required": True},
            "contexts": {"type": "dict"},
            "docker": {"type": "dict", "required": True},
            "learned": {"type": "dict", "default": {}},
            "learn": {"type": "bool", "default": True},
            "ca_bundle": {"type": "path", "default": "/etc/ssl/certs/ca-certificates.crt"},
            "package_settings": {"type": "dict", "default": {}},
            "package_addresses": {"type": "dict", "default": {}, "no_log": True},
            **gridtie_apt.ARGUMENTS,
            **gridtie_network.ARGUMENTS,
        },
        supports_check_mode=True,
    )
    gridtie_network.use(module.params["network"])
    steps = module.params["steps"]
    if module.check_mode and not module.params["docker"].get("works", True):
        module.exit_json(changed=True, image=steps[-1]["reference"], made=[], learned={}, needed=True)
    try:
        maker = Maker(module.params, gridtie_apt.Apt(module.params["lock_wait_s"], module.warn))
        found = maker.find(steps[-1])
        if found:
            module.exit_json(changed=False, image=found, made=[], learned={}, needed=False)
        if module.check_mode or module.params["contexts"] is None:
            module.exit_json(changed=True, image=steps[-1]["reference"], made=[], learned={}, needed=True)
        lacking = missing_cpu_flags(steps[-1].get("cpu_flags") or [])
        if lacking:
            module.fail_json(
                msg=f"this processor lacks {', '.join(lacking)}, which llama.cpp's packaged build needs: use Ollama's "
                "own release (gridtie_ollama_source: release) or another machine"
            )
        made, name = [], ""
        for step in steps:
            name, seconds = maker.ensure(step)
            if seconds:
                made.append({"name": step["name"], "seconds": round(seconds, 1)})
    except gridtie_pins.UnpinnedError:
        learned = gridtie_pins.as_learned("images", maker.learned)
        module.exit_json(changed=True, image="", made=[], learned=learned, needed=True)
    except (gridtie_pins.PinError, NoMirrorError) as error:
        module.fail_json(msg=str(error))
    except (CommandError, gridtie_apt.PackageError) as error:
        module.fail_json(msg=str(error), stdout=error.output, not_reached=not_reached(error.output))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or 'the image'}: {error.strerror or error}")
    module.exit_json(changed=bool(made), image=name, made=made, learned={}, needed=False)


if __name__ == "__main__":
    main()
