#!/usr/bin/python
"""Judge a machine: every problem in one list, or the engine that will run here."""

from __future__ import annotations

import json
import pwd
from typing import Any, Iterator

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import gridtie_docker, gridtie_judge, gridtie_ports
from ..module_utils.gridtie_machine import read_text

DOCUMENTATION = r"""
module: gridtie_preflight
short_description: Judge a machine before anything on it is changed
description:
  - Adds what only root can see (the station of an earlier run, the owner of a port, the system's Docker), decides the
    engine and fails with one list of everything that stands in the way.
options:
  machine:
    description: What M(gridtie_machine) returned.
    type: dict
    required: true
  wanted:
    description: The station's variables that the judgement reads.
    type: dict
    default: {}
  judge:
    description: Whether the machine is judged, or only looked at.
    type: bool
    default: true
  config_dir:
    description: Where the station's configuration is.
    type: path
    required: true
  port:
    description: The router's port.
    type: raw
    default: 0
  tls_port:
    description: The router's port for other machines; 0 where it has none.
    type: raw
    default: 0
  people:
    description: Who gets a key, each with C(name) or C(user), an account of this machine.
    type: raw
    default: []
  input_problems:
    description: Problems of variables and files that were found before.
    type: list
    elements: dict
    default: []
author: Gridtie contributors
"""
EXAMPLES = r"""
- name: Judge the machine
  gridtie_preflight:
    machine: "{{ _preflight_machine.machine }}"
    wanted: {project: gridtie, engine: auto, mode: auto, source: auto, min_memory_gb: 2, min_disk_gb: 8}
    config_dir: /etc/gridtie
    port: 8484
"""
RETURN = r"""
machine:
  description: The machine, with the Docker that will be used.
  type: dict
  returned: success
choice:
  description: Engine, mode and source, with the reason.
  type: dict
  returned: success
station:
  description: The station.json of an earlier run, or empty.
  type: dict
  returned: success
"""


def _station(config_dir: str) -> dict[str, Any]:
    try:
        station = json.loads(read_text(f"{config_dir}/station.json") or "{}")
    except ValueError:
        return {}  # Cut by a crash of the machine: written anew by this run.
    return station if isinstance(station, dict) else {}


def _docker(seen: dict[str, Any], station: dict[str, Any]) -> dict[str, Any]:
    """The Docker to use: the one the station runs on, else the person's own, else the system's."""
    stored = (station.get("expected") or {}).get("docker_host")
    if stored and stored != seen["host"]:
        docker = gridtie_docker.inspect(stored)
        if docker["works"]:
            return docker
    # What the person named (DOCKER_HOST, a context) is theirs to start: another Docker must not take its place.
    if seen["works"] or seen["named"]:
        return seen
    return {**gridtie_docker.inspect(gridtie_docker.ROOT_SOCKET), "named": False}


def _port(number: int, docker: dict[str, Any]) -> dict[str, Any]:
    port = {"number": number, "holder": gridtie_ports.holder(number), "container": "", "project": ""}
    if docker["works"]:
        template = '{{.Names}} {{.Label "com.docker.compose.project"}}'
        _, output, _ = gridtie_docker.run(
            [docker["cli"], "ps", "--filter", f"publish={number}", "--format", template],
            {"DOCKER_HOST": docker["host"]},
        )
        if output:
            container, _, project = output.splitlines()[0].partition(" ")
            port.update(container=container, project=project, holder=port["holder"] or container)
    return port


def _tls_port(number: Any, docker: dict[str, Any]) -> dict[str, Any] | None:
    """Who holds the port for other machines; none where there is none, or no number."""
    return _port(int(number), docker) if str(number).isdigit() and int(number) else None


def _missing_accounts(people: Any) -> Iterator[str]:
    for person in people if isinstance(people, list) else []:
        if isinstance(person, dict) and person.get("name"):
            name = str(person.get("user") or person["name"])
            try:
                pwd.getpwnam(name)
            except KeyError:
                yield name


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "machine": {"type": "dict", "required": True},
            "wanted": {"type": "dict", "default": {}},
            "judge": {"type": "bool", "default": True},
            "config_dir": {"type": "path", "required": True},
            "port": {"type": "raw", "default": 0},
            "tls_port": {"type": "raw", "default": 0},
            "people": {"type": "raw", "default": []},
            "input_problems": {"type": "list", "elements": "dict", "default": []},
        },
        supports_check_mode=True,
    )
    machine, inputs = module.params["machine"], module.params["input_problems"]
    station = _station(module.params["config_dir"])
    machine["docker"] = _docker(machine["docker"], station)
    if not module.params["judge"]:
        module.exit_json(changed=False, machine=machine, choice={}, station=station)
    try:
        port = _port(int(module.params["port"]), machine["docker"])
    except (TypeError, ValueError):  # Named in the list of inputs already.
        port = {"number": 0, "holder": "", "container": "", "project": ""}
    choice, problems = gridtie_judge.judge(machine, module.params["wanted"], station, port)
    problems = inputs + problems
    problems += gridtie_judge.judge_site(
        _tls_port(module.params["tls_port"], machine["docker"]),
        list(_missing_accounts(module.params["people"])),
        module.params["wanted"],
    )
    if problems:
        module.fail_json(msg=gridtie_judge.listing(problems), problems=problems)
    module.exit_json(changed=False, machine=machine, choice=choice, station=station)


if __name__ == "__main__":
    main()
