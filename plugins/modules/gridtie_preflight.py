#!/usr/bin/python
"""Judge a machine: every problem in one list, or the engine that will run here."""

from __future__ import annotations

import pwd
from types import ModuleType
from typing import Any, Iterator

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import (
    gridtie_cloud_keys,
    gridtie_docker,
    gridtie_judge,
    gridtie_launchd,
    gridtie_pins,
    gridtie_ports,
    gridtie_services,
    gridtie_station,
    gridtie_support,
)
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
  models_dir:
    description: Where the station's models are.
    type: path
  port:
    description: The router's port.
    type: raw
    default: 0
  tls_port:
    description: The router's port for other machines; 0 where it has none.
    type: raw
    default: 0
  engine_port:
    description: The port of a native engine.
    type: raw
    default: 0
  people:
    description: Who gets a key, each with C(name) or C(user), an account of this machine.
    type: raw
    default: []
  key_files:
    description: Provider to the file of its key, relative to O(config_dir).
    type: dict
    default: {}
  keys_given:
    description: Providers whose keys the inventory has.
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
  gridtie.gridtie.gridtie_preflight:
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
support:
  description: C(name), C(level) and C(remark) of this kind of machine; see docs/support.md.
  type: dict
  returned: success
station:
  description: The station.json of an earlier run, or empty.
  type: dict
  returned: success
former_pins:
  description: The digests that an earlier version recorded on this host, as a lock says them.
  type: dict
  returned: where the host is judged
former_problem:
  description: Why they cannot be read.
  type: str
  returned: where the host is judged
pins:
  description: How the roles go on with digests, C(mode) and C(former). From the action plugin.
  type: dict
  returned: success
"""


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
        elif port["holder"]:
            port.update(_on_host_network(gridtie_ports.process_on(number), docker))
    return port


def _on_host_network(process: int, docker: dict[str, Any]) -> dict[str, str]:
    """The container whose main process this is, among those that publish nothing since they share the host's network:
    the router beside a native engine.
    """
    cli, environment = docker["cli"], {"DOCKER_HOST": docker["host"]}
    _, names, _ = gridtie_docker.run([cli, "ps", "--quiet", "--filter", "network=host"], environment)
    template = '{{.State.Pid}}\t{{.Name}}\t{{index .Config.Labels "com.docker.compose.project"}}'
    _, output, _ = gridtie_docker.run([cli, "inspect", "--format", template, *names.split()], environment)
    return container_of(process, output)


def container_of(process: int, inspected: str) -> dict[str, str]:
    """The container whose main process this is, among lines of process, name and compose project (which may lack)."""
    for pid, name, project, *_ in (f"{line}\t\t".split("\t") for line in inspected.splitlines()):
        if pid == str(process):
            return {"container": name.lstrip("/"), "project": project}
    return {}


def _held(number: Any, docker: dict[str, Any]) -> dict[str, Any] | None:
    """Who holds a port; none where it is not wanted (0), or no number."""
    return _port(int(number), docker) if str(number).isdigit() and int(number) else None


def _engine_port(number: Any, project: str, docker: dict[str, Any], services: ModuleType) -> dict[str, Any] | None:
    """Who holds the port of a native engine; the station's own engine is recognised by its unit."""
    held = _held(number, docker)
    if held and held["holder"] and services.unit_on(int(number)) == services.engine_unit(project):
        held["project"] = project
    return held


def _listed(value: Any) -> list[Any]:
    """A list, or nothing where the inventory has something else: that has its own line among the inputs."""
    return value if isinstance(value, list) else []


def _missing_accounts(people: Any) -> Iterator[str]:
    for person in _listed(people):
        if isinstance(person, dict) and person.get("name"):
            name = str(person.get("user") or person["name"])
            try:
                pwd.getpwnam(name)
            except KeyError:
                yield name


def _former(given: dict[str, Any]) -> dict[str, Any]:
    """What the station recorded before its inventory had a lock."""
    texts = [read_text(f"{given[place]}/pins.json") if given[place] else "" for place in ("config_dir", "models_dir")]
    try:
        return {"former_pins": gridtie_pins.former(*texts), "former_problem": ""}
    except gridtie_pins.PinError as error:
        return {"former_pins": {}, "former_problem": str(error)}


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "machine": {"type": "dict", "required": True},
            "wanted": {"type": "dict", "default": {}},
            "judge": {"type": "bool", "default": True},
            "config_dir": {"type": "path", "required": True},
            "models_dir": {"type": "path"},
            "port": {"type": "raw", "default": 0},
            "tls_port": {"type": "raw", "default": 0},
            "engine_port": {"type": "raw", "default": 0},
            "people": {"type": "raw", "default": []},
            "key_files": {"type": "dict", "default": {}, "no_log": False},
            "keys_given": {"type": "raw", "default": []},
            "input_problems": {"type": "list", "elements": "dict", "default": []},
        },
        supports_check_mode=True,
    )
    machine, inputs = module.params["machine"], module.params["input_problems"]
    station = gridtie_station.station(module.params["config_dir"])
    machine["docker"] = _docker(machine["docker"], station)
    if not module.params["judge"]:
        module.exit_json(changed=False, machine=machine, choice={}, station=station)
    try:
        port = _port(int(module.params["port"]), machine["docker"])
    except (TypeError, ValueError):  # Named in the list of inputs already.
        port = {"number": 0, "holder": "", "container": "", "project": ""}
    wanted, project = module.params["wanted"], str(module.params["wanted"].get("project", ""))
    services = gridtie_launchd if machine["init"] == "launchd" else gridtie_services
    if machine["init"] in ("systemd", "launchd"):
        machine.update(services.find_ollama(module.params["engine_port"], project))
        machine["silent"] = services.silent(station.get("engine") or {}, machine["ollama"])
    engine_port = _engine_port(module.params["engine_port"], project, machine["docker"], services)
    choice, problems = gridtie_judge.judge(machine, wanted, station, port, engine_port)
    problems = inputs + problems
    problems += gridtie_judge.judge_site(
        _held(module.params["tls_port"], machine["docker"]),
        list(_missing_accounts(module.params["people"])),
        wanted,
    )
    ports = [module.params["port"], module.params["tls_port"], *_listed(wanted.get("firewall_ports"))]
    has_nft = bool(module.get_bin_path("nft"))
    problems += gridtie_judge.judge_firewall(machine, wanted.get("firewall"), ports, has_nft)
    config_dir, given = module.params["config_dir"], module.params["keys_given"]
    keyless = gridtie_cloud_keys.keyless(config_dir, module.params["key_files"], given)
    problems += gridtie_judge.judge_keys(config_dir, keyless)
    problems += gridtie_judge.judge_restore(gridtie_station.restore(config_dir))
    platform = gridtie_support.find(machine["system"], machine["architecture"], machine.get("wsl", 0))
    support = {"name": platform.name, "level": platform.level, "remark": platform.remark}
    seen = {"machine": machine, "choice": choice or {}, "station": station, **_former(module.params)}
    if problems:
        module.fail_json(msg=gridtie_judge.listing(problems), problems=problems, **seen)
    module.exit_json(changed=False, support=support, **seen)


if __name__ == "__main__":
    main()
