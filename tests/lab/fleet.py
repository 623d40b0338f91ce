"""Hosts of the lab on one network that a playbook reaches over SSH, as a team's machines are reached."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from python_on_whales import docker

from lab import image
from lab.host import CA_INSIDE, CHECKOUT, Host, Result, bundle, host, let_docker_work, succeeded

SSH = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"

# Asks as an application of a person does: with that person's files. Prints what came back.
ASK = """
import json, pathlib, sys, urllib.error, urllib.request
place = pathlib.Path.home() / ".config/gridtie"
body = {"model": "coder", "max_tokens": 8, "messages": [{"role": "user", "content": "Say hello."}]}
request = urllib.request.Request(
    (place / "endpoint").read_text().strip() + "/v1/chat/completions",
    json.dumps(body).encode(),
    {"Authorization": "Bearer " + (sys.argv[1] if len(sys.argv) > 1 else (place / "key").read_text().strip()),
     "Content-Type": "application/json"},
)
try:
    with urllib.request.urlopen(request, timeout=60) as answer:
        content = json.load(answer)
        print(json.dumps({"status": 200, "target": answer.headers["x-gridtie-target"],
                          "attempts": answer.headers["x-gridtie-attempts"],
                          "text": content["choices"][0]["message"]["content"]}))
except urllib.error.HTTPError as error:
    print(json.dumps({"status": error.code, "said": json.load(error)["error"]["code"]}))
"""


@dataclass
class Fleet:
    """The hosts, and the means to provision them."""

    hosts: dict[str, Host]
    addresses: dict[str, str]
    directory: Path

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    @property
    def login(self) -> dict[str, str]:
        """How an inventory reaches each of them."""
        return {
            "ansible_user": "dev",
            "ansible_ssh_private_key_file": str(self.directory / "key"),
            "ansible_ssh_common_args": SSH,
            "ansible_python_interpreter": "/usr/bin/python3",
        }

    def play(self, playbook: str, *arguments: str) -> Result:
        """Run a playbook against all of them, from a machine whose own Docker is out of reach."""
        own = {
            "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
            "ANSIBLE_HOME": str(self.directory / "ansible"),
            "DOCKER_HOST": f"unix://{self.directory}/none.sock",
        }
        program = str(Path(sys.executable).parent / "ansible-playbook")
        command = [program, str(CHECKOUT / playbook), "-i", str(self.directory / "inventory"), *arguments]
        done = subprocess.run(
            command, cwd=CHECKOUT, env={**os.environ, **own}, capture_output=True, text=True, check=False, timeout=840
        )
        return Result(done.returncode, done.stdout + done.stderr, 0.0)


@contextmanager
def fleet_of(names: Sequence[str], directory: Path) -> Iterator[Fleet]:
    """Bare hosts of these names, whose account `dev` lets in the key in `directory`."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / "key")], check=True)
    key = (directory / "key.pub").read_text().strip()
    network = f"gridtie-lab-{uuid.uuid4().hex[:8]}"
    docker.network.create(network)
    try:
        with ExitStack() as stack:
            tag = image.build(more=image.DOCKER)
            hosts = {}
            for name in names:
                machine = hosts[name] = stack.enter_context(host(tag, hostname=name, options=("--network", network)))
                let_docker_work(machine)
                _let_in(machine, key)
            # Docker's own bridge has an address, too.
            shown = {name: machine.root("ip -4 -o addr show eth0") for name, machine in hosts.items()}
            addresses = {name: line.split()[3].partition("/")[0] for name, line in shown.items()}
            yield Fleet(hosts, addresses, directory)
    finally:
        docker.network.remove(network)


def _let_in(machine: Host, key: str) -> None:
    machine.root("install -d -m 700 -o dev -g dev /home/dev/.ssh")
    machine.root(f"echo '{key}' > /home/dev/.ssh/authorized_keys && chown dev: /home/dev/.ssh/authorized_keys")


def shortcuts(directory: Path) -> dict[str, Any]:
    """What makes it quick here: the engine that needs no compiler, and the one model that can be had."""
    return {
        "gridtie_engine": "embedded",
        "gridtie_models": ["smollm2:135m"],
        # The one model that can be had here, and nobody knows its digest yet.
        "gridtie_models_lock": str(directory / "models.lock.yaml"),
        # Beside the inventory it would be in a temporary directory, where no lock is kept.
        "gridtie_lock_file": str(directory / "gridtie.lock.yaml"),
        "gridtie_routing_file": str(directory / "routing.yaml"),
        "gridtie_ca_certificate": str(directory / "ca/ca.pem"),
        "gridtie_ca_key": str(directory / "ca/ca.key"),
        "gridtie_share_cache": str(directory / "images"),
        # Where this machine's network has an authority of its own, the lab hosts have it, too.
        **({"gridtie_ca_bundle": CA_INSIDE} if bundle() else {}),
    }


def ask(machine: Host, person: str, *key: str) -> dict[str, Any]:
    """One chat of a person on a workstation, with the person's own key unless another is given."""
    machine.root(f"cat > /tmp/ask.py <<'END'\n{ASK}\nEND\nchmod 644 /tmp/ask.py")
    output = succeeded(machine.run(f"python3 /tmp/ask.py {' '.join(key)}", user=person, cwd="/"))
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    return found


def target(machine: Host, person: str = "alice") -> str:
    """Who answers a person's request."""
    answered = ask(machine, person)
    assert answered["status"] == 200, answered
    assert answered["text"].strip()
    return str(answered["target"])


def wait_for(wanted: str, machine: Host, person: str = "alice", limit: float = 30) -> None:
    """Return once a request is answered there."""
    deadline = time.monotonic() + limit
    while (found := target(machine, person)) != wanted:
        assert time.monotonic() < deadline, f"{found} answers, and not {wanted}"
        time.sleep(0.5)


def recap(result: Result) -> dict[str, str]:
    """Host -> the counts of the last lines."""
    lines = [line for line in succeeded(result).splitlines() if re.match(r"[\w-]+ *: .*changed=", line)]
    return {line.partition(":")[0].strip(): line for line in lines}
