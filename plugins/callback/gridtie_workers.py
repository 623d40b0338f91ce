"""What the workers of a run would each do again is done once: packing modules, and looking for garbage."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any, Iterator

import ansible.release
from ansible import constants
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: gridtie_workers
type: aggregate
short_description: Packed modules outlive a run
description:
  - Ansible packs each module with all that it imports, which takes a quarter of a second, and forgets it with the run.
    Here they are kept in the virtual environment that Ansible runs from, until Ansible or one of the modules changes.
  - Where there is no such environment, or it is somebody else's, Ansible packs as it always does.
"""

_PLUGINS = Path(__file__).resolve().parents[1]
# Packed modules of another state of the checkout are kept this long: a run that began with them may still go on.
_KEPT_S = 24 * 3600


class CallbackModule(CallbackBase):
    """Acts once, before the first worker is forked."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "gridtie_workers"
    CALLBACK_NEEDS_ENABLED = True

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Have this run's workers find what runs before it packed, and leave the garbage of the start alone."""
        # Without it the run is slower, and nothing else.
        with contextlib.suppress(OSError):
            keep_packed_modules(Path(constants.DEFAULT_LOCAL_TMP), Path(sys.prefix))
        # A worker is a fork: to look through what it inherited copies it, and finds nothing.
        gc.collect()
        gc.freeze()


def keep_packed_modules(temporary: Path, environment: Path) -> None:
    """Let `ansiballz_cache`, where Ansible puts packed modules for the length of a run, lead into the environment.

    An OSError where that cannot be done; Ansible then makes the directory itself.
    """
    if environment.stat().st_uid != os.geteuid() or not (environment / "pyvenv.cfg").exists():
        return
    kept = environment / "packed-modules"
    packed = kept / _state()
    packed.mkdir(parents=True, exist_ok=True)
    if not os.access(packed, os.W_OK):
        return
    _drop_unfinished(packed)
    os.utime(packed)
    _drop_old(kept)
    (temporary / "ansiballz_cache").symlink_to(packed)


def _state() -> str:
    """Changes with Ansible, with Python and with every module of ours."""
    state = hashlib.sha256(f"{ansible.release.__version__} {ansible.__file__} {sys.version}".encode())
    for path in _sources():
        content = path.read_bytes()
        state.update(f"{path} {len(content)} ".encode() + content)
    return state.hexdigest()[:16]


def _sources() -> Iterator[Path]:
    for directory in ("modules", "module_utils"):
        # Of module_utils, a package is a link to the one in src/, which a search by pattern would not enter.
        for folder, _, names in sorted(os.walk(_PLUGINS / directory, followlinks=True)):
            yield from (Path(folder, name) for name in sorted(names) if name.endswith(".py"))


def _drop_unfinished(packed: Path) -> None:
    """Ansible renames without flushing, so that a file may have lost its end when the machine lost power."""
    for path in packed.iterdir():
        if path.name.endswith((".lock", "-part")):
            continue
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 1))
            # What ends every pickle: the opcode STOP.
            whole = file.read() == b"."
        if not whole:
            path.unlink(missing_ok=True)


def _drop_old(kept: Path) -> None:
    for state in kept.iterdir():
        if time.time() - state.stat().st_mtime > _KEPT_S:
            shutil.rmtree(state, ignore_errors=True)
