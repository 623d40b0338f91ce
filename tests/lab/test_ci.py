"""A runner provisions itself with inventories/ci, and its job containers reach the router where nobody else does."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator

import pytest

from lab.host import Host, succeeded
from lab.prepared import prepared

ASK = """
import json, os, urllib.request
body = {"model": "coder", "max_tokens": 8, "messages": [{"role": "user", "content": "Say hello."}]}
request = urllib.request.Request(
    os.environ["OPENAI_BASE_URL"] + "/chat/completions",
    json.dumps(body).encode(),
    {"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"], "Content-Type": "application/json"},
)
with urllib.request.urlopen(request, timeout=120) as answer:
    print(json.dumps({"rule": answer.headers["x-gridtie-rule"], "answer": json.load(answer)}))
"""


@pytest.fixture(scope="module")
def runner() -> Iterator[Host]:
    with prepared("router", "engine-embedded", hostname="runner") as machine:
        succeeded(machine.run('make site ARGS="-i inventories/ci -e gridtie_engine=embedded"'))
        yield machine


def job(runner: Host, key: str, network: str) -> str:
    """What a job container on a network prints, as docs/ci.md has it; its image is one that is there.

    A job sees the checkout and not the home it lies in, which is its owner's alone.
    """
    runner.root(f"mkdir -p /home/dev/job && cat > /home/dev/job/job.py <<'END'\n{ASK}\nEND")
    done = runner.run(
        f"sudo docker run --rm --network {network} --env OPENAI_API_KEY={key}"
        " --env OPENAI_BASE_URL=http://gridtie:8484/v1 --volume /home/dev/job:/src:ro --entrypoint python3"
        " $(sudo docker inspect --format '{{.Config.Image}}' gridtie-router-1) /src/job.py"
    )
    return done.output.strip().splitlines()[-1]


def test_a_job_container_gets_an_answer_with_its_key(runner: Host) -> None:
    key = runner.root("gridtie keys add pipeline --environment ci 2>/dev/null").strip()
    told = json.loads(job(runner, key, "gridtie-jobs"))

    assert told["rule"] == "local"
    assert told["answer"]["choices"][0]["message"]["content"].strip()


def test_a_container_that_is_not_on_the_network_does_not_find_it(runner: Host) -> None:
    """Nothing answers to the name there: the resolver says so, and not the router."""
    assert re.search(r"URLError: .*\[Errno -[23]\]", job(runner, "gt-" + "a" * 43, "bridge"))


def test_no_other_machine_reaches_it(runner: Host) -> None:
    address = runner.root("ip -4 -o addr show eth0").split()[3].partition("/")[0]

    with pytest.raises(OSError):
        socket.create_connection((address, 8484), timeout=5).close()


def test_every_check_holds_and_a_second_run_changes_nothing(runner: Host) -> None:
    runner.root("gridtie doctor")
    again = runner.run('make site ARGS="-i inventories/ci -e gridtie_engine=embedded"')

    assert "changed=0" in succeeded(again)


def test_a_reset_takes_the_network_away(runner: Host) -> None:
    succeeded(runner.run('make reset ARGS="-i inventories/ci"'))

    assert "gridtie-jobs" not in runner.root("docker network ls --format '{{.Name}}'")
