"""`gridtie-router --health`, which Docker asks every few seconds."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[3] / "compose/images/router/bin/gridtie-router"


def ask(port: int) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "GRIDTIE_LISTEN": f"0.0.0.0:{port}"}
    command = [sys.executable, str(PROGRAM), "--health"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=20)


def answering(listener: socket.socket, answer: bytes) -> None:
    connection, _ = listener.accept()
    with connection:
        asked = connection.recv(1024)
        # The router answers to its own names alone, and the port is part of them.
        address = b"127.0.0.1:%d" % listener.getsockname()[1]
        connection.sendall(answer if b"GET /healthz HTTP/1.1\r\nHost: " + address in asked else b"HTTP/1.1 421 no\r\n")


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0, ""),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", 1, "/healthz: HTTP/1.1 503 Service Unavailable"),
        (b"", 1, "/healthz: no answer"),
    ],
    ids=["healthy", "not ready", "closed at once"],
)
def test_it_is_healthy_where_the_router_says_so(answer: bytes, code: int, said: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answering, args=(listener, answer))
        thread.start()
        done = ask(listener.getsockname()[1])
        thread.join()

    assert (done.returncode, said in done.stderr) == (code, True)


def test_it_is_not_where_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    done = ask(port)

    assert done.returncode == 1
    assert "refused" in done.stderr
