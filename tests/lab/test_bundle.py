"""A bundle, made of a station on a machine with a network, becomes a station on one that has no way out.

One scenario on two machines; the tests are its steps and run in the order they stand in.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from gridtie.host.version import __version__ as VERSION
from lab import image
from lab.host import Host, host, succeeded
from lab.prepared import prepared

STICK = "/media/stick"
BUNDLE = f"{STICK}/gridtie-{VERSION}-debian-13-x86_64"
SITE = f"make site BUNDLE={BUNDLE}"
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
    with host(image.build(), hostname="sealed", options=["--network=none"], variables={"LAB": "sealed"}) as machine:
        machine.root(f"rm -rf /home/dev/gridtie && install -d -o dev {STICK}")
        carry = (
            f"docker exec {connected.name} tar -c -C /home/dev/gridtie/bundles . | "
            f"docker exec -i --user dev {machine.name} tar -x -C {STICK}"
        )
        subprocess.run(["bash", "-o", "pipefail", "-c", carry], check=True)
        unpack = f"tar -xzf {BUNDLE}/gridtie-{VERSION}.tar.gz && mv gridtie-{VERSION} gridtie"
        succeeded(machine.run(unpack, cwd="/home/dev"))
        yield machine


def test_the_machine_has_no_way_out(sealed: Host, connected: Host) -> None:
    address = connected.root("ip -4 -o addr show eth0").split()[3].partition("/")[0]

    assert sealed.root("ip route; ip -6 route show default") == ""
    assert "Network is unreachable" in sealed.run(f"python3 -c '{CONNECT}' {address}").output


def test_the_bundle_can_be_checked_by_what_every_system_has(sealed: Host) -> None:
    succeeded(sealed.run("sha256sum --check --quiet --strict SHA256SUMS", cwd=BUNDLE))


def test_a_bundle_with_a_cut_wheel_is_told_before_anything_is_installed(sealed: Host) -> None:
    before = sealed.root(FINGERPRINT)
    wheel = sealed.root(f"ls {BUNDLE}/wheels/jinja2-*.whl").strip()
    sealed.root(f"cp -a {wheel} /root/kept && truncate -s -1 {wheel}")

    told = sealed.run(SITE)

    sealed.root(f"cp -a /root/kept {wheel}")
    assert told.code != 0
    assert "jinja2" in told.output
    assert "is not a whole bundle" in told.output
    assert sealed.run("ls -d .venv").code != 0
    assert sealed.root(FINGERPRINT) == before


@pytest.fixture(scope="module")
def ready(sealed: Host) -> Host:
    """The machine with the environment of `make`, of the bundle's wheels."""
    succeeded(sealed.run(f"make venv BUNDLE={BUNDLE}"))
    return sealed


DAMAGE = {
    "lacks": "rm $(ls packages/docker.io_*.deb)",
    "has cut short": "truncate -s -1 $(ls images/gridtie_router_*/part-0000)",
    "has changed": "printf x | dd of=$(ls models/blobs/* | head -1) conv=notrunc status=none",
}
OTHER = {
    f"is of version 9.9.9, and this is {VERSION}": 's["version"] = "9.9.9"',
    "is for Other Linux, and this machine runs Debian": 's["system"].update(id="other", name="Other Linux")',
    "is for aarch64, and this machine is x86_64": 's["architecture"] = "aarch64"',
}
EDIT = """
import hashlib, json, re, sys
s = json.load(open("manifest.json"))
{change}
text = json.dumps(s)
open("manifest.json", "w").write(text)
sums = re.sub(r"\\w+(?=  manifest.json)", hashlib.sha256(text.encode()).hexdigest(), open("SHA256SUMS").read())
open("SHA256SUMS", "w").write(sums)
"""


def refused(machine: Host, bundle: str, *arguments: str) -> str:
    """What a run with a bad bundle says; it fails and changes nothing."""
    before = machine.root(FINGERPRINT)
    told = machine.run(f"scripts/playbook site.yml -e gridtie_bundle={bundle} {' '.join(arguments)}")
    assert told.code != 0, str(told)
    assert "Nothing has been changed." in told.output, str(told)
    assert machine.root(FINGERPRINT) == before
    return " ".join(told.output.split())


def copy_of(machine: Host, name: str, change: str) -> str:
    """A copy of the bundle after a shell script that is run in it."""
    copy = f"{STICK}/{name}"
    # Links: a copy costs nothing, and what the script changes is its own.
    machine.root(
        f"rm -rf {copy} && cp -al {BUNDLE} {copy} && cd {copy} && for f in $(ls SHA256SUMS manifest.json "
        f"images/gridtie_router_*/part-0000 models/blobs/* | head -9); do cp $f x && mv x $f; done; {change}"
    )
    return copy


def test_what_is_missing_cut_or_changed_is_named_with_what_to_do(ready: Host) -> None:
    told = refused(ready, copy_of(ready, "damaged", "; ".join(DAMAGE.values())))

    for how in DAMAGE:
        assert f"the bundle {STICK}/damaged {how}: " in told
    assert "packages/docker.io_" in told
    assert "copy it anew from where it was made" in told


def test_a_bundle_for_something_else_is_refused(ready: Host) -> None:
    bundle = copy_of(ready, "other", "true")
    ready.write("/root/edit.py", EDIT.replace("{change}", "; ".join(OTHER.values())), owner="root")
    ready.root(f"cd {bundle} && python3 /root/edit.py")

    told = refused(ready, bundle)

    for what in OTHER:
        assert f"the bundle {bundle} {what}" in told


def test_an_engine_that_the_bundle_does_not_have_is_refused(ready: Host) -> None:
    told = refused(ready, BUNDLE, "-e gridtie_engine=ollama -e gridtie_ollama_source=packages")

    assert f"this station is to have ollama from packages, and the bundle {BUNDLE} has embedded" in told


def test_a_directory_that_is_no_bundle_is_refused(ready: Host) -> None:
    assert "/media is not a bundle" in refused(ready, "/media")


def test_the_bundle_becomes_a_verified_station(ready: Host) -> None:
    output = succeeded(ready.run(SITE))

    assert "the bundle has it" in output
    assert "PASS" in ready.root("gridtie doctor")


def test_it_answers(ready: Host) -> None:
    assert succeeded(ready.run("gridtie chat --model smoke-test Hi 2>/dev/null")).strip()


def test_a_second_run_changes_nothing(ready: Host) -> None:
    assert "changed=0" in succeeded(ready.run(SITE))
