"""One host watches the routers of an inventory: its own on loopback, another's by TLS. The steps of one scenario.

Both routers are the real image on one machine; the other host is a name of it.
"""

from __future__ import annotations

import datetime
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from plugins.plugin_utils.gridtie_certificates import Authority

from lab.host import Host, Result, succeeded
from lab.prepared import hand_image, prepared
from standins.authority import make_request
from standins.router import configure, routing

INVENTORY = {
    "all": {
        "vars": {
            "gridtie_ca_certificate": "/home/dev/ca/ca.pem",
            "gridtie_ca_key": "/home/dev/ca/ca.key",
            "gridtie_observability_interval_s": 1,
        },
        "hosts": {
            "here": {"ansible_connection": "local"},
            "there": {"gridtie_listen": "0.0.0.0", "gridtie_tls": "project", "gridtie_address": "there"},
            "alone": {},
        },
        "children": {"observability": {"hosts": {"here": {}}}},
    }
}
# Of "open sesame".
HASH = "$2b$10$Scmp5Xu/f2GCAQLB4iZzu.4OkL5ruzp9HZJ76YW6f/ZFQv9SE2Bfa"
OPEN = {"gridtie_observability_listen": "0.0.0.0", "gridtie_tls": "project"}
PLAY = ".venv/bin/ansible-playbook playbooks/{} -i /home/dev/watched/hosts.yml --limit here"


def play(machine: Host, book: str = "observability.yml", **variables: object) -> Result:
    more = f" -e '{json.dumps(variables)}'" if variables else ""
    return machine.run(PLAY.format(book) + more)


def recap(result: Result) -> str:
    return re.findall(r"^here: (.*)$", succeeded(result), re.MULTILINE)[-1]


def query(machine: Host, expression: str) -> dict[str, float]:
    """The value of each host's series."""
    asked = machine.root(f"curl -fsS -G 127.0.0.1:9090/api/v1/query --data-urlencode 'query={expression}'")
    return {each["metric"]["instance"]: float(each["value"][1]) for each in json.loads(asked)["data"]["result"]}


def wait_for(machine: Host, expression: str, wanted: dict[str, float]) -> None:
    deadline = time.monotonic() + 60
    while (found := query(machine, expression)) != wanted:
        assert time.monotonic() < deadline, f"{expression} is {found}, wanted {wanted}"
        time.sleep(0.5)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    directory = tmp_path_factory.mktemp("watched")
    with prepared(hostname="here") as found:
        found.root("apt-get -qq update && apt-get -qq install -y --no-install-recommends curl")
        found.root("echo '127.0.0.1 there' >> /etc/hosts")
        hand_image(found, "router")
        found.write("/home/dev/watched/hosts.yml", yaml.safe_dump(INVENTORY))
        certificate = _certificate(found, directory)
        run_router(found, directory, "here", "", GRIDTIE_LISTEN="127.0.0.1:8484")
        tls = {"GRIDTIE_LISTEN": "127.0.0.1:8485", "GRIDTIE_TLS_LISTEN": "0.0.0.0:8443"}
        run_router(found, directory, "there", certificate, **tls)
        yield found


def _certificate(machine: Host, directory: Path) -> str:
    """Key and certificate of the other host, by the authority that the inventory has."""
    now = datetime.datetime.now(datetime.UTC)
    ca = {name: directory / f"ca.{name}" for name in ("pem", "key")}
    authority, _ = Authority.ensure(ca["pem"], ca["key"], days=365, renew_days=0, now=now, check=False)
    assert authority is not None
    for name, path in ca.items():
        machine.write(f"/home/dev/ca/ca.{name}", path.read_text())
    machine.root("chmod 600 /home/dev/ca/ca.key")
    key, request = make_request()
    return str(key + authority.issue(request, ["there"], days=30, now=now))


def run_router(machine: Host, directory: Path, name: str, certificate: str, **environment: str) -> None:
    """The router's image, with a configuration whose engine is not there."""
    rules = routing("http://127.0.0.1:9/v1", use="[local]") + "defaults: {allowed_hosts: ['there:8443']}\n"
    for file in configure(directory / name, rules).iterdir():
        machine.write(f"/srv/{name}/config/{file.name}", file.read_text(), owner="root")
    if certificate:
        machine.write(f"/srv/{name}/config/tls/server.pem", certificate, owner="root")
    machine.root(f"install -d -o 65534 -g 65534 /srv/{name}/ledger && chmod -R a+rX /srv/{name}/config")
    settings = " ".join(f"--env {key}={value}" for key, value in environment.items())
    machine.root(
        f"docker run --detach --name {name} --network host {settings} --volume /srv/{name}/config:/etc/gridtie:ro"
        f" --volume /srv/{name}/ledger:/var/lib/gridtie/ledger $(docker images -q gridtie/router | head -n 1)"
    )


def test_one_run_watches_every_router_that_can_be_reached_and_names_the_others(machine: Host) -> None:
    result = play(machine)

    assert "failed=0" in recap(result)
    assert "alone lets no other machine in (gridtie_listen is empty)" in " ".join(result.output.split())
    wait_for(machine, "up", {"here": 1, "there": 1})
    assert query(machine, "gridtie_target_info") == {"here": 1, "there": 1}


def test_it_listens_on_loopback_alone_and_the_packages_own_service_is_off(machine: Host) -> None:
    listening = machine.root("ss -Hltn | awk '{print $4}'").split()

    assert [address for address in listening if address.endswith(":9090")] == ["127.0.0.1:9090"]
    states = machine.root("systemctl is-enabled prometheus gridtie-prometheus; systemctl is-active prometheus; true")
    assert states.split() == ["disabled", "enabled", "inactive"]


def test_a_second_run_changes_nothing(machine: Host) -> None:
    assert "changed=0" in recap(play(machine))


def test_a_router_that_is_down_is_seen_and_seen_again(machine: Host) -> None:
    machine.root("docker stop --time 5 there")
    try:
        wait_for(machine, "up", {"here": 1, "there": 0})
    finally:
        machine.root("docker start there")
    wait_for(machine, "up", {"here": 1, "there": 1})


def test_it_opens_to_other_machines_with_tls_and_a_password_alone(machine: Host) -> None:
    refused = play(machine, **OPEN)
    assert refused.code != 0
    assert "gridtie_observability_users must name somebody" in " ".join(refused.output.split())
    assert query(machine, "up") == {"here": 1, "there": 1}

    assert "failed=0" in recap(play(machine, **OPEN, gridtie_observability_users={"ops": HASH}))
    ask = "curl -sS --cacert /home/dev/ca/ca.pem --resolve here:9090:127.0.0.1 -o /dev/null -w %{http_code} "
    assert machine.root(f"{ask} https://here:9090/api/v1/rules") == "401"
    assert machine.root(f"{ask} -u 'ops:open sesame' https://here:9090/api/v1/rules") == "200"

    assert "failed=0" in recap(play(machine))
    wait_for(machine, "up", {"here": 1, "there": 1})


def test_a_reset_takes_it_away_and_a_purge_what_it_collected(machine: Host) -> None:
    kept = "ls -d /etc/gridtie-prometheus /var/lib/gridtie-prometheus /etc/systemd/system/gridtie-prometheus.service"

    recap(play(machine, "reset.yml"))
    assert machine.root(f"{kept} 2>/dev/null; true").split() == ["/var/lib/gridtie-prometheus"]
    assert machine.root("ss -Hltn | grep -c :9090; true").strip() == "0"

    recap(play(machine, "reset.yml", gridtie_purge=True, gridtie_confirm_purge="here"))
    assert machine.root(f"{kept} 2>/dev/null; true") == ""
