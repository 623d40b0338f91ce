"""A set of files and directories as they shall be, compared first and then written one by one, each atomically."""

from __future__ import annotations

import base64
import contextlib
import grp
import hashlib
import os
import pwd
import stat
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable


def user_id(name: str | int | None) -> int:
    """The numeric user of a name; -1 (leave as it is) where none is given. ``KeyError`` where there is no such user.

    On a Mac a station is a person's own: what is root's elsewhere stays that person's, since only root gives away.
    """
    if name is None or sys.platform == "darwin":
        return -1
    return int(name) if str(name).isdigit() else pwd.getpwnam(str(name)).pw_uid


def group_id(name: str | int | None) -> int:
    """The numeric group of a name, as ``user_id``."""
    if name is None or sys.platform == "darwin":
        return -1
    return int(name) if str(name).isdigit() else grp.getgrnam(str(name)).gr_gid


def write_atomically(path: str, content: bytes, mode: int, uid: int = -1, gid: int = -1) -> None:
    """Replace the file in one step: a reader sees the old content or the new, and a crash leaves one of them.

    Mode and owner are set before the file gets its name, so that a secret is never readable in between.
    """
    directory = Path(path).parent
    descriptor, temporary = tempfile.mkstemp(prefix=f".{Path(path).name}.", dir=directory)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            os.fchown(file.fileno(), uid, gid)
            os.fchmod(file.fileno(), mode)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise


def _metadata(path: str, mode: int, uid: int, gid: int) -> list[str]:
    """What about mode and owner is not as it shall be."""
    found = os.lstat(path)
    wrong = []
    if stat.S_IMODE(found.st_mode) != mode:
        wrong.append(f"mode {stat.S_IMODE(found.st_mode):04o} -> {mode:04o}")
    if uid not in (-1, found.st_uid):
        wrong.append(f"owner {found.st_uid} -> {uid}")
    if gid not in (-1, found.st_gid):
        wrong.append(f"group {found.st_gid} -> {gid}")
    return wrong


def _diff(path: str, before: bytes, after: bytes, hidden: str | bool = False) -> dict[str, str]:
    """What ``--diff`` shows; of a secret or a program only that it changed."""
    sides = [
        (f"({hidden}, sha256 {hashlib.sha256(side).hexdigest()[:12]})\n" if side else "") if hidden
        else side.decode("utf-8", "replace")
        for side in (before, after)
    ]  # fmt: skip
    return {"before_header": path, "after_header": path, "before": sides[0], "after": sides[1]}


def _take_over(path: str, user: str, uid: int, gid: int, check: bool) -> int:
    """Give what a user owns below a directory to another one; how much there was."""
    try:
        before = user_id(user)
    except KeyError:
        return 0  # Nobody of that name was ever here.
    return 0 if before in (-1, uid) else _give(path, lambda found: found.st_uid == before, None, uid, gid, check)


def _take_over_group(path: str, group: str, gid: int, check: bool) -> int:
    """Give what belongs to a group below a directory to another group; how much there was.

    What is closed to its group (an audit log is) stays as it is, with all that is in it.
    """
    try:
        before = group_id(group)
    except KeyError:
        return 0
    if before in (-1, gid):
        return 0
    return _give(path, lambda found: found.st_gid == before and _open_to_group(found), _open_to_group, -1, gid, check)


def _open_to_group(found: os.stat_result) -> bool:
    return bool(found.st_mode & stat.S_IRWXG)


def _give(
    path: str,
    wanted: Callable[[os.stat_result], bool],
    entered: Callable[[os.stat_result], bool] | None,
    uid: int,
    gid: int,
    check: bool,
) -> int:
    """Links are not followed. `entered`: which directories; None is all of them."""
    given = 0
    for _, directories, files, handle in os.fwalk(path):
        found = {name: os.stat(name, dir_fd=handle, follow_symlinks=False) for name in (*directories, *files)}
        for name in filter(lambda each: wanted(found[each]), found):
            given += 1
            if not check:
                os.chown(name, uid, gid, dir_fd=handle, follow_symlinks=False)
        if entered:
            directories[:] = [name for name in directories if entered(found[name])]
    return given


def ensure_directory(entry: dict[str, Any], check: bool) -> dict[str, Any] | None:
    """Make a directory as described, or say what is to be made; nothing where it is right already.

    ``taken_from`` names a user whose files below it are given to the directory's owner, ``group_taken_from`` a group
    whose files below it are given to the directory's group.
    """
    path, mode = entry["path"], int(str(entry.get("mode", "0755")), 8)
    if not Path(path).is_dir():
        if not check:
            Path(path).mkdir(exist_ok=True, parents=True)
            os.chown(path, user_id(entry.get("owner")), group_id(entry.get("group")))
            Path(path).chmod(mode)
        return {
            "path": path,
            "diff": {"before_header": path, "after_header": path, "before": "", "after": "directory\n"},
        }
    owner = _owner(entry, check)
    wrong = _metadata(path, mode, *owner)
    if wrong and not check:
        os.chown(path, *owner)
        Path(path).chmod(mode)
    if entry.get("taken_from") and (taken := _take_over(path, entry["taken_from"], *owner, check)):
        wrong.append(f"{taken} below it: owner {entry['taken_from']} -> {owner[0]}")
    if entry.get("group_taken_from") and (taken := _take_over_group(path, entry["group_taken_from"], owner[1], check)):
        wrong.append(f"{taken} below it: group {entry['group_taken_from']} -> {owner[1]}")
    return {"path": path, "diff": {"prepared": f"{path}: {', '.join(wrong)}\n"}} if wrong else None


def _owner(entry: dict[str, Any], check: bool) -> tuple[int, int]:
    try:
        return user_id(entry.get("owner")), group_id(entry.get("group"))
    except KeyError:
        if check:  # A real run would have made the user before.
            return -1, -1
        raise


def ensure_file(entry: dict[str, Any], check: bool) -> dict[str, Any] | None:
    """Write a file as described, or say what is to be written; nothing where it is right already."""
    path, mode = entry["path"], int(str(entry.get("mode", "0644")), 8)
    binary = "content_base64" in entry
    wanted = base64.b64decode(entry["content_base64"]) if binary else entry["content"].encode()
    uid, gid = _owner(entry, check)
    try:
        with Path(path).open("rb") as file:
            found: bytes | None = file.read()
    except FileNotFoundError:
        found = None
    if found == wanted and not Path(path).is_symlink():
        wrong = _metadata(path, mode, uid, gid)
        if wrong and not check:
            os.chown(path, uid, gid)
            Path(path).chmod(mode)
        return {"path": path, "diff": {"prepared": f"{path}: {', '.join(wrong)}\n"}} if wrong else None
    if not check:
        write_atomically(path, wanted, mode, uid, gid)
    return {
        "path": path,
        "diff": _diff(path, found or b"", wanted, "secret" if entry.get("secret") else binary and "binary"),
    }


def ensure_link(entry: dict[str, Any], check: bool) -> dict[str, Any] | None:
    """Make a symbolic link. ``FileExistsError`` where something that is not a link has the name."""
    path, target = entry["path"], entry["target"]
    if Path(path).is_symlink():
        found = str(Path(path).readlink())
        if found == target:
            return None
    elif os.path.lexists(path):
        raise FileExistsError(f"{path} is there and is not a link of ours; move it away or set gridtie_bin_dir")
    else:
        found = ""
    if not check:
        temporary = f"{path}.new.{os.getpid()}"
        Path(temporary).symlink_to(target)
        Path(temporary).replace(path)
    return {"path": path, "diff": _diff(path, f"-> {found}\n".encode() if found else b"", f"-> {target}\n".encode())}


def remove(path: str, check: bool) -> dict[str, Any] | None:
    """Remove a file, a link, or a directory with all that is in it."""
    import shutil

    if not os.path.lexists(path):
        return None
    kind = "directory" if Path(path).is_dir() and not Path(path).is_symlink() else "file"
    if not check:
        if kind == "directory":
            shutil.rmtree(path)
        else:
            Path(path).unlink()
    return {"path": path, "diff": {"before_header": path, "after_header": path, "before": f"{kind}\n", "after": ""}}
