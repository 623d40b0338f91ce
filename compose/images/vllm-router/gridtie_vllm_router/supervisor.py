"""vllm-router as a process of this one, started anew where whom it trusts has changed."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gridtie_vllm_router.servers import ADD_S, Servers, authorities

log = logging.getLogger("gridtie")

# Where the station mounts whom to ask, and by whom they are known.
LIST = Path(os.environ.get("GRIDTIE_VLLM_ROUTER_DIR", "/etc/vllm-router")) / "servers.json"
PORT = int(os.environ.get("GRIDTIE_VLLM_ROUTER_PORT", "8000"))
LOOK_S = 1.0


def run_router(arguments: list[str]) -> None:
    """vllm-router itself, until it is told to end; what it still answers is answered first."""
    from vllm_router.router import Router
    from vllm_router.router_args import RouterArgs

    parser = argparse.ArgumentParser(prog="vllm-router")
    RouterArgs.add_cli_args(parser)
    Router.from_args(RouterArgs.from_cli_args(parser.parse_args(arguments))).start()


def serve(arguments: list[str]) -> int:
    """Runs it until SIGTERM; its own exit status where it ended by itself."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    with tempfile.TemporaryDirectory() as scratch:
        return _Running(arguments, Path(scratch) / "ca.pem").serve()


class _Running:
    def __init__(self, arguments: list[str], ca: Path) -> None:
        self._arguments = arguments
        self._ca = ca
        self._ending = False
        self._router = self._start()

    def serve(self) -> int:
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGINT, self._end)
        servers = Servers(f"http://127.0.0.1:{PORT}", LIST)
        while (status := self._router.poll()) is None:
            servers.reconcile()
            if not self._ending and authorities(LIST) != self._trusted:
                log.info("certificate authorities have changed: vllm-router is started anew")
                self._router.terminate()
                self._router.wait()
                self._router = self._start()
            time.sleep(LOOK_S)
        return 0 if self._ending else status

    def _end(self, *_: object) -> None:
        self._ending = True
        self._router.terminate()

    def _start(self) -> subprocess.Popen[bytes]:
        self._trusted = authorities(LIST)
        self._ca.write_text(self._trusted, encoding="utf-8")
        own = ["--port", str(PORT), "--worker-startup-timeout-secs", str(ADD_S), "--worker-startup-check-interval", "1"]
        command = [sys.executable, "-m", "gridtie_vllm_router", "router", *own, *self._arguments]
        # It trusts whom the station named for these servers, and nobody else.
        return subprocess.Popen(command, env={**os.environ, "SSL_CERT_FILE": str(self._ca)})
