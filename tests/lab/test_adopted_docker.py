"""A Docker that was here before is used as it is: docker-ce, rootless Docker, Docker Desktop.

The tests are the steps of one scenario and run in the order they stand in. The engine is the embedded one: what it is
makes no difference to the Docker underneath. Images are built on docker-ce and handed to the other two.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from lab import image
from lab.host import WHOLE_KERNEL, Host, host, succeeded
from lab.prepared import hand_environment

SITE = 'make site ARGS="-e gridtie_engine=embedded"'
IMAGES = "/var/lib/docker/handed-over.tar"
# What the distribution calls the parts of a Docker; docker-ce's are called otherwise.
DISTRIBUTIONS_OWN = {"docker.io", "docker-cli", "containerd", "runc", "docker-compose", "docker-buildx"}

# docker-ce as its documentation installs it, but for the Compose plugin; and a container of somebody else.
VENDOR = """
sh /home/dev/gridtie/tests/lab/vendor_docker.sh
apt-get -qq install -y --no-install-recommends docker-ce docker-buildx-plugin docker-ce-rootless-extras >/dev/null
systemctl enable --quiet --now docker
cd "$(mktemp -d)" && chmod 755 .
apt-get -qq download busybox-static && dpkg-deb -x busybox-static*.deb .
tar -C usr -c bin/busybox | docker import - neighbour
docker run --detach --name neighbour --restart always neighbour busybox sleep infinity
"""
# The kernel has the module built in, and this machine no list that says so, which is what the setup tool reads. The
# storage must be on a real file system for overlay2, and containers need a tunnel device to reach out.
ROOTLESS = """
mkdir -p /dev/net "/lib/modules/$(uname -r)" /var/lib/docker/rootless /home/dev/.local/share/docker
[ -e /dev/net/tun ] || mknod -m 666 /dev/net/tun c 10 200
echo kernel/net/ipv4/netfilter/ip_tables.ko >"/lib/modules/$(uname -r)/modules.builtin"
chown -R dev: /var/lib/docker/rootless /home/dev/.local
mount --bind /var/lib/docker/rootless /home/dev/.local/share/docker
loginctl enable-linger dev
timeout 120 sh -c 'until [ -S /run/user/1000/bus ]; do sleep 0.2; done'
"""


@pytest.fixture(scope="module")
def machine() -> Iterator[Host]:
    """A machine whose owner installed docker-ce and runs something on it."""
    with host(image.build(), options=WHOLE_KERNEL) as owned:
        succeeded(owned.run(f"set -eu\n{VENDOR}", user="root", cwd="/"))
        hand_environment(owned)
        yield owned


def system_docker(machine: Host) -> dict[str, str]:
    """What a restart, a replacement or a new configuration of docker-ce would change."""
    return {
        "daemon": machine.root("systemctl show docker containerd --property=MainPID,DropInPaths,FragmentPath"),
        "settings": machine.root("ls -A /etc/docker /etc/systemd/system/docker.service.d 2>/dev/null; true"),
        "neighbour": machine.root("docker inspect --format '{{.Id}} {{.State.StartedAt}}' neighbour"),
        "group": machine.root("getent group docker"),
    }


def packages(machine: Host) -> set[str]:
    return set(machine.root("dpkg-query -W -f '${Package}\\n'").split())


# -- docker-ce ---------------------------------------------------------------------------------------------------------


def test_docker_ce_gets_the_plugin_that_it_lacks_from_its_own_source_and_nothing_is_replaced(machine: Host) -> None:
    before, installed = system_docker(machine), packages(machine)

    output = succeeded(machine.run(SITE))

    assert "was here and is used as it is" in output
    assert "PASS" in output
    assert system_docker(machine) == before
    added = packages(machine) - installed
    assert "docker-compose-plugin" in added
    assert not added & DISTRIBUTIONS_OWN
    assert installed <= packages(machine)


def test_nobody_is_in_the_docker_group(machine: Host) -> None:
    assert machine.root("getent group docker").strip().endswith(":")


def test_on_docker_ce_a_second_run_changes_nothing(machine: Host) -> None:
    assert "changed=0" in succeeded(machine.run(SITE))


def test_a_purge_leaves_docker_ce_and_the_neighbours_container_running(machine: Host) -> None:
    machine.root(f"docker save $(docker images --format '{{{{.Repository}}}}:{{{{.Tag}}}}' 'gridtie/*') >{IMAGES}")
    before = system_docker(machine)

    succeeded(machine.run("make reset PURGE=1 ARGS='-e gridtie_confirm_purge=localhost'"))

    assert system_docker(machine) == before
    assert machine.root("docker ps --all --format '{{.Names}}'").split() == ["neighbour"]


# -- rootless Docker ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rootless(machine: Host) -> Host:
    """The ordinary user has set up a Docker of their own beside docker-ce, and chosen it."""
    machine.root(f"set -eu\n{ROOTLESS}")
    install = "export XDG_RUNTIME_DIR=/run/user/1000; dockerd-rootless-setuptool.sh install"
    succeeded(machine.run(f"{install} && sudo cat {IMAGES} | docker load", cwd="/home/dev"))
    return machine


def test_an_ordinary_users_rootless_docker_carries_the_station(rootless: Host) -> None:
    before, installed = system_docker(rootless), packages(rootless)

    output = succeeded(rootless.run(SITE))

    assert "unix:///run/user/1000/docker.sock" in output
    assert "PASS" in output
    assert system_docker(rootless) == before
    assert packages(rootless) == installed
    assert rootless.root("docker ps --all --format '{{.Names}}'").split() == ["neighbour"]


def test_what_its_containers_write_belongs_to_that_user(rootless: Host) -> None:
    succeeded(rootless.run("gridtie usage"))

    assert set(rootless.root("find /var/lib/gridtie/ledger -printf '%U\\n'").split()) == {"1000"}


def test_on_rootless_docker_a_second_run_changes_nothing(rootless: Host) -> None:
    assert "changed=0" in succeeded(rootless.run(SITE))


def test_every_check_holds_on_rootless_docker_and_limits_it_cannot_enforce_are_said(rootless: Host) -> None:
    succeeded(rootless.run("make verify"))

    report = json.loads(succeeded(rootless.run("sudo gridtie doctor --json")))
    said = next(check["found"] for check in report["checks"] if check["id"] == "containers.hardened")
    enforced = rootless.run("docker info --format '{{.MemoryLimit}}'").output.strip() == "true"
    assert ("does not enforce" in said) is not enforced


def test_the_demo_needs_no_more_than_the_users_own_docker(rootless: Host) -> None:
    succeeded(rootless.run("make demo"))


def test_a_purge_leaves_the_users_docker_running(rootless: Host) -> None:
    succeeded(rootless.run("make reset PURGE=1 ARGS='-e gridtie_confirm_purge=localhost'"))

    assert succeeded(rootless.run("docker ps --all --quiet")) == ""


# -- Docker Desktop ----------------------------------------------------------------------------------------------------

# Docker Desktop cannot be had without its download site, nor run without a virtual machine. What it is to a station
# stands in for it: another daemon, that calls itself so, behind a socket of the user's own that a context names, and
# that lets containers reach files as that user does (root inside is that user).
DESKTOP = """
systemctl --machine=dev@ --user disable --now docker 2>/dev/null || true
printf 'dev:1000:1\\ndev:100000:65535\\n' | tee /etc/subuid >/etc/subgid
install -d -o dev -g dev /home/dev/.docker /home/dev/.docker/desktop
mkdir -p /srv/desktop /var/lib/docker/desktop
mount --bind /var/lib/docker/desktop /srv/desktop
sed 's/^PRETTY_NAME=.*/PRETTY_NAME="Docker Desktop"/' /etc/os-release >/run/desktop-release
cat >/etc/systemd/system/desktop.service <<'END'
[Service]
Type=notify
BindPaths=/run/desktop-release:/usr/lib/os-release
# Without sight of docker-ce's containerd it starts one of its own, in its own view of the file systems.
TemporaryFileSystem=/run/containerd
ExecStart=/usr/bin/dockerd --host=unix:///home/dev/.docker/desktop/docker.sock --group=dev --userns-remap=dev:dev \\
    --data-root=/srv/desktop --exec-root=/run/desktop --pidfile=/run/desktop.pid --bridge=none
ExecStartPost=/bin/chown dev:dev /home/dev/.docker/desktop/docker.sock
END
systemctl daemon-reload
systemctl start desktop
"""
CONTEXT = (
    "docker context create desktop-linux --docker host=unix:///home/dev/.docker/desktop/docker.sock"
    f" && docker context use desktop-linux && sudo cat {IMAGES} | docker load"
)
SHARE = """echo '{"FilesharingDirectories": ["/home", "/var/lib/gridtie", "/etc/ssl", "/usr/local/share"]}'"""


@pytest.fixture(scope="module")
def desktop(machine: Host) -> Host:
    """The ordinary user has Docker Desktop and has chosen it."""
    machine.root(f"set -eu\n{DESKTOP}")
    succeeded(machine.run(CONTEXT, cwd="/home/dev"))
    return machine


def test_docker_desktop_that_does_not_share_the_stations_files_is_said_before_anything_changes(desktop: Host) -> None:
    result = desktop.run(SITE)

    assert result.code != 0
    assert "Docker Desktop shares only /home/dev with containers" in result.output
    assert "/var/lib/gridtie" in result.output
    assert desktop.run("ls -d /etc/gridtie /opt/gridtie /var/lib/gridtie").code != 0


def test_docker_desktop_carries_the_station(desktop: Host) -> None:
    before, installed = system_docker(desktop), packages(desktop)
    succeeded(desktop.run(f"{SHARE} >~/.docker/desktop/settings-store.json"))

    output = succeeded(desktop.run(SITE))

    assert "unix:///home/dev/.docker/desktop/docker.sock" in output
    assert "PASS" in output
    assert system_docker(desktop) == before
    assert packages(desktop) == installed


def test_on_docker_desktop_a_second_run_changes_nothing(desktop: Host) -> None:
    assert "changed=0" in succeeded(desktop.run(SITE))
