"""The lab's mirror on the oldest machine that is supported: real Ollama, and a real pull from plain files.

That it serves the newest is what the native engine and the upgrades show, with both of its releases.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from lab import image, mirror
from lab.host import Host, host

# The server in the background, as a release is used: nothing of the machine but its C library and Python.
START = (
    "mkdir -p /opt/ollama/{version} && zstd -qdc /root/archive | tar -x -C /opt/ollama/{version} && "
    "HOME=/root OLLAMA_NO_CLOUD=1 systemd-run --quiet --unit ollama --setenv HOME=/root "
    "/opt/ollama/{version}/bin/ollama serve && "
    "for i in $(seq 600); do curl -fs 127.0.0.1:11434/api/version && exit 0; sleep 0.1; done; exit 1"
)


@pytest.fixture(scope="module")
def server() -> Iterator[mirror.Server]:
    with mirror.serve() as running:
        yield running


@pytest.fixture(scope="module")
def bare() -> Iterator[Host]:
    """A machine without any of it; `curl` and `zstd` are what the test itself works with."""
    with host(image.build(image.BOOKWORM)) as machine:
        machine.root("apt-get -qq update && apt-get -qq install -y --no-install-recommends curl zstd")
        yield machine


def start(machine: Host, server: mirror.Server, version: str) -> str:
    """Fetch a release as a station would, check it, run it; the version that the server tells."""
    place = f"{server.url}/ollama/v{version}"
    machine.root(f"curl -fsS -o /root/archive {place}/{server.file}")
    machine.root(f"curl -fsS {place}/sha256sum.txt | sed 's| ./{server.file}| /root/archive|' | sha256sum -c -")
    told: dict[str, str] = json.loads(machine.root(START.format(version=version)))
    return told["version"]


def ask(machine: Host, path: str, body: dict[str, object]) -> str:
    return machine.root(f"curl -fsS 127.0.0.1:11434{path} -d '{json.dumps(body)}'")


def test_a_release_runs_on_a_bare_machine_and_answers_with_a_model_pulled_from_plain_files(
    bare: Host, server: mirror.Server
) -> None:
    assert start(bare, server, server.new) == server.new
    model = f"{server.url.removeprefix('http://')}/library/{mirror.MODEL}"
    assert '"status":"success"' in ask(bare, "/api/pull", {"model": model, "insecure": True})

    # Without a limit a small model may talk until its context is full, which is longer than a call here may take.
    hello = {"model": model, "prompt": "Hi", "stream": False, "options": {"num_predict": 8}}
    answer = json.loads(ask(bare, "/api/generate", hello))

    assert answer["eval_count"] > 0
    listed = json.loads(bare.root("curl -fsS 127.0.0.1:11434/api/tags"))["models"]
    assert [each["digest"] for each in listed] == [server.manifest_digest()]
