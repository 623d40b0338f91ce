"""A Docker Swarm of three lab hosts with compose/stack.yaml as it is shipped, beside a PostgreSQL and an upstream."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from python_on_whales import docker

from lab import image, images, prepared
from lab.host import CHECKOUT, Host, host
from standins.authority import make_authority

HOSTS = ("one", "two", "three")
NAME, DATABASE, CLOUD = "llm.lab", "database.lab", "cloud.lab"
PORT = 8443
STACK = "llm"
ROUTER, HAPROXY = f"{STACK}_router", f"{STACK}_haproxy"
# Everything waits for two cores that others use as well.
PATIENCE_S = 240.0

# Once more after each boot: /proc/sys is read-only in a container, and a container's Docker has to change things there.
DOCKER_DROP_IN = """[Service]
ExecStartPre=/bin/mount -o remount,rw /proc/sys
Environment=DOCKER_ALLOW_IPV6_ON_IPV4_INTERFACE=1
"""
# What docs/replicas.md asks of each host.
DAEMON = {"no-new-privileges": True}


def until(holds: Callable[[], bool], what: str, limit: float = PATIENCE_S) -> None:
    """Return once something holds; TimeoutError where it does not."""
    deadline = time.monotonic() + limit
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not after {limit:.0f} s: {what}")
        time.sleep(1)


class Database:
    """PostgreSQL of the distribution, as a service of a machine of its own, with TLS."""

    def __init__(self, machine: Host, password: str) -> None:
        self.machine = machine
        self.url = f"postgresql://gridtie:{password}@{DATABASE}:5432/gridtie"

    def prepare(self, certificate: bytes) -> None:
        """Let routers in from other machines, with TLS and a password."""
        self.machine.write("/etc/postgresql/server.pem", certificate, owner="postgres")
        settings = {
            "listen_addresses": "*",
            "ssl_cert_file": "/etc/postgresql/server.pem",
            "ssl_key_file": "/etc/postgresql/server.pem",
        }
        lines = "\n".join(f"{name} = '{value}'" for name, value in settings.items())
        self.machine.root("chmod 0600 /etc/postgresql/server.pem")
        self.machine.root(f"cat >/etc/postgresql/17/main/conf.d/lab.conf <<'EOF'\n{lines}\nEOF")
        self.machine.root("echo 'hostssl gridtie gridtie all scram-sha-256' >>/etc/postgresql/17/main/pg_hba.conf")
        self.machine.root("systemctl restart postgresql@17-main")
        password = self.url.partition("gridtie:")[2].partition("@")[0]
        self.ask(f"CREATE ROLE gridtie LOGIN PASSWORD '{password}'", "postgres")
        self.ask("CREATE DATABASE gridtie OWNER gridtie ENCODING 'UTF8' TEMPLATE template0", "postgres")

    def ask(self, sql: str, database: str = "gridtie") -> list[list[str]]:
        """The rows that a statement gives, as text."""
        command = ["docker", "exec", "-i", "--user", "postgres", self.machine.name, "psql", "-qAt", "-v"]
        command += ["ON_ERROR_STOP=1", "-d", database]
        done = subprocess.run(command, input=sql, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return [line.split("|") for line in done.stdout.splitlines()]

    def kill(self) -> None:
        """As a fault of the power would."""
        self.machine.root("systemctl kill --signal=SIGKILL postgresql@17-main")

    def start(self) -> None:
        self.machine.root("systemctl reset-failed postgresql@17-main; systemctl start postgresql@17-main")


class Swarm:
    """The three hosts, all of them managers, and what is deployed on them."""

    def __init__(self, hosts: Mapping[str, Host], addresses: Mapping[str, str], directory: Path) -> None:
        self.hosts = hosts
        self.addresses = addresses
        self.directory = directory
        self.router_image = ""
        self.haproxy_image = ""

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    def join(self) -> None:
        """Make them a swarm, as docs/replicas.md says."""
        first, *others = HOSTS
        self[first].root(f"docker swarm init --advertise-addr {self.addresses[first]}")
        token = self[first].root("docker swarm join-token --quiet manager").strip()
        for name in others:
            own, to = self.addresses[name], self.addresses[first]
            self[name].root(f"docker swarm join --advertise-addr {own} --token {token} {to}:2377")

    def label(self, *names: str) -> None:
        """Have routers on these hosts, and on no others."""
        for name in HOSTS:
            change = f"--label-add gridtie={'router' if name in names else 'none'}"
            self[HOSTS[0]].root(f"docker node update {change} {name}")

    def deploy(self, configuration: Path, more: str, on: str = HOSTS[0]) -> None:
        """Deploy the stack with the files of a directory; `more` is the second file of the stack."""
        for path in filter(Path.is_file, configuration.iterdir()):
            self[on].write(f"/srv/gridtie/{path.name}", path.read_bytes(), owner="root")
        self[on].write("/srv/gridtie/mine.yaml", more, owner="root")
        self[on].write("/srv/deploy", self._commands(), owner="root")
        self[on].root("cd /home/dev/gridtie && sh -eu /srv/deploy")

    def _commands(self) -> str:
        """What docs/replicas.md has people type, with the images of the lab, which no registry has."""
        page = (CHECKOUT / "docs/replicas.md").read_text(encoding="utf-8")
        typed = re.search(r"```sh\n(export GRIDTIE_CONFIG_DIR.*?)```", page, re.DOTALL)
        assert typed is not None and typed[1].endswith(f" {STACK}\n")
        commands = typed[1]
        for name, reference in (("ROUTER", self.router_image), ("HAPROXY", self.haproxy_image)):
            commands, count = re.subn(rf"(export GRIDTIE_{name}_IMAGE=).*", rf"\g<1>{reference}", commands)
            assert count == 1
        return commands.replace("docker stack deploy", "docker stack deploy --detach=true --resolve-image never")

    def tasks(self, service: str, on: str = HOSTS[0]) -> dict[str, str]:
        """By host, the state of what should run there, with its image."""
        form = "{{.Node}}|{{.CurrentState}}|{{.Image}}"
        asked = self[on].root(f"docker service ps {service} --filter desired-state=running --format '{form}'")
        rows = [line.split("|") for line in asked.splitlines()]
        return {node: f"{state.split()[0]} {of}" for node, state, of in rows}

    def update(self, on: str = HOSTS[0]) -> str:
        """What became of the routers' last update."""
        form = "{{if .UpdateStatus}}{{.UpdateStatus.State}}{{end}}"
        return self[on].root(f"docker service inspect {ROUTER} --format '{form}'").strip()

    def runs(self, service: str, *names: str, image: str = "", on: str = HOSTS[0]) -> bool:
        """Whether the service runs on these hosts and on no others, from this image where one is named."""
        found = self.tasks(service, on)
        whole = all(state.startswith("Running") and state.endswith(image) for state in found.values())
        return whole and set(found) == set(names)

    def container(self, name: str, service: str) -> str:
        """The container of a service on a host."""
        return self[name].root(f"docker ps --quiet --filter label=com.docker.swarm.service.name={service}").strip()

    def kill(self, name: str, service: str) -> None:
        """SIGKILL for a container."""
        self[name].root(f"docker kill --signal=KILL {self.container(name, service)}")

    def power_off(self, name: str) -> None:
        """A host without power says no farewell."""
        self[name].root("for chain in INPUT FORWARD OUTPUT; do iptables -I $chain -j DROP; done")
        docker.kill(self[name].name)

    def power_on(self, name: str) -> None:
        docker.start(self[name].name)
        self[name].wait_until_up()

    def cut_off(self, name: str, *others: str, whole: bool = False) -> None:
        """Let no packet through between a host and others, in either direction; `whole`: let them through again."""
        do = "-D" if whole else "-I"
        for address in (self.addresses[other] for other in others):
            self[name].root(
                f"for chain in INPUT FORWARD; do iptables {do} $chain -s {address} -j DROP; done; "
                f"for chain in OUTPUT FORWARD; do iptables {do} $chain -d {address} -j DROP; done"
            )

    def can_write(self, whether: bool) -> None:
        """Whether the routers can write their journals; they notice within some seconds."""
        for name in HOSTS:
            volume = self[name].root(f"docker volume inspect --format '{{{{.Mountpoint}}}}' {STACK}_state").strip()
            self[name].root(f"chown {65534 if whether else 0} {volume}/journal")

    def derive(self, tag: str, line: str) -> str:
        """On each host an image made of the router's with one line more of a Dockerfile."""
        for name in HOSTS:
            self[name].root(f"printf 'FROM {self.router_image}\\n{line}\\n' | docker build --quiet --tag {tag} -")
        return tag


def made_images() -> tuple[str, str]:
    """The router's image, made as a station makes it, and one with the distribution's haproxy."""
    router = images.Images().make(images.steps("router", "gridtie"))
    haproxy = f"gridtie-lab/haproxy:{hashlib.sha256(image.mirror().encode()).hexdigest()[:12]}"
    image.once(haproxy, lambda: image.bootstrap(image.TRIXIE, ("haproxy",), haproxy))
    return router, haproxy


@contextmanager
def machines(directory: Path) -> Iterator[tuple[Swarm, Database]]:
    """Three hosts with Docker, one with PostgreSQL and one stand-in for a cloud, on a network of their own.

    The authority by which all of them are known, and their certificate, are put into `directory`.
    """
    # For the stand-in, which is nobody in its container.
    directory.mkdir(mode=0o755)
    router, haproxy = made_images()
    network = f"gridtie-lab-{uuid.uuid4().hex[:8]}"
    subnet = _free_subnet()
    docker.network.create(network, subnet=f"{subnet}.0/24")
    try:
        with ExitStack() as stack:
            # Addresses that outlive a host's death: a member of a swarm is known by its own.
            addresses = {name: f"{subnet}.{10 + number}" for number, name in enumerate((*HOSTS, DATABASE, CLOUD))}
            make_authority(directory, NAME, DATABASE, CLOUD, *addresses.values())
            known = [f"--add-host={name}:{addresses[name]}" for name in (DATABASE, CLOUD)]

            def machine(name: str, *packages: str) -> Host:
                options = ("--network", network, "--ip", addresses[name], *known)
                return stack.enter_context(host(image.build(more=packages), hostname=name, options=options))

            database = Database(machine(DATABASE, "postgresql"), "of-the-lab")
            database.prepare((directory / "server.pem").read_bytes())
            swarm = Swarm({name: machine(name, *image.DOCKER) for name in HOSTS}, addresses, directory)
            for name in HOSTS:
                swarm[name].write("/etc/systemd/system/docker.service.d/lab.conf", DOCKER_DROP_IN, owner="root")
                swarm[name].write("/etc/docker/daemon.json", json.dumps(DAEMON), owner="root")
                swarm[name].root("systemctl daemon-reload && systemctl restart docker")
                for reference in (router, haproxy):
                    prepared.load(swarm[name], reference)
            swarm.router_image, swarm.haproxy_image = router, haproxy
            stack.enter_context(_cloud(router, network, addresses[CLOUD], directory))
            swarm.join()
            yield swarm, database
    finally:
        docker.network.remove(network)


@contextmanager
def _cloud(router: str, network: str, address: str, directory: Path) -> Iterator[None]:
    """The stand-in cloud over TLS, in a container of the router's image."""
    name = f"gridtie-lab-{uuid.uuid4().hex[:8]}"
    command = ["docker", "run", "--detach", "--name", name, "--network", network, "--ip", address]
    command += [f"--volume={CHECKOUT}/tests/standins:/lab/standins:ro", f"--volume={directory}:/tls:ro"]
    command += ["--env=PYTHONPATH=/lab", "--env=PYTHONDONTWRITEBYTECODE=1", "--entrypoint=python3", router]
    command += ["-m", "standins.cloud", "--host=0.0.0.0", "--openai-port=8443", "--certificate=/tls/server.pem"]
    subprocess.run([*command, "--lifetime=14400"], check=True, capture_output=True)
    try:
        until(lambda: "https://" in docker.logs(name), "the stand-in cloud listens", 60)
        yield
    finally:
        docker.remove(name, force=True)


def _free_subnet() -> str:
    """The first three numbers of a network that no other of Docker's has."""
    taken = {
        given.get("Subnet", "").rpartition(".")[0]
        for network in docker.network.list()
        for given in (network.ipam.config or ())
    }
    return next(each for each in (f"172.31.{number}" for number in range(100, 250)) if each not in taken)
