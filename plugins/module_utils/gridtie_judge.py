"""The judgement of a machine before anything is changed: every problem at once, each with what to do."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any, Iterable

from .gridtie_choice import Unmet, choose, on_mac
from .gridtie_host.firewall import lets_in, source
from .gridtie_host.gpu.devices import asked
from .gridtie_support import WANTED, refusal

_GIB = 1024**3
# Systems on which packages are installed from here.
_APT = ("debian", "ubuntu")
# Docker Engine 20.10 is what Debian 12 has; older ones lack what the compose file uses.
_OLDEST_DOCKER = (20, 10)
# The interfaces home and removable-media of the snap; directories whose names begin with a dot are left out.
_SNAP_SEES = ("/home", "/media", "/mnt")


def problem(found: str, fix: str) -> dict[str, str]:
    """One thing that is wrong, and what to do about it."""
    return {"found": found, "fix": fix}


def _mac(machine: dict[str, Any], wanted: dict[str, Any]) -> list[dict[str, str]]:
    """A station on a Mac is a person's own: nothing is root's, and all of it lies where Docker's machine looks."""
    problems, home = [], machine["user"]["home"]
    if machine["user"]["uid"] == 0:
        problems.append(problem("this runs as root, and a station on a Mac belongs to a person", "run it without sudo"))
    outside = [path for path in wanted["mounted"] if not PurePosixPath(path).is_relative_to(home)]
    if outside:
        problems.append(
            problem(
                f"{' and '.join(outside)} lie outside {home}: root's, and hidden from Docker's virtual machine",
                "use the inventory inventories/mac (`make site` does on a Mac), or the variables that it sets",
            )
        )
    docker = machine["docker"]
    if not docker["works"]:
        problems.append(
            problem(
                f"no Docker answers ({docker['error']}), and none is installed on a Mac from here",
                "start the one that you have: Docker Desktop (open -a Docker), Colima (colima start) or OrbStack "
                "(open -a OrbStack)",
            )
        )
    elif not (docker["compose"] and docker["buildx"]):
        problems.append(
            problem(
                "Docker lacks the compose or buildx plugin",
                "Docker Desktop and OrbStack bring both; beside Colima: brew install docker-compose docker-buildx, and "
                "link them as `brew info` of each says",
            )
        )
    return problems


def _system(machine: dict[str, Any], provisioned: bool) -> list[dict[str, str]]:
    problems = []
    refused = refusal(machine["system"], machine["architecture"], machine.get("wsl", 0))
    # A station that is here proves that this machine has what it needs.
    if refused and not provisioned:
        problems.append(problem(refused, f"use a machine, or a virtual machine, with {WANTED}; docs/support.md"))
    if machine["privilege"] == "none":
        problems.append(
            problem(
                f"{machine['user']['name']} is not root, and there is no sudo on this machine",
                f"as root: apt-get install sudo && adduser {machine['user']['name']} sudo, or run this as root",
            )
        )
    return problems


def _resources(machine: dict[str, Any], wanted: dict[str, Any], provisioned: bool) -> list[dict[str, str]]:
    problems = []
    memory = machine["memory"]["total"]
    # The kernel keeps a few percent of what was bought or configured to itself.
    if memory < wanted["min_memory_gb"] * _GIB * 0.93:
        problems.append(
            problem(
                f"{memory / _GIB:.1f} GiB of memory; at least {wanted['min_memory_gb']:g} are needed",
                "add memory, or lower gridtie_preflight_min_memory_gb if you know that it is enough",
            )
        )
    if provisioned:  # What needs the space is there already.
        return problems
    needed_by_device: dict[int, dict[str, Any]] = {}
    for disk in machine["disks"]:
        place = needed_by_device.setdefault(disk["device"], {"free": disk["free"], "paths": []})
        place["paths"].append(disk["path"])
    # Images and build caches are what is big; directories on other file systems hold kilobytes, but the models.
    problems.extend(
        problem(
            f"{place['free'] / _GIB:.1f} GiB free where {' and '.join(place['paths'])} will be; at least "
            f"{wanted['min_disk_gb']:g} are needed",
            "free some space, or set gridtie_state_dir to a larger file system",
        )
        for place in needed_by_device.values()
        if place["free"] < wanted["min_disk_gb"] * _GIB
    )
    return problems


def _docker(machine: dict[str, Any], wanted: dict[str, Any]) -> list[dict[str, str]]:
    docker = machine["docker"]
    if docker["named"] and not docker["host"].startswith("unix://"):
        return [
            problem(
                f"Docker's endpoint is {docker['host']}, which is another machine",
                "unset DOCKER_HOST and run: docker context use default; or provision that machine with an inventory",
            )
        ]
    if not docker["works"]:
        if not docker["named"] or on_mac(machine):
            return []
        return [
            problem(
                f"the Docker that you chose does not answer at {docker['host']} ({docker['error']})",
                "start it (Docker Desktop; systemctl --user start docker for rootless Docker), or unset DOCKER_HOST "
                "and run: docker context use default",
            )
        ]
    version = tuple(int(part) for part in docker["version"].split(".")[:2] if part.isdigit())
    if version < _OLDEST_DOCKER:
        return [
            problem(
                f"Docker Engine {docker['version']} runs at {docker['host']}; it is never replaced from here",
                "upgrade it to 20.10 or newer",
            )
        ]
    if docker.get("desktop") and not on_mac(machine) and not (docker["compose"] and docker["buildx"]):
        return [problem("Docker Desktop lacks the compose or buildx plugin", "reinstall or upgrade Docker Desktop")]
    if docker.get("snap"):
        return _snap(wanted["mounted"] + wanted.get("files", []))
    return _shares(docker.get("shares"), wanted["mounted"])


def _hidden(places: list[str], seen: Iterable[str]) -> list[str]:
    """Those places that are not below a directory that is seen."""
    return [place for place in places if not any(PurePosixPath(place).is_relative_to(each) for each in seen)]


def _snap(places: list[str]) -> list[dict[str, str]]:
    """Docker from snap, daemon and command line, has a file system of its own: elsewhere it finds empty directories."""
    hidden = _hidden(places, _SNAP_SEES)
    if not hidden:
        return []
    return [
        problem(
            f"this Docker was installed from snap, sees only {', '.join(_SNAP_SEES)} of this machine, and the station "
            f"needs {', '.join(hidden)}",
            "use the distribution's or Docker's own packages (sudo snap remove docker, which removes its containers; "
            "this installs Docker then), or name places below /home: gridtie_state_dir, gridtie_config_dir, "
            "gridtie_prefix and gridtie_ca_bundle",
        )
    ]


def _shares(shares: list[str] | None, mounted: list[str]) -> list[dict[str, str]]:
    """Docker Desktop runs in a virtual machine that sees nothing but what is shared with it."""
    hidden = _hidden(mounted, shares) if shares else []
    if not hidden:
        return []
    return [
        problem(
            f"Docker Desktop shares only {', '.join(shares or [])} with containers, and the station needs "
            + ", ".join(hidden),
            "share them, too (Docker Desktop: Settings, Resources, File sharing), or name other places with "
            "-e gridtie_state_dir=... and -e gridtie_ca_bundle=...",
        )
    ]


def _port(port: dict[str, Any], project: str, variable: str = "gridtie_port") -> list[dict[str, str]]:
    if not port["holder"] or port["project"] == project:
        return []
    whose = (port["container"] and f"the container {port['container']}") or port["holder"]
    return [
        problem(
            f"port {port['number']} on this machine is taken by {whose}",
            f"stop it, or choose another port: -e {variable}={port['number'] + 1}",
        )
    ]


def _sources(machine: dict[str, Any], choice: dict[str, Any] | None) -> list[dict[str, str]]:
    """Sources without which the first run cannot end well."""
    reach, docker = machine["reach"], machine["docker"]
    titles = {"pypi": "the Python package index", "apt": "the distribution's package mirror"}
    needed = {"pypi": "the router is built from it"}
    if not (docker["works"] and docker["compose"] and docker["buildx"]):
        needed["apt"] = "Docker is installed from it"
    elif choice and choice["source"] == "packages":
        needed["apt"] = "the images are built from it"
    return [
        problem(
            f"{titles[name]} does not answer ({reach[name]['url']}: {reach[name]['detail']}); {why}",
            "check the network, gridtie_https_proxy and the CA bundle, or configure a mirror that this machine can "
            "reach",
        )
        for name, why in needed.items()
        if reach.get(name, {}).get("state") in ("unreachable", "error")
    ]


def _idle_gpu(wanted: dict[str, Any], choice: dict[str, Any] | None, gpus: list[str]) -> list[dict[str, str]]:
    """A supported card beside an engine that cannot use it. Nobody shall find that out from how slow it is."""
    if not choice or choice["kept"] or choice["source"] != "packages" or gpu_off(wanted.get("gpu")):
        return []
    engine = {
        "ollama": "Ollama compiled from packages",
        "embedded": "llama.cpp's server from a package",
        "vllm": "vLLM from packages",
        "vllm_router": "vllm-router, which hands requests to other stations,",
    }[choice["engine"]]
    return [
        problem(
            f"{', '.join(gpus)} would lie idle: {engine} computes on the processor alone",
            "give this machine a way to where Ollama's own builds with GPU libraries are (gridtie_https_proxy, "
            "gridtie_mirror_url), or say that the GPU shall stay idle: gridtie_gpu: off",
        )
    ] if gpus else []  # fmt: skip


def _devices(machine: dict[str, Any], wanted: dict[str, Any], choice: dict[str, Any] | None) -> list[dict[str, str]]:
    """Cards that were named and are not there, or that nothing confines the engine to."""
    if gpu_off(wanted.get("gpu")) or not asked(wanted.get("gpu_devices")):
        return []
    if unknown := (machine.get("graphics") or {}).get("devices_problem"):
        return [problem(**unknown)]
    if choice and choice["adopted"]:
        unit = choice["adopted"]["unit"]
        fix = (
            f"set CUDA_VISIBLE_DEVICES or ROCR_VISIBLE_DEVICES there (systemctl edit {unit}) and leave "
            "gridtie_gpu_devices out, or set gridtie_engine_mode: container"
        )
        return [problem(f"gridtie_gpu_devices is set, and {unit} was here before and keeps its own settings", fix)]
    return []


def gpu_off(value: Any) -> bool:
    """Whether `gridtie_gpu` says off. YAML reads the bare word as false."""
    return str(value).lower() in ("off", "false", "no")


def _host(machine: dict[str, Any]) -> dict[str, Any]:
    """What a native engine depends on."""
    docker = machine["docker"]
    return {
        "init": machine["init"],
        "confined_docker": bool(docker.get("rootless") or docker.get("desktop")),
        "runs_compiled": machine.get("runs_compiled", False),
        "ollama": machine.get("ollama") or {},
        "own_ollama": machine.get("own_ollama", False),
        "silent": machine.get("silent", ""),
    }


def _backups(machine: dict[str, Any], wanted: dict[str, Any]) -> list[dict[str, str]]:
    if not wanted.get("backups") or machine["init"] == "systemd":
        return []
    fix = "leave it out, and have `gridtie backup` run by what starts programs here"
    return [problem("gridtie_backup_directory needs a timer of systemd, which does not run this machine", fix)]


def judge_firewall(machine: dict[str, Any], ranges: Any, ports: Iterable[Any], has_nft: bool) -> list[dict[str, str]]:
    """Rules that cannot be kept here, or that would cut off whoever runs the playbook. ``ports`` are those guarded."""
    if not ranges or not isinstance(ranges, list):
        return []
    if machine["init"] != "systemd":
        fix = "leave it out, and have the machine's own firewall guard the port"
        return [problem("gridtie_firewall needs systemd, which does not run this machine", fix)]
    problems = []
    if not has_nft and machine["system"]["id"] not in _APT:
        fix = "install nftables (dnf install nftables), or leave gridtie_firewall out"
        problems.append(problem("gridtie_firewall needs the command nft, which is not on this machine", fix))
    client, port = machine["connection"].get("client"), machine["connection"].get("port")
    if port in {int(each) for each in ports if str(each).isdigit()} and not _passes(ranges, client):
        client = source(client)
        problems.append(
            problem(
                f"gridtie_firewall would drop what comes to port {port} from {client}, which is this very run",
                f"add {client} to gridtie_firewall, or take {port} out of gridtie_firewall_ports; behind a jump host "
                "or an address translation it is the address that this machine sees that counts",
            )
        )
    return problems


def _passes(ranges: list[Any], client: str) -> bool:
    try:
        return lets_in(map(str, ranges), client)
    except ValueError:
        return True  # A range that is none has its own line in the list.


def judge(
    machine: dict[str, Any],
    wanted: dict[str, Any],
    station: dict[str, Any],
    port: dict[str, Any],
    engine_port: dict[str, Any] | None = None,
) -> tuple[dict[str, Any] | None, list[dict[str, str]]]:
    """The engine that will run here (none where it cannot be decided) and everything that stands in the way.

    ``station`` is the ``station.json`` of an earlier run, or empty; ``engine_port`` who holds the port of a native
    engine. Unreachable sources are a problem only before the first run is through: later everything is here, and a
    second run works without a network.
    """
    provisioned = bool(station)
    problems = _system(machine, provisioned) + _resources(machine, wanted, provisioned) + _docker(machine, wanted)
    problems += _mac(machine, wanted) if on_mac(machine) else []
    problems += _port(port, wanted["project"]) + _backups(machine, wanted)
    choice = None
    try:
        gpus = machine.get("gpus")
        cards = [] if gpu_off(wanted.get("gpu")) else [card for card in gpus or [] if card.startswith("NVIDIA")]
        choice = choose(wanted, station.get("engine") or {}, machine["reach"], gpus, _host(machine), cards)
    except Unmet as unmet:
        problems.append(problem(str(unmet), unmet.fix))
    except KeyError:
        pass  # A variable of the wrong type or value: it has its own line in the list.
    problems += _idle_gpu(wanted, choice, machine.get("gpus") or []) + _devices(machine, wanted, choice)
    if engine_port and choice and choice["mode"] == "native" and not choice["adopted"]:
        problems += _port(engine_port, wanted["project"], "gridtie_engine_port")
    if not provisioned:
        problems += _sources(machine, choice)
    return choice, problems


def judge_site(tls_port: dict[str, Any] | None, no_accounts: list[str], wanted: dict[str, Any]) -> list[dict[str, str]]:
    """What stands in the way of other machines and of people: a port that is taken, accounts that are not there."""
    problems = _port(tls_port, wanted["project"], "gridtie_tls_port") if tls_port else []
    fix = "make the account (adduser), or give another one as `user`"
    return problems + [problem(f"gridtie_people: there is no account {name} here", fix) for name in no_accounts]


def judge_keys(config_dir: str, keyless: Iterable[tuple[str, str, bool]]) -> list[dict[str, str]]:
    """Providers whose key the router would look for in vain: (name, file, whether an earlier run wrote the file)."""
    found = []
    for provider, file, ours in keyless:
        path = f"{config_dir}/{file}"
        why = (
            "came from gridtie_secrets, which has it no more" if ours else "is not there, and gridtie_secrets has none"
        )
        found.append(
            problem(
                f"the key of the provider {provider}: {path} {why}",
                f"add {provider} to gridtie_secrets (and its vault to the command: --ask-vault-pass), write the file "
                "yourself (owner root, group gridtie_group, mode 0640), or take the provider out of the routing file",
            )
        )
    return found


def judge_restore(plan: dict[str, Any]) -> list[dict[str, str]]:
    """A restore that was broken off between its first rename and its last: half of the station is another one."""
    if plan.get("stage") != "decided":
        return []
    fix = (
        "run `sudo gridtie restore`, which finishes it (before there is a station, in the checkout: "
        "sudo env PYTHONPATH=src python3 -B -m gridtie.host restore)"
    )
    return [problem(f"a restore of {plan.get('backup')} was interrupted half-way", fix)]


def listing(problems: list[dict[str, str]]) -> str:
    """The one list that a person reads."""
    count = "1 thing stands" if len(problems) == 1 else f"{len(problems)} things stand"
    lines = [f"{count} in the way. Nothing has been changed."]
    for number, entry in enumerate(problems, 1):
        lines.append(f"  {number}. {entry['found']}")
        lines.append(f"     What to do: {entry['fix']}")
    return "\n".join(lines)
