"""What stands in the way of a station is said in one list, and nothing on the machine has been changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab import image
from lab.host import Host, Result, host
from lab.prepared import hand_environment

# Every file with what a change to it would change. Left out: what lives in memory only, logs, the home directory with
# the checkout and Ansible's own scratch files, and systemd's bookkeeping of its timers.
SNAPSHOT = (
    "find / -xdev \\( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /var/log"
    " -o -path /home/dev -o -path /var/lib/systemd -o -path /root/.ansible -o -name __pycache__ \\) -prune"
    " -o -printf '%p %y %m %U:%G %s %T@ %l\\n' | sort; dpkg-query -W; getent passwd; getent group; ss -Hltn"
)
# A port where nothing listens: whatever is asked through it is out of reach.
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def bare() -> Iterator[Host]:
    """A bare machine with the virtual environment: to make that installs a package, which is no station's."""
    with host(image.build()) as machine:
        hand_environment(machine)
        yield machine


@contextmanager
def untouched(machine: Host) -> Iterator[None]:
    before = machine.root(SNAPSHOT).splitlines()
    yield
    after = machine.root(SNAPSHOT).splitlines()
    assert sorted(set(before) ^ set(after)) == []


def refused(result: Result, *, things: int) -> str:
    """The list, which says how many things it names and that nothing was changed."""
    assert result.code != 0, str(result)
    assert f"{things} thing" in result.output, str(result)
    assert "in the way. Nothing has been changed." in result.output
    assert result.output.count("What to do:") == things
    return result.output


def site(machine: Host, environment: str = "", **variables: object) -> Result:
    machine.run(f"cat >/home/dev/variables.json <<'END'\n{json.dumps(variables)}\nEND")
    return machine.run(f'{environment} make site ARGS="-e @/home/dev/variables.json"')


@contextmanager
def listening(machine: Host, port: int) -> Iterator[None]:
    """Another program of the machine's owner."""
    serve = f"python3 -m http.server --bind 127.0.0.1 {port}"
    machine.root(f"systemd-run --quiet --unit=somebody {serve}; until ss -Hltn | grep -q :{port}; do sleep 0.1; done")
    try:
        yield
    finally:
        machine.root("systemctl stop somebody")


def test_a_taken_port_and_too_little_memory_and_disk_and_sources_out_of_reach_are_one_list(bare: Host) -> None:
    bare.root("mkdir -p /small && mount -t tmpfs -o size=64m tmpfs /small")
    proxies = " ".join(f"{name}={NOWHERE}" for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"))

    with listening(bare, 8484), untouched(bare):
        result = site(bare, proxies, gridtie_state_dir="/small/gridtie", gridtie_preflight_min_memory_gb=4096,
                      gridtie_engine="ollama", gridtie_ollama_source="release",
                      gridtie_mirror_url="https://mirror.example.test")  # fmt: skip

    bare.root("umount /small && rmdir /small")
    said = refused(result, things=6)
    assert "port 8484 on this machine is taken by" in said
    assert "at least 4096 are needed" in said
    assert "0.1 GiB free where /small/gridtie will be" in said
    assert "the mirror does not answer" in said
    assert "the Python package index does not answer" in said
    assert "the distribution's package mirror does not answer" in said


def test_variables_of_the_wrong_type_and_an_unknown_routing_key_are_one_list(bare: Host) -> None:
    routing = "/home/dev/routing.yaml"
    bare.run(f"sed 's/^timeouts:/timeout_seconds: 3\\ntimeouts:/' config/llm_routing.yaml >{routing}")

    with untouched(bare):
        result = site(bare, gridtie_port="eighty", gridtie_pins="maybe", gridtie_engine="olama",
                      gridtie_routing_file=routing)  # fmt: skip

    said = refused(result, things=4)
    assert "gridtie_port" in said
    assert "gridtie_pins" in said
    assert "olama" in said
    assert "timeout_seconds" in said


def test_without_a_password_to_give_sudo_it_says_how_to_give_one(bare: Host) -> None:
    bare.root("sed -i 's/NOPASSWD: //' /etc/sudoers.d/dev")
    try:
        with untouched(bare):
            result = site(bare)
    finally:
        bare.root("echo 'dev ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/dev")

    assert result.code != 0
    assert "sudo asks for a password and there is no terminal" in result.output


def test_without_sudo_it_says_how_to_get_it(bare: Host) -> None:
    bare.root("mv /usr/bin/sudo /usr/bin/no-sudo")
    try:
        with untouched(bare):
            result = site(bare)
    finally:
        bare.root("mv /usr/bin/no-sudo /usr/bin/sudo")

    assert "there is no sudo on this machine" in refused(result, things=1)
