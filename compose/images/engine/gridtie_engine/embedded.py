"""The embedded engine: one llama.cpp server process per model in embedded.json, kept running.

The file may change at any time (it is replaced as a whole): new models are started, removed ones stopped, changed ones
restarted, the others left alone. A server that dies is started again after a growing pause, so that a broken model
neither takes its neighbours down nor spins.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from gridtie_engine.manifest import ManifestError, Model, read

MANIFEST = Path("/models/embedded.json")
LLAMA_SERVER = Path("/opt/gridtie-engine/bin/llama-server")

# Seconds between two looks at the file and the processes.
POLL_INTERVAL = 0.5
# Seconds before a server that died is started again: doubled with each death, back to the first after a steady minute.
FIRST_PAUSE, LONGEST_PAUSE, STEADY = 1.0, 30.0, 60.0
# Seconds that a server gets to end by itself; Docker gives the whole container 10.
GRACE = 5.0
# Proxies in the environment, such as Docker's own settings put there, are for the outside world.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def log(message: str) -> None:
    """One line on the container's log."""
    sys.stderr.write(f"gridtie-engine: {message}\n")


class Server:
    """The process that serves one model, started again when it dies."""

    def __init__(self, model: Model, command: Sequence[str]) -> None:
        self.model = model
        self._command = [*command, *model.arguments()]
        self._pause = FIRST_PAUSE
        self._start()

    def _start(self) -> None:
        log(f"{self.model.name}: starting on port {self.model.port}")
        self._process = subprocess.Popen(self._command)
        self._started = time.monotonic()
        self._restart_at: float | None = None

    def supervise(self) -> None:
        """Notice a death and start again when its pause is over."""
        now = time.monotonic()
        if self._restart_at is not None:
            if now >= self._restart_at:
                self._start()
        elif self._process.poll() is not None:
            if now - self._started >= STEADY:
                self._pause = FIRST_PAUSE
            log(
                f"{self.model.name}: ended with status {self._process.returncode}, started again in {self._pause:.0f} s"
            )
            self._restart_at = now + self._pause
            self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def terminate(self) -> None:
        """Ask the process to end; `wait` sees to it that it does."""
        self._process.terminate()

    def wait(self, seconds: float) -> None:
        """Return when the process has ended, killed if it takes longer than `seconds`."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Engine:
    """The servers of all models that the manifest lists."""

    def __init__(self, manifest: Path, command: Sequence[str]) -> None:
        self._manifest = manifest
        self._command = command
        self._seen: tuple[int, int] | None = None
        self._servers: dict[str, Server] = {}

    def load(self) -> None:
        """Bring the servers in line with the manifest. Raises ManifestError and leaves them alone if it is unusable."""
        wanted = read(self._manifest)
        changed = [server for name, server in self._servers.items() if wanted.get(name) != server.model]
        self._stop(changed)
        for name, model in wanted.items():
            if name not in self._servers:
                self._servers[name] = Server(model, self._command)

    def tick(self) -> None:
        """Follow a changed manifest, then look after every server."""
        stamp = self._stamp()
        if stamp != self._seen:
            self._seen = stamp
            try:
                self.load()
            except ManifestError as error:
                log(f"{error}; the models that run now are kept")
        for server in self._servers.values():
            server.supervise()

    def start(self) -> None:
        """First load: an unusable manifest is fatal here, since nothing is running that could be kept."""
        self._seen = self._stamp()
        self.load()
        if not self._servers:
            log(f"no model yet: waiting for {self._manifest}")

    def stop(self) -> None:
        """End every server."""
        self._stop(list(self._servers.values()))

    def _stamp(self) -> tuple[int, int] | None:
        """What tells one version of the manifest from the next: it is replaced, so its inode changes too."""
        try:
            status = self._manifest.stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns

    def _stop(self, servers: list[Server]) -> None:
        for server in servers:
            log(f"{server.model.name}: stopping")
            server.terminate()
        deadline = time.monotonic() + GRACE
        for server in servers:
            server.wait(max(0.0, deadline - time.monotonic()))
            del self._servers[server.model.name]


def serve(manifest: Path, command: Sequence[str]) -> int:
    """Run the servers until SIGTERM or SIGINT."""
    ending = {signal.SIGTERM, signal.SIGINT}
    # Blocked, and taken up by sigtimedwait: no handler can interrupt the bookkeeping half-way.
    signal.pthread_sigmask(signal.SIG_BLOCK, ending)
    engine = Engine(manifest, command)
    try:
        engine.start()
    except ManifestError as error:
        log(str(error))
        return 1
    while signal.sigtimedwait(ending, POLL_INTERVAL) is None:
        engine.tick()
    engine.stop()
    return 0


def health(manifest: Path) -> int:
    """0 when the server of every listed model answers.

    One that is still loading answers 503 and counts: loading takes minutes for a large model and is no illness.
    Whether a model can serve already, its users ask at the same address.
    """
    try:
        models = read(manifest)
    except ManifestError as error:
        log(str(error))
        return 1
    silent = [model.name for model in models.values() if not _answers(model.port)]
    if silent:
        log(f"no answer: {', '.join(silent)}")
    return 1 if silent else 0


def _answers(port: int) -> bool:
    try:
        with _DIRECT.open(f"http://127.0.0.1:{port}/health", timeout=3):
            return True
    except urllib.error.HTTPError as error:
        return error.code == 503
    except OSError:
        return False


def main(argv: Sequence[str]) -> int:
    """`serve` or `health`."""
    match list(argv):
        case ["serve"]:
            return serve(MANIFEST, [str(LLAMA_SERVER)])
        case ["health"]:
            return health(MANIFEST)
        case _:
            sys.stderr.write("usage: gridtie-engine serve|health\n")
            return 2
