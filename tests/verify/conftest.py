"""Machines under test: `pytest tests/verify --hosts=local://` or `--hosts=ssh://user@machine`.

Runs as root, or as a user who may use sudo. Where sudo wants a password, it is read from the file descriptor whose
number is in GRIDTIE_SUDO_PASSWORD_FD: 3 with `3<<<"$password"`. GRIDTIE_CONFIG_DIR names another station than
/etc/gridtie.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import socket
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from testinfra.host import Host

CONFIG_DIR = os.environ.get("GRIDTIE_CONFIG_DIR") or "/etc/gridtie"

# Seconds: a cold load of a large model from a slow disk.
CHAT_TIMEOUT = 180.0


def _handed_password() -> str:
    """The password that sudo wants; empty where none was handed over. It is read once, and by nobody after that."""
    number = os.environ.pop("GRIDTIE_SUDO_PASSWORD_FD", "")
    if not number:
        return ""
    with os.fdopen(int(number), encoding="utf-8") as pipe:
        return pipe.read().rstrip("\n")


PASSWORD = _handed_password()
# It asks in any case and for nothing but this command, so that the first line that it reads is the password.
SUDO_WITH_PASSWORD = "sudo -k -S -p '' "


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    rc: int
    stdout: str
    stderr: str


class Machine:
    """A provisioned machine, as root sees it."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._prefix, self._password = "" if host.user().name == "root" else "sudo -n ", ""
        if self._prefix and PASSWORD and host.run("sudo -k -n true").rc != 0:
            self._prefix, self._password = SUDO_WITH_PASSWORD, PASSWORD
        self.station: dict[str, Any] = json.loads(self.root(f"cat {shlex.quote(CONFIG_DIR)}/station.json"))
        self.router: str = self.station["expected"]["router_container"]
        self._docker = f"docker --host {shlex.quote(self.station['expected']['docker_host'])}"
        self.port = urllib.parse.urlsplit(self.station["endpoint"]).port or 80

    def as_root(self, command: str) -> Done:
        """Run a command as root, whatever it comes to."""
        if not self._password:
            done = self.host.run(self._prefix + command)
            return Done(int(done.rc), str(done.stdout), str(done.stderr))
        shell = ["sh", "-c"] if self.is_here else self._ssh()
        ended = subprocess.run(
            [*shell, self._prefix + command], input=f"{self._password}\n", capture_output=True, text=True, check=False
        )
        return Done(ended.returncode, ended.stdout, ended.stderr)

    def root(self, command: str) -> str:
        """Output of a command that must succeed as root."""
        done = self.as_root(command)
        if done.rc != 0:
            pytest.fail(f"{command}: exit {done.rc}: {done.stderr.strip()[-2000:]}", pytrace=False)
        return done.stdout

    def inside(self, container: str, command: str) -> tuple[int, str]:
        """Exit status and output of a shell command in a container."""
        done = self.as_root(f"{self._docker} exec {shlex.quote(container)} sh -c {shlex.quote(command)}")
        return done.rc, done.stdout + done.stderr

    def inspect(self, container: str) -> dict[str, Any]:
        """`docker inspect` of a container."""
        found: list[dict[str, Any]] = json.loads(self.root(f"{self._docker} inspect {shlex.quote(container)}"))
        return found[0]

    def part(self, name: str) -> Container | Service:
        """The router, or the engine: a container, or a service of systemd."""
        engine = self.station["engine"]
        if name == "engine" and engine["mode"] == "native":
            return Service(self, engine["unit"])
        return Container(self, self.router if name == "router" else engine["container"])

    def doctor(self) -> dict[str, Any]:
        """The doctor's document, whatever the verdict."""
        command = f"{self.station['prefix']}/bin/gridtie doctor --json"
        variable = f"GRIDTIE_CONFIG_DIR={shlex.quote(CONFIG_DIR)}"
        done = self.as_root(f"env {variable} {command}")
        try:
            document: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            pytest.fail(f"{command} gave no report: exit {done.rc}: {done.stderr.strip()[-2000:]}", pytrace=False)
        return document

    def key(self) -> str:
        return self.root(f"cat {shlex.quote(CONFIG_DIR)}/station.key").strip()

    @property
    def is_here(self) -> bool:
        """Whether it is the machine that the tests run on."""
        return bool(self.host.backend.get_connection_type() == "local")

    def addresses(self) -> list[str]:
        """Its addresses on networks that other machines share; of another machine, the one that is used from here.

        The rest of another machine's, such as those of Docker's own networks, lead elsewhere from here.
        """
        if not self.is_here:
            return [str(self.host.backend.host.name)]
        return [address for address in self.root("hostname -I").split() if not address.startswith("fe80")]

    @contextmanager
    def endpoint(self) -> Iterator[str]:
        """The router's address from here; of another machine, through an SSH tunnel to its loopback."""
        kind = self.host.backend.get_connection_type()
        if self.is_here:
            yield self.station["endpoint"]
        elif kind in ("ssh", "safe-ssh"):
            with self._tunnel() as place:
                yield f"http://{place}"
        else:
            pytest.fail(f"the router of a host reached by {kind} cannot be asked from here; use local:// or ssh://")

    @contextmanager
    def _tunnel(self) -> Iterator[str]:
        host, port = _free_place(self.port)
        address = f"[{host}]" if ":" in host else host
        forward = f"{address}:{port}:127.0.0.1:{self.port}"
        with subprocess.Popen(self._ssh("-N", "-o", "ExitOnForwardFailure=yes", "-L", forward)) as tunnel:
            try:
                _wait_until_open(host, port, tunnel)
                yield f"{address}:{port}"
            finally:
                if tunnel.poll() == 0:
                    subprocess.run(self._ssh("-O", "cancel", "-L", forward), capture_output=True, check=False)
                tunnel.terminate()

    @contextmanager
    def docker_in(self, directory: Path) -> Iterator[None]:
        """A `docker` command in a directory that is the machine's own, over SSH: this one need not have any."""
        program, password = directory / "docker", directory / "password"
        password.touch(mode=0o600)
        password.write_text(f"{self._password}\n" if self._password else "")
        code = _DOCKER.format(ssh=self._ssh(), docker=f"{self._prefix}{self._docker} ", password=str(password))
        program.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, "-c", code])} "$@"\n')
        program.chmod(0o755)
        try:
            yield
        finally:
            password.unlink()

    def _ssh(self, *options: str) -> list[str]:
        """How it is reached, as testinfra reaches it."""
        backend = self.host.backend
        command = ["ssh", "-o", "BatchMode=yes", *options]
        for option, value in (("-F", backend.ssh_config), ("-i", backend.ssh_identity_file), ("-p", backend.host.port)):
            command += [option, str(value)] if value else []
        command += shlex.split(backend.ssh_extra_args or "")
        user = f"{backend.host.user}@" if backend.host.user else ""
        return [*command, f"{user}{backend.host.name}"]


# Gives sudo its line, then passes on what it is given.
_DOCKER = """
import os, pathlib, shlex, subprocess, threading, sys
command = [*{ssh!r}, {docker!r} + shlex.join(sys.argv[1:])]
line = pathlib.Path({password!r}).read_bytes()
if not line:
    os.execvp(command[0], command)
docker = subprocess.Popen(command, stdin=subprocess.PIPE, bufsize=0)
def feed():
    try:
        docker.stdin.write(line)
        while given := os.read(0, 65536):
            docker.stdin.write(given)
        docker.stdin.close()
    except OSError:
        pass
threading.Thread(target=feed, daemon=True).start()
os._exit(docker.wait())
"""


class Container:
    """A container of the station, as it is from inside."""

    def __init__(self, machine: Machine, name: str) -> None:
        self._machine = machine
        self._name = name

    def read(self, file: str) -> str:
        """A file of its main process's directory in /proc."""
        return self._machine.inside(self._name, f"cat /proc/1/{file}")[1]

    def touch(self, path: str) -> tuple[int, str]:
        return self._machine.inside(self._name, f"touch {shlex.quote(path)}")

    def limits(self) -> tuple[int, int]:
        """Bytes of memory, and processes; 0 is no limit."""
        host = self._machine.inspect(self._name)["HostConfig"]
        return int(host["Memory"]), int(host["PidsLimit"] or 0)

    def ways_out(self) -> list[str]:
        """Published ports, and networks that lead somewhere."""
        settings = self._machine.inspect(self._name)["NetworkSettings"]
        open_ones = [name for name in settings["Networks"] if not self._machine.inspect(name)["Internal"]]
        return [port for port, bindings in (settings["Ports"] or {}).items() if bindings] + open_ones


class Service:
    """A service of systemd, as it is from inside."""

    def __init__(self, machine: Machine, unit: str) -> None:
        self._machine = machine
        self._told = dict(
            line.split("=", 1)
            for line in machine.root(f"systemctl show --all {shlex.quote(unit)}").splitlines()
            if "=" in line
        )
        self._process = self._told["MainPID"]

    def read(self, file: str) -> str:
        return self._machine.root(f"cat /proc/{self._process}/{file}")

    def touch(self, path: str) -> tuple[int, str]:
        """By root, in the mounts that the service sees: not its user but the mounts are asked."""
        done = self._machine.as_root(f"nsenter --target {self._process} --mount touch {shlex.quote(path)}")
        return done.rc, done.stdout + done.stderr

    def limits(self) -> tuple[int, int]:
        told = (self._told[name] for name in ("MemoryMax", "TasksMax"))
        memory, tasks = (int(value) if value.isdigit() else 0 for value in told)
        return memory, tasks

    def ways_out(self) -> list[str]:
        """Everything but this machine, unless systemd denies it."""
        denied = set(self._told.get("IPAddressDeny", "").split())
        return sorted({"0.0.0.0/0", "::/0"} - denied)


def _free_place(wanted: int) -> tuple[str, int]:
    """A loopback address and port for a tunnel: the port that the router has, for it answers to no other Host name.

    127.0.0.1 is taken where this machine has a station of its own.
    """
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with contextlib.suppress(OSError), closing(socket.socket(family)) as free:
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            free.bind((host, wanted))
            return host, wanted
    pytest.fail(f"port {wanted} is taken here on 127.0.0.1 and ::1, and a tunnel needs it on one of them")


def _wait_until_open(host: str, port: int, tunnel: subprocess.Popen[bytes], limit: float = 15.0) -> None:
    """Where a connection is shared, the process that shares it holds the tunnel, and this one has ended well."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline and tunnel.poll() in (None, 0):
        with closing(socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)) as probe:
            if probe.connect_ex((host, port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail("no SSH tunnel to the router could be opened", pytrace=False)


@pytest.fixture(scope="module")
def host(_testinfra_host: Host, pytestconfig: pytest.Config) -> Host:
    """The same of testinfra, with the SSH arguments: its plugin (10.2) knows the option and does not hand it on."""
    if hasattr(_testinfra_host.backend, "ssh_extra_args"):
        _testinfra_host.backend.ssh_extra_args = pytestconfig.getoption("ssh_extra_args")
    return _testinfra_host


@pytest.fixture(scope="module")
def machine(host: Host) -> Machine:
    """The machine under test. Fails where nothing is provisioned or root's view cannot be had."""
    return Machine(host)


@pytest.fixture(scope="module")
def endpoint(machine: Machine) -> Iterator[str]:
    """The router's address from here."""
    with machine.endpoint() as url:
        yield url


@pytest.fixture(scope="module")
def router(machine: Machine, endpoint: str) -> Iterator[httpx.Client]:
    """The router as an application sees it, with the station's key. Its own Host name, also through a tunnel."""
    headers = {
        "authorization": f"Bearer {machine.key()}",
        "host": f"127.0.0.1:{machine.port}",
        "x-gridtie-purpose": "verify",  # in the ledger, and outside every saving
    }
    with httpx.Client(base_url=endpoint, headers=headers, timeout=CHAT_TIMEOUT, trust_env=False) as client:
        yield client


@pytest.fixture(scope="session")
def checkout() -> Path:
    return Path(__file__).parents[2]
