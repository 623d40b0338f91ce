"""Two workstations and a shared server, made by one run of the playbook from the variables of inventories/team.

The controller is this machine; it reaches the hosts over SSH. The tests are the chapters of one story and run in the
order they stand in.
"""

from __future__ import annotations

import datetime
import json
import re
import shutil
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from plugins.plugin_utils.gridtie_certificates import Authority

from gridtie.lock import read
from lab.fleet import Fleet, ask, fleet_of, recap, shortcuts, target, wait_for
from lab.host import CHECKOUT, Host, Result, succeeded
from standins.authority import make_authority, make_request

SERVER, WORKSTATIONS = "gpu-server", ("alice-laptop", "bob-desktop")

# Only one small model can be had here. The server's is no better than the workstation's, so its place before that one
# has to be asked for; what `better` means is proven by unit tests.
PREFER = "prefer: better"


class Team(Fleet):
    """Two workstations and a server."""

    @property
    def lock(self) -> Path:
        return self.directory / "gridtie.lock.yaml"

    def write_inventory(self, *, more: Sequence[str] = (), **changes: dict[str, Any]) -> None:
        """The hosts as they are, with the group variables that the project ships; `changes` by host name.

        `more` are workstations that are only named.
        """
        people = {
            "alice-laptop": {"gridtie_people": [{"name": "alice", "environments": ["dev", "production"]}]},
            "bob-desktop": {"gridtie_people": [{"name": "bob"}]},
        }

        def variables(name: str) -> dict[str, Any]:
            own = changes.get(name.replace("-", "_"), {})
            return {"ansible_host": self.addresses[name], **people.get(name, {}), **own}

        document = {
            "all": {
                "vars": {**self.login, **changes.get("all", {})},
                "children": {
                    "servers": {"hosts": {SERVER: variables(SERVER)}},
                    "workstations": {"hosts": {name: variables(name) for name in (*WORKSTATIONS, *more)}},
                },
            }
        }
        directory = self.directory / "inventory"
        shutil.copytree(CHECKOUT / "inventories/team/group_vars", directory / "group_vars", dirs_exist_ok=True)
        (directory / "hosts.yml").write_text(yaml.safe_dump(document))


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    with fleet_of((SERVER, *WORKSTATIONS), tmp_path_factory.mktemp("team")) as fleet:
        found = Team(fleet.hosts, fleet.addresses, fleet.directory)
        found["alice-laptop"].root("useradd --create-home alice")
        found["bob-desktop"].root("useradd --create-home bob")
        (found.directory / "routing.yaml").write_text(routing("always"))
        (found.directory / "models.lock.yaml").write_text("schema: 1\nmodels: {}\n")
        found.write_inventory(all=shortcuts(found.directory))
        yield found


def routing(prefer: str) -> str:
    """The project's routing file with another preference: here all hosts have the same model."""
    text = (CHECKOUT / "config/llm_routing.yaml").read_text()
    assert PREFER in text
    return text.replace(PREFER, f"prefer: {prefer}")


OWN, POOL = "station/gridtie/smollm2:135m", "pool.gpu-server/gridtie/smollm2:135m"


def usage(machine: Host) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(machine.root("gridtie usage --json"))
    return report


def test_what_would_let_others_in_without_tls_is_refused_before_anything_is_changed(team: Team) -> None:
    result = team.play("site.yml", "--limit", SERVER, "-e", "gridtie_tls=off")

    assert result.code != 0
    assert "Nothing has been changed" in result.output
    assert "gridtie_listen is 0.0.0.0" in result.output
    assert team[SERVER].root("ls -d /etc/gridtie 2>/dev/null; true") == ""


def test_digests_that_would_be_lost_after_the_run_are_not_learned(team: Team) -> None:
    beside = team.directory / "inventory/gridtie.lock.yaml"

    result = team.play("site.yml", "--limit", SERVER, "-e", f"gridtie_lock_file={beside}")

    assert result.code != 0
    assert "Nothing has been changed" in result.output
    assert re.search(r"the model smollm2:135m.* is a temporary directory", result.output)


def test_with_required_pins_all_that_are_missing_are_told_with_what_fills_the_lock(team: Team) -> None:
    result = team.play("site.yml", "--limit", SERVER, "-e", "gridtie_pins=require")

    assert result.code != 0
    assert "Nothing has been changed" in result.output
    assert 'make pins MODELS="smollm2:135m"' in result.output
    assert f"--limit {SERVER} -e gridtie_pins=learn" in result.output


def test_one_run_provisions_all_of_them_the_server_first(team: Team) -> None:
    """In two waves: the second takes images of the first, and the server learns keys that were made after its own."""
    assert set(recap(team.play("site.yml", "-e", "gridtie_serial=1,100%"))) == {SERVER, *WORKSTATIONS}


def test_one_of_them_learned_the_digest_for_all_of_them(team: Team) -> None:
    (entry,) = read(team.lock).entries["models"].values()
    files = {machine.root("ls /var/lib/gridtie/models/embedded/blobs") for machine in team.hosts.values()}

    assert entry.learned_by in team.hosts
    assert all(f"sha256-{entry.digests['gguf']}" in names.split() for names in files)
    assert all(
        machine.root("ls /var/lib/gridtie/models/pins.json /etc/gridtie/pins.json 2>/dev/null; true") == ""
        for machine in team.hosts.values()
    )


def test_images_were_built_once_and_handed_to_the_others(team: Team) -> None:
    """The others have no base image that they could have built from."""
    images = {
        name: machine.root("docker images --format '{{.Repository}}'").split() for name, machine in team.hosts.items()
    }
    running = {
        machine.root("docker inspect --format '{{.Image}}' gridtie-router-1 gridtie-engine-1")
        for machine in team.hosts.values()
    }

    assert [name for name, found in images.items() if "gridtie/base" in found] == [SERVER]
    assert len(running) == 1


def test_a_workstations_request_is_answered_by_the_server(team: Team) -> None:
    """Soon after the run: until its end the server did not know the keys of the second wave, and refused them."""
    wait_for(POOL, team["alice-laptop"])
    wait_for(POOL, team["bob-desktop"], "bob")


def test_it_is_counted_where_it_was_asked_and_not_on_the_server(team: Team) -> None:
    before = usage(team["alice-laptop"]), usage(team[SERVER])
    target(team["alice-laptop"])
    after = usage(team["alice-laptop"]), usage(team[SERVER])

    assert after[0]["totals"]["local_requests"] == before[0]["totals"]["local_requests"] + 1
    assert after[0]["totals"]["saved_usd"] > before[0]["totals"]["saved_usd"]
    assert after[1]["relayed"]["requests"] == before[1]["relayed"]["requests"] + 1
    assert after[1]["totals"] == before[1]["totals"]


def test_one_bill_has_each_request_once_also_those_that_went_through_two_routers(team: Team) -> None:
    """And the host that cannot be reached is named in it."""
    ask(team["bob-desktop"], "bob")
    before = {name: usage(machine) for name, machine in team.hosts.items()}
    team.addresses["carol-laptop"] = "127.0.0.1"
    team.write_inventory(all=shortcuts(team.directory), more=["carol-laptop"])
    try:
        result = team.play("playbooks/report.yml", "-e", f"gridtie_report_dir={team.directory}/reports")
    finally:
        team.write_inventory(all=shortcuts(team.directory))

    succeeded(result)
    (file,) = (team.directory / "reports").glob("*.json")
    bill = json.loads(file.read_text())
    # Usage is of the last 30 days, and the hosts are younger than any month.
    assert {row["group"]: row["requests"] for row in bill["by"]["host"]} == {
        name: told["totals"]["requests"] for name, told in before.items() if told["totals"]["requests"]
    }
    assert before[SERVER]["relayed"]["requests"] > 0
    assert {"alice", "bob"} <= {row["group"] for row in bill["by"]["person"]}
    assert [each["host"] for each in bill["missing"]] == ["carol-laptop"]
    assert "carol-laptop is not in these figures: it cannot be reached" in " ".join(result.output.split())
    assert sorted(each.suffix for each in file.parent.iterdir()) == [".csv", ".html", ".json", ".txt"]
    assert all(machine.root("ls -d /tmp/gridtie-report-* 2>/dev/null; true") == "" for machine in team.hosts.values())


def test_one_table_says_which_host_serves_which_model_how_fast(team: Team) -> None:
    few = {"gridtie_bench_requests": 2, "gridtie_bench_rounds": 1, "gridtie_bench_concurrency": "1"}
    reports = team.directory / "speeds"
    asked = usage(team["alice-laptop"])["totals"]["requests"]

    result = team.play("playbooks/bench.yml", "-e", json.dumps({**few, "gridtie_report_dir": str(reports)}))

    succeeded(result)
    (file,) = reports.glob("bench-*.json")
    rows = {row["host"]: row for row in json.loads(file.read_text())["rows"]}
    assert set(rows) == {SERVER, *WORKSTATIONS}
    for row in rows.values():
        assert (row["model"], row["problem"]) == ("gridtie/smollm2:135m", ""), row
        assert row["alone"]["answer_rate"]["value"] > 0
        assert row["predicted_tokens_per_second"] > 0
        assert row["memory"]["ok"] is True, row["memory"]
    assert (reports / f"{file.stem}.html").exists()
    assert usage(team["alice-laptop"])["totals"]["requests"] == asked


def test_the_server_is_reached_with_tls_and_a_key_only(team: Team) -> None:
    address = team.addresses[SERVER]
    with socket.create_connection((address, 8443), timeout=5) as plain:
        plain.sendall(b"GET /v1/models HTTP/1.1\r\nHost: gpu-server:8443\r\n\r\n")
        with suppress(ConnectionError):
            assert b"HTTP/" not in plain.recv(4096)
    with pytest.raises(OSError):
        socket.create_connection((address, 8484), timeout=5).close()

    context = ssl.create_default_context(cafile=team.directory / "ca/ca.pem")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"https://{address}:8443/v1/models", context=context, timeout=5)
    with refused.value as answer:
        assert answer.code == 401


def test_keys_lie_where_their_owner_alone_reads_them(team: Team) -> None:
    alice, server = team["alice-laptop"], team[SERVER]
    modes = alice.root("stat -c '%a %U' /home/alice/.config/gridtie/key /etc/gridtie/secrets/pool-gpu-server").split(
        "\n"
    )

    assert modes[:2] == ["600 alice", "640 root"]
    # The account that the playbook logs in with is nobody's on the station.
    assert [machine.root("ls -A /home/dev/.config/gridtie 2>/dev/null; true") for machine in team.hosts.values()] == [
        ""
    ] * 3
    assert server.root("find / -xdev -name 'ca.key' 2>/dev/null; true") == ""
    assert (team.directory / "ca/ca.key").stat().st_mode & 0o777 == 0o600


def test_a_second_run_changes_nothing_and_tells_no_secret(team: Team) -> None:
    result = team.play("site.yml", "-vvv")
    secrets = [team["alice-laptop"].root("cat /home/alice/.config/gridtie/key").strip()]
    secrets += [team["alice-laptop"].root("cat /etc/gridtie/secrets/pool-gpu-server").strip()]
    secrets += team[SERVER].root("grep -v -- ----- /etc/gridtie/tls/server.pem").split()[:2]

    assert all(re.search(r"changed=0\b", line) for line in recap(result).values()), str(result)
    assert len(recap(result)) == 3
    assert [secret for secret in secrets if secret in result.output] == []


def test_every_check_holds_over_ssh_also_where_login_and_sudo_want_a_password(team: Team) -> None:
    bob, verdicts = team["bob-desktop"], team.directory / "verdicts.json"
    bob.root("echo dev:secret-of-dev | chpasswd && echo 'dev ALL=(ALL) ALL' > /etc/sudoers.d/dev")
    team.write_inventory(
        all={**shortcuts(team.directory), "gridtie_verdict_file": str(verdicts)},
        bob_desktop={
            "ansible_password": "secret-of-dev",
            "ansible_become_password": "secret-of-dev",
            "ansible_ssh_private_key_file": "",
        },
    )
    try:
        result = team.play("playbooks/verify.yml")
    finally:
        bob.root("echo 'dev ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/dev")
        team.write_inventory(all=shortcuts(team.directory))

    assert len(recap(result)) == 3
    assert "secret-of-dev" not in result.output
    told = {row["host"]: row for row in json.loads(verdicts.read_text())["hosts"]}
    assert {name: (row["verdict"], row["models"]) for name, row in told.items()} == dict.fromkeys(
        (SERVER, *WORKSTATIONS), ("PASS", ["gridtie/smollm2:135m"])
    )
    assert re.search(r"^  bob-desktop +unchanged +PASS +embedded ", result.output, re.MULTILINE), str(result)


def test_a_second_controller_without_the_authority_is_stopped_before_anything_is_changed(team: Team) -> None:
    other = {f"gridtie_ca_{name}": str(team.directory / f"second/ca.{name}") for name in ("certificate", "key")}
    shown = team[SERVER].root("sha256sum /etc/gridtie/tls/server.pem")

    result = team.play("site.yml", "-e", json.dumps(other))

    assert result.code != 0
    assert "Nothing has been changed" in result.output
    assert f"{authority(team).identifier} by gpu-server (tls/server.pem), alice-laptop" in result.output
    assert not (team.directory / "second").exists()
    assert team[SERVER].root("sha256sum /etc/gridtie/tls/server.pem") == shown
    assert target(team["alice-laptop"]) == POOL


def test_one_that_has_it_from_a_vault_goes_on_as_the_first_did(team: Team) -> None:
    ca = team.directory / "ca"
    texts = {
        f"gridtie_authority_{name}": (ca / f"ca.{end}").read_text()
        for name, end in (("certificate", "pem"), ("key", "key"))
    }
    given = {f"gridtie_ca_{name}": str(team.directory / f"second/ca.{name}") for name in ("certificate", "key")}

    result = team.play("site.yml", "-vvv", "--limit", SERVER, "-e", f"@{_file(team, {**texts, **given})}")

    assert re.search(r"changed=0\b", recap(result)[SERVER]), str(result)
    # The last line of it is of the public half, which every certificate shows.
    secret = texts["gridtie_authority_key"].splitlines()[1:3]
    assert [line for line in secret if line in result.output] == []


def _file(team: Team, variables: dict[str, Any]) -> Path:
    path = team.directory / "variables.json"
    path.write_text(json.dumps(variables))
    return path


def test_an_edit_of_the_routing_file_on_a_host_stays_until_it_is_given_up(team: Team) -> None:
    alice, path = team["alice-laptop"], "/etc/gridtie/llm_routing.yaml"
    alice.root(f"echo '# of alice' >> {path}")

    kept = team.play("site.yml", "--limit", "alice-laptop")

    assert "changed=0" in recap(kept)["alice-laptop"]
    assert f"{path} was edited on this host" in " ".join(kept.output.split())
    assert alice.root(f"tail -n 1 {path}") == "# of alice\n"

    given_up = team.play("site.yml", "--limit", "alice-laptop", "-e", "gridtie_routing_edits=replace")

    assert "takes its place (gridtie_routing_edits: replace)" in " ".join(given_up.output.split())
    assert "changed=1" in recap(given_up)["alice-laptop"]
    assert "# of alice" not in alice.root(f"cat {path}")
    assert alice.root(f"tail -qn 1 {path}.2*") == "# of alice\n"
    assert target(alice) == POOL


def test_one_host_at_a_time_goes_on_past_one_that_is_off_and_builds_what_it_cannot_be_given(team: Team) -> None:
    bob = team["bob-desktop"]
    team.addresses["carol-laptop"] = "127.0.0.1"
    # The container goes on without the name of its image.
    bob.root("docker rmi -f $(docker images --format '{{.Repository}}:{{.Tag}}' gridtie/router)")
    team.write_inventory(
        all={**shortcuts(team.directory), "gridtie_share_cache": "/dev/null/images"}, more=["carol-laptop"]
    )
    try:
        result = team.play(
            "site.yml", "-e", "gridtie_serial=1", "-e", f"gridtie_verdict_file={team.directory}/waves.json"
        )
    finally:
        team.write_inventory(all=shortcuts(team.directory))

    assert result.code != 0
    rows = json.loads((team.directory / "waves.json").read_text())["hosts"]
    assert {row["host"]: (row["outcome"], row["verdict"]) for row in rows} == {
        SERVER: ("unchanged", "PASS"),
        "alice-laptop": ("unchanged", "PASS"),
        "bob-desktop": ("changed", "PASS"),
        "carol-laptop": ("unreachable", ""),
    }, str(result)
    assert "so it is built here" in result.output
    assert bob.root("docker images -q gridtie/router") != ""
    assert target(bob, "bob") == POOL


def state(machine: Host) -> str:
    """What a run could have changed of a station: its containers, its files, its users, with when and how."""
    containers = "docker inspect --format '{{.Id}} {{.State.StartedAt}} {{.HostConfig.Memory}}' $(docker ps -aq)"
    files = "find /etc /opt /usr/local -xdev -type f -printf '%p %m %u:%g %s %T@\\n' | sort"
    return machine.root(f"{containers}; docker images -q; {files}")


def test_a_canary_that_fails_is_named_and_no_other_host_is_touched_until_it_is_mended(team: Team) -> None:
    """A change that is wrong for everybody: the engine is given less memory than it needs to start."""
    verdicts = team.directory / "canary.json"

    def roll_out(memory: str) -> tuple[Result, dict[str, tuple[str, str]]]:
        team.write_inventory(
            all={
                **shortcuts(team.directory),
                "gridtie_engine_memory": memory,
                # The default is for slow disks, and only makes the failure take longer.
                "gridtie_embedded_ready_timeout_s": 60,
                "gridtie_serial": "1,100%",
                "gridtie_max_fail_percentage": 0,
                "gridtie_verdict_file": str(verdicts),
            }
        )
        result = team.play("site.yml")
        rows = json.loads(verdicts.read_text())["hosts"]
        return result, {row["host"]: (row["outcome"], row["verdict"]) for row in rows}

    before = {name: state(team[name]) for name in WORKSTATIONS}

    failed, told = roll_out("24m")

    assert failed.code != 0
    assert told == {SERVER: ("failed", ""), **dict.fromkeys(WORKSTATIONS, ("not reached", ""))}, str(failed)
    assert re.search(rf"^  {SERVER} +failed .*Run the engine", failed.output, re.MULTILINE), str(failed)
    assert {name: state(team[name]) for name in WORKSTATIONS} == before
    assert target(team["alice-laptop"]) == OWN

    mended, told = roll_out("1500m")

    assert told == dict.fromkeys((SERVER, *WORKSTATIONS), ("changed", "PASS")), str(mended)
    limits = {
        machine.root("docker inspect --format '{{.HostConfig.Memory}}' gridtie-engine-1")
        for machine in team.hosts.values()
    }
    assert {int(limit) for limit in limits} == {1500 * 1024**2}
    wait_for(POOL, team["alice-laptop"])


@pytest.mark.parametrize("container", ["gridtie-router-1", "gridtie-engine-1"])
def test_while_the_server_is_down_the_own_engine_answers_and_the_server_again_afterwards(
    team: Team, container: str
) -> None:
    team[SERVER].root(f"docker stop --time 1 {container}")
    try:
        assert target(team["alice-laptop"]) == OWN
    finally:
        team[SERVER].root(f"docker start {container}")
    wait_for(POOL, team["alice-laptop"])


def authority(team: Team) -> Authority:
    """The team's authority, as the playbook uses it."""
    now, ca = datetime.datetime.now(datetime.UTC), team.directory / "ca"
    found, _ = Authority.ensure(ca / "ca.pem", ca / "ca.key", days=3650, renew_days=0, now=now, check=False)
    assert found is not None
    return found


def replace(machine: Host, path: str, text: str) -> None:
    """Put another content into a file, in one step, with its owner and mode."""
    machine.root(f"cp -p {path} {path}.new && cat > {path}.new <<'END'\n{text}END\nmv {path}.new {path}")


def test_a_server_of_another_authority_is_not_asked(team: Team, tmp_path: Path) -> None:
    alice, path = team["alice-laptop"], "/etc/gridtie/tls/pool-gpu-server.pem"
    trusted = alice.root(f"cat {path}")
    make_authority(tmp_path)
    replace(alice, path, (tmp_path / "ca.pem").read_text())
    try:
        wait_for(OWN, alice)
    finally:
        replace(alice, path, trusted)
    wait_for(POOL, alice)


@pytest.mark.parametrize(("case", "own_name", "days"), [("for another name", False, 10), ("expired", True, -1)])
def test_a_certificate_that_is_not_in_order_is_not_trusted(team: Team, case: str, own_name: bool, days: int) -> None:
    names = [team.addresses[SERVER] if own_name else "other-server", SERVER]
    begins = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=30)
    key, request = make_request()
    text = key + authority(team).issue(request, names, days=30 + days, now=begins)
    replace(team[SERVER], "/etc/gridtie/tls/server.pem", text)
    # The workstation's open connections are of before: none is left after a pause of the router.
    team[SERVER].root("docker restart --time 1 gridtie-router-1")

    wait_for(OWN, team["alice-laptop"])


def test_the_next_run_renews_it_without_a_restart(team: Team) -> None:
    server = team[SERVER]
    started = server.root("docker inspect --format '{{.State.StartedAt}}' gridtie-router-1")

    result = team.play("site.yml", "--limit", SERVER)

    assert re.search(r"changed=[1-9]", recap(result)[SERVER]), str(result)
    assert server.root("docker inspect --format '{{.State.StartedAt}}' gridtie-router-1") == started
    wait_for(POOL, team["alice-laptop"])


def test_a_workstation_takes_nothing_but_what_another_one_learned(team: Team) -> None:
    """As if upstream served something else by now than the lock has."""
    learned = team.lock.read_text()
    (entry,) = read(team.lock).entries["models"].values()
    team.lock.write_text(learned.replace(entry.digests["gguf"], "ab" * 32))

    result = team.play("site.yml", "--limit", "bob-desktop")

    team.lock.write_text(learned)
    assert result.code != 0
    assert f"wanted {'ab' * 32}" in result.output, str(result)
    assert target(team["bob-desktop"], "bob") == POOL


def test_who_leaves_the_inventory_loses_the_key_and_nothing_else_changes(team: Team) -> None:
    """In a run that the server takes no part in."""
    bob = team["bob-desktop"]
    key = bob.root("cat /home/bob/.config/gridtie/key").strip()
    team.write_inventory(
        all=shortcuts(team.directory), bob_desktop={"gridtie_people": [{"name": "bob2", "user": "bob"}]}
    )

    recap(team.play("site.yml", "--limit", "bob-desktop"))

    assert ask(bob, "bob", key) == {"status": 401, "said": "invalid_key"}
    assert target(bob, "bob") == POOL
    assert target(team["alice-laptop"]) == POOL


def test_a_purge_that_nobody_confirms_changes_nothing_and_says_what_it_would_take(team: Team) -> None:
    result = team.play("playbooks/reset.yml", "-e", '{"gridtie_purge": true, "gridtie_confirm_purge": 2}')

    assert result.code != 0
    assert "Nothing was changed" in result.output
    losses = r"bob-desktop:\n +models: gridtie/smollm2:135m \(.*\n +ledger: [1-9]\d* requests? since 2"
    assert re.search(losses, result.output), str(result)
    assert "gridtie_confirm_purge=3" in result.output
    assert target(team["alice-laptop"]) == POOL


def test_a_reset_takes_all_of_it_away(team: Team) -> None:
    recap(team.play("playbooks/reset.yml", "-e", '{"gridtie_purge": true, "gridtie_confirm_purge": 3}'))

    for machine in team.hosts.values():
        assert machine.root("ls -d /etc/gridtie /var/lib/gridtie /opt/gridtie 2>/dev/null; true") == ""
        assert machine.root("docker ps -aq --filter label=com.docker.compose.project=gridtie") == ""
