"""Images of a station, made on this machine by the product's own code, as a host of the lab would make them."""

from __future__ import annotations

import platform
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Any

import yaml

from lab.host import bundle

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from plugins.action.gridtie_image import read_tree  # noqa: E402 - the path is set above
from plugins.module_utils import gridtie_image_plan as plan  # noqa: E402
from plugins.module_utils.gridtie_docker import inspect  # noqa: E402
from plugins.modules.gridtie_image import Maker  # noqa: E402


def artefacts() -> dict[str, Any]:
    """What the checkout pins."""
    pinned: dict[str, Any] = yaml.safe_load((ROOT / "config/artefacts.yaml").read_text(encoding="utf-8"))
    return pinned


def checkout() -> dict[str, bytes]:
    """The checkout's files that images are made from, by their paths."""
    return read_tree(ROOT)


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
            "config_dir": "/nonexistent", "require_pins": False, "package_settings": {}, "package_addresses": {},
            "proxies": {},
        }  # fmt: skip
        self._maker = Maker(self._given)

    def is_there(self, step: dict[str, Any]) -> bool:
        return self._maker.find(step) is not None

    def make(self, step: dict[str, Any]) -> str:
        """Its reference, once it is there. Whoever comes second to an image waits for it."""
        with tempfile.TemporaryDirectory() as scratch:
            if "files" in step:
                context = Path(scratch) / f"{uuid.uuid4().hex}.tar.gz"
                context.write_bytes(plan.archive(step["files"]))
                self._given["contexts"] = {step["name"]: str(context)}
            self._maker.ensure(step)
        return str(step["reference"])
