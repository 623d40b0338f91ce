"""Agents of launchd: a Mac's counterpart of gridtie_services, with the same questions."""

from __future__ import annotations

import os
import plistlib
from pathlib import Path
from typing import Any

from .gridtie_docker import run
from .gridtie_host.machine.launchd import AGENTS, environment, parse_agent, parse_list
from .gridtie_machine import read_text
from .gridtie_ports import process_on
from .gridtie_services import is_exposed, store_of, told_version


def engine_unit(project: str) -> str:
    """The label of a station's own native engine."""
    return f"io.gridtie.{project}.engine"


def plist_path(label: str) -> Path:
    return Path.home() / AGENTS / f"{label}.plist"


def domain() -> str:
    """Where a person's agents run; it is there as long as that person is logged in."""
    return f"gui/{os.getuid()}"


def plist(label: str, program: list[str], environment: dict[str, str], log: str) -> str:
    """The property list of an agent that is started with the session and again whenever it ends."""
    document = {
        "Label": label,
        "ProgramArguments": program,
        "EnvironmentVariables": environment,
        "RunAtLoad": True,
        "KeepAlive": True,
        # Answers are waited for: without it, launchd slows down what has no window.
        "ProcessType": "Interactive",
        "StandardOutPath": log,
        "StandardErrorPath": log,
    }
    return plistlib.dumps(document, sort_keys=False).decode()


def loaded() -> dict[str, int]:
    """What launchd has loaded for this person."""
    return parse_list(run(["launchctl", "list"])[1])


def unit_on(port: int) -> str:
    """The label of the agent that listens on the port; empty where none does."""
    process = process_on(port)
    return next((label for label, running in loaded().items() if running == process), "") if process else ""


def find_ollama(port: Any, project: str) -> dict[str, Any]:
    """As gridtie_services.find_ollama: an agent (Homebrew's), or one that is no agent of its own (Ollama.app's, or one
    that a person started).
    """
    nothing: dict[str, Any] = {"ollama": {}, "own_ollama": False}
    if not str(port).isdigit():
        return nothing
    label, url = unit_on(int(port)), f"http://127.0.0.1:{port}"
    version = told_version(url) if label != engine_unit(project) else ""
    if not version:
        return nothing
    # What the app starts is a child of the app's own process, so that no label has it. Other stations keep theirs.
    if not label or label.startswith(("application.", "io.gridtie.")):
        return {**nothing, "own_ollama": True}
    # Variables of the whole session count for agents, too.
    said = run(["launchctl", "getenv", "OLLAMA_HOST"])[1]
    variables = {"OLLAMA_HOST": said, **environment(parse_agent(read_text(str(plist_path(label)))))}
    return {**nothing, "ollama": adopted(label, url, version, variables)}


def silent(engine: dict[str, Any], found: dict[str, Any]) -> str:
    """As gridtie_services.silent: the label of an adopted agent whose property list is there and which is not found."""
    if not engine.get("adopted") or found:
        return ""
    return str(engine["unit"]) if plist_path(str(engine["unit"])).is_file() else ""


def adopted(label: str, url: str, version: str, variables: dict[str, str]) -> dict[str, Any]:
    """An agent that is used as it is, in the words of gridtie_services."""
    person = Path.home()
    return {
        "unit": label,
        "url": url,
        "version": version,
        "user": person.owner(),
        "store": store_of(variables, str(person)),
        "exposed": is_exposed(variables["OLLAMA_HOST"]),
    }
