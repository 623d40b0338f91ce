#!/usr/bin/python
"""The files of a bundle on a machine: told with their sha256, or checked and put where the station takes them from."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path
from typing import Any, BinaryIO, Collection, Iterable, Iterator, cast

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.gridtie_apt_repository import settings
from ..module_utils.gridtie_host.models.store import Checked, copy_and_hash, sha256_of

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
        and which lie whole in O(incoming). C(placed) checks what has come in and gives it its place, and removes the
        bundle that was here before.
    type: str
    choices: [listed, there, placed]
    required: true
  directory:
    description: Where the files are.
    type: path
    required: true
  incoming:
    description: Where files arrive, each under its sha256, or several as C(box.tar).
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
  description: Files that lie whole in O(incoming), by their paths.
  type: list
  returned: with C(there)
"""

BOX = "box.tar"
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


def put(directory: Path, incoming: Path, parts: list[dict[str, Any]]) -> None:
    """Give each part that is not there its place, from what has come in. Raises PartsError."""
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    here = there(directory, parts)
    awaited: dict[str, list[str]] = {}
    for part in parts:
        if part["path"] not in here:
            awaited.setdefault(part["sha256"], []).append(part["path"])
    for sha256, content in _arrived(incoming, awaited):
        first, *others = (directory / path for path in awaited.pop(sha256))
        if not _take(content, first, sha256):
            # There under its name, the next run would take it for arrived.
            (incoming / sha256).unlink(missing_ok=True)
            raise PartsError(f"{first.name} of the bundle did not arrive whole; run this again")
        # Two names of one model have the same manifest, which arrives once.
        for other in others:
            with first.open("rb") as file:
                _take(file, other, sha256)
    if awaited:
        names = ", ".join(path for paths in awaited.values() for path in paths)
        raise PartsError(f"{names} of the bundle did not arrive; run this again")
    for name, text in settings(str(directory)).items():
        (directory / name).write_text(text, encoding="utf-8")
    _let_everybody_in(directory)
    # apt makes what it needs in there, and not the directory itself.
    (directory / "lists" / "partial").mkdir(parents=True, exist_ok=True)


def _arrived(incoming: Path, awaited: Collection[str]) -> Iterator[tuple[str, BinaryIO]]:
    """Those of the awaited files that have come in, by their sha256, singly or in the box."""
    if (incoming / BOX).is_file():
        with tarfile.open(incoming / BOX, "r:") as archive:
            for member in archive:
                content = archive.extractfile(member)
                if content is not None and member.name in awaited:
                    yield member.name, cast(BinaryIO, content)
    for sha256 in list(awaited):
        if (incoming / sha256).is_file():
            with (incoming / sha256).open("rb") as file:
                yield sha256, file


def _take(content: BinaryIO, target: Path, sha256: str) -> bool:
    """Copy a file to its place, if it is what its sha256 says: where it came in, others may write to it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(f".{target.name}.part")
    try:
        whole = copy_and_hash(content, scratch) == sha256
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise PartsError(
            f"{target} of the bundle could not be written: {error.strerror}; a bundle takes its size twice while it "
            "arrives, and that of the one before; make room there, or mend the disk, and run this again"
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


def forget_others(directory: Path) -> None:
    """Remove bundles that were here before, which lie beside it."""
    for other in directory.parent.iterdir():
        if other != directory:
            shutil.rmtree(other, ignore_errors=True)


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["listed", "there", "placed"], "required": True},
            "directory": {"type": "path", "required": True},
            "incoming": {"type": "path"},
            "parts": {"type": "list", "elements": "dict", "default": []},
        },
        supports_check_mode=True,
    )
    given = module.params
    directory, state = Path(given["directory"]), given["state"]
    try:
        if state == "listed":
            module.exit_json(changed=False, parts=listed(directory))
        incoming = Path(given["incoming"])
        if state == "there":
            arrived = [part["path"] for part in given["parts"] if (incoming / part["sha256"]).is_file()]
            whole = there(directory, given["parts"], note=not module.check_mode)
            module.exit_json(changed=False, parts=whole, arrived=arrived)
        put(directory, incoming, given["parts"])
        forget_others(directory)
        shutil.rmtree(incoming, ignore_errors=True)
    except (PartsError, tarfile.TarError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=True, parts=[])


if __name__ == "__main__":
    main()
