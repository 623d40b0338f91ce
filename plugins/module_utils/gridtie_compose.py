"""One service of the station's compose project: its settings on disk, its container, its health."""

from __future__ import annotations

import json
import re
import time
from typing import Any, Iterable

from .gridtie_command import CommandError, follow
from .gridtie_docker import run
from .gridtie_machine import read_text
from .gridtie_progress import report

# Networks and a container are made in seconds; pulling is done before, by digest.
_UP_LIMIT_S = 120
_PAUSE_S = 0.5
# A container that ended so often while it was waited for does not come up.
_MOST_RESTARTS = 3


def parse_env(text: str) -> dict[str, str]:
    """The settings in the text of an .env file that `render_env` wrote."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {name: value[1:-1] if value.startswith("'") else value for name, _, value in pairs}


def as_text(settings: dict[str, Any]) -> dict[str, str]:
    """Settings as an inventory gives them; a variable that nothing was written behind is an empty one."""
    return {name: "" if value is None else str(value) for name, value in settings.items()}


def render_env(settings: dict[str, str]) -> str:
    """The text of an .env file. Values are quoted so that Compose takes them as they are; ValueError for one that
    cannot be written so.
    """
    lines = ["# Written by Ansible; change the variables there."]
    for name, value in sorted(settings.items()):
        if re.search(r"['\n\r\\]", value):
            raise ValueError(f"{name} holds a quote, a backslash or a line end: {value!r}")
        lines.append(f"{name}='{value}'")
    return "\n".join(lines) + "\n"


class Project:
    """A directory with compose files and .env, and the Docker that runs what they describe."""

    def __init__(self, name: str, directory: str, docker: dict[str, Any]) -> None:
        self._name = name
        self._directory = directory
        self._cli = docker["cli"]
        self._environment = {"DOCKER_HOST": docker["host"]}

    def config_hash(self, service: str) -> str:
        """Compose's hash of what the service shall be; empty where the files are not there yet."""
        status, output, errors = run(self._compose("config", "--hash", service), self._environment)
        if status != 0:
            raise CommandError(f"the compose files in {self._directory} cannot be used: {errors}")
        return output.split()[-1] if output else ""

    def container(self, service: str) -> dict[str, Any]:
        """What Docker says of the service's container; empty where there is none."""
        name = f"{self._name}-{service}-1"
        status, output, errors = run([self._cli, "inspect", "--type", "container", name], self._environment)
        if status == 0:
            return dict(json.loads(output)[0])
        if "no such" in errors.lower():
            return {}
        raise CommandError(f"Docker cannot be asked about {name}: {errors}")

    def up(self, service: str) -> None:
        """Create or replace the service's container and start it."""
        report(f"starting the container of {service}")
        follow(
            self._compose("--ansi", "never", "up", "--detach", "--no-deps", "--no-build", "--pull", "never", service),
            what=f"docker compose up {service}",
            limit_s=_UP_LIMIT_S,
            environment=self._environment,
        )

    def change(self, container: dict[str, Any], verb: str) -> None:
        """`restart` or `unpause` a container as it is."""
        name = container["Name"].strip("/")
        report(f"{verb} of {name}, which is {condition(container)}")
        arguments = [self._cli, verb, container["Id"]]
        follow(arguments, what=f"docker {verb} {name}", limit_s=_UP_LIMIT_S, environment=self._environment)

    def wait(self, service: str, timeout_s: float) -> dict[str, Any]:
        """The container once it is healthy. Raises CommandError with the end of its log when it does not become so."""
        deadline = time.monotonic() + timeout_s
        restarts = self.container(service).get("RestartCount", 0)
        while True:
            container = self.container(service)
            state = condition(container)
            if state == "healthy":
                return container
            if container.get("RestartCount", 0) - restarts >= _MOST_RESTARTS:
                raise CommandError(f"{container['Name'].strip('/')} ends whenever it is started", self.log(container))
            if time.monotonic() > deadline:
                name = container.get("Name", service).strip("/")
                raise CommandError(f"{name} is {state} after {timeout_s:.0f} s", self.log(container))
            report(f"waiting for {service}: its container is {state}")
            time.sleep(_PAUSE_S)

    def log(self, container: dict[str, Any]) -> str:
        """The end of a container's log, and of its last health check."""
        _, output, errors = run([self._cli, "logs", "--tail", "40", container.get("Id", "")], self._environment)
        checks = (container.get("State", {}).get("Health") or {}).get("Log") or [{}]
        return "\n".join(text for text in (output, errors, checks[-1].get("Output", "")) if text)

    def _compose(self, *arguments: str) -> list[str]:
        # COMPOSE_FILE in .env is relative to the working directory, whatever --project-directory says.
        command = 'cd "$0" && exec "$@"'
        return ["sh", "-c", command, self._directory, self._cli, "compose", *arguments]


def condition(container: dict[str, Any]) -> str:
    """`healthy`, or the word for what the container is instead."""
    if not container:
        return "not there"
    state = container["State"]
    if state["Status"] != "running":
        return f"{state['Status']} (exit status {state['ExitCode']})"
    # One without a health check is as healthy as it gets.
    return str((state.get("Health") or {}).get("Status", "healthy"))


def is_current(container: dict[str, Any], config_hash: str) -> bool:
    """Whether the container was made from these settings and runs."""
    labels = (container.get("Config") or {}).get("Labels") or {}
    running = (container.get("State") or {}).get("Status") == "running"
    return running and bool(config_hash) and labels.get("com.docker.compose.config-hash") == config_hash


def foreign_variables(names: Iterable[str]) -> list[str]:
    """Those exported variables that Compose would prefer to the .env file."""
    return [name for name in names if name.startswith(("GRIDTIE_", "COMPOSE_")) and name != "GRIDTIE_PROGRESS_FILE"]


def current_settings(directory: str) -> dict[str, str]:
    """The settings in the project's .env, none where there is no such file."""
    return parse_env(read_text(f"{directory}/.env"))
