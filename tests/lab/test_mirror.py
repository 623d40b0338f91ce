"""The lab's mirror: real Ollama of two versions on machines that have nothing, and a real pull from plain files."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from lab import image, mirror
from lab.host import Host, host

# The server in the background, as a release is used: nothing of the machine but its C library and Python.
START = (
    "mkdir -p /opt/ollama/{version} && zstd -qdc /root/archive | tar -x -C /opt/ollama/{version} && "
    "HOME=/root OLLAMA_NO_CLOUD=1 systemd-run --quiet --unit ollama-{unit} --setenv HOME=/root "
    "/opt/ollama/{version}/bin/ollama serve && "
    "for i in $(seq 600); do curl -fs 127.0.0.1:11434/api/version && exit 0; sleep 0.1; done; exit 1"
)


@pytest.fixture(scope="module")
def server() -> Iterator[mirror.Server]:
    with mirror.serve() as running:
        yield running


@pytest.fixture(scope="module", params=[image.TRIXIE, image.BOOKWORM], ids=lambda each: each.name)
def bare(request: pytest.FixtureRequest) -> Iterator[Host]:
    """A machine without any of it; `curl` and `zstd` are what the test itself works with."""
    with host(image.build(request.param)) as machine:
        machine.root("apt-get -qq update && apt-get -qq install -y --no-install-recommends curl zstd")
        yield machine


def start(machine: Host, server: mirror.Server, version: str) -> str:
    """Fetch a release as a station would, check it, run it; the version that the server tells."""
    place = f"{server.url}/ollama/v{version}"
    machine.root(f"curl -fsS -o /root/archive {place}/{server.file}")
    machine.root(f"curl -fsS {place}/sha256sum.txt | sed 's| ./{server.file}| /root/archive|' | sha256sum -c -")
    unit = version.replace(".", "-")
    machine.root("systemctl stop 'ollama-*' 2>/dev/null; true")
    told: dict[str, str] = json.loads(machine.root(START.format(version=version, unit=unit)))
    return told["version"]


def ask(machine: Host, path: str, body: dict[str, object]) -> str:
    return machine.root(f"curl -fsS 127.0.0.1:11434{path} -d '{json.dumps(body)}'")


def test_both_releases_run_on_a_bare_machine_and_answer_with_a_model_pulled_from_plain_files(
    bare: Host, server: mirror.Server
) -> None:
    assert start(bare, server, server.old) == server.old
    model = f"{server.url.removeprefix('http://')}/library/{mirror.MODEL}"
    assert '"status":"success"' in ask(bare, "/api/pull", {"model": model, "insecure": True})
    # Without a limit a small model may talk until its context is full, which is longer than a call here may take.
    hello = {"model": model, "prompt": "Hi", "stream": False, "options": {"num_predict": 8}}
    first = json.loads(ask(bare, "/api/generate", hello))

    assert start(bare, server, server.new) == server.new
    second = json.loads(ask(bare, "/api/generate", hello))

    assert first["eval_count"] > 0
    assert second["eval_count"] > 0
    listed = json.loads(bare.root("curl -fsS 127.0.0.1:11434/api/tags"))["models"]
    assert [each["digest"] for each in listed] == [server.manifest_digest()]


def test_a_release_can_be_published_that_is_like_another_but_for_one_change(server: mirror.Server) -> None:
    server.add_release("0.32.99", like=server.new, change="printf '#!/bin/sh\\nexit 1\\n' >bin/ollama")

    listing = server.run(f"zstd -qdc ollama/v0.32.99/{server.file} | tar -t")
    assert {"bin/ollama", "lib/ollama/llama-server"} <= set(listing.split())
    assert server.sha256("0.32.99") != server.sha256(server.new)
    assert server.run("cd ollama/v0.32.99 && sha256sum -c sha256sum.txt") == f"./{server.file}: OK\n"
