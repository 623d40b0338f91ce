#!/usr/bin/python
"""A release of Ollama as a tree of files on the host, beside the one that runs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import gridtie_network, gridtie_pins
from ..module_utils.gridtie_command import CommandError
from ..module_utils.gridtie_host.command import docker_at
from ..module_utils.gridtie_host.models.download import Fetcher, FetchError, NotReachedError
from ..module_utils.gridtie_host.models.progress import Meter
from ..module_utils.gridtie_host.models.store import sha256_of
from ..module_utils.gridtie_progress import report
from ..module_utils.gridtie_release import (
    INCOMING,
    PROGRAMS,
    ReleaseError,
    Trees,
    program_of,
    take_from_image,
    tree_name,
    unpack,
)

DOCUMENTATION = r"""
module: gridtie_release
short_description: A release of Ollama, fetched, checked and unpacked beside the one that runs
description:
  - Fetches upstream's archives (continued where an earlier run stopped), compares each with its sha256 before anything
    is unpacked, and unpacks them into a new tree. The tree gets its name when it is whole and its program has run.
  - Switches nothing. Of earlier trees, the one that runs and those of O(keep) stay, so that there is a way back.
options:
  directory:
    description: Where the trees lie.
    type: path
    required: true
  version:
    description: The version of Ollama.
    type: str
    required: true
  archives:
    description: >-
      Upstream's archives, the main one first, each with C(file) and C(sha256), which may be empty: then it is what a
      host of the inventory learned before, or the first use decides.
    type: list
    elements: dict
    default: []
  base_url:
    description: What an archive's name is appended to, with a slash.
    type: str
    default: ""
  image:
    description: Instead of archives, the image that was built from package sources.
    type: str
    default: ""
  docker:
    description: The Docker that has the image.
    type: dict
    default: {}
  learned:
    description: >-
      Checksums that a host of the inventory learned before, C(version/file) to sha256. From the action plugin, which
      reads them from O(lock_file).
    type: dict
    default: {}
  learn:
    description: Whether the first use may decide. From the action plugin, by O(pins).
    type: bool
    default: true
  lock_file:
    description: The inventory's lock, on the controller.
    type: path
  ca_bundle:
    description: The CA bundle that downloads trust.
    type: str
    default: ""
  incoming:
    description: >-
      Where archives are fetched to and stay, or lie already, each as C(VERSION-FILE). Empty: beside the trees, until
      one is made of them.
    type: path
  unpacked:
    description: Whether a tree is made of them; off only fetches into O(incoming).
    type: bool
    default: true
  keep:
    description: Earlier trees that stay, by their directories.
    type: list
    elements: path
    default: []
extends_documentation_fragment: [gridtie.gridtie.gridtie_network, gridtie.gridtie.gridtie_pins]
author: Gridtie contributors
"""
EXAMPLES = r"""
- name: Unpack Ollama
  gridtie.gridtie.gridtie_release:
    directory: /opt/gridtie/ollama
    version: 0.32.15
    base_url: https://github.com/ollama/ollama/releases/download/v0.32.15
    archives:
      - file: ollama-linux-amd64.tar.zst
        sha256: 50539c5fe9bf85887733355098dcdb266b433cb8c73fa180713417e9ed6e42bb
    lock_file: "{{ inventory_dir }}/gridtie.lock.yaml"
    pins: learn
"""
RETURN = r"""
tree:
  description: The tree's directory.
  type: str
  returned: success
program:
  description: Where the program is in the tree.
  type: str
  returned: success
learned:
  description: Checksums that nobody knew before, as a lock says them.
  type: dict
  returned: success
recorded:
  description: What of them was written into the lock, as C(file@sha256). From the action plugin.
  type: list
  returned: success
fetched:
  description: The archives.
  type: list
  returned: without O(unpacked)
not_reached:
  description: Whether a failure means that no connection was made, so that another source may be tried.
  type: bool
  returned: failure
"""


class Maker:
    """Makes the wanted tree on this machine."""

    def __init__(self, given: dict[str, Any]) -> None:
        self._given = given
        self._trees = Trees(Path(given["directory"]))
        self._sums = {archive["file"]: self._expected(archive) for archive in given["archives"]}
        self.learned: dict[str, str] = {}

    @property
    def name(self) -> str:
        """The tree's name; empty as long as a checksum is not known."""
        parts = [self._given["image"]] if self._given["image"] else list(self._sums.values())
        return "" if None in parts else tree_name(self._given["version"], [str(part) for part in parts])

    def find(self) -> str:
        """The tree's directory, where it is there already."""
        return str(self._trees.directory / self.name) if self.name and self._trees.has(self.name) else ""

    def make(self) -> str:
        """Make the tree; its directory."""
        archives = self.fetch()
        scratch = self._trees.begin()
        try:
            self._fill(scratch, archives)
            self._trees.finish(scratch, self.name, self._given["version"])
        except (ReleaseError, CommandError):
            shutil.rmtree(scratch, ignore_errors=True)
            if (
                self.learned and not self._given["incoming"]
            ):  # No checksum says that it is right: the next run shall not continue with it.
                shutil.rmtree(self._incoming, ignore_errors=True)
            raise
        kept = [self.name, *(Path(path).name for path in self._given["keep"])]
        for path in [*self._trees.others(kept), *([] if self._given["incoming"] else [self._incoming])]:
            shutil.rmtree(path, ignore_errors=True)
        return self.find()

    def fetch(self) -> list[Path]:
        """The checked archives."""
        return [self._fetch(archive) for archive in self._given["archives"]]

    def fetch_only(self) -> list[Path]:
        """The checked archives, and nothing else beside them."""
        archives = self.fetch()
        for path in self._incoming.iterdir():
            if path not in archives:
                path.unlink()
        return archives

    def _fill(self, scratch: Path, archives: list[Path]) -> None:
        if self._given["image"]:
            docker = self._given["docker"]
            take_from_image(docker_at(docker["host"], docker["cli"]), self._given["image"], scratch)
        for archive in archives:
            unpack(archive, scratch)

    @property
    def _incoming(self) -> Path:
        return Path(self._given["incoming"] or self._trees.directory / INCOMING)

    def _expected(self, archive: dict[str, Any]) -> str | None:
        reference = self._reference(archive["file"])
        return gridtie_pins.expected(reference, archive["sha256"], self._given["learned"], self._given["learn"])

    def _reference(self, file: str) -> str:
        return f"{self._given['version']}/{file}"

    def _fetch(self, archive: dict[str, Any]) -> Path:
        """The checked archive."""
        file = archive["file"]
        # The version is part of the name: a remainder of another one is no beginning of this.
        target = self._incoming / f"{self._given['version']}-{file}"
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._sums[file] and target.is_file() and sha256_of(target) == self._sums[file]:
            return target
        meter = Meter(file, 0, report)
        url = f"{self._given['base_url']}/{file}"
        Fetcher(self._given["ca_bundle"]).download(url, target, self._sums[file] or "", meter.at)
        if self._sums[file] is None:
            self._sums[file] = self.learned[self._reference(file)] = sha256_of(target)
        return target


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "required": True},
            "version": {"type": "str", "required": True},
            "archives": {"type": "list", "elements": "dict", "default": []},
            "base_url": {"type": "str", "default": ""},
            "image": {"type": "str", "default": ""},
            "docker": {"type": "dict", "default": {}},
            "learned": {"type": "dict", "default": {}},
            "learn": {"type": "bool", "default": True},
            "ca_bundle": {"type": "str", "default": ""},
            "keep": {"type": "list", "elements": "path", "default": []},
            "incoming": {"type": "path"},
            "unpacked": {"type": "bool", "default": True},
            **gridtie_network.ARGUMENTS,
        },
        supports_check_mode=True,
    )
    given = module.params
    gridtie_network.use(given["network"])
    try:
        maker = Maker(given)
        if not given["unpacked"]:
            fetched = maker.fetch_only()
            learned = gridtie_pins.as_learned("archives", maker.learned) if maker.learned else {}
            module.exit_json(changed=False, tree="", program="", learned=learned, fetched=list(map(str, fetched)))
        found = maker.find()
        if found or module.check_mode:
            foretold = found or f"{given['directory']}/{maker.name or given['version']}"
            program = program_of(Path(foretold)) or PROGRAMS[0]
            diff = {} if found else {"before": "", "after": f"{foretold}/{program}\n", "after_header": "release"}
            module.exit_json(changed=not found, tree=foretold, program=program, learned={}, diff=diff)
        tree = maker.make()
    except NotReachedError as error:
        module.fail_json(msg=str(error), not_reached=True)
    except (gridtie_pins.PinError, ReleaseError, FetchError) as error:
        module.fail_json(msg=str(error), not_reached=False)
    except CommandError as error:
        module.fail_json(msg=str(error), stdout=error.output, not_reached=False)
    except OSError as error:
        module.fail_json(msg=f"{error.filename or given['directory']}: {error.strerror or error}", not_reached=False)
    learned = gridtie_pins.as_learned("archives", maker.learned) if maker.learned else {}
    module.exit_json(changed=True, tree=tree, program=program_of(Path(tree)), learned=learned)


if __name__ == "__main__":
    main()
