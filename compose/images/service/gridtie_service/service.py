"""Runs the engine, then the router, until a signal or until one of them ends.

The router is started once the engine answers, so that its port is open when requests can be served: a pipeline waits
for the port. What ends by itself ends the container, whose platform starts it again or tells about it; the engine
itself starts its model's server again where that dies.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence

from gridtie_service.settings import MOUNTED, SHIPPED, WORKPLACE, SettingError, Settings, write_configuration

ENGINE = ("gridtie-engine", "serve")
ROUTER = ("gridtie-router",)
ENGINE_HEALTH = "http://127.0.0.1:8080/health"

# Seconds between two looks at the engine while it starts, and at both programs afterwards. A program that ends, and a
# signal, are taken up at once.
STARTING, RUNNING = 0.05, 60.0
# Seconds until a slow disk has given the model; after it the container ends.
PATIENCE = 300.0
# Seconds that both programs get together to end by themselves; Docker gives a container 10.
GRACE = 8.0

# What neither program needs: who reads a process' environment reads the key.
_SECRET = "GRIDTIE_KEY"  # noqa: S105 - the name

EXIT_FAILED = 1
EXIT_CONFIG = 2

# Proxies in the environment, a job's or Docker's own, are for the outside world.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))

_ENDING = {signal.SIGTERM, signal.SIGINT}


def log(message: str) -> None:
    """One line on the container's log."""
    sys.stderr.write(f"gridtie-service: {message}\n")


class Service:
    """Both programs, the router in front of the engine."""

    def __init__(
        self,
        engine: Sequence[str],
        router: Sequence[str],
        answers: Callable[[], bool],
        environ: Mapping[str, str],
    ) -> None:
        """`answers` says whether the engine can serve; `environ` is what both programs get."""
        self._commands = {"engine": engine, "router": router}
        self._answers = answers
        self._environ = environ
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def run(self, patience: float = PATIENCE) -> int:
        """Return after a signal or the end of a program; the exit status. SIGTERM and SIGINT must be blocked."""
        began = time.monotonic()
        self._start("engine")
        while (ended := self._ended()) is None:
            starting = "router" not in self._running
            if starting and self._answers():
                log(f"the engine answers after {time.monotonic() - began:.1f} s: starting the router")
                self._start("router")
            elif starting and time.monotonic() - began > patience:
                log(f"the engine has not answered in {patience:.0f} s; its own lines above say why")
                ended = EXIT_FAILED
                break
            if self._signalled(STARTING if starting else RUNNING):
                ended = 0
                break
        self._stop()
        return ended

    def _start(self, name: str) -> None:
        # A process without threads, so that the function is safe.
        self._running[name] = subprocess.Popen(self._commands[name], env=self._environ, preexec_fn=_unblock)

    def _ended(self) -> int | None:
        """The exit status of this program where one of the two has ended by itself."""
        for name, process in self._running.items():
            if (status := process.poll()) is not None:
                log(f"the {name} ended with status {status}")
                return EXIT_CONFIG if (name, status) == ("router", EXIT_CONFIG) else EXIT_FAILED
        return None

    def _signalled(self, seconds: float) -> bool:
        """Wait, at most so long; whether this program was told to end."""
        caught = signal.sigtimedwait({*_ENDING, signal.SIGCHLD}, seconds)
        return caught is not None and caught.si_signo in _ENDING

    def _stop(self) -> None:
        """The router first, which finishes answers; the engine after it."""
        deadline = time.monotonic() + GRACE
        for process in reversed(self._running.values()):
            process.terminate()
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _unblock() -> None:
    """Programs inherit what is blocked here, and must not miss the signals that end them."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {*_ENDING, signal.SIGCHLD})


def engine_answers() -> bool:
    """Whether the model is loaded: its server says 503 until then."""
    try:
        with _DIRECT.open(ENGINE_HEALTH, timeout=1):
            return True
    except OSError:
        return False


def main() -> int:
    """Exit status: 0 after SIGTERM or SIGINT, 1 where a program ended by itself, 2 where a setting is wrong."""
    try:
        settings = Settings.read(os.environ)
        config = write_configuration(settings, WORKPLACE, SHIPPED, MOUNTED)
        settings.state.mkdir(parents=True, exist_ok=True)
    except SettingError as error:
        log(str(error))
        return EXIT_CONFIG
    except OSError as error:
        log(
            f"{error.filename}: {error.strerror}; with a read-only file system give it a writable one: "
            f"--tmpfs /tmp (or mount what GRIDTIE_STATE_DIR names, for user {os.getuid()})"
        )
        return EXIT_CONFIG
    signal.pthread_sigmask(signal.SIG_BLOCK, {*_ENDING, signal.SIGCHLD})
    environ = {name: value for name, value in os.environ.items() if name != _SECRET}
    where = {"GRIDTIE_CONFIG_DIR": str(config), "GRIDTIE_STATE_DIR": str(settings.state)}
    return Service(ENGINE, ROUTER, engine_answers, {**environ, **where}).run()
