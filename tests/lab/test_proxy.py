"""A station on a network whose only way out is a proxy with a password: all of it works, and the password stays put.

The tests are the steps of one scenario and run in the order they stand in.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab import image
from lab.host import Host, Result, host, succeeded
from lab.proxy import CA_INSIDE, CLOUD, CLOUD_PORT, PORT, Proxy, proxy

# With what Ansible shows when it is asked for more: the password must not be in that either.
SITE = 'make site ARGS="-e gridtie_engine=embedded --diff" V=1'
# Where a password could be left: layers of images and of the build cache, what Docker knows of images, logs. What a
# container was started with is elsewhere (containers/*/config.v2.json), readable to root alone.
LAYERS = "/var/lib/docker/overlay2 /var/lib/docker/image /var/lib/docker/buildkit"
# grep's own arguments would be found among the processes, so that the password is read from a file.
WATCH = """
while sleep 0.1; do cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -aFf /root/needle >>/root/seen; done
"""
ASK = """
import json, sys, urllib.request
from pathlib import Path
key = Path.home().joinpath(".config/gridtie/key").read_text().strip()
body = {"model": "coder", "messages": [{"role": "user", "content": "Hello?"}], "stream": sys.argv[1] == "stream"}
headers = {"authorization": f"Bearer {key}", "x-gridtie-environment": "production"}
asked = urllib.request.Request("http://127.0.0.1:8484/v1/chat/completions", json.dumps(body).encode(), headers)
with urllib.request.urlopen(asked) as answer:
    print(answer.headers["x-gridtie-locality"], answer.read().decode())
"""
CONFIGURE = f"""
import yaml
from pathlib import Path
file = yaml.safe_load(Path("config/llm_routing.yaml").read_text())
file["providers"]["openai"] = {{"type": "openai", "base_url": "https://{CLOUD}:{CLOUD_PORT}/v1",
                               "locality": "cloud", "key_file": "secrets/openai"}}
file["models"]["coder"]["cloud"] = {{"provider": "openai", "model": "gpt-5.4-mini"}}
Path("/home/dev/routing.yaml").write_text(yaml.safe_dump(file, sort_keys=False))
"""

# A machine that knows of no proxy, and an inventory that does. Upstream's release page stands behind the proxy.
FORGET = "sed -i '/_proxy=/Id' /etc/environment; rm /etc/apt/apt.conf.d/80proxy"
WITHOUT = "env -u http_proxy -u https_proxy -u no_proxy -u HTTP_PROXY -u HTTPS_PROXY -u NO_PROXY"
INVENTORY = """
all:
  hosts:
    localhost:
      ansible_connection: local
      ansible_python_interpreter: "{{{{ ansible_playbook_python }}}}"
      gridtie_project: other
      gridtie_port: 8585
      gridtie_http_proxy: {url}
      gridtie_https_proxy: {url}
      gridtie_no_proxy: 127.0.0.1
      gridtie_preflight_probe: {{release: "{release}"}}
"""
LOOK = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: gridtie.gridtie.preflight, public: true, rolespec_validate: false}
    - gridtie.gridtie.gridtie_packages: {names: [hello], network: "{{ _station_network }}"}
      become: true
    - ansible.builtin.debug: {msg: "source is {{ gridtie_resolved_choice.source }}"}
"""


@pytest.fixture(scope="module")
def outside() -> Iterator[Proxy]:
    with proxy(image.build()) as running:
        yield running


@pytest.fixture(scope="module")
def machine(outside: Proxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A machine whose owner configured the proxy for everybody and for apt; what its processes show is watched."""
    bundle = tmp_path_factory.mktemp("ca") / "bundle.pem"
    bundle.write_text(outside.bundle())
    options = (f"--network={outside.name}", f"--volume={bundle}:{CA_INSIDE}:ro")
    with host(image.build(), options=options, variables=outside.variables()) as inside:
        for scheme in ("http", "https"):
            inside.root(f"echo 'Acquire::{scheme}::Proxy \"{outside.url}\";' >>/etc/apt/apt.conf.d/80proxy")
        # As on most machines, sudo passes none of a person's variables on.
        inside.root("rm /etc/sudoers.d/network")
        inside.root(f"printf %s '{outside.password}' >/root/needle; touch /root/seen")
        inside.root(f"cat >/root/watch <<'END'\n{WATCH}\nEND\nsystemd-run --quiet --unit=watch bash /root/watch")
        yield inside


def python(machine: Host, script: str, *arguments: str) -> Result:
    return machine.run(f".venv/bin/python - {' '.join(arguments)} <<'END'\n{script}\nEND")


def where_it_is_found(machine: Host, command: str) -> str:
    """What `grep` finds of the password in what a command prints, or in the files that it names."""
    return machine.root(f"{command}; true")


def test_nothing_leads_out_but_the_proxy_and_it_wants_the_password(machine: Host, outside: Proxy) -> None:
    direct = "import socket; socket.create_connection(('1.1.1.1', 443), 3)"
    unnamed = (
        "import urllib.request as u; "
        f"u.build_opener(u.ProxyHandler({{'http': 'http://{outside.address}:{PORT}'}})).open('http://deb.debian.org/')"
    )

    assert machine.run(f'python3 -c "{direct}"', cwd="/").code != 0
    assert "407" in machine.run(f'python3 -c "{unnamed}"', cwd="/").output


def test_a_station_is_provisioned_through_the_proxy_and_a_second_run_changes_nothing(
    machine: Host, outside: Proxy
) -> None:
    first = succeeded(machine.run(SITE))
    second = succeeded(machine.run(SITE))

    assert "PASS" in first
    assert "changed=0" in second
    assert outside.password not in first + second


def test_a_wrong_password_is_said_before_anything_changes(machine: Host, outside: Proxy) -> None:
    wrong = outside.url.replace(outside.password, "wrong-secret")
    fresh = "-e gridtie_project=other -e gridtie_port=8585 -e gridtie_engine=embedded"

    result = machine.run(f'HTTPS_PROXY={wrong} https_proxy={wrong} make site ARGS="{fresh}"')

    assert result.code != 0
    assert "Nothing has been changed." in result.output
    assert "the Python package index does not answer" in result.output
    assert "Tunnel connection failed" in result.output
    assert "wrong-secret" not in result.output


def test_the_router_reaches_a_cloud_through_the_proxy_and_trusts_the_machines_authorities(
    machine: Host, outside: Proxy
) -> None:
    succeeded(python(machine, CONFIGURE))
    machine.root("install -m 0640 -g gridtie /dev/stdin /etc/gridtie/secrets/openai <<<sk-standin")
    succeeded(machine.run('make site ARGS="-e gridtie_engine=embedded -e gridtie_routing_file=/home/dev/routing.yaml"'))

    whole = succeeded(python(machine, ASK, "whole"))
    streamed = succeeded(python(machine, ASK, "stream"))

    assert whole.split()[0] == streamed.split()[0] == "cloud"
    assert [line for line in outside.asked() if line.startswith(f"CONNECT {CLOUD}:{CLOUD_PORT} ")]


def test_a_proxy_that_only_the_inventory_declares_is_the_way_of_probes_and_packages(
    machine: Host, outside: Proxy
) -> None:
    machine.root(FORGET)
    inventory = INVENTORY.format(url=outside.url, release=f"https://{CLOUD}:{CLOUD_PORT}/")
    machine.write("/home/dev/inventory.yml", inventory)
    machine.root("chmod 600 /home/dev/inventory.yml")
    machine.write("/home/dev/gridtie/look.yml", LOOK)
    before = len(outside.asked())

    output = succeeded(machine.run(f"{WITHOUT} .venv/bin/ansible-playbook -i ../inventory.yml look.yml --diff -v"))

    assert "source is release" in output
    assert machine.root("dpkg-query -W -f '${db:Status-Status}' hello") == "installed"
    assert [line for line in outside.asked()[before:] if "hello" in line]
    assert outside.password not in output


def test_the_password_is_in_no_image_layer_and_no_history(machine: Host) -> None:
    assert where_it_is_found(machine, f"grep -rlaFf /root/needle {LAYERS}") == ""
    images = "docker image ls --all --quiet | sort -u | xargs docker"
    assert where_it_is_found(machine, f"{images} image inspect | grep -cFf /root/needle").strip() == "0"
    history = "for id in $(docker image ls --all --quiet); do docker history --no-trunc $id; done"
    assert where_it_is_found(machine, f"({history}) | grep -cFf /root/needle").strip() == "0"


def test_the_password_is_in_no_log(machine: Host) -> None:
    assert where_it_is_found(machine, "grep -rlaFf /root/needle /var/log /run/log /home/dev/gridtie") == ""
    assert where_it_is_found(machine, "journalctl --no-pager --output=export | grep -aFf /root/needle") == ""
    logs = "for id in $(docker ps --all --quiet); do docker logs $id 2>&1; done"
    assert where_it_is_found(machine, f"({logs}) | grep -aFf /root/needle") == ""


def test_the_password_was_never_in_the_process_list(machine: Host) -> None:
    assert machine.root("systemctl is-active watch").strip() == "active"
    assert machine.root("cat /root/seen") == ""


def test_files_that_hold_the_password_are_roots_alone(machine: Host) -> None:
    listed = machine.root("grep -rlaFf /root/needle /etc /opt /var/lib/gridtie /var/lib/docker/containers; true")
    # What the owner wrote for everybody is theirs.
    ours = [path for path in listed.split() if path not in ("/etc/environment", "/etc/apt/apt.conf.d/80proxy")]

    modes = {path: machine.root(f"stat --format '%a %U' {path}").strip() for path in ours}
    assert modes
    assert set(modes.values()) == {"600 root"}, modes
