"""Drivers and packages on a real Debian, as far as that goes without a card: sources, names, check mode, refused keys.

The machine's graphics are a record of another machine (`gridtie_gpu_root`); apt and the archive are real.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gridtie.host.gpu.recipes import driver
from gridtie.host.gpu.record import unpack
from gridtie.host.gpu.system import System
from lab import image
from lab.host import CHECKOUT, Host, host

CASE = "/var/tmp/recorded"
PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - gridtie.gridtie.gridtie_gpu:
        root: %(root)s
        docker_version: "28.3.0"
        devices: "{{ gridtie_gpu_devices | default('all') }}"
      register: seen
    - ansible.builtin.include_role: {name: gridtie.gridtie.gpu, public: true}
      vars:
        gridtie_gpu_root: %(root)s
        gridtie_gpu_install_drivers: "{{ install | default(true) }}"
        gridtie_docker: {version: "28.3.0"}
        # Else the role would judge the machine first.
        gridtie_resolved_choice: {mode: container}
        gridtie_machine: {graphics: "{{ seen.graphics }}", system: {name: Debian 13}, init: systemd}
    - ansible.builtin.debug: {msg: "on={{ gridtie_resolved_gpu.backend }} by={{ gridtie_resolved_gpu.overlay }}"}
"""


PACKAGES = """
- hosts: all
  gather_facts: false
  tasks:
    - gridtie.gridtie.gridtie_packages:
        names: [hello]
        state: "{{ state | default('present') }}"
        lock_wait_s: "{{ wait }}"
"""
SOURCE = """
- hosts: all
  gather_facts: false
  tasks:
    - gridtie.gridtie.gridtie_apt_source:
        name: served
        uri: "http://127.0.0.1:8000/{{ place }}"
        suites: /
        key_url: "http://127.0.0.1:8000/{{ file }}"
        fingerprint: "{{ fingerprint }}"
"""
WRITTEN = "/etc/apt/sources.list.d/served.sources"
# Two flat repositories and two keys, as somebody on the web has them; only the first key signs. GnuPG goes afterwards.
SERVE = """
export DEBIAN_FRONTEND=noninteractive GNUPGHOME=/srv/gnupg
apt-get -qq install -y --no-install-recommends gpg gpg-agent >/dev/null
mkdir -m 700 $GNUPGHOME && mkdir -p /srv/web/before /srv/web/after && cd /srv/web
for name in first second; do gpg --batch -q --passphrase '' --quick-gen-key $name ed25519 sign never 2>/dev/null; done
for place in before after; do
    : >$place/Packages
    sum=$(sha256sum <$place/Packages | cut -d' ' -f1)
    printf 'Date: %s\nSHA256:\n %s 0 Packages\n' "$(date -Ru)" $sum >$place/Release
    gpg --batch -q -u first --clearsign -o $place/InRelease $place/Release
done
gpg --armor --export first >one.asc
gpg --armor --export >two.asc
gpg --list-keys --with-colons first | grep -m1 ^fpr | cut -d: -f10 >fingerprint
gpgconf --kill gpg-agent
apt-get -qq purge -y gpg gpg-agent >/dev/null
systemd-run --quiet --unit=web python3 -m http.server --directory /srv/web 8000
"""
# As the timer that fetches the package lists does it at boot.
LISTS = "/var/lib/apt/lists/lock"
HOLD = f"import fcntl, time; file = open('{LISTS}', 'w'); fcntl.lockf(file, fcntl.LOCK_EX); time.sleep({{}})"

UNIT = "gridtie-engine.service"
# The role's own unit. What it starts says which of the nodes it could open.
ENGINE = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.template:
        src: %(template)s
        dest: /etc/systemd/system/gridtie-engine.service
      vars:
        gridtie_project: gridtie
        gridtie_engine_user: engine
        gridtie_engine_group: engine
        gridtie_state_dir: /var/lib/gridtie
        gridtie_config_dir: /etc/gridtie
        gridtie_machine: {gpu_groups: [render, video]}
        _station_engine_unit: gridtie-engine.service
        _engine_limit: 1g
        _ollama_current: /srv/engine
        _ollama_on_cards: "{{ card }}"
        _ollama_below_home: false
        _ollama_bound: [/var/lib/gridtie/models/ollama]
    - ansible.builtin.systemd_service: {name: gridtie-engine, state: restarted, daemon_reload: true}
"""
NODES = {"/dev/nvidia0": "video", "/dev/nvidia-uvm": "video", "/dev/dri/renderD128": "render"}
# A node of another name that leads to what a container may open, for the groups that may use cards alone.
MAKE_NODES = """
groupadd -rf render; groupadd -rf video; useradd -r engine
mkdir -p /dev/dri /var/lib/gridtie/models/ollama /srv/engine/bin
""" + "\n".join(f"mknod -m 660 {node} c 1 3; chgrp {group} {node}" for node, group in NODES.items())
OPENS = f"""#!/bin/sh
for node in {" ".join(NODES)}; do (exec 3<>$node) 2>/dev/null && echo opened $node; done
echo that is all
exec sleep infinity
"""


@pytest.fixture(scope="module")
def bare() -> Iterator[Host]:
    """A Debian 13 machine."""
    with host(image.build()) as machine:
        machine.root("apt-get -q update", limit=300)
        yield machine


def current_kernel(machine: Host) -> str:
    """Of the archive: the headers of the kernel in a record are no longer there."""
    listed = machine.root("apt-cache depends linux-headers-amd64")
    return next(line.split("linux-headers-")[1] for line in listed.splitlines() if "Depends: linux-headers-6" in line)


def recorded(machine: Host, case: str) -> str:
    """The record of a machine with the archive's kernel, as text."""
    text = (CHECKOUT / f"tests/fixtures/gpu/{case}.tree").read_text()
    return text.replace("6.12.57+deb13-amd64", current_kernel(machine))


def place(machine: Host, text: str) -> None:
    """Put the recorded tree on the machine."""
    with tempfile.TemporaryDirectory() as root:
        unpack(text, Path(root))
        packed = subprocess.run(["tar", "-c", "-C", root, "."], check=True, capture_output=True).stdout
    inside = f"rm -rf {CASE} && mkdir {CASE} && tar -x -C {CASE} --no-same-owner"
    subprocess.run(["docker", "exec", "-i", machine.name, "sh", "-c", inside], input=packed, check=True)


def play(machine: Host, *arguments: str, text: str = PLAY % {"root": CASE}) -> subprocess.CompletedProcess[str]:
    """Run the role, or another play, on the machine, from here."""
    with tempfile.TemporaryDirectory() as directory:
        book = Path(directory) / "play.yml"
        book.write_text(text)
        command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", f"{machine.name},", str(book)]
        variables = {"ansible_connection": "community.docker.docker", "ansible_python_interpreter": "/usr/bin/python3"}
        return subprocess.run(
            [*command, "-e", json.dumps(variables), "-v", *arguments],
            cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("case", "off", "says"),
    [
        ("rtx-3090-ready", False, "on=cuda by=engine.nvidia.yaml"),
        ("rx-7900-xtx", False, "on=rocm by=engine.amd.yaml"),
        ("rtx-3090-ready", True, "on= by="),
        ("no-gpu-recorded", False, "on= by="),
    ],
)
def test_the_role_hands_on_what_the_engine_computes_on_and_changes_nothing(
    case: str, off: bool, says: str, bare: Host
) -> None:
    place(bare, recorded(bare, case))
    # YAML's bare word off, as a person writes it.
    done = play(bare, *(["-e", "{gridtie_gpu: off}"] if off else []))

    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    assert says in done.stdout
    assert "changed=0" in done.stdout


@pytest.mark.parametrize(
    ("case", "named", "says"),
    [
        ("rtx-3090-two", [1], "on=cuda by=engine.devices.yaml"),
        ("rtx-3090-two", [0, 1], "on=cuda by=engine.nvidia.yaml"),
        ("rx-7900-xtx-two", ["GPU-00000000000000ff"], "on=rocm by=engine.amd.yaml:engine.devices.yaml"),
        ("rtx-3090-two", [2], "gridtie_gpu_devices names 2, which is no card of this machine; name some of these: 0 ("),
    ],
)
def test_of_several_cards_the_engine_gets_those_that_were_named(
    case: str, named: list[object], says: str, bare: Host
) -> None:
    place(bare, recorded(bare, case))
    done = play(bare, "-e", json.dumps({"gridtie_gpu_devices": named}))

    assert says in " ".join((done.stdout + done.stderr).split())
    assert "changed=0" in done.stdout


def test_without_leave_nothing_is_installed_and_the_commands_are_told(bare: Host) -> None:
    place(bare, recorded(bare, "rtx-3090-no-driver"))
    done = play(bare, "-e", "{install: false}")

    assert "changed=0" in done.stdout
    assert "sudo apt-get install linux-headers-" in done.stdout


def test_check_mode_tells_what_would_be_installed_and_touches_nothing(bare: Host) -> None:
    place(bare, recorded(bare, "rtx-3090-no-driver"))
    before = bare.root("ls /etc/apt/sources.list.d; dpkg -l | sha256sum")
    done = play(bare, "--check")

    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    assert "nvidia-open-kernel-dkms" in done.stdout
    assert bare.root("ls /etc/apt/sources.list.d; dpkg -l | sha256sum") == before


def test_a_key_that_cannot_be_fetched_stops_the_run_and_leaves_no_source(bare: Host) -> None:
    # Nothing answers there on this network; on another one the key is NVIDIA's, and the fingerprint decides.
    bare.root("echo '127.0.0.1 nvidia.github.io' >> /etc/hosts")
    done = play(bare)

    assert done.returncode != 0
    assert "nvidia.github.io/libnvidia-container/gpgkey cannot be fetched" in done.stdout + done.stderr
    assert "toolkit" not in bare.root("ls /etc/apt/sources.list.d")


def test_debians_non_free_components_were_added_once_and_are_signed_by_debian(bare: Host) -> None:
    source = bare.root("cat /etc/apt/sources.list.d/gridtie-non-free.sources")

    assert "Components: contrib non-free non-free-firmware" in source
    assert "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg" in source


@pytest.mark.parametrize(
    ("capability", "module"),
    [("8.6", "nvidia-open-kernel-dkms"), ("7.0", "nvidia-kernel-dkms")],
    ids=["Ampere", "Volta"],
)
def test_the_archive_has_every_package_of_the_recipe(capability: str, module: str, bare: Host) -> None:
    system = System(family="debian", version="13", codename="trixie", kernel=current_kernel(bare))
    packages = driver(system, (capability,)).packages
    planned = bare.root(f"apt-get install --simulate --no-install-recommends {' '.join(packages)}")

    assert module in packages
    assert f"Inst {module} (550." in planned
    assert "Inst firmware-nvidia-gsp (550." in planned


@pytest.fixture(scope="module")
def served(bare: Host) -> str:
    """The fingerprint of the key that signs the repositories."""
    bare.root(SERVE, limit=300)
    return bare.root("cat /srv/web/fingerprint").strip()


def declare(machine: Host, **variables: str) -> subprocess.CompletedProcess[str]:
    return play(machine, "-e", json.dumps(variables), text=SOURCE)


def test_a_key_file_with_a_surplus_key_is_refused_and_no_source_is_left(served: str, bare: Host) -> None:
    done = declare(bare, place="before", file="two.asc", fingerprint=served)

    assert done.returncode != 0
    assert "the key file has 2 keys" in done.stdout + done.stderr
    assert "served" not in bare.root("ls /etc/apt/sources.list.d")


def test_a_declared_source_is_added_and_a_changed_one_is_applied(served: str, bare: Host) -> None:
    first = declare(bare, place="before", file="one.asc", fingerprint=served)
    again = declare(bare, place="before", file="one.asc", fingerprint=served)
    moved = declare(bare, place="after", file="one.asc", fingerprint=served)

    assert first.returncode == again.returncode == moved.returncode == 0, moved.stdout[-6000:] + moved.stderr
    assert "changed=0" in again.stdout
    assert "changed=1" in moved.stdout
    assert "URIs: http://127.0.0.1:8000/after" in bare.root(f"cat {WRITTEN}")


def test_a_key_that_somebody_put_beside_the_right_one_is_taken_out_again(served: str, bare: Host) -> None:
    right = bare.root(f"cat {WRITTEN}")
    bare.root(f"sed 's/^$/./; s/^/ /' /srv/web/two.asc >/srv/value; sed -i '/Signed-By/q' {WRITTEN}")
    bare.root(f"cat /srv/value >>{WRITTEN}")
    done = declare(bare, place="after", file="one.asc", fingerprint=served)

    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    assert bare.root(f"cat {WRITTEN}") == right


def test_a_source_that_does_not_answer_leaves_the_one_before(served: str, bare: Host) -> None:
    right = bare.root(f"cat {WRITTEN}")
    done = declare(bare, place="nowhere", file="one.asc", fingerprint=served)

    assert done.returncode != 0
    assert "the source was put back as it was" in done.stdout + done.stderr
    assert bare.root(f"cat {WRITTEN}") == right


def busy(machine: Host, seconds: float) -> None:
    """Have another process use the package manager."""
    machine.root(f'systemd-run --quiet --collect --unit=busy python3 -c "{HOLD.format(seconds)}"; sleep 1')


def test_who_uses_the_package_manager_for_too_long_is_named(bare: Host) -> None:
    busy(bare, 600)
    done = play(bare, "-e", "wait=2", text=PACKAGES)
    bare.root("systemctl stop busy")

    assert done.returncode != 0
    said = " ".join((done.stdout + done.stderr).split())
    assert f"the package manager is busy: {LISTS} is held by process" in said
    assert "gridtie_package_lock_wait_s" in said


def test_updates_at_boot_are_waited_for(bare: Host) -> None:
    # Lists of today would not be fetched again.
    bare.root("rm -f /var/lib/apt/lists/*_Packages*")
    busy(bare, 12)
    done = play(bare, "-e", "wait=300", text=PACKAGES)

    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    assert "for the package manager: " + LISTS in " ".join((done.stdout + done.stderr).split())
    assert bare.root("dpkg-query -W -f '${db:Status-Status}' hello") == "installed"


def test_a_version_is_held_and_let_go_once_and_also_while_somebody_uses_the_package_manager(bare: Host) -> None:
    busy(bare, 10)
    held = play(bare, "-e", "wait=300 state=held", text=PACKAGES)
    again = play(bare, "-e", "wait=300 state=held", text=PACKAGES)
    shown = bare.root("apt-mark showhold")
    let_go = play(bare, "-e", "wait=300 state=unheld", text=PACKAGES)

    assert held.returncode == 0, held.stdout[-6000:] + held.stderr
    assert "for the package manager: " + LISTS in " ".join((held.stdout + held.stderr).split())
    assert ["changed=1" in held.stdout, "changed=0" in again.stdout, "changed=1" in let_go.stdout] == [True] * 3
    assert shown == "hello\n"
    assert bare.root("apt-mark showhold") == ""


@pytest.fixture(scope="module")
def nodes(bare: Host) -> None:
    """Device nodes as drivers make them."""
    bare.root(MAKE_NODES)
    bare.write("/srv/engine/bin/ollama", OPENS, owner="root")
    bare.root("chmod 755 /srv/engine/bin/ollama")


@pytest.mark.parametrize(("card", "reached"), [(True, list(NODES)), (False, [])], ids=["with a card", "without"])
def test_the_engines_service_is_rated_two_or_better_and_reaches_a_card_where_it_is_to_use_one(
    nodes: None, bare: Host, card: bool, reached: list[str]
) -> None:
    template = CHECKOUT / "roles/engine_ollama/templates/engine.service.j2"
    done = play(bare, "-e", json.dumps({"card": card}), text=ENGINE % {"template": template})
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr

    started = bare.root(f"systemctl show --value -p InvocationID {UNIT}").strip()
    wait = f"until journalctl -o cat _SYSTEMD_INVOCATION_ID={started} | grep -qx that.is.all; do sleep 0.2; done"
    bare.root(f"timeout 30 sh -c '{wait}'")
    said = bare.root(f"journalctl -o cat _SYSTEMD_INVOCATION_ID={started} | grep '^opened'; true").splitlines()
    # systemd's own judgement, in tenths, of the service as it runs.
    bare.root(f"systemd-analyze security --threshold=20 --no-pager {UNIT}")

    assert said == [f"opened {node}" for node in reached]
