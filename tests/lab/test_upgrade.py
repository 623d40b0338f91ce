"""Upgrades between versions of Ollama: some that work, some that do not, and some that are killed.

The tests are the steps of one scenario and run in the order they stand in.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from gridtie.artefacts import update as updates
from gridtie.artefacts.update import Packages, Wheel
from lab import images, mirror
from lab.host import CHECKOUT, Host, Result, succeeded
from lab.kills import EVERYWHERE, kill
from lab.prepared import load, prepared

CURRENT = "/opt/gridtie/ollama/current"
VARIABLES = "/home/dev/variables.yml"
STATION = "/etc/gridtie/station.json"
# One chat by way of the router; the ledger has a row more for it.
ASK = """python3 -c '
import json, pathlib, urllib.request
key = pathlib.Path("~/.config/gridtie/key").expanduser().read_text().strip()
body = {"model": "coder", "max_tokens": 8, "messages": [{"role": "user", "content": "Say hello."}]}
headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
asked = urllib.request.Request("http://127.0.0.1:8484/v1/chat/completions", json.dumps(body).encode(), headers)
print(json.load(urllib.request.urlopen(asked, timeout=120))["choices"][0])'"""
# What the router tells of the models.
MODELS = """python3 -c '
import pathlib, urllib.request
key = pathlib.Path("~/.config/gridtie/key").expanduser().read_text().strip()
asked = urllib.request.Request("http://127.0.0.1:8484/v1/models", headers={"Authorization": f"Bearer {key}"})
print(urllib.request.urlopen(asked, timeout=30).read().decode())'"""
# Rows of the ledger in a form that does not change as long as they do not.
ROWS = (
    "import sqlite3; ledger = sqlite3.connect('file:/var/lib/gridtie/ledger/ledger.sqlite?mode=ro', uri=True);"
    "print(*ledger.execute('SELECT * FROM requests ORDER BY rowid'), sep='\\n')"
)
# Fewer runs do not tell a speed.
MEASURED = "gridtie_upgrade_runs=5"
SPEED = re.compile(r"(before|after) +[\d.]+ tokens/s \([\d.]+ to [\d.]+ in the middle half of 5 runs\)")

# What is wrong with the broken releases.
DOES_NOT_RUN = "printf '#!/bin/sh\\nexit 1\\n' >bin/ollama"
CANNOT_SERVE = "printf '#!/bin/sh\\necho out of order >&2\\nexit 1\\n' >lib/ollama/llama-server"
# It is stopped seven eighths of the time, by a process that holds nothing of it: its best on an idle machine must be
# less than the other's poorest on a busy one. A turn is long enough to be used, and comes often: one that gets none is
# given up by Ollama after ten seconds. What it does at first, to load the model, says nothing about speed.
SLOW = r"""cat >lib/ollama/slowly <<'END'
#!/bin/sh
(sleep 3; while kill -STOP $$; do sleep 0.7; kill -CONT $$; sleep 0.1; done) </dev/null >/dev/null 2>&1 &
exec "$(dirname "$0")/llama-server-itself" "$@"
END
chmod 755 lib/ollama/slowly
mv lib/ollama/llama-server lib/ollama/llama-server-itself
mv lib/ollama/slowly lib/ollama/llama-server"""

# Versions that nobody has, as long as the one that they are made of.
_LIKE = mirror.new_version()[:-1]
SLOWER, USELESS, LIFELESS = (_LIKE + digit for digit in "789")
BROKEN = {SLOWER: SLOW, USELESS: CANNOT_SERVE, LIFELESS: DOES_NOT_RUN}


@pytest.fixture(scope="module")
def server() -> Iterator[mirror.Server]:
    with mirror.serve() as running:
        for version, change in BROKEN.items():
            running.add_release(version, like=running.new, change=change)
        yield running


@pytest.fixture(scope="module")
def station(server: mirror.Server) -> Iterator[Host]:
    """A station with the older release as a service, which has answered somebody."""
    with prepared("router") as machine:
        server.pin(machine, server.old)
        # The mirror has no other model. Speed is measured where it is the subject.
        variables = {"gridtie_mirror_url": server.url, "gridtie_models": [mirror.MODEL], "gridtie_upgrade_runs": 0}
        machine.root(f"echo '{json.dumps(variables)}' >{VARIABLES}")
        succeeded(site(machine))
        succeeded(machine.run(ASK))
        yield machine


def failed(result: Result) -> str:
    assert result.code != 0, str(result)
    return " ".join(result.output.split())


def make(target: str, *variables: str) -> str:
    given = " ".join(f"-e {each}" for each in (f"@{VARIABLES}", *variables))
    return f"make {target} ARGS='{given}'"


def site(machine: Host, *variables: str) -> Result:
    return machine.run(make("site", *variables), limit=1500)


def upgrade(machine: Host, *variables: str) -> Result:
    return machine.run(make("upgrade", *variables), limit=1500)


def told_version(machine: Host) -> str:
    """What the running engine says that it is."""
    get = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:11434/api/version').read().decode())"
    return str(json.loads(machine.root(f'python3 -c "{get}"'))["version"])


def recorded(machine: Host) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(machine.root(f"cat {STATION}"))
    return found


def rows(machine: Host) -> list[str]:
    return machine.root(f'python3 -c "{ROWS}"').splitlines()


def kept(machine: Host) -> str:
    """What no upgrade may touch: models, keys, the routing file."""
    return machine.root(
        "find /var/lib/gridtie/models/ollama /etc/gridtie/secrets /etc/gridtie/station.key /home/dev/.config/gridtie"
        " /etc/gridtie/llm_routing.yaml -type f -exec sha256sum {} + | sort -k2"
    )


def healthy_at(machine: Host, version: str) -> None:
    """That version runs, is the one that was recorded, and the doctor and an ordinary person agree that it serves."""
    assert told_version(machine) == version
    assert recorded(machine)["engine"]["version"] == version
    assert "upgrade" not in recorded(machine)
    assert json.loads(succeeded(machine.run("sudo gridtie doctor --json")))["verdict"] == "PASS"
    succeeded(machine.run(ASK))


def test_check_mode_says_what_would_change_and_changes_nothing(station: Host, server: mirror.Server) -> None:
    server.pin(station, server.new)
    before = station.root(f"ls -l /opt/gridtie/ollama; cat {STATION}")

    output = succeeded(station.run(f"make upgrade CHECK=1 ARGS='-e @{VARIABLES}'"))

    assert re.search(r"Engine .*would change", output)
    assert station.root(f"ls -l /opt/gridtie/ollama; cat {STATION}") == before
    healthy_at(station, server.old)


def test_an_upgrade_switches_verifies_and_says_what_it_measured(station: Host, server: mirror.Server) -> None:
    before, ledger = kept(station), rows(station)

    output = succeeded(upgrade(station, MEASURED))

    assert f"Ollama {server.old} -> {server.new}" in output
    assert [found[1] for found in SPEED.finditer(output)] == ["before", "after"]
    healthy_at(station, server.new)
    assert kept(station) == before
    assert rows(station)[: len(ledger)] == ledger


def test_a_second_upgrade_has_nothing_to_do_and_says_so(station: Host, server: mirror.Server) -> None:
    output = succeeded(upgrade(station))

    assert "changed=0" in output
    assert f"Ollama {server.new} runs already" in output


def test_what_an_upgrade_leaves_is_what_a_run_of_the_playbook_makes(station: Host, server: mirror.Server) -> None:
    """What the models show on it among that: it is of one version of the engine."""
    told = [model["gridtie"].get("acceptance") for model in json.loads(succeeded(station.run(MODELS)))["data"]]
    shown = [model["acceptance"] for model in recorded(station)["models"]]

    assert shown and {each["engine_version"] for each in shown} == {server.new}
    assert all(each in told for each in shown)
    assert "changed=0" in succeeded(site(station))


def test_going_back_by_hand_fetches_nothing(station: Host, server: mirror.Server) -> None:
    server.pin(station, server.old)
    fetched = archives(server)

    output = succeeded(upgrade(station))

    assert f"Ollama {server.new} -> {server.old}" in output
    assert "not measured: 0 runs were asked for" in output
    healthy_at(station, server.old)
    assert archives(server) == fetched


def archives(server: mirror.Server) -> int:
    """How often an archive was fetched from the mirror."""
    return sum(server.file in line for line in server.requests())


@pytest.mark.parametrize(
    ("version", "reason"),
    [(LIFELESS, "does not run on this machine"), (USELESS, "checks do not hold")],
    ids=["does not run", "cannot serve"],
)
def test_one_that_fails_goes_back_by_itself(station: Host, server: mirror.Server, version: str, reason: str) -> None:
    start = told_version(station)
    before, ledger, station_json = kept(station), rows(station), recorded(station)
    server.pin(station, version)

    output = failed(upgrade(station))

    assert f"The upgrade from Ollama {start} to {version} failed" in output
    assert reason in output
    assert f"Ollama {start} runs again, and the doctor says PASS" in output
    healthy_at(station, start)
    assert recorded(station) == station_json
    assert kept(station) == before
    assert rows(station)[: len(ledger)] == ledger


def test_one_that_is_much_slower_goes_back_if_that_was_asked_for(station: Host, server: mirror.Server) -> None:
    start = told_version(station)
    server.pin(station, SLOWER)

    output = failed(upgrade(station, MEASURED, "gridtie_upgrade_min_speed=0.9"))

    assert "became slower" in output
    assert f"Ollama {start} runs again, and the doctor says PASS" in output
    healthy_at(station, start)


# When it is killed: the way back is written down; the link is switched; the new version is recorded, not yet verified.
MOMENTS = {
    "before the switch": f"grep -q '\"upgrade\"' {STATION}",
    "after the switch": f"readlink {CURRENT} | grep -q '^{{version}}-'",
    "before the verdict": f"python3 -c 'import json; "
    f"""assert json.load(open("{STATION}"))["engine"]["version"] == "{{version}}"' 2>/dev/null""",
}


TELLS = (
    "python3 -c 'import urllib.request as u; "
    """assert b"{version}" in u.urlopen("http://127.0.0.1:11434/api/version").read()' 2>/dev/null"""
)


@pytest.mark.parametrize("moment", MOMENTS if EVERYWHERE else ["after the switch"])
def test_one_that_is_killed_and_run_again_comes_to_its_end(station: Host, server: mirror.Server, moment: str) -> None:
    start = told_version(station)
    target = server.old if start == server.new else server.new
    server.pin(station, target)

    kill_at(station, MOMENTS[moment].format(version=target), MEASURED)
    assert recorded(station)["upgrade"]["before"]["version"] == start

    output = succeeded(upgrade(station, MEASURED))
    assert f"Ollama {start} -> {target}" in output
    assert [found[1] for found in SPEED.finditer(output)] == ["before", "after"]
    healthy_at(station, target)


def test_one_that_is_killed_and_then_fails_still_knows_the_way_back(station: Host, server: mirror.Server) -> None:
    start = told_version(station)
    server.pin(station, USELESS)

    # Not only the link is switched: the release that cannot serve runs.
    kill_at(station, TELLS.format(version=USELESS))

    assert f"Ollama {start} runs again, and the doctor says PASS" in failed(upgrade(station))
    healthy_at(station, start)


def test_where_going_back_fails_as_well_both_are_told_and_a_run_of_the_playbook_mends_it(
    station: Host, server: mirror.Server
) -> None:
    start = told_version(station)
    before, ledger = kept(station), rows(station)
    server.pin(station, USELESS)
    # The process runs on without its file, until the upgrade stops it.
    station.root(f"rm {CURRENT}/bin/ollama")

    output = failed(upgrade(station))

    assert f"The upgrade from Ollama {start} to {USELESS} failed" in output
    assert f"Going back to {start} failed as well" in output
    assert "is gone, so there is nothing to go back to" in output
    assert kept(station) == before
    assert rows(station)[: len(ledger)] == ledger

    server.pin(station, start)
    succeeded(site(station))
    healthy_at(station, start)


def kill_at(machine: Host, moment: str, *variables: str) -> None:
    """Start an upgrade and kill -9 all of it as soon as the shell command `moment` succeeds."""
    with machine.start(make("upgrade", *variables)) as process:
        deadline = time.monotonic() + 600
        # Looked for in the machine: to enter it each time would cost more than the upgrade itself.
        look = f"for _ in $(seq 50); do {moment} && exit; sleep 0.1; done; exit 1"
        while machine.run(look, user="root", cwd="/").code != 0:
            assert process.poll() is None, f"it came to its end before: {process.stdout and process.stdout.read()}"
            assert time.monotonic() < deadline
        kill(machine)


# -- in a container ----------------------------------------------------------------------------------------------------
#
# Images that are compiled from package sources, since no registry can be had here. They were made for the mirror.

CONTAINED = ("gridtie_engine_mode=container", "gridtie_ollama_source=packages")
ENGINE = "gridtie-engine-1"


def sources(version: str) -> tuple[dict[str, bytes], dict[str, Any], str]:
    """The checkout's files and pins that compile this version, and the name of the image that a station makes of them.

    One that there is no source of has a name, and is compiled by nobody.
    """
    if mirror.compiled() and version == mirror.old_version():
        tree, pinned = mirror.former()
    else:
        tree, pinned = images.checkout(), images.artefacts()
        packages = {**pinned["ollama"]["packages"], "version": version}
        pinned = {**pinned, "ollama": {**pinned["ollama"], "packages": packages}}
    return tree, pinned, str(images.steps("engine-ollama", "gridtie", tree, pinned)[-1]["reference"])


def pin_sources(machine: Host, version: str) -> None:
    tree, pinned, _ = sources(version)
    for name in mirror.MODULE:
        machine.write(f"/home/dev/gridtie/{name}", tree[name])
    packages, wheel = pinned["ollama"]["packages"], pinned["wheels"]["xllamacpp"]
    text = (CHECKOUT / "config/artefacts.yaml").read_text(encoding="utf-8")
    offer = Packages(version, packages["llama_cpp"], Wheel(wheel["version"], wheel["sha256"]))
    machine.write("/home/dev/gridtie/config/artefacts.yaml", updates.compiled(text, offer))


def image_of(machine: Host) -> str:
    return machine.root(f"docker inspect --format '{{{{.Config.Image}}}}' {ENGINE}").strip()


def derive(machine: Host, image: str, like: str, path: str, change: str) -> None:
    """Tag an image that is `like` another but for one file, after the shell script `change` of the file `changed`."""
    machine.root(
        f"set -e; cd $(mktemp -d); docker create --name like {like}; docker cp -L like:{path} changed; {change};"
        f"docker cp changed like:{path}; docker commit like {image}; docker rm like"
    )


@pytest.fixture(scope="module")
def contained(station: Host, server: mirror.Server) -> Host:
    """The station again, with the older version in a container; the images of both are there, and a broken one."""
    old, new = (sources(version)[-1] for version in (server.old, server.new))
    for reference in (old, new) if mirror.compiled() else (new,):
        made = reference.replace("gridtie/", f"{mirror.PREFIX}/", 1)
        load(station, made)
        station.root(f"docker tag {made} {reference}")
    if not mirror.compiled():
        derive(station, old, new, "/usr/bin/ollama", mirror.retold("changed", server.new, server.old))
    derive(station, sources(USELESS)[-1], new, "/usr/lib/ollama/llama-server", r"printf '#!/bin/sh\nexit 1\n' >changed")
    pin_sources(station, server.old)
    succeeded(site(station, *CONTAINED))
    assert image_of(station) == sources(server.old)[-1]
    return station


def test_a_container_is_upgraded_the_same_way(contained: Host, server: mirror.Server) -> None:
    pin_sources(contained, server.new)

    output = succeeded(upgrade(contained, MEASURED))

    assert f"Ollama {server.old} -> {server.new}" in output
    assert [found[1] for found in SPEED.finditer(output)] == ["before", "after"]
    assert image_of(contained) == recorded(contained)["engine"]["image"] == sources(server.new)[-1]
    assert json.loads(succeeded(contained.run("sudo gridtie doctor --json")))["verdict"] == "PASS"
    assert "changed=0" in succeeded(site(contained))


def test_a_container_that_fails_goes_back_to_the_image_before(contained: Host, server: mirror.Server) -> None:
    before, ledger, station_json = kept(contained), rows(contained), recorded(contained)
    pin_sources(contained, USELESS)

    output = failed(upgrade(contained))

    assert f"Ollama {server.new} runs again, and the doctor says PASS" in output
    assert image_of(contained) == sources(server.new)[-1]
    assert recorded(contained) == station_json
    assert kept(contained) == before
    assert rows(contained)[: len(ledger)] == ledger
    succeeded(contained.run(ASK))
