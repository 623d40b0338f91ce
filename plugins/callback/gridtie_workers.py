"""What workers would do again and again is done once: packing modules, compiling them, and looking for garbage."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import functools
import gc
import hashlib
import importlib.util
import io
import marshal
import os
import pickle
import shutil
import sys
import time
import zipfile
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
    Its own and those of this collection are kept in the virtual environment that Ansible runs from, until Ansible or
    one of the modules changes.
  - Where all hosts of a run are this machine, they are also compiled, for the Python that runs them here.
  - Where there is no such environment, or it is somebody else's, Ansible packs as it always does.
"""

_PLUGINS = Path(__file__).resolve().parents[1]
# Packed modules of another state of the checkout are kept this long: a run that began with them may still go on.
_KEPT_S = 24 * 3600
# As many objects more than there were, and Python looks for garbage: a few megabytes. Its own 2,000 cost a fifteenth of
# Ansible's computing.
_GARBAGE = 100_000
# What is known not to have changed: Ansible's own, and ours. Anybody else's (another collection's, or `ansible.legacy`,
# beside a playbook or in a role) may be another in the next run, under the same name.
_OURS = ("ansible.modules.", "ansible_collections.gridtie.gridtie.")
# What is there beside the modules: locks, and what somebody is about to write.
_UNFINISHED = (".lock", "-part")


class CallbackModule(CallbackBase):
    """Acts before the first worker is forked, and after the last one."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "gridtie_workers"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._begun = False
        # Where this run's modules are kept in the end, and whether compiled.
        self._packed: Path | None = None
        self._compiled = False

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Have this run's workers find what runs before it packed, and leave the garbage of the start alone."""
        if self._begun:
            return
        self._begun = True
        self._compiled = _is_here(play)
        # Without it the run is slower, and nothing else.
        with contextlib.suppress(OSError):
            self._packed = find_packed_modules(_own(), Path(sys.prefix), compiled=self._compiled)
        # A worker is a fork: to look through what it inherited copies it, and finds nothing. What it makes itself goes
        # with it, long before there is much of it.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GARBAGE, 50, 50)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Keep what this run packed, for the next one."""
        # Sources that changed while it ran, as by `git pull`, are in some of it.
        if self._packed and self._packed.name == _name(self._compiled):
            # A later Ansible may pack in another way.
            with contextlib.suppress(Exception):
                keep_packed_modules(_own(), self._packed)
                if self._compiled:
                    compile_packed_modules(self._packed)


def _own() -> Path:
    """Where Ansible puts packed modules for the length of a run."""
    return Path(constants.DEFAULT_LOCAL_TMP) / "ansiballz_cache"


def _is_here(play: Any) -> bool:
    """Whether all hosts of the inventory are this machine: its Python is known, and nothing goes through a network."""
    manager, usual = play.get_variable_manager(), play.connection or constants.DEFAULT_TRANSPORT
    told = (manager.get_vars(play=play, host=host) for host in manager._inventory.get_hosts())
    return all(known.get("ansible_connection", usual) == "local" for known in told)


def find_packed_modules(own: Path, environment: Path, *, compiled: bool) -> Path | None:
    """Make `own`, the directory of this run alone, with links to what is kept in the environment.

    Returns where that is, None where nothing is kept. What is ``compiled`` has a place of its own: elsewhere it would
    be twice as much to send, for another Python. An OSError where it cannot be done; Ansible then packs anew.
    """
    if environment.stat().st_uid != os.geteuid() or not (environment / "pyvenv.cfg").exists():
        return None
    kept = environment / "packed-modules"
    packed = kept / _name(compiled)
    packed.mkdir(parents=True, exist_ok=True)
    if not os.access(packed, os.W_OK):
        return None
    _drop_unfinished(packed)
    os.utime(packed)
    _drop_old(kept)
    own.mkdir()
    for path in packed.iterdir():
        if path.name.startswith(_OURS) and not path.name.endswith(_UNFINISHED):
            (own / path.name).symlink_to(path)
    return packed


def keep_packed_modules(own: Path, packed: Path) -> None:
    """Keep of what a run packed itself that which the next one may take."""
    for path in own.iterdir():
        if path.name.startswith(_OURS) and not path.name.endswith(_UNFINISHED) and not path.is_symlink():
            _write(packed / path.name, path.read_bytes(), 0o600)


def compile_packed_modules(packed: Path) -> None:
    """Put beside each source in a packed module what Python would compile it to, which takes it a tenth of a second.

    Python runs it without a look at the source, which cannot change; another Python passes it over. A module that is
    done is read-only.
    """
    for path in packed.iterdir():
        if path.name.endswith(_UNFINISHED) or not path.stat().st_mode & 0o200:
            continue
        # Ansible's own, and as safe as Ansible beside it.
        module = pickle.loads(path.read_bytes())  # noqa: S301
        compiled = dataclasses.replace(module, zip_data=base64.b64encode(_compiled(base64.b64decode(module.zip_data))))
        _write(path, pickle.dumps(compiled), 0o444)


def _write(path: Path, content: bytes, mode: int) -> None:
    written = path.with_name(f"{path.name}.{os.getpid()}-part")
    written.write_bytes(content)
    written.chmod(mode)
    written.replace(path)


def _compiled(packed: bytes) -> bytes:
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(packed)) as source, zipfile.ZipFile(result, "w") as target:
        for entry in source.infolist():
            content = source.read(entry)
            target.writestr(entry, content)
            if entry.filename.endswith(".py"):
                code = zipfile.ZipInfo(f"{entry.filename}c", entry.date_time)
                code.compress_type = entry.compress_type
                target.writestr(code, _code(entry.filename, content))
    return result.getvalue()


@functools.cache
def _code(name: str, source: bytes) -> bytes:
    """As a .pyc that is not compared with its source (PEP 552). Modules have most of theirs in common."""
    unchecked = (0b01).to_bytes(4, "little")
    code = marshal.dumps(compile(source, name, "exec", dont_inherit=True))
    return importlib.util.MAGIC_NUMBER + unchecked + importlib.util.source_hash(source) + code


def _name(compiled: bool) -> str:
    return f"{_state()}-compiled" if compiled else _state()


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
    """They are renamed without being flushed, so that a file may have lost its end when the machine lost power."""
    for path in packed.iterdir():
        if path.name.endswith(_UNFINISHED):
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
