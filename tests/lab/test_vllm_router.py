"""Two servers behind vllm-router, which is the engine of a third host, made by one run of the playbook.

The servers' engine is llama.cpp's server here, which needs no card; `tests/scale` has vLLM behind it. The tests are the
chapters of one story and run in the order they stand in.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from lab.fleet import Fleet, fleet_of, recap, shortcuts, target, wait_for
from lab.host import CHECKOUT, succeeded

FRONT, SERVERS = "front", ("gpu-1", "gpu-2")
MODEL = "station/gridtie/smollm2:135m"


class Team(Fleet):
    """Two servers, and the host before them."""

    def write_inventory(self, **variables: Any) -> None:
        """Servers with the group variables that the project ships, and the host before them."""
        front = {
            "gridtie_engine": "vllm_router",
            "gridtie_pool": "{{ groups['servers'] }}",
            "gridtie_people": [{"name": "alice"}],
        }
        servers = {name: {"ansible_host": self.addresses[name]} for name in SERVERS}
        fronts = {FRONT: {"ansible_host": self.addresses[FRONT]}}
        children = {"servers": {"hosts": servers}, "fronts": {"hosts": fronts, "vars": front}}
        directory = self.directory / "inventory"
        shutil.copytree(CHECKOUT / "inventories/team/group_vars", directory / "group_vars", dirs_exist_ok=True)
        document = {"all": {"vars": {**self.login, **variables}, "children": children}}
        (directory / "hosts.yml").write_text(yaml.safe_dump(document))

    def servers_told(self) -> tuple[bool, str, str]:
        """What the doctor says of the servers: whether it holds, what was found, and its warning."""
        report = json.loads(self[FRONT].root("gridtie doctor --json || true"))
        (line,) = [each for each in report["checks"] if each["id"] == "engine.models"]
        return line["ok"], line["found"], line["warning"]


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    with fleet_of((*SERVERS, FRONT), tmp_path_factory.mktemp("servers")) as fleet:
        found = Team(fleet.hosts, fleet.addresses, fleet.directory)
        found[FRONT].root("useradd --create-home alice")
        (found.directory / "routing.yaml").write_text((CHECKOUT / "config/llm_routing.yaml").read_text())
        (found.directory / "models.lock.yaml").write_text("schema: 1\nmodels: {}\n")
        found.write_inventory(**shortcuts(found.directory))
        yield found


def test_one_run_provisions_the_servers_and_what_stands_before_them(team: Team) -> None:
    assert set(recap(team.play("site.yml"))) == {FRONT, *SERVERS}


def test_a_request_is_answered_by_a_server_and_none_of_its_keys_is_the_engines(team: Team) -> None:
    assert target(team[FRONT]) == MODEL
    team[FRONT].root("docker exec gridtie-engine-1 sh -c '! ls /etc/gridtie 2>/dev/null && ls /etc/vllm-router'")
    keys = {team[FRONT].root(f"cat /etc/gridtie/secrets/pool-{name}") for name in SERVERS}
    assert len(keys) == 1


def test_the_doctor_names_the_servers_and_every_check_holds(team: Team) -> None:
    assert team.servers_told() == (True, "gpu-1, gpu-2", "")
    succeeded(team[FRONT].run("gridtie doctor", user="root"))


def test_a_second_run_changes_nothing(team: Team) -> None:
    lines = recap(team.play("site.yml"))

    assert all("changed=0" in line for line in lines.values()), lines


def test_while_a_server_is_drained_the_other_is_asked(team: Team) -> None:
    drain = (
        "import json, pathlib; path = pathlib.Path('/etc/gridtie/station.json'); told = json.loads(path.read_text())"
    )
    write = "path.write_text(json.dumps({**told, 'draining': %s}))"
    team["gpu-1"].root(f'python3 -c "{drain}; {write % True}"')
    wait_for(MODEL, team[FRONT])
    _until(lambda: team.servers_told() == (True, "gpu-2", "not asked now, drained or down: gpu-1"))
    assert target(team[FRONT]) == MODEL

    team["gpu-1"].root(f'python3 -c "{drain}; {write % False}"')
    _until(lambda: team.servers_told() == (True, "gpu-1, gpu-2", ""))


def test_a_server_that_is_gone_costs_no_answer(team: Team) -> None:
    team["gpu-2"].root("docker stop gridtie-router-1")
    assert [target(team[FRONT]) for _ in range(3)] == [MODEL] * 3
    team["gpu-2"].root("docker start gridtie-router-1")
    _until(lambda: team.servers_told()[1] == "gpu-1, gpu-2")


def test_a_reset_takes_it_away(team: Team) -> None:
    succeeded(team.play("playbooks/reset.yml", "--limit", FRONT))

    left = team[FRONT].root("docker ps -aq --filter name=gridtie-; docker images -q gridtie/engine-vllm_router")
    assert left == ""
    assert team[FRONT].root("ls -d /etc/gridtie/vllm-router 2>/dev/null; true") == ""


def _until(true: Callable[[], bool], limit: float = 60) -> None:
    deadline = time.monotonic() + limit
    while not true():
        assert time.monotonic() < deadline
        time.sleep(1)
