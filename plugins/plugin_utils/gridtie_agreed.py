"""What the hosts of an inventory have agreed on: its lock, as the action plugins of this project use it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail

from . import gridtie_collection  # noqa: F401 - it makes the package known

# isort: split
from gridtie.lock import Choice, Learned, Lock, LockError, choose, not_kept, read, record, take_over

__all__ = ["Agreed", "Choice", "Learned", "Lock", "LockError", "choose", "not_kept", "read", "record", "take_over"]


class Agreed:
    """The digests that hold for one host, and a way to add to them.

    The lock is read anew for each task: a host that worked a moment before may have learned what this one needs.
    """

    def __init__(self, arguments: dict[str, Any], task_vars: Mapping[str, Any] | None, lock: str = "lock_file") -> None:
        """Take the arguments about pins, which the module does not know, out of a task's ``arguments``."""
        self.learn = arguments.pop("pins", "learn") == "learn"
        self._path = Path(arguments.pop(lock)).expanduser()
        self._former: Learned = arguments.pop("former_pins", None) or {}
        self._host = str((task_vars or {}).get("inventory_hostname", ""))

    def digests(self, kind: str) -> dict[str, dict[str, str]]:
        """Reference to digests by name: the lock's, and where it has none the host's own of an earlier version."""
        former = {reference: dict(digests) for reference, digests in self._former.get(kind, {}).items()}
        return {**former, **self._lock().digests(kind)}

    def digest(self, kind: str, name: str) -> dict[str, str]:
        """Reference to the digest of that name."""
        return {reference: found[name] for reference, found in self.digests(kind).items() if name in found}

    def record(self, learned: Learned) -> list[str]:
        """Write into the lock what this host learned; it in words. Fails where another host was first, and differs."""
        try:
            record(self._path, self._host, learned)
        except LockError as error:
            raise AnsibleActionFail(str(error)) from error
        return [
            f"{reference}@{next(iter(digests.values()))}"
            for things in learned.values()
            for reference, digests in things.items()
        ]

    def _lock(self) -> Lock:
        try:
            return read(self._path)
        except LockError as error:
            raise AnsibleActionFail(str(error)) from error
