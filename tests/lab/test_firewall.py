"""A server that lets in one of two machines, by rules of its own that outlast a reboot and stay clear of others'.

The tests are the steps of one scenario.
"""

from __future__ import annotations

import json
import re
import subprocess
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from lab import image
from lab.host import Host, Result, succeeded
from lab.prepared import prepared

IMAGES = ("router", "engine-embedded")
UNIT = "gridtie-firewall.service"
# The router's port with TLS, which Docker publishes, and one on which a program of the machine listens itself, by IPv6
# as well: as a router beside a native engine does.
PUBLISHED, LISTENED = 8443, 9000
# What a TCP connection comes to within 3 s. Dropped packets are answered by nothing at all.
CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3).close()
    print("open")
except TimeoutError:
    print("dropped")
except OSError as error:
    print(type(error).__name__)
"""


@dataclass
class Machine:
    """Another machine on the server's network."""

    name: str

    def address(self, family: str = "-4") -> str:
        shown = subprocess.run(
            ["docker", "exec", self.name, "ip", family, "-o", "addr", "show", "eth0", "scope", "global"],
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        return shown.split()[3].partition("/")[0]

    def connects(self, address: str, port: int) -> str:
        command = ["docker", "exec", self.name, "python3", "-c", CONNECT, address, str(port)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@dataclass
class Network:
    """The server, a machine that is let in, and one that is not."""

    server: Host
    friend: Machine
    stranger: Machine

    def site(self, environment: str = "", **changes: object) -> Result:
        """Provision the server, on itself."""
        variables = {
            "gridtie_engine": "embedded",
            "gridtie_listen": "0.0.0.0",
            "gridtie_tls": "project",
            "gridtie_address": Machine(self.server.name).address(),
            "gridtie_firewall": [f"{self.friend.address()}/32", f"{self.friend.address('-6')}/128"],
            "gridtie_firewall_ports": [LISTENED],
            **changes,
        }
        self.server.write("/home/dev/variables.json", json.dumps(variables))
        return self.server.run(f'{environment} make site ARGS="-e @/home/dev/variables.json"')

    def seen(self) -> dict[str, str]:
        """What connections come to, by who asks and which port."""
        own = Machine(self.server.name)
        addresses = {family: own.address(family) for family in ("-4", "-6")}
        # Side by side: each of the stranger's takes its time-out.
        with ThreadPoolExecutor() as pool:
            asked = {
                f"{who} {port}{family}": pool.submit(machine.connects, addresses[family], port)
                for who, machine in (("friend", self.friend), ("stranger", self.stranger), ("itself", own))
                for port, family in ((PUBLISHED, "-4"), (LISTENED, "-4"), (LISTENED, "-6"))
            }
        return {what: answer.result() for what, answer in asked.items()}


KEPT = {
    f"{who} {port}": "dropped" if who == "stranger" else "open"
    for who in ("friend", "stranger", "itself")
    for port in (f"{PUBLISHED}-4", f"{LISTENED}-4", f"{LISTENED}-6")
}


@contextmanager
def machine(network: str) -> Iterator[Machine]:
    name = f"gridtie-lab-{uuid.uuid4().hex[:8]}"
    command = ["docker", "run", "--detach", "--name", name, "--network", network]
    subprocess.run([*command, image.build(more=image.DOCKER), "sleep", "infinity"], check=True, capture_output=True)
    try:
        yield Machine(name)
    finally:
        subprocess.run(["docker", "rm", "--force", name], check=True, capture_output=True)


def listen(server: Host) -> None:
    """Start a program of the machine's that listens at all of its addresses."""
    program = f"python3 -m http.server --bind :: {LISTENED}"
    server.root(f"systemd-run --quiet --unit=web --working-directory=/srv {program}")


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    name = f"gridtie-lab-{uuid.uuid4().hex[:8]}"
    subnet = f"fd{name[-8:-6]}:{name[-6:-2]}::/64"
    subprocess.run(["docker", "network", "create", "--ipv6", "--subnet", subnet, name], check=True, capture_output=True)
    try:
        options = ("--network", name)
        with (
            prepared(*IMAGES, hostname="server", options=options) as server,
            machine(name) as friend,
            machine(name) as stranger,
        ):
            listen(server)
            yield Network(server, friend, stranger)
    finally:
        subprocess.run(["docker", "network", "rm", name], check=True, capture_output=True)


def test_rules_that_would_cut_off_who_runs_the_playbook_are_refused_before_anything_is_changed(
    network: Network,
) -> None:
    """As where somebody sits at it by SSH, from a machine that is not let in."""
    login = f"SSH_CONNECTION='{network.stranger.address()} 50000 {Machine(network.server.name).address()} 22'"
    result = network.site(login, gridtie_firewall_ports=[22])

    assert result.code != 0
    said = " ".join(result.output.split())
    assert f"would drop what comes to port 22 from {network.stranger.address()}" in said
    assert "Nothing has been changed" in said
    assert network.server.root("ls -d /etc/gridtie /usr/sbin/nft 2>/dev/null; true") == ""


def test_who_is_named_gets_in_and_nobody_else_but_the_machine_itself(network: Network) -> None:
    succeeded(network.site())

    assert network.seen() == KEPT
    network.server.root("gridtie doctor")


def test_after_a_reboot_it_is_so_again(network: Network) -> None:
    network.server.restart()
    listen(network.server)
    network.server.root(
        "timeout 120 sh -c 'until docker ps -qf name=router-1 -f health=healthy | grep -q .; do sleep 1; done'"
    )

    assert network.seen() == KEPT


def test_the_doctor_tells_when_somebody_has_removed_them_and_the_next_run_brings_them_back(network: Network) -> None:
    network.server.root("nft delete table inet gridtie")
    assert network.seen()[f"stranger {PUBLISHED}-4"] == "open"

    told = network.server.run("gridtie doctor", user="root")
    assert told.code == 1
    assert "the table inet gridtie is not loaded" in told.output

    # They alone: all else is as it was.
    assert re.search(r"\bchanged=1\b", succeeded(network.site()))
    assert network.seen() == KEPT
    again = network.site()
    assert "changed=0" in succeeded(again)


def test_where_the_machines_own_rules_are_loaded_anew_these_come_back(network: Network) -> None:
    """Debian's /etc/nftables.conf begins with `flush ruleset`, which takes everybody's."""
    network.server.root("systemctl enable --now --quiet nftables")
    for verbs in (["restart"], ["reload"], ["stop", "start"]):
        for verb in verbs:
            network.server.root(f"systemctl {verb} nftables")
        # Nobody waits for units that are started by the way; and a list that is read meanwhile is of half a table.
        there = "nft list table inet gridtie 2>/dev/null | grep -q guard"
        network.server.root(f"timeout 20 sh -c 'until {there}; do sleep 0.2; done'")


def test_a_reset_takes_them_away_and_leaves_others(network: Network) -> None:
    network.server.root("nft add table inet somebodys")
    succeeded(network.server.run('make reset ARGS="-e @/home/dev/variables.json"'))

    tables = network.server.root("nft list tables")
    assert "inet gridtie" not in tables
    assert "inet somebodys" in tables
    assert network.server.root(f"ls /etc/systemd/system/{UNIT} 2>/dev/null; true") == ""
