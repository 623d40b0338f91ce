"""A bundle, made of a station on a machine with a network, becomes a station on one that has no way out.

One scenario on two machines; the tests are its steps and run in the order they stand in.
"""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

import pytest

from gridtie.host.version import __version__ as VERSION
from lab import bundles
from lab.host import Host, succeeded
from lab.prepared import prepared

BUNDLE = bundles.place(VERSION)
SITE = f"make site BUNDLE={quote(BUNDLE)}"
# Everything that a run changes outside of the user's own checkout and of what any program does in passing.
FINGERPRINT = (
    "dpkg-query -W; getent passwd; ls -lAR /etc /opt /usr/local /var/lib/gridtie /var/cache/gridtie 2>/dev/null"
    " | grep -vE '^total|ld.so.cache|/__pycache__'; true"
)
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], 443), timeout=5)"


@pytest.fixture(scope="module")
def connected() -> Iterator[Host]:
    """A machine that has the bundle, and a network."""
    with prepared("router", "engine-embedded", hostname="connected") as machine:
        succeeded(machine.run('make bundle ARGS="-e gridtie_engine=embedded"'))
        yield machine


@pytest.fixture(scope="module")
def sealed(connected: Host) -> Iterator[Host]:
    """A bare machine without a network that somebody has carried the bundle to, with its checkout unpacked."""
    with bundles.sealed() as machine:
        bundles.carry(connected, machine, VERSION, "gridtie")
        yield machine


def test_the_machine_has_no_way_out(sealed: Host, connected: Host) -> None:
    address = connected.root("ip -4 -o addr show eth0").split()[3].partition("/")[0]

    assert sealed.root("ip route; ip -6 route show default") == ""
    assert "Network is unreachable" in sealed.run(f"python3 -c '{CONNECT}' {address}").output


def test_the_bundle_can_be_checked_by_what_every_system_has(sealed: Host) -> None:
    succeeded(sealed.run("sha256sum --check --quiet --strict SHA256SUMS", cwd=BUNDLE))


def test_a_bundle_with_a_cut_wheel_is_told_before_anything_is_installed(sealed: Host) -> None:
    before = sealed.root(FINGERPRINT)
    wheel = quote(sealed.root(f"ls {quote(BUNDLE)}/wheels/jinja2-*.whl").strip())
    sealed.root(f"cp -a {wheel} /root/kept && truncate -s -1 {wheel}")

    told = sealed.run(SITE)

    sealed.root(f"cp -a /root/kept {wheel}")
    assert told.code != 0
    assert "jinja2" in told.output
    assert "is not a whole bundle" in told.output
    assert sealed.run("ls -d .venv").code != 0
    assert sealed.root(FINGERPRINT) == before


DAMAGE = {
    "lacks": "rm $(ls packages/docker.io_*.deb)",
    "has cut short": "truncate -s -1 $(ls images/gridtie_router_*/part-0000)",
    "has changed": "printf x | dd of=$(ls models/blobs/* | head -1) conv=notrunc status=none",
}


@pytest.fixture(scope="module")
def ready(sealed: Host) -> Host:
    """The machine with the environment of `make`, of the bundle's wheels."""
    succeeded(sealed.run(f"make venv BUNDLE={quote(BUNDLE)}"))
    return sealed


def test_what_is_missing_cut_or_changed_is_named_with_what_to_do_before_anything_is_changed(ready: Host) -> None:
    damaged = f"{bundles.STICK}/damaged"
    # Links: a copy costs nothing, and what is damaged is a file of its own.
    ready.root(
        f"cp -al {quote(BUNDLE)} {quote(damaged)} && cd {quote(damaged)} && "
        f"for f in $(ls images/gridtie_router_*/part-0000 models/blobs/* | head -9); do cp $f x && mv x $f; done; "
        + "; ".join(DAMAGE.values())
    )
    before = ready.root(FINGERPRINT)

    result = ready.run(f"make site BUNDLE={quote(damaged)}")

    told = " ".join(result.output.split())
    assert result.code != 0
    for how in DAMAGE:
        assert f"the bundle {damaged} {how}: " in told
    assert "packages/docker.io_" in told
    assert "copy it anew from where it was made" in told
    assert "Nothing has been changed." in told
    assert ready.root(FINGERPRINT) == before


def test_the_bundle_becomes_a_verified_station(ready: Host) -> None:
    output = succeeded(ready.run(SITE))

    assert "the bundle has it" in output
    assert "PASS" in ready.root("gridtie doctor")


def test_it_answers(ready: Host) -> None:
    assert succeeded(ready.run("gridtie chat --model smoke-test Hi 2>/dev/null")).strip()


def test_a_second_run_changes_nothing(ready: Host) -> None:
    assert "changed=0" in succeeded(ready.run(SITE))
