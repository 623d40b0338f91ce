#!/usr/bin/python
"""A release of Ollama as a tree of files on the host, beside the one that runs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import gridtie_files, gridtie_network, gridtie_pins
from ..module_utils.gridtie_command import CommandError
from ..module_utils.gridtie_host.models.download import Fetcher, FetchError, NotReachedError
from ..module_utils.gridtie_host.models.progress import Meter
from ..module_utils.gridtie_host.models.store import sha256_of
from ..module_utils.gridtie_machine import read_text
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
      Upstream's archives, the main one first, each with C(file) and C(sha256), which may be empty: then the first use
      decides, unless O(require_pins).
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
  config_dir:
    description: The station's configuration directory; first-use checksums are recorded in its pins.json.
    type: path
    required: true
  require_pins:
    description: Refuse what has no checksum yet.
    type: bool
    default: false
  ca_bundle:
    description: The CA bundle that downloads trust.
    type: str
    default: ""
  keep:
    description: Earlier trees that stay, by their directories.
    type: list
    elements: path
    default: []
  network:
    description: Proxies by which this machine goes out. What is empty stays the machine's own.
    type: dict
    suboptions:
      http_proxy: {description: For http addresses., type: str, default: ""}
      https_proxy: {description: For https addresses., type: str, default: ""}
      no_proxy: {description: "Hosts that are reached directly, separated by commas.", type: str, default: ""}
author: Gridtie contributors
"""
EXAMPLES = r"""
- name: Unpack Ollama
  gridtie_release:
    directory: /opt/gridtie/ollama
    version: 0.32.15
    base_url: https://github.com/ollama/ollama/releases/download/v0.32.15
    archives:
      - file: ollama-linux-amd64.tar.zst
        sha256: 50539c5fe9bf85887733355098dcdb266b433cb8c73fa180713417e9ed6e42bb
    config_dir: /etc/gridtie
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
recorded:
  description: Checksums that were not known before and are accepted from now on, as C(file@sha256).
  type: list
  returned: success
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
        self._pins_path = f"{given['config_dir']}/pins.json"
        self._sums = {archive["file"]: self._expected(archive) for archive in given["archives"]}
        self.recorded: list[str] = []

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
        archives = [self._fetch(archive) for archive in self._given["archives"]]
        scratch = self._trees.begin()
        try:
            self._fill(scratch, archives)
            self._trees.finish(scratch, self.name, self._given["version"])
        except (ReleaseError, CommandError):
            shutil.rmtree(scratch, ignore_errors=True)
            if self.recorded:  # No checksum says that it is right: the next run shall not continue with it.
                shutil.rmtree(self._incoming, ignore_errors=True)
            raise
        self._record()
        kept = [self.name, *(Path(path).name for path in self._given["keep"])]
        for path in [*self._trees.others(kept), self._incoming]:
            shutil.rmtree(path, ignore_errors=True)
        return self.find()

    def _fill(self, scratch: Path, archives: list[Path]) -> None:
        if self._given["image"]:
            docker = self._given["docker"]
            take_from_image([docker["cli"], "--host", docker["host"]], self._given["image"], scratch)
        for archive in archives:
            unpack(archive, scratch)

    @property
    def _incoming(self) -> Path:
        return self._trees.directory / INCOMING

    def _expected(self, archive: dict[str, Any]) -> str | None:
        pins = gridtie_pins.read(read_text(self._pins_path))
        reference = f"{self._given['version']}/{archive['file']}"
        return gridtie_pins.expected(
            reference, archive["sha256"] or None, pins, self._given["require_pins"], kind="files"
        )

    def _fetch(self, archive: dict[str, Any]) -> Path:
        """The checked archive."""
        file = archive["file"]
        # The version is part of the name: a remainder of another one is no beginning of this.
        target = self._incoming / f"{self._given['version']}-{file}"
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        meter = Meter(file, 0, report)
        url = f"{self._given['base_url']}/{file}"
        Fetcher(self._given["ca_bundle"]).download(url, target, self._sums[file] or "", meter.at)
        if self._sums[file] is None:
            self._sums[file] = sha256_of(target)
            self.recorded.append(f"{file}@{self._sums[file]}")
        return target

    def _record(self) -> None:
        """Accept nothing else from now on than what came at the first use, and ran."""
        for entry in self.recorded:
            file, _, sha256 = entry.rpartition("@")
            pins = gridtie_pins.read(read_text(self._pins_path))
            text = gridtie_pins.recorded(pins, f"{self._given['version']}/{file}", sha256, kind="files")
            gridtie_files.write_atomically(self._pins_path, text.encode(), 0o644)


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
            "config_dir": {"type": "path", "required": True},
            "require_pins": {"type": "bool", "default": False},
            "ca_bundle": {"type": "str", "default": ""},
            "keep": {"type": "list", "elements": "path", "default": []},
            **gridtie_network.ARGUMENTS,
        },
        supports_check_mode=True,
    )
    given = module.params
    gridtie_network.use(given["network"])
    try:
        maker = Maker(given)
        found = maker.find()
        if found or module.check_mode:
            foretold = found or f"{given['directory']}/{maker.name or given['version']}"
            program = program_of(Path(foretold)) or PROGRAMS[0]
            diff = {} if found else {"before": "", "after": f"{foretold}/{program}\n", "after_header": "release"}
            module.exit_json(changed=not found, tree=foretold, program=program, recorded=[], diff=diff)
        tree = maker.make()
    except NotReachedError as error:
        module.fail_json(msg=str(error), not_reached=True)
    except (gridtie_pins.PinError, ReleaseError, FetchError) as error:
        module.fail_json(msg=str(error), not_reached=False)
    except CommandError as error:
        module.fail_json(msg=str(error), stdout=error.output, not_reached=False)
    except OSError as error:
        module.fail_json(msg=f"{error.filename or given['directory']}: {error.strerror or error}", not_reached=False)
    module.exit_json(changed=True, tree=tree, program=program_of(Path(tree)), recorded=maker.recorded)


if __name__ == "__main__":
    main()
