#!/usr/bin/python
"""The files of a bundle on a machine: told with their sha256, or checked and put where the station takes them from."""

from __future__ import annotations

import os
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Iterable, Iterator, Optional, cast

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.gridtie_apt_repository import settings
from ..module_utils.gridtie_host.models.download import DISK_RESERVE
from ..module_utils.gridtie_host.models.store import Checked, copy_and_hash, sha256_of
from ..module_utils.gridtie_machine import free_disk

DOCUMENTATION = r"""
module: gridtie_bundle_parts
short_description: Files of a bundle for machines without a network
description:
  - Called through the action plugins M(gridtie_bundle_make) and M(gridtie_bundle_give), which carry the files.
    Nothing gets its place that has not the sha256 that the bundle's list says.
options:
  state:
    description:
      - C(listed) tells every file of O(directory). C(there) tells which of O(parts) have their place in O(directory)
        and which need not be sent, and fails where the others have no room. C(placed) checks what has come in and gives
        it its place, so that the next can come. C(complete) ends it, and removes the bundle that was here before.
    type: str
    choices: [listed, there, placed, complete]
    required: true
  directory:
    description: Where the files are. A bundle that was here before lies beside it, and what both have is linked.
    type: path
    required: true
  incoming:
    description: Where files arrive, each under its sha256, or several as C(box.tar).
    type: path
  nearby:
    description: The bundle itself, where it lies on this machine. What can be read there has arrived.
    type: path
  parts:
    description: Each file's C(path), C(bytes) and C(sha256).
    type: list
    elements: dict
    default: []
author: Gridtie contributors
"""
EXAMPLES = r"""
- name: What is there
  gridtie.gridtie.gridtie_bundle_parts:
    state: listed
    directory: /var/cache/gridtie/bundle
"""
RETURN = r"""
parts:
  description: Files that are there, with C(listed) all of them.
  type: list
  returned: always
arrived:
  description: Files without a place that need not be sent, by their paths.
  type: list
  returned: with C(there)
complete:
  description: Whether nothing is left to do once all parts have their place.
  type: bool
  returned: with C(there)
"""

BOX = "box.tar"
# Files below this travel together: a hundred packages singly would take longer on their way than their bytes.
SMALL = 32 << 20
_CHECKED = ".checked.json"


class PartsError(Exception):
    """What came in is not what was sent; the message names it and says what to do."""


def listed(directory: Path) -> list[dict[str, Any]]:
    """Every file below the directory, readable by whoever fetches them."""
    _let_everybody_in(directory)
    return [
        {"path": path.relative_to(directory).as_posix(), "bytes": path.stat().st_size, "sha256": sha256_of(path)}
        for path in sorted(directory.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    ]


def there(directory: Path, parts: Iterable[dict[str, Any]], note: bool = True) -> list[str]:
    """Paths of those parts that have their place, as they were made; ``note``: which they are is kept for next time."""
    checked = Checked(directory / _CHECKED)
    whole = [part["path"] for part in parts if _is_whole(checked, directory / part["path"], part)]
    if note and directory.is_dir():
        checked.save()
    return whole


def _is_whole(checked: Checked, path: Path, part: dict[str, Any]) -> bool:
    return path.is_file() and checked.matches(path, f"sha256:{part['sha256']}")


@dataclass(frozen=True)
class Sources:
    """Where parts that have no place yet may lie: where files arrive, and the bundle itself on this machine."""

    incoming: Path
    nearby: Optional[Path] = None

    def path_of(self, part: dict[str, Any]) -> Optional[Path]:
        """The file that is to be this part, which nobody has compared with its sha256 yet."""
        places = [self.incoming / part["sha256"], *([self.nearby / part["path"]] if self.nearby else [])]
        # A person's own mount, as of a stick, may be closed to root.
        return next((place for place in places if os.access(place, os.R_OK) and place.is_file()), None)

    def find(self, awaited: dict[str, list[dict[str, Any]]]) -> Iterator[tuple[str, BinaryIO]]:
        """Those of the awaited parts that are here, in the box or singly, by their sha256."""
        if (self.incoming / BOX).is_file():
            with tarfile.open(self.incoming / BOX, "r:") as archive:
                for member in archive:
                    content = archive.extractfile(member)
                    if content is not None and member.name in awaited:
                        yield member.name, cast(BinaryIO, content)
        for sha256, (part, *_) in list(awaited.items()):
            if path := self.path_of(part):
                with path.open("rb") as file:
                    yield sha256, file


def parcels(parts: Iterable[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """How parts travel: the small ones together, each large one alone. Each parcel has its place before the next."""
    small = [part for part in parts if part["bytes"] < SMALL]
    return [*([small] if small else []), *([part] for part in parts if part["bytes"] >= SMALL)]


def kept(directory: Path, parts: Iterable[dict[str, Any]]) -> dict[str, Path]:
    """What a bundle that was here before has of these parts, by their paths."""
    found: dict[str, Path] = {}
    for other in directory.parent.glob("*/" + _CHECKED):
        checked, place = Checked(other), other.parent
        if place != directory:
            found.update(
                {part["path"]: place / part["path"] for part in parts if _is_whole(checked, place / part["path"], part)}
            )
    return found


def arrived(directory: Path, sources: Sources, parts: list[dict[str, Any]]) -> list[str]:
    """Paths of those of the parts that need not be sent. Raises PartsError where the others have no room."""
    linked = kept(directory, parts)
    copied = [part for part in parts if part["path"] not in linked]
    sent = [part for part in copied if not sources.path_of(part)]
    _have_room(directory, sources.incoming, copied, sent)
    return [part["path"] for part in parts if part not in sent]


def _have_room(directory: Path, incoming: Path, copied: list[dict[str, Any]], sent: list[dict[str, Any]]) -> None:
    """Raises PartsError. What is sent is there twice until it has its place, one parcel at a time."""
    needed = sum(part["bytes"] for part in copied)
    twice = max((sum(part["bytes"] for part in parcel) for parcel in parcels(sent)), default=0)
    place, arrival = free_disk(str(directory)), free_disk(str(incoming))
    wanted = {str(directory.parent): (needed, place)}
    if place["device"] == arrival["device"]:
        wanted = {str(directory.parent): (needed + twice, place)}
    elif twice:
        wanted[str(incoming.parent)] = (twice, arrival)
    for path, (size, disk) in wanted.items():
        free = cast(int, disk["free"])
        if size and size + DISK_RESERVE > free:
            raise PartsError(
                f"what the bundle has for this host takes {size / 1e9:.2f} GB at {path} until it has its place, and "
                f"{free / 1e9:.2f} GB are free, of which {DISK_RESERVE / 1e9:.2f} GB stay free; nothing of it was "
                "sent: make room there, or mount a larger disk at it, and run this again"
            )


def put(directory: Path, sources: Sources, parts: list[dict[str, Any]]) -> None:
    """Give each of these parts that is not there its place, from where it lies. Raises PartsError."""
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    checked = Checked(directory / _CHECKED)
    missing = [part for part in parts if not _is_whole(checked, directory / part["path"], part)]
    before = kept(directory, missing)
    for path, file in before.items():
        _link(file, directory / path)
    awaited: dict[str, list[dict[str, Any]]] = {}
    for part in missing:
        if part["path"] not in before:
            awaited.setdefault(part["sha256"], []).append(part)
    for sha256, content in sources.find(awaited):
        first, *others = (directory / part["path"] for part in awaited.pop(sha256))
        whole = _take(content, first, sha256)
        # It has its place, or would be taken for arrived by the next run.
        (sources.incoming / sha256).unlink(missing_ok=True)
        if not whole:
            raise PartsError(f"{first.name} of the bundle did not arrive whole; run this again")
        # Two names of one model have the same manifest, which arrives once.
        for other in others:
            _link(first, other)
    (sources.incoming / BOX).unlink(missing_ok=True)
    if lacking := [part["path"] for same in awaited.values() for part in same]:
        raise PartsError(f"{', '.join(lacking)} of the bundle did not arrive; run this again")
    for part in parts:
        checked.trust(directory / part["path"], f"sha256:{part['sha256']}")
    checked.save()


def is_complete(directory: Path) -> bool:
    """Whether nothing is left to do once all parts have their place."""
    return (directory / "lists" / "partial").is_dir()


def complete(directory: Path, incoming: Path) -> None:
    """Have apt know where packages are, and give up what nobody needs any more."""
    for name, text in settings(str(directory)).items():
        (directory / name).write_text(text, encoding="utf-8")
    _let_everybody_in(directory)
    # apt makes what it needs in there, and not the directory itself.
    (directory / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    for other in directory.parent.iterdir():
        if other != directory:
            shutil.rmtree(other, ignore_errors=True)
    shutil.rmtree(incoming, ignore_errors=True)


def _link(file: Path, target: Path) -> None:
    """A second name of a file that was compared with its sha256; it takes no room."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    os.link(file, target)


def _take(content: BinaryIO, target: Path, sha256: str) -> bool:
    """Copy a file to its place, if it is what its sha256 says: where it came in, others may write to it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(f".{target.name}.part")
    try:
        whole = copy_and_hash(content, scratch) == sha256
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise PartsError(
            f"{target} of the bundle could not be copied: {error.strerror}; until a bundle is whole, the one before "
            "it takes its room as well: make room there, or mend the disk, and run this again"
        ) from error
    if whole:
        scratch.replace(target)
    else:
        scratch.unlink()
    return whole


def _let_everybody_in(directory: Path) -> None:
    """apt reads packages as a user of its own, whatever root's umask was."""
    for path in [directory, *directory.rglob("*")]:
        if "lists" not in path.relative_to(directory).parts[:1]:
            path.chmod(0o755 if path.is_dir() else 0o644)


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["listed", "there", "placed", "complete"], "required": True},
            "directory": {"type": "path", "required": True},
            "incoming": {"type": "path"},
            "nearby": {"type": "path"},
            "parts": {"type": "list", "elements": "dict", "default": []},
        },
        supports_check_mode=True,
    )
    given = module.params
    directory, state = Path(given["directory"]), given["state"]
    try:
        if state == "listed":
            module.exit_json(changed=False, parts=listed(directory))
        sources = Sources(Path(given["incoming"]), Path(given["nearby"]) if given["nearby"] else None)
        if state == "there":
            whole = there(directory, given["parts"], note=not module.check_mode)
            missing = [part for part in given["parts"] if part["path"] not in whole]
            here = arrived(directory, sources, missing)
            module.exit_json(changed=False, parts=whole, arrived=here, complete=is_complete(directory))
        if state == "placed":
            put(directory, sources, given["parts"])
        else:
            complete(directory, sources.incoming)
    except (PartsError, tarfile.TarError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=True, parts=[])


if __name__ == "__main__":
    main()
