"""A station from a bundle, whose engine is Ollama as a service, becomes one of a newer bundle, and goes back.

The engine is upstream's archive, from a mirror, in two releases. The newer bundle is of another version of the project,
with another release of Ollama, another image of the router and another model. The tests are the steps of one scenario
and run in the order they stand in. Not in CI: `make test PART=bundles`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from shlex import quote
from typing import Any

import pytest
import yaml

from gridtie.host.version import __version__ as OLD
from lab import bundles, images, mirror
from lab.host import CHECKOUT, Host, Result, succeeded
from lab.prepared import load, prepared

NEW = re.sub(r"\d+$", lambda patch: str(int(patch[0]) + 1), OLD)
VERSION_FILE = "src/gridtie/host/version.py"
CODER = "small-coder:135m"
VARIABLES = "/home/dev/variables.json"
UNIT = "gridtie-engine.service"
GET = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:11434/api/version').read().decode())"
ROWS = (
    "import sqlite3; ledger = sqlite3.connect('file:/var/lib/gridtie/ledger/ledger.sqlite?mode=ro', uri=True);"
    "print(*ledger.execute('SELECT * FROM requests ORDER BY rowid'), sep='\\n')"
)
# What no upgrade may touch.
KEYS = "sha256sum /etc/gridtie/keys.json /etc/gridtie/station.key /home/dev/.config/gridtie/key"


@pytest.fixture(scope="module")
def server() -> Iterator[mirror.Server]:
    with mirror.serve() as running:
        yield running


def catalogue() -> str:
    """The project's own, with the small model under a second name as well: a model that the older bundle has not."""
    text = (CHECKOUT / "config/models.yaml").read_text(encoding="utf-8")
    small = next(model for model in yaml.safe_load(text)["models"] if model["name"] == mirror.MODEL)
    named = {"name": CODER, "title": "The small model, as a coder", "purposes": ["code", "chat"]}
    coder = yaml.safe_dump([{**small, **named}], sort_keys=False)
    indented = "".join(f"  {line}\n" for line in coder.splitlines())
    return text.replace("\nreferences:\n", f"\n{indented}\nreferences:\n")


def pack(maker: Host, server: mirror.Server, model: str) -> None:
    """Make a bundle of the maker's checkout as it is, with a model, and with that of the smoke test in any case."""
    wanted = {
        "gridtie_engine": "ollama", "gridtie_ollama_source": "release", "gridtie_engine_mode": "native",
        "gridtie_mirror_url": server.url, "gridtie_models": [model], "gridtie_upgrade_runs": 0,
    }  # fmt: skip
    maker.write(VARIABLES, json.dumps(wanted))
    succeeded(maker.run(f'make bundle ARGS="-e @{VARIABLES}"'))


@pytest.fixture(scope="module")
def maker(server: mirror.Server) -> Iterator[Host]:
    """A machine with a network that has made both bundles, one after the other."""
    with prepared("router", hostname="connected") as machine:
        server.pin(machine, server.old)
        pack(machine, server, mirror.MODEL)
        become_newer(machine)
        server.pin(machine, server.new)
        pack(machine, server, CODER)
        yield machine


def become_newer(maker: Host) -> None:
    """Another version of the checkout, with the router's image that is made of it."""
    succeeded(maker.run(f"sed -i 's/{re.escape(OLD)}/{NEW}/' galaxy.yml {VERSION_FILE}"))
    maker.write("/home/dev/gridtie/config/models.yaml", catalogue())
    tree = images.checkout()
    tree[VERSION_FILE] = tree[VERSION_FILE].replace(OLD.encode(), NEW.encode())
    load(maker, images.Images().make(images.steps("router", "gridtie", tree)))


@pytest.fixture(scope="module")
def sealed(maker: Host) -> Iterator[Host]:
    """A bare machine without a network that has both bundles, and a checkout of each."""
    with bundles.sealed() as machine:
        for version in (OLD, NEW):
            bundles.carry(maker, machine, version, version)
        yield machine


def make(machine: Host, target: str, version: str, **variables: object) -> Result:
    """A command as whoever has this version's bundle types it, in the checkout of the bundle."""
    machine.write(VARIABLES, json.dumps({"gridtie_upgrade_runs": 0, **variables}))
    bundle = quote(bundles.place(version))
    return machine.run(f'make {target} BUNDLE={bundle} ARGS="-e @{VARIABLES}"', cwd=f"/home/dev/{version}")


def station(machine: Host) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(machine.root("cat /etc/gridtie/station.json"))
    return found


def engine_tells(machine: Host) -> str:
    return str(json.loads(machine.root(f'python3 -c "{GET}"'))["version"])


def rows(machine: Host) -> list[str]:
    return machine.root(f'python3 -c "{ROWS}"').splitlines()


def ask(machine: Host) -> None:
    assert succeeded(machine.run("gridtie chat --model coder Hi 2>/dev/null", cwd="/home/dev")).strip()


@pytest.fixture(scope="module")
def installed(sealed: Host) -> Host:
    """A station of the older bundle that somebody has used."""
    succeeded(make(sealed, "site", OLD))
    ask(sealed)
    return sealed


def test_ollama_of_the_bundle_runs_as_a_service_and_in_no_container(installed: Host, server: mirror.Server) -> None:
    assert engine_tells(installed) == server.old
    assert installed.root(f"systemctl is-active {UNIT}; systemctl is-enabled {UNIT}").split() == ["active", "enabled"]
    assert installed.root("docker ps -a --format '{{.Names}}'").split() == ["gridtie-router-1"]
    assert "engine" not in installed.root("docker images --format '{{.Repository}}'")
    engine = station(installed)["engine"]
    assert (engine["mode"], engine["source"], engine["why"]) == ("native", "release", "the bundle has it")
    assert "PASS" in installed.root("gridtie doctor")


def test_a_newer_bundle_upgrades_the_engine_with_a_verdict_and_touches_nothing_else(
    installed: Host, server: mirror.Server
) -> None:
    keys, ledger, image = installed.root(KEYS), rows(installed), router_image(installed)

    output = succeeded(make(installed, "upgrade", NEW))

    assert f"Ollama {server.old} -> {server.new}" in output
    assert engine_tells(installed) == server.new
    assert station(installed)["version"] == OLD
    assert router_image(installed) == image
    assert installed.root(KEYS) == keys
    assert rows(installed)[: len(ledger)] == ledger
    # What the older one had is sent no more, and its directory is gone.
    assert len(installed.root("ls /var/cache/gridtie/bundle").split()) == 1


def test_the_rest_of_the_station_becomes_the_newer_bundles_with_its_model(
    installed: Host, server: mirror.Server
) -> None:
    keys, ledger, image = installed.root(KEYS), rows(installed), router_image(installed)

    output = succeeded(make(installed, "site", NEW, gridtie_models=[CODER]))

    assert "PASS" in output
    assert station(installed)["version"] == NEW
    assert [model["catalogue"] for model in station(installed)["models"]] == [CODER, mirror.MODEL]
    assert engine_tells(installed) == server.new
    assert router_image(installed) != image
    assert installed.root(KEYS) == keys
    assert rows(installed)[: len(ledger)] == ledger
    ask(installed)


def test_a_second_run_with_it_changes_nothing(installed: Host) -> None:
    assert "changed=0" in succeeded(make(installed, "site", NEW, gridtie_models=[CODER]))


def test_the_older_bundle_is_the_way_back(installed: Host, server: mirror.Server) -> None:
    keys, ledger = installed.root(KEYS), rows(installed)
    refused = make(installed, "site", OLD)

    output = succeeded(make(installed, "site", OLD, gridtie_downgrade=True, gridtie_models=[mirror.MODEL]))

    assert refused.code != 0
    assert "gridtie_downgrade" in refused.output
    assert "PASS" in output
    assert station(installed)["version"] == OLD
    assert [model["catalogue"] for model in station(installed)["models"]] == [mirror.MODEL]
    assert engine_tells(installed) == server.old
    assert installed.root(KEYS) == keys
    assert rows(installed)[: len(ledger)] == ledger
    ask(installed)


def router_image(machine: Host) -> str:
    return machine.root("docker inspect --format '{{.Config.Image}}' gridtie-router-1").strip()
