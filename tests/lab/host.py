"""A disposable machine with its own systemd, in a container: to provision, kill, cut off and throw away."""

from __future__ import annotations

import os
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from python_on_whales import docker

CHECKOUT = Path(__file__).parents[2]
CA_INSIDE = "/usr/local/share/corporate-ca.pem"
CA_VARIABLES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
PASSED_ON = ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "GOPROXY", "PIP_INDEX_URL", "PIP_DEFAULT_TIMEOUT")

# A systemd host in a container: the capabilities it needs, asked for one by one, because `--privileged`
# fails on a machine that itself lacks one. Its Docker gets a volume, for overlay2 needs a real filesystem.
RUN = (
    "--cap-add=SYS_ADMIN", "--cap-add=NET_ADMIN", "--cap-add=SYS_PTRACE",
    "--security-opt=seccomp=unconfined", "--security-opt=apparmor=unconfined",
    "--tmpfs=/run", "--tmpfs=/run/lock", "--tmpfs=/tmp:exec",
    "--volume=/sys/fs/cgroup:/sys/fs/cgroup:rw", "--env=container=docker", "--stop-signal=SIGRTMIN+3",
)  # fmt: skip

# A Docker that was not installed from here knows nothing of kernel settings that it may not change; and a rootless
# one can mount /proc for its containers only where nothing of it is hidden.
WHOLE_KERNEL = ("--security-opt=systempaths=unconfined",)


@dataclass(frozen=True)
class Result:
    """What a command on a lab host came to."""

    code: int
    output: str
    seconds: float

    def __str__(self) -> str:
        return f"exit {self.code} after {self.seconds:.0f} s\n{self.output[-8000:]}"


def succeeded(result: Result) -> str:
    """The output of a command that must succeed; an AssertionError with its end where it did not."""
    assert result.code == 0, str(result)
    return result.output


class Host:
    """One running lab host; commands run on it as `dev`, an ordinary user who may use sudo."""

    def __init__(self, name: str) -> None:
        self.name = name

    def run(self, command: str, *, user: str = "dev", limit: float = 900, cwd: str = "/home/dev/gridtie") -> Result:
        """Run a shell command to its end; `limit` seconds at most."""
        started = time.monotonic()
        with self.start(command, user=user, cwd=cwd) as process:
            try:
                output, _ = process.communicate(timeout=limit)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return Result(process.returncode, output, time.monotonic() - started)

    def start(self, command: str, *, user: str = "dev", cwd: str = "/home/dev/gridtie") -> subprocess.Popen[str]:
        """Start a shell command; the caller reads its output and ends it."""
        shell = ["docker", "exec", "--user", user, "--workdir", cwd, self.name, "bash", "-lc", command]
        return subprocess.Popen(
            shell, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True
        )

    def root(self, command: str, *, limit: float = 300) -> str:
        """Output of a command that must succeed, run as root."""
        result = self.run(command, user="root", cwd="/", limit=limit)
        assert result.code == 0, f"{command}: {result}"
        return result.output

    def write(self, path: str, content: str | bytes, *, owner: str = "dev") -> None:
        """Write a file, `path` being absolute, with directories for it where there are none; a file's mode is kept.

        The content goes through the standard input, so that no process shows it among its arguments.
        """
        directory = f"[ -d $(dirname {path}) ] || install -d -o {owner} $(dirname {path})"
        script = f"umask 022; {directory}; cat >{path}; chown {owner}: {path}"
        command = ["docker", "exec", "--interactive", self.name, "sh", "-euc", script]
        given = content.encode() if isinstance(content, str) else content
        subprocess.run(command, input=given, check=True, capture_output=True)

    def restart(self) -> None:
        """Reboot it: everything in memory is gone, the disk stays."""
        docker.restart(self.name, time=20)
        self.wait_until_up()

    def wait_until_up(self, limit: float = 180) -> None:
        """Return once systemd has started everything it was told to."""
        deadline = time.monotonic() + limit
        while True:
            asked = ["docker", "exec", self.name, "systemctl", "is-system-running"]
            state = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
            if state == "running":
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name} did not boot in {limit:.0f} s: systemd says {state!r}")
            time.sleep(0.5)

    def take_checkout(self) -> None:
        """Copy the working tree, as git sees it, into the home of `dev`."""
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        files = subprocess.run(listed, cwd=CHECKOUT, check=True, capture_output=True).stdout.split(b"\0")
        there = b"\0".join(name for name in files if name and (CHECKOUT / os.fsdecode(name)).exists())
        archive = subprocess.run(
            ["tar", "-c", "--null", "-T", "-"], cwd=CHECKOUT, input=there, check=True, capture_output=True
        )
        unpack = "mkdir -p /home/dev/gridtie && tar -x -C /home/dev/gridtie --no-same-owner"
        command = ["docker", "exec", "-i", "--user", "dev", self.name, "bash", "-c", unpack]
        subprocess.run(command, input=archive.stdout, check=True, capture_output=True)


def environment() -> dict[str, str]:
    """The variables by which a machine on this network finds its package sources: proxies and the CA."""
    found = {name: os.environ[name] for name in PASSED_ON if os.environ.get(name)}
    if bundle():
        found.update(dict.fromkeys(CA_VARIABLES, CA_INSIDE))
    return found


def bundle() -> str | None:
    """The CA bundle that this machine was told to trust, if it was told."""
    return next((os.environ[name] for name in CA_VARIABLES if os.environ.get(name)), None)


@contextmanager
def host(
    image: str,
    *,
    hostname: str = "lab",
    options: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
    keep: bool = False,
) -> Iterator[Host]:
    """A booted lab host with the checkout on it; gone afterwards, with its volume.

    `options` are more arguments of `docker run`; `variables` take the place of `environment()`, which is what the
    machine's owner configured for everybody.
    """
    name = f"gridtie-lab-{uuid.uuid4().hex[:8]}"
    known = environment() if variables is None else dict(variables)
    ca = [f"--volume={bundle()}:{CA_INSIDE}:ro"] if bundle() else []
    command = ["docker", "run", "--detach", "--name", name, "--hostname", hostname, *RUN, *ca, *options]
    command += [f"--env={key}={value}" for key, value in known.items()]
    subprocess.run([*command, f"--volume={name}:/var/lib/docker", image], check=True, capture_output=True)
    try:
        machine = Host(name)
        machine.wait_until_up()
        machine.root("useradd --create-home --shell /bin/bash dev")
        machine.root("echo 'dev ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/dev")
        # A login and sudo see what the machine's owner configured for everybody.
        lines = "\n".join(f"{key}={value}" for key, value in known.items())
        machine.root(f"printf '%s\\n' '{lines}' >> /etc/environment")
        machine.root("echo 'Defaults env_keep += \"" + " ".join(known) + "\"' > /etc/sudoers.d/network")
        machine.take_checkout()
        yield machine
    finally:
        if not keep:
            docker.remove(name, force=True, volumes=True)
            docker.volume.remove(name)


def let_docker_work(machine: Host) -> None:
    """In a container's container /proc/sys is read-only, so that Docker cannot turn IPv6 off where there is none."""
    drop_in = "/etc/systemd/system/docker.service.d/lab.conf"
    lines = "[Service]\\nEnvironment=DOCKER_ALLOW_IPV6_ON_IPV4_INTERFACE=1\\n"
    machine.root(f"mkdir -p $(dirname {drop_in}) && printf '{lines}' > {drop_in}")
    machine.root("systemctl daemon-reload && systemctl restart docker")
