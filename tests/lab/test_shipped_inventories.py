"""The shipped inventories as they are, byte for byte, over the sources that most users have.

The names of the registries lead to stand-ins that speak their protocols (`lab.upstream`). What a run is told beside
the inventory is one file of variables: what the stand-ins serve has digests of its own. Three stories, one for each
inventory; the tests of each are its chapters and run in the order they stand in.
"""

from __future__ import annotations

import json
import re
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from lab import upstream
from lab.host import CHECKOUT, Host, Result, succeeded
from lab.prepared import hand_image
from lab.upstream import CODER, PROBE, Server

MODELS = {f"gridtie/{name}" for name in (CODER, PROBE)}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with upstream.serve() as running:
        yield running


def site(machine: Host, variables: str, *more: str) -> Result:
    return machine.run(f'make site ARGS="{" ".join((*more, "-e", variables))}"')


def station(machine: Host) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(machine.root("cat /etc/gridtie/station.json"))
    return found


def as_in_git(machine: Host, inventory: str) -> None:
    """The inventory's files on the machine are those that git has; only a run's lock may lie beside them."""
    place = f"inventories/{inventory}"
    listed = subprocess.run(
        ["git", "ls-files", "--stage", place], cwd=CHECKOUT, check=True, capture_output=True, text=True
    )
    known = {line.split("\t")[1]: line.split()[1] for line in listed.stdout.splitlines()}
    found = set(succeeded(machine.run(f"find {place} -type f")).split())

    assert known
    assert found - known.keys() <= {f"{place}/gridtie.lock.yaml"}
    hashed = succeeded(machine.run(f"git hash-object {' '.join(known)}")).split()
    assert dict(zip(known, hashed, strict=True)) == known


# --- inventories/localhost --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def localhost(server: Server) -> Iterator[Host]:
    with server.machine("router", hostname="mine") as machine:
        yield machine


@pytest.fixture(scope="module")
def mine(localhost: Host, server: Server) -> str:
    return server.variables(localhost)


def test_localhost_becomes_a_station_with_upstreams_release_and_models_of_the_library(
    localhost: Host, server: Server, mine: str
) -> None:
    output = succeeded(site(localhost, mine))

    engine = station(localhost)["engine"]
    assert "PASS" in output
    assert (engine["mode"], engine["source"], engine["version"]) == ("native", "release", server.version)
    assert {model["name"] for model in station(localhost)["models"]} == MODELS
    asked = server.asked()
    assert any(re.match(r"release-assets\S+ GET /v.*\.tar\.zst 200", line) for line in asked)
    assert any(re.match(r"storage\S+ GET /v2/library/\S+/blobs/sha256:", line) for line in asked)
    # Nothing was compiled, and no other way to an engine was taken.
    assert "engine" not in localhost.root("docker images --format '{{.Repository}}'")


def test_what_the_library_had_is_in_the_lock_beside_the_inventory(localhost: Host, server: Server) -> None:
    lock = yaml.safe_load(localhost.root("cat /home/dev/gridtie/inventories/localhost/gridtie.lock.yaml"))

    assert {name: pin["manifest"] for name, pin in lock["models"].items()} == {
        name: server.manifest(name) for name in (CODER, PROBE)
    }
    # The project's pins, as the file of artefacts has them, need no lock.
    assert lock["archives"] == {}


def test_a_second_run_on_localhost_changes_nothing(localhost: Host, mine: str) -> None:
    assert "changed=0" in succeeded(site(localhost, mine))


# Ollama's own server and client beside the station's, with a store of their own.
PULL = """
export HOME=/root/own OLLAMA_HOST=127.0.0.1:11999 OLLAMA_MODELS=/root/own/models
mkdir -p $HOME && cd /opt/gridtie/ollama/current/bin
systemd-run --quiet --unit own --setenv HOME=$HOME --setenv OLLAMA_HOST=$OLLAMA_HOST \
  --setenv OLLAMA_MODELS=$OLLAMA_MODELS $PWD/ollama serve
for i in $(seq 100); do ./ollama list >/dev/null 2>&1 && break; sleep 0.1; done
./ollama pull small-coder:135m 2>&1
sha256sum $OLLAMA_MODELS/manifests/registry.ollama.ai/library/small-coder/135m
systemctl stop own; rm -r /root/own
"""


def test_the_library_is_one_that_ollama_itself_pulls_from_in_ranges(localhost: Host, server: Server) -> None:
    before = len(server.asked())

    output = localhost.root(PULL)

    assert server.manifest(CODER) in output
    ranges = [line for line in server.asked()[before:] if re.match(r'storage\S+ GET \S+ 206 range="bytes=0-', line)]
    assert len(ranges) >= 1


def test_the_inventory_localhost_is_as_it_was_shipped(localhost: Host) -> None:
    as_in_git(localhost, "localhost")


# --- inventories/ci ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runner(server: Server) -> Iterator[Host]:
    with server.machine("router", hostname="runner") as machine:
        yield machine


def test_ci_lists_every_missing_pin_in_one_line_with_the_command_that_fills_it(runner: Host, server: Server) -> None:
    variables = server.variables(runner, pinned=False)

    result = site(runner, variables, "-i inventories/ci")

    told = " ".join(result.output.split())
    image = upstream.references()["ollama"]
    assert result.code != 0
    assert "1 thing stands in the way. Nothing has been changed." in told, str(result)
    assert f"the model {PROBE} and the image {image}" in told
    assert re.search(
        rf'make site ARGS="-i \S*inventories/ci\S* -e {variables} --limit localhost -e gridtie_pins=learn"', told
    )
    assert runner.root("ls -d /etc/gridtie 2>/dev/null; true") == ""


def test_ci_runs_with_the_lock_of_the_registries_and_pulls_upstreams_image_by_its_digest(
    runner: Host, server: Server
) -> None:
    runner.write(f"{upstream.DIRECTORY}/gridtie.lock.yaml", server.lock())
    before = len(server.asked())

    variables = server.variables(runner, pinned=False, gridtie_lock_file=f"{upstream.DIRECTORY}/gridtie.lock.yaml")
    output = succeeded(site(runner, variables, "-i inventories/ci"))

    assert "PASS" in output
    image = f"ollama/ollama@{server.digests['ollama']}"
    assert runner.root("docker inspect --format '{{.Config.Image}}' gridtie-engine-1").strip().endswith(image)
    assert {model["name"] for model in station(runner)["models"]} == {f"gridtie/{PROBE}"}
    asked = server.asked()[before:]
    manifest = f"registry-1.docker.io GET /v2/ollama/ollama/manifests/{server.digests['ollama']}"
    assert any(re.match(rf"{manifest} 200 .* token=yes", line) for line in asked)
    # No tag decided anything.
    assert not [line for line in asked if "/ollama/ollama/manifests/0" in line]
    assert runner.root("docker network inspect --format '{{.Name}}' gridtie-jobs").strip() == "gridtie-jobs"


def test_a_second_run_of_ci_changes_nothing(runner: Host) -> None:
    assert "changed=0" in succeeded(site(runner, f"@{upstream.DIRECTORY}/variables.json", "-i inventories/ci"))


def test_the_inventory_ci_is_as_it_was_shipped(runner: Host) -> None:
    as_in_git(runner, "ci")


# --- inventories/team -------------------------------------------------------------------------------------------------

TEAM = "inventories/team"
LOCK = f"/home/dev/gridtie/{TEAM}/gridtie.lock.yaml"
GPU, ALICE, BOB = "gpu-server", "alice-laptop", "bob-desktop"
PASSWORD = "secret-of-dev"
# A builder that cannot build: everything of Docker's works but this.
BREAK = """
cd /usr/libexec/docker/cli-plugins && mv docker-buildx /opt/docker-buildx
cat >docker-buildx <<'END' && chmod 755 docker-buildx
#!/bin/sh
case " $* " in *" build "*) echo "ERROR: failed to solve: no space left on device" >&2; exit 1 ;; esac
exec /opt/docker-buildx "$@"
END
"""
MEND = "mv /opt/docker-buildx /usr/libexec/docker/cli-plugins/docker-buildx"
ASK = """
import json, pathlib, urllib.request
place = pathlib.Path.home() / ".config/gridtie"
body = {"model": "coder", "max_tokens": 8, "messages": [{"role": "user", "content": "Say hello."}]}
request = urllib.request.Request(
    (place / "endpoint").read_text().strip() + "/v1/chat/completions",
    json.dumps(body).encode(),
    {"Authorization": "Bearer " + (place / "key").read_text().strip(), "Content-Type": "application/json"},
)
with urllib.request.urlopen(request, timeout=60) as answer:
    print(answer.headers["x-gridtie-target"])
"""


@dataclass(frozen=True)
class Team:
    """The hosts that the inventory names, at the addresses that it has, and where somebody types `make site`."""

    controller: Host
    hosts: dict[str, Host]
    variables: str

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    def site(self, *more: str) -> Result:
        return site(self.controller, self.variables, f"-i {TEAM}", *more)

    def verdicts(self) -> dict[str, tuple[str, str]]:
        """Of the last run: outcome and verdict by host."""
        rows = json.loads(succeeded(self.controller.run("cat ../verdicts.json")))["hosts"]
        return {row["host"]: (row["outcome"], row["verdict"]) for row in rows}

    def lock(self) -> dict[str, Any]:
        found: dict[str, Any] = yaml.safe_load(self.controller.root(f"cat {LOCK}"))
        return found


@pytest.fixture(scope="module")
def team(server: Server) -> Iterator[Team]:
    inventory = yaml.safe_load((CHECKOUT / TEAM / "hosts.yml").read_text())["all"]["children"]
    addresses = {name: host["ansible_host"] for group in inventory.values() for name, host in group["hosts"].items()}
    with ExitStack() as stack:
        # What is typed there stays: a lock in a container's own files would be gone with it.
        controller = stack.enter_context(server.machine(hostname="desk", options=("--volume=/home",)))
        hosts = {name: stack.enter_context(server.machine(hostname=name, controller=False)) for name in addresses}
        hosts[ALICE].root("useradd --create-home alice")
        hosts[BOB].root("useradd --create-home bob")
        _move_in({"desk": controller, **hosts}, addresses)
        _let_in(controller, hosts, addresses)
        # The password is what --ask-become-pass asks for.
        more = {"gridtie_verdict_file": "/home/dev/verdicts.json", "ansible_become_password": PASSWORD}
        variables = server.variables(controller, pinned=False, **more)
        yield Team(controller, hosts, variables)


def _move_in(machines: dict[str, Host], addresses: dict[str, str]) -> None:
    """Give the hosts the inventory's addresses beside their own. The network keeps its own: 192.0.2.0/24 is for
    documentation, and the machine that runs this may be one of those that use it all the same.
    """
    for machine_name, machine in machines.items():
        for name, address in addresses.items():
            what = "addr" if name == machine_name else "route"
            machine.root(f"ip {what} add {address}/32 dev eth0")


def _let_in(controller: Host, hosts: dict[str, Host], addresses: dict[str, str]) -> None:
    """An ordinary user with an SSH key, who has logged in to each of them before and whose sudo wants a password."""
    succeeded(controller.run("mkdir -m 700 -p ~/.ssh && ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_ed25519"))
    key = succeeded(controller.run("cat ~/.ssh/id_ed25519.pub"))
    for machine in hosts.values():
        machine.write("/home/dev/.ssh/authorized_keys", key)
        machine.root(f"echo dev:{PASSWORD} | chpasswd && echo 'dev ALL=(ALL) ALL' >/etc/sudoers.d/dev")
    succeeded(controller.run(f"ssh-keyscan -t ed25519 {' '.join(addresses.values())} >>~/.ssh/known_hosts 2>/dev/null"))


def target(machine: Host, person: str) -> str:
    """Who answers a person's request."""
    machine.write("/opt/ask.py", ASK, owner="root")
    return succeeded(machine.run("python3 /opt/ask.py", user=person, cwd="/")).strip()


def test_a_builder_whose_build_fails_keeps_no_other_host_from_its_station(team: Team, server: Server) -> None:
    """The workstation then builds its own, from the base image of the registry."""
    team[GPU].root(BREAK)

    result = team.site(f"--limit {GPU},{ALICE}")

    team[GPU].root(MEND)
    assert result.code != 0
    assert team.verdicts() == {GPU: ("failed", ""), ALICE: ("changed", "PASS")}, str(result)
    assert "no space left on device" in result.output
    assert f"not written into the lock: {BOB} could not be counted" in result.output
    assert target(team[ALICE], "alice").startswith("station/gridtie/")
    base = f"registry-1.docker.io GET /v2/library/debian/manifests/{server.digests['debian']}"
    assert any(re.match(rf"{base} 200 .* token=yes", line) for line in server.asked())


def test_the_digests_of_all_that_was_fetched_are_in_the_lock_beside_the_inventory(team: Team, server: Server) -> None:
    lock = team.lock()

    debian = upstream.references()["debian"]
    assert {name: pin["manifest"] for name, pin in lock["models"].items()} == {
        name: server.manifest(name) for name in (CODER, PROBE)
    }
    assert {name: pin["digest"] for name, pin in lock["images"].items()} == {debian: server.digests["debian"]}
    (archive,) = lock["archives"].values()
    pinned = yaml.safe_load(server.artefacts(pinned=True))["ollama"]["archives"].values()
    assert archive["sha256"] in [each["sha256"] for each in pinned]


def test_the_lock_has_what_the_servers_run_and_of_workstations_nothing_while_one_was_not_looked_at(team: Team) -> None:
    (models,) = [choice["models"] for choice in team.lock()["choices"].values()]

    assert list(team.lock()["choices"]) == ["servers"]
    assert [model["name"] for model in models] == [CODER]


def test_another_host_takes_nothing_but_what_the_first_one_learned(team: Team, server: Server) -> None:
    """The model's owner has published a new one meanwhile."""
    learned = server.move_tag(CODER)
    try:
        result = team.site(f"--limit {BOB}")
        now = server.manifest(CODER)
    finally:
        server.move_tag(CODER, back_to=learned)

    told = " ".join(result.output.split())
    assert result.code != 0
    assert f"its manifest is sha256:{now}, pinned is sha256:{learned}" in told, str(result)
    assert team[BOB].root("find /var/lib/gridtie/models -path '*manifests*small-coder*'") == ""


def test_the_whole_team_is_provisioned_and_every_host_has_the_same(team: Team) -> None:
    before = team.lock()
    for name in (GPU, BOB):  # As their own builds would make it: that is done where another one builds.
        hand_image(team[name], "router")

    result = team.site()

    succeeded(result)
    rows = [line.split()[:3] for line in result.output.splitlines() if line.split()[1:2] == ["workstations"]]
    assert {(host, model) for host, _, model in rows} == {(ALICE, CODER), (BOB, CODER)}
    assert result.output.index("as its stations run it already") < result.output.index("Container engine")
    assert {name: verdict for name, (_, verdict) in team.verdicts().items()} == dict.fromkeys((GPU, ALICE, BOB), "PASS")
    engines = {name: station(machine)["engine"] for name, machine in team.hosts.items()}
    assert {(engine["source"], engine["mode"], engine["tree"]) for engine in engines.values()} == {
        ("release", "native", engines[GPU]["tree"])
    }
    after = team.lock()
    assert after["choices"].pop("workstations")["models"] == before["choices"]["servers"]["models"]
    assert after == before
    assert PASSWORD not in result.output


def test_the_server_answers_where_the_workstations_own_engine_does_not(team: Team) -> None:
    alice = team[ALICE]
    assert target(alice, "alice").startswith("station/gridtie/")
    alice.root("systemctl stop gridtie-engine")
    try:
        assert target(alice, "alice").startswith("pool.gpu-server/gridtie/")
    finally:
        alice.root("systemctl start gridtie-engine")


def test_every_check_of_every_host_of_the_team_holds(team: Team) -> None:
    result = team.controller.run(f'make verify JUNIT=/tmp/verify.xml ARGS="-i {TEAM} -e {team.variables}"')

    succeeded(result)
    told = ET.fromstring(team.controller.run("cat /tmp/verify.xml").output)
    assert {suite.get("name"): suite.get("failures") for suite in told} == dict.fromkeys((GPU, ALICE, BOB), "0")
    assert team.verdicts() == dict.fromkeys((GPU, ALICE, BOB), ("unchanged", "PASS")), str(result)


def test_the_inventory_team_is_as_it_was_shipped(team: Team) -> None:
    as_in_git(team.controller, "team")
