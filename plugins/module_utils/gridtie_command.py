"""A long-running program: its output followed line by line, its time bounded, nothing of it left behind."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
from pathlib import Path
from typing import Callable, Sequence

# As OpenSSL, Go and GnuTLS say it, in Python and curl, in the engine's build, and in apt.
_UNTRUSTED = re.compile(
    r"certificate (verify|verification) failed|certificate_verify_failed|local issuer certificate|unknown authority",
    re.IGNORECASE,
)
_TRUST = (
    "; a server's certificate is of an authority that is not trusted here. Where the network looks into TLS, let "
    "gridtie_ca_bundle name the file on this machine that has its authority"
)

_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+(?=@)")


class CommandError(Exception):
    """The program failed; ``output`` is the end of what it printed, without credentials."""

    def __init__(self, message: str, output: str = "") -> None:
        super().__init__(message)
        self.output = output


def redact(text: str) -> str:
    """The text without the credentials that URLs in it may carry."""
    return _CREDENTIALS.sub("***", text)


def follow(
    arguments: Sequence[str],
    *,
    what: str,
    limit_s: float,
    line: Callable[[str], None] = lambda text: None,
    environment: dict[str, str] | None = None,
    stdin: str = os.devnull,
    directory: Path | None = None,
    keep_open: Sequence[int] = (),
) -> str:
    """Run a program to its end, hand every line it prints to ``line``, and return its output without credentials.

    ``stdin`` is a file that it reads, ``directory`` where it runs. ``keep_open`` are descriptors that it inherits: a
    lock that shall last as long as it runs. Raises CommandError when it fails or takes longer than ``limit_s`` seconds.
    """
    output: list[str] = []
    late = threading.Event()
    with Path(stdin).open("rb") as source, subprocess.Popen(
        list(arguments), env={**os.environ, **(environment or {})}, stdin=source, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True, cwd=directory,
        pass_fds=tuple(keep_open),
    ) as process:  # fmt: skip

        def end(mark: Callable[[], None] = lambda: None) -> None:
            mark()
            # The whole group: what the program started ends with it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

        timer = threading.Timer(limit_s, end, [late.set])
        timer.start()
        try:
            for text in process.stdout or ():
                text = redact(text.rstrip())
                output.append(text)
                line(text)
        except BaseException:
            end()
            raise
        finally:
            timer.cancel()
    tail = "\n".join(output[-40:])
    if late.is_set():
        raise CommandError(f"{what} did not end within {limit_s:.0f} s and was stopped", tail)
    if process.returncode != 0:
        trust = _TRUST if _UNTRUSTED.search(tail) else ""
        raise CommandError(f"{what} failed (exit status {process.returncode}){trust}", tail)
    return "\n".join(output)
