"""What Docker there is: the engine that answers, and the Compose and Buildx plugins of the command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

# A healthy daemon answers in a tenth of a second; one that starts up or hangs shall not hold the run.
_TIMEOUT_S = 15.0
# Images that a station pulled, and that nobody had here before, have a name of this repository as well: by it a reset
# knows which of them it may remove. It is Docker's own note, so that it is gone with the image and lies in no file.
PULLED = "gridtie/pulled"

ROOT_SOCKET = "unix:///var/run/docker.sock"
_ROOT_SOCKETS = (ROOT_SOCKET, "unix:///run/docker.sock")


def run(
    arguments: list[str], environment: dict[str, str] | None = None, limit_s: float = _TIMEOUT_S
) -> tuple[int, str, str]:
    """Exit status, output and errors of a program; 127 where it is not there, 124 where it did not end in time."""
    try:
        done = subprocess.run(
            arguments,
            env={**os.environ, **(environment or {}), "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )
    except FileNotFoundError:
        return 127, "", f"{arguments[0]}: not found"
    except subprocess.TimeoutExpired:
        return 124, "", f"{' '.join(arguments[:2])} did not end within {limit_s:.0f} s"
    return done.returncode, done.stdout.strip(), done.stderr.strip()


def find_docker() -> str | None:
    """The command line; a service's PATH may lack the places where Docker Desktop and Homebrew put it."""
    return shutil.which("docker", path=os.environ.get("PATH", "") + ":/usr/local/bin:/usr/bin:/opt/homebrew/bin")


def endpoint(docker: str) -> str:
    """The engine that this user's command line talks to: DOCKER_HOST, else the current context's."""
    named = os.environ.get("DOCKER_HOST")
    if named:
        return named
    status, output, _ = run([docker, "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"])
    return output if status == 0 and output else ROOT_SOCKET


def parse_info(text: str) -> dict[str, object]:
    """The facts that decisions need from ``docker info --format '{{json .}}'``; empty where no engine answered."""
    try:
        info = json.loads(text)
    except ValueError:
        return {}
    if not info.get("ServerVersion"):
        return {}
    return {
        "version": info["ServerVersion"],
        "rootless": any("rootless" in option for option in info.get("SecurityOptions") or []),
        "desktop": "Docker Desktop" in (info.get("OperatingSystem") or ""),
        "data_root": info.get("DockerRootDir", ""),
        "snap": str(info.get("DockerRootDir", "")).startswith("/var/snap/"),
        # Less than the machine's where Docker runs in a virtual one.
        "memory": info.get("MemTotal", 0),
    }


def parse_plugins(text: str) -> dict[str, str]:
    """Versions of the command line's plugins by name, as ``docker info`` has asked them; empty where it does not tell.

    It tells of them where no engine answers as well.
    """
    try:
        listed = (json.loads(text).get("ClientInfo") or {}).get("Plugins") or []
    except ValueError:
        return {}
    # One that is broken has no version.
    return {plugin["Name"]: plugin.get("Version", "").lstrip("v") for plugin in listed}


def desktop_shares(home: str) -> list[str]:
    """The directories that Docker Desktop for Linux lets containers see: its setting, or the home directory."""
    # settings.json until Desktop 4.34, settings-store.json since; both may leave out what was never changed.
    for name in ("settings-store.json", "settings.json"):
        try:
            settings = json.loads(Path(f"{home}/.docker/desktop/{name}").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        found = next((value for key, value in settings.items() if key.lower() == "filesharingdirectories"), None)
        if found:
            return [str(directory) for directory in found]
    return [home]


def plugin_version(docker: str, plugin: str) -> str:
    """Version of a command-line plugin, such as ``2.26.1``; empty where the plugin is not there."""
    arguments = [docker, plugin, "version"] + (["--short"] if plugin == "compose" else [])
    status, output, _ = run(arguments)
    if status != 0 or not output:
        return ""
    # `docker buildx version` prints "github.com/docker/buildx v0.13.1 <commit>".
    words = [word.lstrip("v") for word in output.split()]
    return next((word for word in words if word[:1].isdigit()), words[0])


def inspect(host: str | None = None) -> dict[str, object]:
    """Docker as the calling user sees it, or the engine at ``host``. ``works`` means that the engine answered."""
    docker = find_docker()
    if docker is None:
        return {
            "works": False,
            "cli": "",
            "host": "",
            "error": "no docker command",
            "compose": "",
            "buildx": "",
            "named": False,
        }
    host = host or endpoint(docker)
    _, output, errors = run([docker, "info", "--format", "{{json .}}"], {"DOCKER_HOST": host})
    found, plugins = parse_info(output), parse_plugins(output)
    return {
        "works": bool(found),
        "cli": docker,
        "host": host,
        # Chosen by the person (DOCKER_HOST, a context): rootless Docker, Docker Desktop, or an engine elsewhere.
        "named": host not in _ROOT_SOCKETS,
        "error": "" if found else (errors.splitlines() or ["no answer"])[-1],
        # Each is asked by itself only where it was not listed: to ask all of them is what takes `docker info` its time.
        "compose": plugins.get("compose") or plugin_version(docker, "compose"),
        "buildx": plugins.get("buildx") or plugin_version(docker, "buildx"),
        **found,
    }
