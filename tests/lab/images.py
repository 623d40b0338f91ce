"""Images of a station, made on this machine by the product's own code, as a host of the lab would make them."""

from __future__ import annotations

import platform
import tempfile
from pathlib import Path
from typing import Any

import yaml
from plugins.module_utils import gridtie_image_plan as plan
from plugins.module_utils.gridtie_apt import Apt
from plugins.module_utils.gridtie_docker import inspect
from plugins.modules.gridtie_image import Maker
from plugins.plugin_utils.gridtie_image_tree import read_tree

from lab.host import CHECKOUT, bundle


def artefacts() -> dict[str, Any]:
    """What the checkout pins."""
    pinned: dict[str, Any] = yaml.safe_load((CHECKOUT / "config/artefacts.yaml").read_text(encoding="utf-8"))
    return pinned


def checkout() -> dict[str, bytes]:
    """The checkout's files that images are made from, by their paths."""
    return read_tree(CHECKOUT)


def steps(
    name: str,
    prefix: str,
    tree: dict[str, bytes] | None = None,
    pinned: dict[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """How a Debian host makes the image; the last step is the image itself. Other files and pins where given."""
    machine = {"system": "debian", "architecture": platform.machine()}
    settings = {"prefix": prefix, "base": "packages"}
    return plan.steps(tree or checkout(), pinned or artefacts(), name, machine, settings)


class Images:
    """This machine's Docker as the place where they are made."""

    def __init__(self) -> None:
        self._given: dict[str, Any] = {
            "docker": inspect(), "ca_bundle": bundle() or "/etc/ssl/certs/ca-certificates.crt", "contexts": {},
            "learned": {}, "learn": False, "package_settings": {}, "package_addresses": {},
        }  # fmt: skip
        self._maker = Maker(self._given, Apt())

    def is_there(self, step: dict[str, Any]) -> bool:
        return self._maker.find(step) is not None

    def make(self, steps: list[dict[str, Any]]) -> str:
        """The reference of what the last step makes, once it is there. Whoever comes second to an image waits for it.

        Nothing is made where it is there already.
        """
        if not self.is_there(steps[-1]):
            for step in steps:
                self._make(step)
        return str(steps[-1]["reference"])

    def _make(self, step: dict[str, Any]) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            if "files" in step:
                context = Path(scratch) / "context.tar.gz"
                context.write_bytes(plan.archive(step["files"]))
                self._given["contexts"] = {step["name"]: str(context)}
            self._maker.ensure(step)
