"""What a machine is: read from /proc, /etc and /run, without privileges and without running programs."""

from __future__ import annotations

import contextlib
import grp
import os
import platform
import pwd
import re
import shutil
from pathlib import Path
from typing import Any

from . import gridtie_support
from .gridtie_host.gpu.system import read_system


def parse_os_release(text: str) -> dict[str, str]:
    """The fields of an os-release file that matter here: id, version, codename and the name for people."""
    fields = {}
    for line in text.splitlines():
        key, separator, value = line.strip().partition("=")
        if separator and not key.startswith("#"):
            fields[key] = value.strip().strip("\"'")
    return {
        "id": fields.get("ID", "unknown"),
        "version": fields.get("VERSION_ID", ""),
        "codename": fields.get("VERSION_CODENAME", ""),
        "name": fields.get("PRETTY_NAME", fields.get("NAME", "unknown system")),
    }


def parse_meminfo(text: str) -> dict[str, int]:
    """Total and available memory in bytes from /proc/meminfo (which counts in KiB)."""
    fields = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        number = value.split()
        if number and number[0].isdigit():
            fields[key] = int(number[0]) * 1024
    return {"total": fields.get("MemTotal", 0), "available": fields.get("MemAvailable", fields.get("MemFree", 0))}


def read_text(path: str) -> str:
    """The content of a file, or nothing where it cannot be read."""
    try:
        with Path(path).open(encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def free_disk(path: str) -> dict[str, object]:
    """Free bytes for ordinary users on the file system that ``path`` is on, or will be on once it is made."""
    existing = Path(path).resolve()
    while not existing.exists():
        existing = existing.parent
    return {"path": path, "device": existing.stat().st_dev, "free": shutil.disk_usage(existing).free}


def _is_group(name: str) -> bool:
    try:
        return bool(grp.getgrnam(name))
    except KeyError:
        return False


def _person(account: pwd.struct_passwd) -> dict[str, object]:
    """Who typed the command: behind `sudo make site` it is not root. The key is copied to this person's home."""
    name = os.environ.get("SUDO_USER", "")
    if account.pw_uid == 0 and name:
        with contextlib.suppress(KeyError):
            account = pwd.getpwnam(name)
    return {"name": account.pw_name, "uid": account.pw_uid, "gid": account.pw_gid, "home": account.pw_dir}


def runs_compiled(system: dict[str, str], architecture: str) -> bool:
    """Whether an Ollama that was compiled in the base image runs on this system as it is.

    It asks for glibc 2.34, and its llama.cpp server for Python 3.10: all supported releases have both.
    """
    return gridtie_support.find(system, architecture).level != gridtie_support.UNSUPPORTED


def describe(disk_paths: list[str]) -> dict[str, Any]:
    """The machine as one dictionary; the names in it are what the judgement and the summary read."""
    system = parse_os_release(read_text("/etc/os-release"))
    return {
        **describe_surroundings(disk_paths),
        "system": system,
        "runs_compiled": runs_compiled(system, platform.machine()),
        "architecture": platform.machine(),
        "wsl": read_system(Path("/")).wsl,
        "cpus": len(os.sched_getaffinity(0)),
        "memory": parse_meminfo(read_text("/proc/meminfo")),
        # Groups that own device nodes of graphics cards.
        "gpu_groups": [name for name in ("render", "video") if _is_group(name)],
        # What sd_booted(3) looks at: PID 1 is systemd.
        "init": "systemd" if Path("/run/systemd/system").is_dir() else "other",
    }


def connection(told: str) -> dict[str, Any]:
    """Who has logged in by SSH, and at which port of this machine, from SSH_CONNECTION; empty for anybody else."""
    client, _, _, port = (told.split() + [""] * 4)[:4]
    return {"client": client, "port": int(port)} if port.isdigit() else {}


def logged_in(proc: Path = Path("/proc"), process: int | None = None) -> str:
    """SSH_CONNECTION of this process, else of the nearest above it that has one; empty for nobody's.

    `sudo make site`, `--become` and `ansible_become` run everything by sudo, which takes the variable away.
    """
    if process is None:
        if own := os.environ.get("SSH_CONNECTION"):
            return own
        process = os.getpid()
    while process > 0:
        directory = proc / str(process)
        with contextlib.suppress(OSError):
            for entry in (directory / "environ").read_bytes().split(b"\0"):
                if entry.startswith(b"SSH_CONNECTION="):
                    return entry.partition(b"=")[2].decode(errors="replace")
        above = re.search(r"^PPid:\s*(\d+)$", read_text(str(directory / "status")), re.M)
        process = int(above[1]) if above else 0
    return ""


def describe_surroundings(disk_paths: list[str]) -> dict[str, Any]:
    """What is asked in the same way on every system: disks, and whose machine it is."""
    account = pwd.getpwuid(os.getuid())
    root = os.getuid() == 0
    return {
        "disks": [free_disk(path) for path in disk_paths],
        "user": {"name": account.pw_name, "uid": account.pw_uid, "gid": account.pw_gid, "home": account.pw_dir},
        "person": _person(account),
        "connection": connection(logged_in()),
        "privilege": "root" if root else ("sudo" if shutil.which("sudo") else "none"),
        # What a person here can be told to type.
        "curl": shutil.which("curl") is not None,
    }
