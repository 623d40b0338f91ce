"""What the router is measured beside: nginx as the floor, and other routers that package registries have.

Each is started as its own documentation says, with one worker, in front of one upstream; what it logs goes nowhere.
None sees the caller's environment, which may hold keys.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from stand import KEY, Process, free_port, process

_NGINX = """\
worker_processes 1;
daemon off;
pid {dir}/nginx.pid;
error_log {dir}/error.log warn;
events {{ worker_connections 2048; }}
http {{
  access_log off;
  client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/f;
  uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  keepalive_requests 1000000000;
  upstream back {{ server 127.0.0.1:{back}; keepalive 256; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://back; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; proxy_read_timeout 60s;
    }}
  }}
}}
"""

_LITELLM = """\
model_list:
  - model_name: coder
    litellm_params: {{model: openai/m, api_base: "http://127.0.0.1:{back}/v1", api_key: none}}
  - model_name: claude
    litellm_params: {{model: anthropic/m, api_base: "http://127.0.0.1:{back}", api_key: none}}
litellm_settings: {{telemetry: false}}
general_settings: {{master_key: {key}}}
"""

# Without observability, as in their own benchmark.
_TENSORZERO = """\
gateway.observability.enabled = false

[models.coder]
routing = ["back"]

[models.coder.providers.back]
type = "openai"
api_base = "http://127.0.0.1:{back}/v1/"
model_name = "m"
api_key_location = "none"

[models.claude]
routing = ["back"]

[models.claude.providers.back]
type = "anthropic"
api_base = "http://127.0.0.1:{back}/v1/"
model_name = "m"
api_key_location = "env::UPSTREAM_KEY"
"""

# The wheel has the gateway, and one function of it that serves HTTP, at a port of its own choice.
_SERVE_TENSORZERO = """\
import signal, sys
from pathlib import Path
from tensorzero import _start_http_gateway
gateway = _start_http_gateway(
    config_file=sys.argv[1], clickhouse_url=None, postgres_url=None, valkey_url=None, async_setup=False
)
Path(sys.argv[2]).write_text(gateway.base_url)
signal.pause()
"""

_SWITCHYARD = """\
schema_version = 1

[llm_clients.openai]
format = "openai_chat"
base_url = "http://127.0.0.1:{back}/v1"

[llm_clients.anthropic]
format = "anthropic_messages"
base_url = "http://127.0.0.1:{back}/v1"

[targets.coder]
id = "m"
llm_client = "openai"

[targets.claude]
id = "m"
llm_client = "anthropic"

[routes.coder]
id = "coder"
type = "passthrough"
target = "coder"

[routes.claude]
id = "claude"
type = "passthrough"
target = "claude"
"""

# The wheel has the server, and a class that runs it.
_SERVE_SWITCHYARD = """\
import signal, sys
from switchyard_rust.server import Server
server = Server(sys.argv[1], int(sys.argv[2]))
signal.pause()
"""


@dataclass(frozen=True)
class Peer:
    """A router from PyPI or npm: what to install, and the command that puts it in front of `back`.

    `command` is given the directory of its programs, a scratch directory and the two ports.
    """

    requirement: str
    command: Callable[[Path, Path, int, int], list[str]]
    # How it is asked, where that differs from OpenAI's way: see `load.request`. Headers are given upstream's port.
    prefix: str = ""
    named: str = ""
    headers: tuple[str, ...] = ()
    # Kinds of `load.KINDS` that it says it translates.
    translates: tuple[str, ...] = ()
    # A file in its scratch directory in which it tells its address, where it chooses that itself.
    tells: str = ""
    npm: bool = False

    @property
    def name(self) -> str:
        return self._split[0].partition("[")[0]

    @property
    def version(self) -> str:
        return self._split[1]

    @property
    def _split(self) -> tuple[str, str]:
        name, _, version = self.requirement.rpartition("@" if self.npm else "==")
        return name, version


@dataclass(frozen=True)
class Served:
    """A proxy that runs, and how `load.py` asks it."""

    pid: int
    port: int
    asked: tuple[str, ...] = ()
    translates: tuple[str, ...] = ()


def _vllm_router(programs: Path, scratch: Path, back: int, port: int) -> list[str]:
    return [str(programs / "vllm-router"), *_rust(back, port)]


def _sglang_router(programs: Path, scratch: Path, back: int, port: int) -> list[str]:
    return [str(programs / "smg"), "launch", *_rust(back, port)]


def _rust(back: int, port: int) -> list[str]:
    """The options of the two, of which one began as a copy of the other."""
    place = ["--host", "127.0.0.1", "--port", str(port), "--prometheus-port", str(free_port())]
    # 512 requests at once are the default of one; none of them shall be queued here.
    return [*place, "--worker-urls", f"http://127.0.0.1:{back}", "--policy", "round_robin", "--log-level", "error"]


def _litellm(programs: Path, scratch: Path, back: int, port: int) -> list[str]:
    config = scratch / "litellm.yaml"
    config.write_text(_LITELLM.format(back=back, key=KEY))
    place = ["--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    return [str(programs / "litellm"), "--config", str(config), *place]


def _tensorzero(programs: Path, scratch: Path, back: int, port: int) -> list[str]:
    config = scratch / "tensorzero.toml"
    config.write_text(_TENSORZERO.format(back=back))
    return [str(programs / "python"), "-c", _SERVE_TENSORZERO, str(config), str(scratch / "address")]


def _portkey(programs: Path, scratch: Path, back: int, port: int) -> list[str]:
    # `npx @portkey-ai/gateway` runs this; without its web page, which would be told of every request.
    return [str(programs / "gateway"), f"--port={port}", "--headless"]


def _switchyard(programs: Path, scratch: Path, back: int, port: int) -> list[str]:
    config = scratch / "routes.toml"
    config.write_text(_SWITCHYARD.format(back=back))
    return [str(programs / "python"), "-c", _SERVE_SWITCHYARD, str(config), str(port)]


PEERS = (
    Peer("vllm-router==0.1.17", _vllm_router),
    Peer("sglang-router==0.3.2", _sglang_router),
    Peer(
        "tensorzero==2026.6.0",
        _tensorzero,
        prefix="/openai",
        named="tensorzero::model_name::",
        translates=("chat, of Anthropic's",),
        tells="address",
    ),
    Peer(
        "nemo-switchyard==0.3.0",
        _switchyard,
        translates=("messages, of OpenAI's", "responses, of OpenAI's", "chat, of Anthropic's"),
    ),
    Peer(
        "@portkey-ai/gateway@1.15.2",
        _portkey,
        headers=("x-portkey-provider: openai", "x-portkey-custom-host: http://127.0.0.1:{back}/v1"),
        npm=True,
    ),
    Peer(
        "litellm[proxy]==1.108.7",
        _litellm,
        translates=("messages, of OpenAI's", "responses, of OpenAI's", "chat, of Anthropic's"),
    ),
)


def programs(peer: Peer, directory: Path) -> Path:
    """Where a peer's programs are; installed into a directory of its own unless it is there."""
    home = directory / peer.name
    done = home / peer.version
    inside = home / ("node_modules/.bin" if peer.npm else "bin")
    if not done.exists():
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        if peer.npm:
            quiet = ["--silent", "--no-audit", "--no-fund"]
            subprocess.run(["npm", "install", *quiet, "--prefix", str(home), peer.requirement], check=True)
        else:
            subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
            subprocess.run([str(inside / "pip"), "install", "--quiet", peer.requirement], check=True)
        done.touch()
    return inside


@contextmanager
def started(peer: Peer, directory: Path, scratch: Path, back: int, port: int, core: int) -> Iterator[Served]:
    """The peer on one core, in front of `back`."""
    home = scratch / peer.name.replace("/", "-")
    home.mkdir()
    environment = {
        "PATH": os.defpath,
        "HOME": str(home),
        # LiteLLM would fetch its prices from the network, and TensorZero wants a key for Anthropic.
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "UPSTREAM_KEY": "none",
    }
    asked = ["--prefix", peer.prefix, "--named", peer.named]
    for header in peer.headers:
        asked += ["--header", header.format(back=back)]
    with process(core, *peer.command(programs(peer, directory), home, back, port), env=environment) as running:
        told = _told(home / peer.tells) if peer.tells else port
        yield Served(running.pid, told, tuple(asked), peer.translates)


def _told(file: Path, seconds: float = 30) -> int:
    """The port in the address that a peer writes there."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if file.exists() and (address := file.read_text()):
            return int(address.split(":")[2].partition("/")[0])
        time.sleep(0.1)
    raise SystemExit(f"{file} is not there after {seconds:g} s: the peer did not start")


def nginx(scratch: Path, back: int, port: int, core: int) -> AbstractContextManager[Process]:
    """The floor: it passes bytes on and looks at none."""
    path = scratch / "nginx.conf"
    path.write_text(_NGINX.format(dir=scratch, port=port, back=back))
    return process(core, nginx_program(), "-c", str(path))


def nginx_program() -> str:
    return shutil.which("nginx") or "/usr/sbin/nginx"
