"""What the doctor has seen of a station so far; each thing is looked at once, when a check first asks for it."""

from __future__ import annotations

import functools
import json
import shlex
import time
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence

from gridtie.host.command import Ran
from gridtie.host.doctor.probe import Probe
from gridtie.host.gpu import Survey
from gridtie.host.gpu.devices import DeviceError, narrowed, of_station
from gridtie.host.machine import launchd
from gridtie.host.models.station_docker import CannotRun, Hop, StationDocker
from gridtie.host.purpose_names import FORMER_ALIASES, SMOKE_TEST, current_purpose
from gridtie.host.router import Answer

# Seconds. A cold load of a large model from a slow disk is the longest that a healthy station may take.
CHAT_TIMEOUT = 120.0
# For the first verdict of a container's health check, which Docker gives an interval (5 s) after the start.
START_S = 30.0


class NotThere(Exception):
    """Something that a check rests on is not there."""

    def __init__(self, found: str, wanted: str, fix: str) -> None:
        self.wanted = wanted
        self.fix = fix
        super().__init__(found)


class Look:
    """One look at one station."""

    def __init__(
        self, probe: Probe, config_dir: Path, state_dir: Path, endpoint: str, key: str, deep: bool = False
    ) -> None:
        self.probe = probe
        self.config_dir = config_dir
        self.state_dir = state_dir
        self.endpoint = endpoint
        self.key = key
        # Also hash the files that are too large to be hashed each time.
        self.deep = deep

    # -- what the playbook wrote -------------------------------------------------------------------------------------

    @functools.cached_property
    def station(self) -> dict[str, Any]:
        """station.json. Raises `NotThere`."""
        path = self.config_dir / "station.json"
        try:
            station = json.loads(self.probe.read(path))
        except PermissionError:
            raise NotThere(
                f"{path} may not be read by this user", "a readable station.json", "run it with sudo"
            ) from None
        except FileNotFoundError:
            raise NotThere(f"{path} is not there", "station.json of a provisioned machine", "run `make site`") from None
        except ValueError as error:
            raise NotThere(
                f"{path} is not JSON: {error}", "station.json as the playbook writes it", "run `make site`"
            ) from None
        if not isinstance(station, dict) or station.get("schema") != 1:
            raise NotThere(f"{path} has another schema", "schema 1", "run `make site` with this version")
        return station

    @property
    def site_command(self) -> str:
        """How this station was made, which puts most things right: `make site` unless it says another."""
        try:
            return str(self.station.get("site_command") or "make site")
        except (NotThere, OSError):
            return "make site"

    @property
    def engine(self) -> Mapping[str, Any]:
        return dict(self.station["engine"])

    @property
    def models(self) -> Sequence[Mapping[str, Any]]:
        return list(self.station["models"])

    @property
    def containers(self) -> dict[str, str]:
        """Role of each container -> its name; a native engine has none."""
        named = {"router": str(self.station["expected"]["router_container"])}
        if self.engine.get("mode") == "container":
            named["engine"] = str(self.engine["container"])
        return named

    @property
    def native(self) -> bool:
        """Whether the engine is a service of this machine."""
        return self.engine.get("mode") == "native"

    @property
    def log(self) -> str:
        """The command that shows the engine's log."""
        if self.native and self.probe.mac:
            return f"tail {self.state_dir}/engine.log"
        return f"journalctl -u {self.engine['unit']}" if self.native else f"docker logs {self.engine['container']}"

    @property
    def router_log(self) -> str:
        """The command that shows the router's log."""
        return f"docker logs {self.containers['router']}"

    @property
    def unit_fix(self) -> str:
        """What to do where the native engine's unit is not as declared."""
        return f"run `make site`; `systemctl cat {self.engine['unit']}` shows which drop-in changes it"

    @functools.cached_property
    def survey(self) -> Survey:
        """The machine's graphics, without the cards that the engine may not use. Raises `NotThere`."""
        try:
            return narrowed(self.probe.survey(), of_station(self.station))
        except DeviceError as error:
            raise NotThere(str(error), "the cards that were named", f"{error.fix}, and run `make site`") from None

    @property
    def metal(self) -> bool:
        """Whether the engine is to compute with a Mac's graphics."""
        return self.probe.mac and self.native and self.survey.system.architecture == "arm64"

    @property
    def keeper(self) -> int:
        """Who owns the configuration: root, or the person whose station a Mac's is."""
        return self.probe.owned(self.config_dir / "station.json").uid if self.probe.mac else 0

    @property
    def store(self) -> Path:
        """Where the engine's models lie; an Ollama that was here before has its own place for them."""
        return Path(str(self.engine.get("store") or self.state_dir / "models" / str(self.engine["kind"])))

    @functools.cached_property
    def smoke_test(self) -> str:
        """The alias of the smoke-test model; a router of 1.0.0 has its former name alone. Raises `Unreachable`."""
        answer = self.get("/v1/models")
        listed = {model["id"] for model in answer.json()["data"]} if answer.status == 200 else set()
        former = next((name for name, now in FORMER_ALIASES.items() if now == SMOKE_TEST), SMOKE_TEST)
        return former if former in listed and SMOKE_TEST not in listed else SMOKE_TEST

    def smoke_test_model(self) -> Mapping[str, Any]:
        """The small real model that every station has. Raises `NotThere`."""
        for model in self.models:
            if SMOKE_TEST in map(current_purpose, model["purposes"]):
                return model
        raise NotThere(f"no model with the purpose `{SMOKE_TEST}`", "one in station.json", "run `make site`")

    # -- Docker ------------------------------------------------------------------------------------------------------

    @property
    def _docker(self) -> StationDocker:
        return StationDocker(self.station, self.probe.run)

    def docker_argv(self, *words: str) -> list[str]:
        """A docker command against that daemon, for whoever runs it. Raises `NotThere`."""
        return self._docker.argv(*words)

    def docker(self, *words: str, timeout: float = 10.0) -> Ran:
        """One docker command against the daemon that runs the station. Raises `NotThere`."""
        return self._docker.command(*words, timeout=timeout)

    @functools.cached_property
    def daemon(self) -> dict[str, Any]:
        """What the daemon says of itself (`docker info`); empty where it does not answer. Raises `NotThere`."""
        return self._docker.info()

    @functools.cached_property
    def inspected(self) -> dict[str, dict[str, Any]]:
        """Role -> `docker inspect` of its container, if it exists; one that is starting is waited for."""
        deadline = time.monotonic() + START_S
        while any(map(_starting, (found := self._inspect()).values())) and time.monotonic() < deadline:
            time.sleep(0.5)
        return found

    def _inspect(self) -> dict[str, dict[str, Any]]:
        # With a name that does not exist Docker still prints the others.
        ran = self.docker("inspect", "--type", "container", *self.containers.values())
        inspections = {each["Name"].lstrip("/"): each for each in json.loads(ran.out or "[]")}
        return {role: inspections[name] for role, name in self.containers.items() if name in inspections}

    def inspection(self, role: str) -> dict[str, Any]:
        """Raises `NotThere`."""
        if role not in self.inspected:
            raise NotThere(f"there is no container {self.containers[role]}", "a running container", "run `make site`")
        return self.inspected[role]

    def user_of(self, role: str) -> str:
        """The number of the user that a container runs as; "" is root. Raises `NotThere`."""
        return str(self.inspection(role)["Config"].get("User") or "").split(":")[0]

    def engine_environment(self) -> dict[str, str]:
        """The environment variables that the engine was given. Raises `NotThere`."""
        given = (
            shlex.split(self.service.get("Environment", ""))
            if self.native
            else self.inspection("engine")["Config"].get("Env") or ()
        )
        pairs = (text.partition("=") for text in given)
        return {name: value for name, _, value in pairs}

    @functools.cached_property
    def service(self) -> dict[str, str]:
        """What systemd says of the native engine's unit, or launchd in systemd's words. Raises `NotThere`."""
        unit = str(self.engine["unit"])
        if self.probe.mac:
            return self._agent(unit)
        ran = self.probe.run(["systemctl", "show", "--all", unit])
        if ran.status != 0:
            raise NotThere(f"systemd does not answer: {ran.err.strip()[:200]}", f"{unit}, running", "see `systemctl`")
        return dict(line.split("=", 1) for line in ran.out.splitlines() if "=" in line)

    def _agent(self, label: str) -> dict[str, str]:
        processes = launchd.parse_list(self.probe.run(["launchctl", "list"]).out)
        try:
            described = launchd.parse_agent(self.probe.read(Path.home() / launchd.AGENTS / f"{label}.plist"))
        except (OSError, ValueError):
            described = {}
        return launchd.as_service(processes.get(label, 0), described)

    def engine_resident(self) -> int:
        """Resident bytes of all processes of the engine. Raises `NotThere`."""
        return self._service_resident() if self.native else self._container_resident()

    def _service_resident(self) -> int:
        """The service's main process and all that descend from it."""
        parents, resident = self._processes()
        family = {self.service.get("MainPID", "")}
        while more := {name for name, parent in parents.items() if parent in family} - family:
            family |= more
        return sum(resident.get(name, 0) for name in family)

    def _processes(self) -> tuple[dict[str, str], dict[str, int]]:
        """Of each process its parent and its resident bytes."""
        if self.probe.mac:
            return launchd.parse_ps(self.probe.run(["ps", "-axo", "pid=,ppid=,rss="]).out)
        parents, resident = {}, {}
        for name in self.probe.names(Path("/proc")):
            if name.isdigit():
                try:
                    status = self.probe.read(Path("/proc") / name / "status")
                except OSError:  # It has ended meanwhile.
                    continue
                fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
                parents[name] = fields.get("PPid", "").strip()
                resident[name] = int(fields.get("VmRSS", "0").split()[0]) * 1024
        return parents, resident

    def _container_resident(self) -> int:
        container = self.containers["engine"]
        ran = self.docker("top", container, "-eo", "pid,rss")
        if ran.status == 0:
            return sum(int(line.split()[1]) * 1024 for line in ran.out.splitlines()[1:])
        # Without cgroups (a rootless Docker on cgroup v1) only the container itself knows which processes it has.
        ran = self.docker("exec", container, "sh", "-c", "grep -h ^VmRSS: /proc/[0-9]*/status")
        return sum(int(line.split()[1]) * 1024 for line in ran.out.splitlines())

    @functools.cached_property
    def engine_says(self) -> dict[str, list[Hop]]:
        """What each engine tells of itself (`alive`: its version or health) and of its `models`.

        Asked at once: to run a command in a container takes longer than the answers. Raises `NotThere`.
        """
        paths = _PATHS.get(str(self.engine["kind"]), {"alive": "/health", "models": "/v1/models"})
        engines = sorted({model["url"] for model in self.models})
        hops = {hop.url: hop for hop in self.from_router([url + path for path in paths.values() for url in engines])}
        return {what: [hops[url + path] for url in engines] for what, path in paths.items()}

    @functools.cached_property
    def in_memory(self) -> list[Mapping[str, Any]]:
        """The models in Ollama's memory (`/api/ps`). Look after a request has loaded one. Raises `NotThere`."""
        hop = self.from_router([self.models[0]["url"] + "/api/ps"])[0]
        return list(json.loads(hop.body)["models"])

    def from_router(self, urls: Sequence[str]) -> list[Hop]:
        """GET each URL from inside the router's container. Raises `NotThere`."""
        try:
            return self._docker.from_router(urls)
        except CannotRun as error:
            raise NotThere(
                str(error), "a look at the engine from where the router is", f"look at `{self.router_log}`"
            ) from None

    # -- the router --------------------------------------------------------------------------------------------------

    def get(self, path: str, *, key: Optional[str] = None, headers: Optional[Mapping[str, str]] = None) -> Answer:
        """GET from the router, with the station's key unless another is given. Raises `Unreachable`."""
        return self._send("GET", path, None, key, headers or {}, 10.0)

    def post(
        self, path: str, body: Any, *, headers: Optional[Mapping[str, str]] = None, timeout: float = 10.0
    ) -> Answer:
        """POST to the router with the station's key. Raises `Unreachable`."""
        return self._send("POST", path, body, None, headers or {}, timeout)

    def _send(
        self, method: str, path: str, body: Any, key: Optional[str], headers: Mapping[str, str], timeout: float
    ) -> Answer:
        shown = self.key if key is None else key
        sent = {"Authorization": f"Bearer {shown}", **headers} if shown else dict(headers)
        return self.probe.http(method, self.endpoint + path, body=body, headers=sent, timeout=timeout)

    def chat(self, body: Mapping[str, Any]) -> Answer:
        """One unstreamed chat with the smoke-test model as development traffic. Raises `Unreachable`."""
        asked = {"model": self.smoke_test, "temperature": 0, "seed": 1, "stream": False, **body}
        # The purpose keeps it out of every saving.
        told = {"x-gridtie-environment": "dev", "x-gridtie-agent": "doctor", "x-gridtie-purpose": "doctor"}
        return self.post("/v1/chat/completions", asked, headers=told, timeout=CHAT_TIMEOUT)

    @functools.cached_property
    def greedy(self) -> tuple[Answer, Answer]:
        """The same greedy request twice. Raises `Unreachable`."""
        return self.chat(_GREEDY), self.chat(_GREEDY)


# Each token of the smoke-test model's answer ("The capital of France is Paris.") leads the next best one by at least
# 0.77 nats on both engines, so that the order of floating-point additions (a cached prompt is computed in another batch
# than a new one) cannot tip it.
# Where an engine tells of itself; what is not named is llama.cpp's server, and vLLM. vllm-router hands the rest on.
_PATHS = {
    "ollama": {"alive": "/api/version", "models": "/api/tags"},
    "vllm_router": {"alive": "/liveness", "models": "/workers"},
}

_GREEDY = {
    "messages": [{"role": "user", "content": "What is the capital of France? Answer in one sentence."}],
    "max_tokens": 16,
}


def _starting(inspection: Mapping[str, Any]) -> bool:
    """Whether a container runs and its health has not been asked for yet."""
    state = inspection["State"]
    return bool(state.get("Running")) and state.get("Health", {}).get("Status") == "starting"
