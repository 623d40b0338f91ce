"""A team that has the collection's tarball, an Ansible and a playbook of its own, and no checkout: a whole station.

One scenario on one machine, which is its own controller; the tests are its steps and run in the order they stand in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from python_on_whales import docker

import installed
from lab.host import CHECKOUT, Host, Result, succeeded
from lab.prepared import prepared

TEAM = "/home/dev/team"
# As people write it: facts are gathered, and the play as a whole becomes root.
PLAYBOOK = """
- name: Our workstations
  hosts: all
  become: true
  vars:
    gridtie_engine: embedded
  roles:
    - gridtie.gridtie.preflight
    - gridtie.gridtie.container_engine
    - gridtie.gridtie.gpu
    - gridtie.gridtie.engine_embedded
    - gridtie.gridtie.models
    - gridtie.gridtie.router
    - gridtie.gridtie.doctor
"""
ONE_ROLE = """
- name: The router alone
  hosts: all
  vars: {gridtie_engine: embedded}
  roles: [gridtie.gridtie.router]
"""
FILES = {
    "local.yml": PLAYBOOK,
    "router.yml": ONE_ROLE,
    "hosts": "localhost ansible_connection=local\n",
    "ansible.cfg": "[defaults]\ninventory = hosts\n",
}


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    tarball = installed.build(tmp_path_factory.mktemp("built"))
    with prepared("router", "engine-embedded", hostname="team") as host:
        host.root("rm -rf /home/dev/gridtie && apt-get -qq update && apt-get -qq install -y python3-venv")
        host.root(f"install -d -o dev -g dev {TEAM}")
        docker.copy(tarball, (host.name, "/home/dev/gridtie.tar.gz"))
        for name, content in FILES.items():
            host.write(f"{TEAM}/{name}", content)
        yield host


def run(machine: Host, command: str) -> Result:
    """A command of Ansible's, in the team's directory."""
    return machine.run(f"/home/dev/ansible/bin/{command}", cwd=TEAM)


def test_it_is_installed_into_an_ansible_that_is_not_ours_without_a_network(machine: Host) -> None:
    lock = (CHECKOUT / "requirements/site-py312.lock").read_text(encoding="utf-8")
    (core,) = re.findall(r"^(ansible-core==[\d.]+)", lock, re.MULTILINE)
    succeeded(machine.run(f"python3 -m venv /home/dev/ansible && ansible/bin/pip -q install {core}", cwd="/home/dev"))

    succeeded(run(machine, "ansible-galaxy collection install /home/dev/gridtie.tar.gz --offline"))


def test_what_its_python_lacks_is_told_with_the_command_that_installs_it(machine: Host) -> None:
    done = run(machine, "ansible-playbook local.yml")

    assert done.code != 0
    assert "changed=0" in done.output
    (command,) = set(re.findall(r"Install it: (\S+/python\S* -m pip install -r \S+/requirements\.txt)", done.output))
    succeeded(machine.run(command, cwd=TEAM))


def test_a_playbook_that_is_not_ours_makes_a_verified_station(machine: Host) -> None:
    output = succeeded(run(machine, "ansible-playbook local.yml"))

    assert re.search(r"failed=0", output)
    assert "PASS" in machine.root("gridtie doctor")
    assert machine.root("cat /home/dev/.config/gridtie/endpoint").startswith("http://127.0.0.1:8484")


def test_one_role_alone_finds_what_the_earlier_run_made_and_changes_nothing(machine: Host) -> None:
    before = machine.root("cat /etc/gridtie/station.json")

    assert "changed=0" in succeeded(run(machine, "ansible-playbook router.yml"))
    assert machine.root("cat /etc/gridtie/station.json") == before


def test_a_playbook_of_the_collection_runs_by_its_full_name(machine: Host) -> None:
    """All the tests for users, the demo among them, from where Ansible runs."""
    succeeded(run(machine, "ansible-playbook gridtie.gridtie.verify"))


def test_a_machine_that_pulls_the_teams_repository_runs_the_same_and_changes_nothing(machine: Host) -> None:
    author = "-c user.name=team -c user.email=team@example.com"
    succeeded(machine.run(f"git init -q && git add . && git {author} commit -qm 'our stations'", cwd=TEAM))

    output = succeeded(machine.run(f"ansible/bin/ansible-pull -U file://{TEAM} -i hosts", cwd="/home/dev"))

    assert re.search(r"ok=\d+ +changed=0 .*failed=0", output), output


def test_a_bill_is_made_by_the_collections_own_playbook_where_it_was_typed(machine: Host) -> None:
    succeeded(run(machine, "ansible-playbook gridtie.gridtie.report"))

    bill = json.loads(succeeded(machine.run("cat reports/*.json", cwd=TEAM)))
    assert ([host["host"] for host in bill["hosts"]], bill["missing"]) == (["localhost"], [])


def test_it_is_removed_by_the_collections_own_playbook(machine: Host) -> None:
    succeeded(run(machine, "ansible-playbook gridtie.gridtie.reset"))

    assert machine.root("ls -d /opt/gridtie /usr/local/bin/gridtie 2>/dev/null; docker ps -q") == ""
