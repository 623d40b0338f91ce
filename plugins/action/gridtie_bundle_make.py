"""Make a bundle on the controller of what a host has collected; it gets its name when it is whole."""

from __future__ import annotations

import datetime
import gzip
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..plugin_utils import gridtie_bundle
from ..plugin_utils.gridtie_collection import ROOT, installed, version

# A bundle of the same files is the same, whenever it is made. (Zip files, which wheels are, begin in 1980.)
_DATE = 1577836800
# What a checkout without git has beside the project's own files.
_NOT_OURS = {".git", ".venv", ".cache", ".ansible", "__pycache__", "build", "bundles", "dist", "reports"}
_INVENTORIES = {"ci", "cluster", "localhost", "mac", "team"}


class ActionModule(ActionBase):
    """Arguments: ``state``; ``target``, the bundle's directory. With `made`: ``source``, where the host has collected
    files; ``images``, the references of those that were packed into it; ``lock_file``, the inventory's; ``facts``,
    which become its manifest.

    `begun` returns ``directory``, where parts are put meanwhile: those of the bundle that is there already, and what an
    interrupted run left.
    """

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Begin it, or finish it."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        target = Path(self._task.args["target"]).expanduser().absolute()
        scratch = target.with_name(f".{target.name}.partial")
        try:
            if self._task.args["state"] == "begun":
                _begin(scratch, target)
                return {**result, "changed": False, "directory": str(scratch)}
            return {**result, **self._make(scratch, target, task_vars)}
        except OSError as error:
            raise AnsibleActionFail(f"{error.filename or target}: {error.strerror or error}") from error

    def _make(self, scratch: Path, target: Path, task_vars: dict[str, Any] | None) -> dict[str, Any]:
        given = self._task.args
        listed = self._execute_module(
            "gridtie.gridtie.gridtie_bundle_parts",
            module_args={"state": "listed", "directory": given["source"]},
            task_vars=task_vars,
        )
        if listed.get("failed"):
            return dict(listed)
        for part in listed["parts"]:
            self._fetch(f"{given['source']}/{part['path']}", scratch / part["path"], part["sha256"])
        if not installed():
            _pack_checkout(ROOT, scratch / f"gridtie-{version()}.tar.gz")
        _take_lock(Path(given["lock_file"]).expanduser(), scratch)
        kept = {part["path"] for part in listed["parts"]}
        places = tuple(f"images/{gridtie_bundle.place(image)}/" for image in given["images"])
        for path in _files(scratch):
            if (
                path.startswith((*gridtie_bundle.FOR_HOSTS, "images/"))
                and path not in kept
                and not path.startswith(places)
            ):
                (scratch / path).unlink()
        facts = {"schema": gridtie_bundle.SCHEMA, "version": version(), **given["facts"]}
        sums = _describe(scratch, facts)
        if _same(target, sums, facts):
            shutil.rmtree(scratch)
            return {"changed": False, "bundle": str(target), "bytes": _bytes(target)}
        _reveal(scratch, target)
        return {"changed": True, "bundle": str(target), "bytes": _bytes(target)}

    def _fetch(self, source: str, target: Path, sha256: str) -> None:
        """Bring a file that is not here yet. Raises AnsibleActionFail where it is not what the host has."""
        if target.is_file():
            if _sha256(target) == sha256:
                return
            # It may be the same file as that of the bundle which is there already.
            target.unlink()
        target.parent.mkdir(parents=True, exist_ok=True)
        arriving = target.with_name(f".{target.name}.part")
        self._connection.fetch_file(source, str(arriving))
        if _sha256(arriving) != sha256:
            arriving.unlink()
            raise AnsibleActionFail(f"{source} did not arrive whole; run this again, it goes on from there")
        arriving.replace(target)


def _begin(scratch: Path, target: Path) -> None:
    """The directory in which it is made, with what is there of an earlier one under a second name."""
    if not scratch.is_dir() and target.is_dir():
        shutil.copytree(target, scratch, copy_function=_second_name, symlinks=True)
    scratch.mkdir(parents=True, exist_ok=True)


def _second_name(source: str, target: str) -> None:
    """A hard link, or a copy where the file system has none, as those of sticks."""
    try:
        os.link(source, target)
    except PermissionError:
        shutil.copyfile(source, target)


def _take_lock(lock: Path, scratch: Path) -> None:
    """The inventory's lock as it is now, or none; never written into the file of the bundle that is there already."""
    (scratch / gridtie_bundle.LOCK).unlink(missing_ok=True)
    if lock.is_file():
        shutil.copyfile(lock, scratch / gridtie_bundle.LOCK)


def _files(directory: Path) -> list[str]:
    """Paths of all files below it, without what is still arriving."""
    return sorted(
        path.relative_to(directory).as_posix()
        for path in directory.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    )


def _describe(directory: Path, facts: dict[str, Any]) -> dict[str, str]:
    """Write the manifest and the list of sums; the sums without the manifest's, which has the date in it."""
    own = (gridtie_bundle.MANIFEST, gridtie_bundle.SUMS)
    for name in own:
        # Never into the files of the bundle that is there already.
        (directory / name).unlink(missing_ok=True)
    sums = {path: _sha256(directory / path) for path in _files(directory)}
    facts["made"] = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    facts["files"] = {path: (directory / path).stat().st_size for path in sums}
    manifest = json.dumps(facts, indent=1, sort_keys=True) + "\n"
    (directory / gridtie_bundle.MANIFEST).write_text(manifest, encoding="utf-8")
    listed = {**sums, gridtie_bundle.MANIFEST: _sha256(directory / gridtie_bundle.MANIFEST)}
    lines = "".join(f"{sha256}  {path}\n" for path, sha256 in sorted(listed.items()))
    (directory / gridtie_bundle.SUMS).write_text(lines, encoding="utf-8")
    return sums


def _same(target: Path, sums: dict[str, str], facts: dict[str, Any]) -> bool:
    """Whether the bundle that is there has the same files and is for the same, whenever it was made."""
    try:
        there = gridtie_bundle.read(str(target))
    except gridtie_bundle.BundleError:
        return False
    found = {path: sha256 for path, sha256 in there.sums.items() if path != gridtie_bundle.MANIFEST}
    undated = {**facts, "made": there.facts["made"]}
    return found == sums and undated == there.facts and not gridtie_bundle.damaged(there)


def _reveal(scratch: Path, target: Path) -> None:
    """Give it its name; the one that had it before is there until then."""
    before = target.with_name(f".{target.name}.before")
    shutil.rmtree(before, ignore_errors=True)
    os.sync()
    if target.exists():
        target.rename(before)
    scratch.rename(target)
    shutil.rmtree(before, ignore_errors=True)


def _bytes(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _pack_checkout(root: Path, target: Path) -> None:
    """The project's files as a tar, in a directory of the version's name."""
    target.unlink(missing_ok=True)
    top = target.name.removesuffix(".tar.gz")
    with (
        target.open("wb") as raw,
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=_DATE) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for name in sorted(_checkout(root, target.parent)):
            archive.add(root / name, arcname=f"{top}/{name}", recursive=False, filter=_anonymous)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = _DATE
    return member


def _checkout(root: Path, scratch: Path) -> Iterator[str]:
    """The project's files in the checkout, as git has them where it is one of git's.

    What somebody keeps beside them stays here: inventories have addresses and may have keys, and bundles are large.
    """
    if (root / ".git").exists():
        # As root, or where it is shared, the checkout is somebody else's, which git would refuse to read.
        listed = ["git", "-c", f"safe.directory={root}", "-C", str(root), "ls-files", "-z", "--cached"]
        done = subprocess.run(listed, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            yield from (name for name in done.stdout.split("\0") if name and os.path.lexists(root / name))
            return
    for place, directories, names in os.walk(root):
        links = [name for name in directories if Path(place, name).is_symlink()]
        directories[:] = [name for name in directories if name not in {*_NOT_OURS, *links}]
        directories[:] = [name for name in directories if not name.endswith(".egg-info")]
        directories[:] = [name for name in directories if not _is_bundle(Path(place, name), scratch)]
        if Path(place) == root / "inventories":
            directories[:] = [name for name in directories if name in _INVENTORIES]
        yield from (Path(place, name).relative_to(root).as_posix() for name in (*names, *links))


def _is_bundle(directory: Path, scratch: Path) -> bool:
    """Whether it is this one in the making, or another: gridtie_bundle_dir may be anywhere in the checkout."""
    return directory == scratch or (directory / gridtie_bundle.SUMS).is_file()
