"""A healthy station as the doctor sees it, in memory; a test breaks one thing of it."""

from __future__ import annotations

import copy
import hashlib
import json
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gridtie.host.command import Ran
from gridtie.host.doctor.check import Check, Result, examine
from gridtie.host.doctor.checks import CHECKS
from gridtie.host.doctor.look import Look
from gridtie.host.doctor.probe import Owned
from gridtie.host.firewall import firewall
from gridtie.host.gpu import Survey
from gridtie.host.models.checkpoint_install import RECORD, digest_of
from gridtie.host.router import Answer, Unreachable

CONFIG = Path("/etc/gridtie")
STATE = Path("/var/lib/gridtie")
ENDPOINT = "http://127.0.0.1:8484"
KEY = "gt-" + "k" * 43
MODEL = "gridtie/smollm2:135m"
MIB = 1 << 20

ROUTING = "version: 1\n"
WEIGHTS = b"weights"
_CONFIG_BLOB = b"config"


def _hex(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _layer(content: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": f"sha256:{_hex(content)}", "size": len(content)}


MANIFEST = json.dumps(
    {
        "config": _layer(_CONFIG_BLOB, "application/vnd.docker.container.image.v1+json"),
        "layers": [_layer(WEIGHTS, "application/vnd.ollama.image.model")],
    }
)

STATION: dict[str, Any] = {
    "schema": 1,
    "project": "gridtie",
    "version": "1.0.0",
    "endpoint": ENDPOINT,
    "state_dir": str(STATE),
    "engine": {
        "kind": "ollama",
        "mode": "container",
        "source": "packages",
        "version": "0.32.15",
        "why": "test",
        "image": "gridtie/engine-ollama:abc",
        "container": "gridtie-engine-1",
    },
    "models": [
        {
            "name": MODEL,
            "url": "http://engine:11434",
            "digest": "sha256:" + _hex(MANIFEST.encode()),
            "purposes": ["code", "chat", "smoke-test"],
            "predicted_bytes": 320 * MIB,
        }
    ],
    "expected": {
        "published_ports": ["127.0.0.1:8484"],
        "router_container": "gridtie-router-1",
        "docker_host": "unix:///var/run/docker.sock",
    },
}

_HARD: dict[str, Any] = {
    "ReadonlyRootfs": True,
    "CapDrop": ["ALL"],
    "CapAdd": None,
    "SecurityOpt": ["no-new-privileges:true"],
    "PidsLimit": 256,
    "Memory": 512 * MIB,
    "Privileged": False,
    "PidMode": "",
    "IpcMode": "private",
    "NetworkMode": "gridtie_default",
}


# Of `systemctl show --all gridtie-engine.service` with the role's unit and a real Ollama on a lab host (systemd 257).
UNIT = """\
Type=exec
Restart=always
MainPID=335
Result=success
UID=996
ExecStart={ path=/opt/gridtie/ollama/current/bin/ollama ; argv[]=/opt/gridtie/ollama/current/bin/ollama serve ; \
ignore_errors=no ; start_time=[Fri 2026-11-27 22:26:58 UTC] ; stop_time=[n/a] ; pid=335 ; code=(null) ; status=0/0 }
ControlGroup=/system.slice/gridtie-engine.service
MemoryMax=12884901888
MemorySwapMax=0
TasksMax=1024
IPAddressAllow=::1/128 127.0.0.0/8
IPAddressDeny=::/0 0.0.0.0/0
Environment=HOME=/var/cache/gridtie-engine OLLAMA_HOST=127.0.0.1:11434 LLAMA_ARG_CACHE_RAM=256 "A=it's a \\"b\\" 5%"
CapabilityBoundingSet=
User=gridtie-engine
PrivateTmp=yes
PrivateDevices=no
ProtectClock=no
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectHome=yes
ProtectSystem=strict
NoNewPrivileges=yes
LockPersonality=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK AF_UNIX
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictNamespaces=yes
ProtectHostname=yes
Id=gridtie-engine.service
LoadState=loaded
ActiveState=active
SubState=running
UnitFileState=enabled
NeedDaemonReload=no
"""
TREE = Path("/opt/gridtie/ollama/0.32.15-0123456789ab")


def _container(
    image: str, ports: Mapping[str, Any], environment: Sequence[str] = (), user: str = "994:994"
) -> dict[str, Any]:
    return {
        "State": {"Running": True, "Status": "running", "ExitCode": 0, "Health": {"Status": "healthy"}},
        "Config": {"Image": image, "User": user, "Env": list(environment)},
        "HostConfig": copy.deepcopy(_HARD),
        "Mounts": [{"Source": "/var/lib/gridtie", "Destination": "/var/lib/gridtie"}],
        "NetworkSettings": {"Ports": dict(ports), "Networks": {"gridtie_engine": {}}},
    }


class Healthy:
    """A `Probe` of a station on which every check holds. Every attribute may be changed before it is looked at."""

    mac = False

    def __init__(self) -> None:
        self.certificate_names = ["gpu-server", "10.0.0.7"]
        self.certificate_days = 60.0
        self.station = copy.deepcopy(STATION)
        self.files: dict[Path, str] = {CONFIG / name: "{}" for name in ("models.yaml", "prices.json", "keys.json")}
        self.files |= {CONFIG / "llm_routing.yaml": ROUTING, CONFIG / "station.key": KEY}
        self.files |= {CONFIG / "secrets" / "openai": "sk-secret"}
        store = STATE / "models" / "ollama"
        self.files[store / "manifests/registry.ollama.ai/gridtie/smollm2/135m"] = MANIFEST
        self.files |= {store / "blobs" / f"sha256-{_hex(c)}": c.decode() for c in (WEIGHTS, _CONFIG_BLOB)}
        self.files[Path("/proc/net/tcp")] = sockets("0100007F:2124")
        self.files[Path("/proc/net/tcp6")] = sockets()
        self.modes: dict[Path, int] = {}
        self.owners: dict[Path, int] = {}
        self.unreadable: set[Path] = set()
        self.docker = Ran(0, "27.1.0\n", "")
        self.daemon: dict[str, object] = {
            "SecurityOptions": ["name=seccomp,profile=default"],
            "OperatingSystem": "Debian GNU/Linux 13 (trixie)",
            "MemoryLimit": True,
            "PidsLimit": True,
        }
        self.cgroups = True
        self.containers = {
            "gridtie-router-1": _container(
                "gridtie/router:abc", {"8484/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8484"}]}
            ),
            "gridtie-engine-1": _container(
                "gridtie/engine-ollama:abc", {"11434/tcp": None}, ["LLAMA_ARG_CACHE_RAM=256"], user="996:996"
            ),
        }
        self.engine: dict[str, tuple[int, str]] = {
            "/api/version": (200, json.dumps({"version": "0.32.15"})),
            "/api/ps": (200, json.dumps({"models": [{"name": MODEL, "size": 316 * MIB}]})),
            "/api/tags": (200, json.dumps({"models": [{"name": MODEL}, {"name": "somebody/elses:1b"}]})),
            "/v1/models": (200, json.dumps({"data": [{"id": MODEL}], "models": []})),
            "/health": (200, '{"status":"ok"}'),
        }
        # What systemd says of the engine's service; empty where there is none. Where links lead.
        self.unit: dict[str, str] = {}
        self.links: dict[Path, Path] = {}
        # None: as they should be.
        self.networks: Ran | None = None
        self.xllamacpp = "0.4.0"
        self.resident_kib = (34_000, 357_000)
        self.router_up = True
        self.answers: dict[str, Answer] = {}
        self.greedy = ["The capital of France is Paris.", "The capital of France is Paris."]
        self.choice = '{"answer": "Paris"}'
        self.locality, self.target, self.rule = "local", f"station/{MODEL}", "dev-local-first"
        self.plan = {"rule": "private", "local_only": "rule private: never cloud", "attempts": [self._attempt("local")]}
        self.row = {"input_tokens": 42, "output_tokens": 8, "cost_usd": 0.0}
        self.config = {"digest": _hex(ROUTING.encode()), "loaded_at": 1.0, "error": None}
        self.free = 100 * 1024 * MIB
        # Of the units that make backups, what systemd says; "" of one that is not there.
        self.backup_timer, self.backup_result = "inactive", "success"
        # The kernel's tables, as nft lists that of the station, and the unit that loads it.
        self.nft = Ran(1, "", "Error: No such file or directory")
        self.firewall_unit = "ActiveState=active\nUnitFileState=enabled\n"
        self.graphics = Survey()
        self.chats = 0
        # The names that chats asked for.
        self.asked: set[str] = set()

    def lets_in(self, *ranges: str) -> None:
        """Other machines reach it from these alone."""
        declared = {"table": "gridtie", "ports": [8443, 8484], "ranges": list(ranges)}
        self.station["expected"]["firewall"] = {**declared, "unit": "gridtie-firewall.service"}
        self.nft = Ran(0, firewall("gridtie", [8443, 8484], ranges).text, "")

    # -- what a check may do -----------------------------------------------------------------------------------------

    def run(self, argv: Sequence[str], timeout: float = 10.0) -> Ran:
        if list(argv[:3]) == ["systemctl", "show", "--all"]:
            return self._show(argv[3])
        if list(argv[:3]) == ["systemctl", "show", "--property=ActiveState,Result"]:
            return Ran(0, f"ActiveState={self.backup_timer}\nResult={self.backup_result}\n", "")
        if list(argv) == ["systemctl", "show", "--property=ActiveState,UnitFileState", "gridtie-firewall.service"]:
            return Ran(0, self.firewall_unit, "")
        if list(argv) == ["/usr/sbin/nft", "--stateless", "list", "table", "inet", "gridtie"]:
            return self.nft
        assert list(argv[:3]) == ["docker", "--host", "unix:///var/run/docker.sock"]
        match list(argv[3:]):
            case ["version", *_]:
                return self.docker
            case ["info", *_]:
                return Ran(0, json.dumps(self.daemon), "")
            case ["inspect", "--type", "container", *names]:
                found = [{"Name": f"/{name}", **self.containers[name]} for name in names if name in self.containers]
                missing = "".join(f"No such container: {name}\n" for name in names if name not in self.containers)
                return Ran(1 if missing else 0, json.dumps(found), missing)
            case ["exec", "gridtie-router-1", "python3", "-I", "-c", _, *urls]:
                return Ran(0, "\n".join(json.dumps([url, *self._hop(url)]) for url in urls) + "\n", "")
            case ["exec", "gridtie-engine-1", "python3", "-I", "-c", _]:
                return Ran(0, self.xllamacpp + "\n", "")
            case ["exec", "gridtie-engine-1", "python3", "-m", "gridtie_vllm_router", "version"]:
                return Ran(0, "0.1.17\n", "")
            case ["network", "inspect", "--format", _, *names]:
                return self.networks or Ran(0, "".join(f"{name} true\n" for name in names), "")
            case ["top", "gridtie-engine-1", *_] if not self.cgroups:
                return Ran(1, "", "Error response from daemon: unable to get all container pids")
            case ["exec", "gridtie-engine-1", "sh", "-c", script] if "VmRSS" in script:
                return Ran(0, "".join(f"VmRSS:\t{kib:>8} kB\n" for kib in self.resident_kib), "")
            case ["top", "gridtie-engine-1", *_]:
                rows = "".join(f"{number} {kib}\n" for number, kib in enumerate(self.resident_kib))
                return Ran(0, "PID RSS\n" + rows, "")
        raise AssertionError(f"no check runs {argv}")

    def _show(self, unit: str) -> Ran:
        assert unit == self.station["engine"]["unit"]
        if not self.unit:
            return Ran(1, "", "System has not been booted with systemd as init system (PID 1). Can't operate.")
        return Ran(0, "".join(f"{name}={value}\n" for name, value in self.unit.items()), "")

    def _hop(self, url: str) -> tuple[int, str]:
        path = "/" + url.split("/", 3)[3]
        if path == "/workers":
            workers = [{"url": url, "is_healthy": well} for url, well in self.balanced.items()]
            return 200, json.dumps({"workers": workers})
        return self.engine[path]

    def http(
        self,
        method: str,
        url: str,
        *,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 10.0,
    ) -> Answer:
        if not self.router_up:
            raise Unreachable(f"{url} does not answer: connection refused, nothing listens there")
        path = url.removeprefix(ENDPOINT)
        if path in self.answers:
            return self.answers[path]
        return self._routed(path, body, headers or {})

    def _routed(self, path: str, body: Any, headers: Mapping[str, str]) -> Answer:
        if path in ("/healthz", "/readyz"):
            return answer(200, {"status": "ok"})
        if headers.get("Host"):
            return failure(421, "host_not_allowed")
        if headers.get("Origin"):
            return failure(403, "origin_not_allowed")
        if headers.get("Authorization") != f"Bearer {KEY}":
            return failure(401, "invalid_key")
        documents = {
            "/v1/models": {"data": [{"id": "coder"}, {"id": "smoke-test"}]},
            "/gridtie/config": self.config,
            "/gridtie/route": self.plan,
            "/gridtie/requests/req-1": self.row,
        }
        return answer(200, documents[path]) if path in documents else self._chat(body, headers)

    def _chat(self, body: Mapping[str, Any], headers: Mapping[str, str]) -> Answer:
        # What the doctor asks is nobody's work: without this it would count as a saving.
        assert headers["x-gridtie-purpose"] == "doctor"
        self.asked.add(body["model"])
        if "response_format" in body:
            text = self.choice
        else:
            text = self.greedy[self.chats]
            self.chats += 1
        content = {
            "choices": [{"message": {"content": text}}],
            "usage": {"prompt_tokens": 42, "completion_tokens": 8},
        }
        told = {"request-id": "req-1", "target": self.target, "locality": self.locality, "rule": self.rule}
        return answer(200, content, {f"x-gridtie-{name}": value for name, value in told.items()})

    def read(self, path: Path) -> str:
        if path in self.unreadable:
            raise PermissionError(13, "Permission denied", str(path))
        if path == CONFIG / "station.json":
            return json.dumps(self.station)
        if path not in self.files:
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return self.files[path]

    def owned(self, path: Path) -> Owned:
        return Owned(self.modes.get(path, 0o640), self.owners.get(path, 0), len(self.read(path)))

    def names(self, directory: Path) -> list[str]:
        found = {path.relative_to(directory).parts[0] for path in self.files if directory in path.parents}
        if not found:
            raise FileNotFoundError(2, "No such file or directory", str(directory))
        return sorted(found | ({"station.json"} if directory == CONFIG else set()))

    def resolved(self, path: Path) -> Path:
        if path not in self.links:
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return self.links[path]

    def sha256(self, path: Path) -> str:
        return _hex(self.read(path).encode())

    def free_bytes(self, directory: Path) -> int:
        assert directory == STATE
        return self.free

    def survey(self) -> Survey:
        return self.graphics

    def certificate_ends(self, address: str, port: int, name: str, trusted: Path) -> float:
        self.read(trusted)
        if name not in self.certificate_names:
            raise ssl.SSLCertVerificationError(1, f"certificate is not valid for '{name}'")
        return self.now() + self.certificate_days * 86400

    def now(self) -> float:
        return 1_800_000_000.0

    # -- for tests ---------------------------------------------------------------------------------------------------

    def serves_a_team(self) -> None:
        """Let other machines in."""
        self.station["expected"] |= {
            "tls": {"address": "0.0.0.0", "port": 8443, "names": ["gpu-server", "10.0.0.7"]},
            "published_ports": ["127.0.0.1:8484", "0.0.0.0:8443"],
        }
        ports = self.containers["gridtie-router-1"]["NetworkSettings"]["Ports"]
        ports["8443/tcp"] = [{"HostIp": "0.0.0.0", "HostPort": "8443"}]
        self.files[Path("/proc/net/tcp")] = sockets("0100007F:2124", "00000000:20FB")
        self.files[CONFIG / "tls" / "server.pem"] = "key and certificate"

    def embedded(self) -> None:
        """Make it a station with the embedded engine."""
        self.station["engine"] |= {"kind": "embedded", "version": "0.4.0"}
        self.station["models"][0] |= {"url": "http://engine:8080", "digest": "sha256:" + _hex(WEIGHTS)}
        moved = {path: text for path, text in self.files.items() if "ollama" in path.parts}
        self.files |= {Path(str(path).replace("/models/ollama/", "/models/embedded/")): t for path, t in moved.items()}
        for path in moved:
            del self.files[path]

    def vllm(self) -> Path:
        """Make it a station with vLLM; where its checkpoint lies."""
        place = STATE / "models" / "vllm" / "smollm2-135m"
        files = {"config.json": "{}", "model.safetensors": WEIGHTS.decode()}
        taken = {name: (len(text), _hex(text.encode())) for name, text in files.items()}
        self.station["engine"] |= {"kind": "vllm", "version": "0.32.0"}
        self.station["models"][0] |= {"url": "http://engine:8000", "digest": digest_of(taken), "predicted_bytes": None}
        self.station["models"][0]["file"] = str(place.relative_to(STATE / "models"))
        self.engine["/version"] = (200, '{"version":"0.32.0"}')
        self.files |= {place / name: text for name, text in files.items()}
        self.files[place / RECORD] = json.dumps({"files": taken})
        return place

    def vllm_router(self) -> None:
        """Make it a station whose engine hands requests to two others."""
        self.station["engine"] |= {"kind": "vllm_router", "version": "0.1.17"}
        self.station["models"][0] |= {"url": "http://engine:8000", "digest": "", "predicted_bytes": None}
        urls = {name: f"https://{name}:8443" for name in ("gpu-1", "gpu-2")}
        self.station["pool"] = [{"name": name, "url": url, "models": []} for name, url in urls.items()]
        self.engine["/liveness"] = (200, "OK")
        self.balanced = dict.fromkeys(urls.values(), True)
        self.networks = Ran(0, "gridtie_engine true\ngridtie_default false\n", "")

    def native(self) -> None:
        """Make it a station whose engine is a service of the machine."""
        engine = self.station["engine"]
        del engine["container"], engine["image"], self.containers["gridtie-engine-1"]
        engine |= {
            "mode": "native", "unit": "gridtie-engine.service", "url": "http://127.0.0.1:11434", "tree": str(TREE),
        }  # fmt: skip
        self.station["models"][0]["url"] = engine["url"]
        self.station["expected"]["published_ports"] = []
        router = self.containers["gridtie-router-1"]
        router["HostConfig"]["NetworkMode"] = "host"
        router["NetworkSettings"] = {"Ports": {}, "Networks": {"host": {}}}
        self.unit = dict(line.split("=", 1) for line in UNIT.splitlines())
        self.links[TREE.parent / "current"] = TREE
        self.files[TREE / "bin/ollama"] = "program"
        self.modes[TREE / "bin/ollama"] = 0o755
        self.files[Path("/proc/net/tcp")] = sockets("0100007F:2124", "0100007F:2CAA")
        # Ollama, the server of the loaded model, and a program that is none of them.
        family = ((335, 1, self.resident_kib[0]), (412, 335, self.resident_kib[1]), (815, 1, 9_000_000))
        for process, parent, kib in family:
            self.files[Path(f"/proc/{process}/status")] = (
                f"Name:\tollama\nPid:\t{process}\nPPid:\t{parent}\nVmRSS:\t{kib:>8} kB\n"
            )

    def adopted(self) -> None:
        """Make it a station that uses an Ollama that was here before, as it is."""
        self.native()
        engine = self.station["engine"]
        del engine["tree"]
        engine |= {
            "source": "adopted", "adopted": True, "unit": "ollama.service", "user": "ollama",
            "store": "/usr/share/ollama/.ollama/models",
        }  # fmt: skip
        self.unit |= dict.fromkeys(
            ("NoNewPrivileges", "PrivateTmp", "ProtectHome", "RestrictNamespaces", "RestrictSUIDSGID"), "no"
        )
        self.unit |= {"Id": "ollama.service", "User": "ollama", "IPAddressDeny": "", "MemoryMax": "infinity"}
        moved = {path: text for path, text in self.files.items() if "ollama" in path.parts and STATE in path.parents}
        for path, text in moved.items():
            self.files[Path(engine["store"], path.relative_to(STATE / "models/ollama"))] = text
            del self.files[path]

    def examine(self, checks: Sequence[Check] = CHECKS, key: str = KEY, deep: bool = False) -> dict[str, Result]:
        """The doctor's results by id."""
        look = Look(self, CONFIG, STATE, ENDPOINT, key, deep)
        return {result.id: result for result in examine(checks, look).results}

    def _attempt(self, locality: str) -> dict[str, str]:
        return {"target": f"station/{MODEL}", "locality": locality, "reason": "test"}


def sockets(*listening: str) -> str:
    """/proc/net/tcp with these local addresses listening (as the kernel writes them), and one open connection."""
    lines = [f"   {n}: {address} 00000000:0000 0A 0 0 0 0 0" for n, address in enumerate(listening)]
    lines.append("   9: 0500000A:2124 0700000A:D431 01 0 0 0 0 0")
    return "  sl  local_address rem_address   st\n" + "\n".join(lines) + "\n"


def answer(status: int, content: Any, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status, dict(headers or {}), json.dumps(content).encode())


def failure(status: int, code: str) -> Answer:
    return answer(status, {"error": {"message": f"because of {code}", "code": code}})
