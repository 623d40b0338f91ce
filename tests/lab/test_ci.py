"""A runner provisions itself with inventories/ci, and its job containers reach the router where nobody else does.

It is lost on the way, and comes back from its backup. The tests are the steps of one scenario.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator

import pytest

from lab.host import Host, succeeded
from lab.prepared import hand_image, prepared

IMAGES = ("router", "engine-embedded")
INVENTORY = "-i inventories/ci -e gridtie_engine=embedded"
BACKUP = "/home/dev/station.tar.gz"
BY_THEMSELVES = "/var/backups/station"

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
    with prepared(*IMAGES, hostname="runner") as machine:
        succeeded(machine.run(f'make site ARGS="{INVENTORY}"'))
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


def figures(runner: Host) -> tuple[object, object]:
    """The ledger's figures and the models' digests; the tool's own traffic, which every run adds to, is in neither."""
    usage = json.loads(runner.root("gridtie usage --json --by key"))
    models = json.loads(runner.root("cat /etc/gridtie/station.json"))["models"]
    return (usage["totals"], usage["groups"]), {model["name"]: model["digest"] for model in models}


def test_a_station_that_is_lost_comes_back_from_its_backup(runner: Host) -> None:
    key = runner.root("gridtie keys add kept --environment ci 2>/dev/null | tee /root/kept").strip()
    assert json.loads(job(runner, key, "gridtie-jobs"))["rule"] == "local"
    before = figures(runner)
    runner.root(f"gridtie report --json --out /root/report.json && gridtie backup {BACKUP}")
    succeeded(runner.run(f'make reset PURGE=1 ARGS="{INVENTORY} -e gridtie_confirm_purge=localhost"'))
    assert runner.root("ls -d /etc/gridtie /var/lib/gridtie 2>/dev/null; true") == ""
    for name in IMAGES:
        hand_image(runner, name)

    # As docs/operations.md has it: before there is a station, with nothing installed.
    succeeded(runner.run(f"sudo env PYTHONPATH=src python3 -B -m gridtie.host restore {BACKUP}"))
    succeeded(runner.run(f'make site ARGS="{INVENTORY} -e gridtie_backup_directory={BY_THEMSELVES}"'))

    assert figures(runner) == before
    assert "agrees" in runner.root("cd /root && gridtie report --recompute /root/report.json 2>&1")
    assert json.loads(job(runner, key, "gridtie-jobs"))["rule"] == "local"


def test_a_backup_takes_the_place_of_what_a_running_station_has(runner: Host) -> None:
    key = runner.root("cat /root/kept").strip()
    runner.root("gridtie keys revoke kept")
    assert "401" in job(runner, key, "gridtie-jobs")

    said = runner.root(f"gridtie restore {BACKUP}")

    assert json.loads(job(runner, key, "gridtie-jobs"))["rule"] == "local"
    (way_back,) = re.findall(r"/var/lib/gridtie/backups/\S+\.tar\.gz", said)
    runner.root(f"gridtie backup --check {way_back}")


def test_backups_are_made_by_themselves(runner: Host) -> None:
    assert runner.root("systemctl is-active gridtie-backup.timer").strip() == "active"

    runner.root("systemctl start gridtie-backup.service")

    runner.root(f"gridtie backup --check {BY_THEMSELVES}/gridtie-runner-*.tar.gz")


def test_every_check_holds_and_a_second_run_changes_nothing(runner: Host) -> None:
    runner.root("gridtie doctor")
    again = runner.run(f'make site ARGS="{INVENTORY} -e gridtie_backup_directory={BY_THEMSELVES}"')

    assert "changed=0" in succeeded(again)


def test_a_reset_takes_the_network_and_the_timer_away(runner: Host) -> None:
    succeeded(runner.run('make reset ARGS="-i inventories/ci"'))

    assert "gridtie-jobs" not in runner.root("docker network ls --format '{{.Name}}'")
    assert runner.root("ls /etc/systemd/system | grep gridtie-backup; true") == ""
    assert runner.root(f"ls {BY_THEMSELVES}")
