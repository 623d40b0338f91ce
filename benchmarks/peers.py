"""What the router is measured beside: nginx as the floor, and other routers that package registries have.

Each is started as its own documentation says, with one worker, in front of one upstream; what it logs goes nowhere.
None sees the caller's environment, which may hold keys.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
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
litellm_settings: {{telemetry: false}}
general_settings: {{master_key: {key}}}
"""


@dataclass(frozen=True)
class Peer:
    """A router from PyPI: what to install, and the command that puts it in front of `back`.

    `command` is given the directory of its programs, a scratch directory and the two ports.
    """

    requirement: str
    command: Callable[[Path, Path, int, int], list[str]]

    @property
    def name(self) -> str:
        return self.requirement.partition("==")[0].partition("[")[0]

    @property
    def version(self) -> str:
        return self.requirement.partition("==")[2]


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


PEERS = (
    Peer("vllm-router==0.1.17", _vllm_router),
    Peer("sglang-router==0.3.2", _sglang_router),
    Peer("litellm[proxy]==1.108.7", _litellm),
)


def programs(peer: Peer, directory: Path) -> Path:
    """Where a peer's programs are; installed into a virtual environment of its own unless it is there."""
    home = directory / peer.name
    done = home / peer.version
    if not done.exists():
        shutil.rmtree(home, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        subprocess.run([str(home / "bin/pip"), "install", "--quiet", peer.requirement], check=True)
        done.touch()
    return home / "bin"


def started(
    peer: Peer, directory: Path, scratch: Path, back: int, port: int, core: int
) -> AbstractContextManager[Process]:
    """The peer on one core, in front of `back`."""
    home = scratch / peer.name
    home.mkdir()
    # LiteLLM would fetch its prices from the network.
    environment = {"PATH": os.defpath, "HOME": str(home), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    return process(core, *peer.command(programs(peer, directory), home, back, port), env=environment)


def nginx(scratch: Path, back: int, port: int, core: int) -> AbstractContextManager[Process]:
    """The floor: it passes bytes on and looks at none."""
    path = scratch / "nginx.conf"
    path.write_text(_NGINX.format(dir=scratch, port=port, back=back))
    return process(core, nginx_program(), "-c", str(path))


def nginx_program() -> str:
    return shutil.which("nginx") or "/usr/sbin/nginx"
