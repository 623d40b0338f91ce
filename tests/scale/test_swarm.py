"""compose/stack.yaml on a real Docker Swarm of three hosts, under load: no answer is lost and no budget overdrawn.

The tests are the chapters of one story and run in the order they stand in. With GRIDTIE_CHAOS=FILE the table of all of
them is written there.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scale import setting
from scale.chaos import Chaos, Row
from scale.swarm import CLOUD, DATABASE, HAPROXY, HOSTS, ROUTER, machines, until

ONE, TWO, THREE = HOSTS
# Each fault's load has a key of its own, and so a budget.
HOLDERS = (
    "calm", "killed-router", "killed-haproxy", "killed-host", "killed-database", "parted", "rolled", "rolled-back",
    "alone-killed", "alone-database", "alone-rolled",
)  # fmt: skip


@pytest.fixture(scope="module")
def chaos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chaos]:
    directory = tmp_path_factory.mktemp("swarm")
    with machines(directory / "tls") as (swarm, database):
        others = {name: swarm.addresses[name] for name in (DATABASE, CLOUD)}
        files = setting.write(directory / "config", HOLDERS, database, directory / "tls" / "ca.pem", others)
        found = Chaos(swarm, database, files, directory / "tls" / "ca.pem")
        swarm.label(*HOSTS)
        swarm.deploy(files.directory, files.more)
        until_whole(found)
        yield found
        if os.environ.get("GRIDTIE_CHAOS"):
            Path(os.environ["GRIDTIE_CHAOS"]).write_text(json.dumps({"rows": [row.told() for row in found.rows]}))


def until_whole(chaos: Chaos, *hosts: str, image: str = "", on: str = ONE) -> None:
    """Return once there is a router and a haproxy on each of the hosts, which are all where none is named."""
    hosts = hosts or HOSTS
    until(
        lambda: chaos.swarm.runs(ROUTER, *hosts, image=image, on=on) and chaos.swarm.runs(HAPROXY, *hosts, on=on),
        f"router and haproxy on {', '.join(hosts)}",
    )


def nothing_lost(row: Row) -> None:
    """What holds on every rung, whatever the fault."""
    assert row.answered == row.sent - sum(row.failed.values())
    assert (row.lost, row.twice) == (0, 0)
    assert row.overdrawn_usd < 1e-6, row
    # Else the fault met no budget that could have been overdrawn.
    assert row.spent_usd > row.budget_usd / 10


def everyone_answered(row: Row) -> None:
    nothing_lost(row)
    assert row.failed == {}


@pytest.mark.parametrize("service", [ROUTER, HAPROXY])
def test_containers_are_nobodys_may_nothing_and_cannot_write(chaos: Chaos, service: str) -> None:
    container = chaos.swarm.container(TWO, service)
    status = chaos.swarm[TWO].root(f"cat /proc/$(docker inspect --format '{{{{.State.Pid}}}}' {container})/status")
    found = dict(line.split(":", 1) for line in status.splitlines())

    assert found["Uid"].split() == found["Gid"].split() == ["65534"] * 4
    assert {found[name].strip("\t0") for name in ("CapEff", "CapPrm", "CapBnd", "CapInh")} == {""}
    assert found["NoNewPrivs"].strip() == "1"
    written = chaos.swarm[TWO].run(f"docker exec {container} sh -c 'echo >/etc/x'", user="root", cwd="/")
    assert "Read-only file system" in written.output


def test_without_a_fault_all_are_answered_at_once(chaos: Chaos) -> None:
    row = chaos.play("none", "calm", *HOSTS, act=lambda: time.sleep(10))

    everyone_answered(row)
    assert (row.retried, row.broken_off) == (0, 0)


def killed(chaos: Chaos, service: str, *hosts: str) -> Callable[[], None]:
    """The service on one host is killed, and is there again."""

    def act() -> None:
        chaos.swarm.kill(TWO, service)
        time.sleep(5)
        until_whole(chaos, *hosts)

    return act


def test_a_router_is_killed(chaos: Chaos) -> None:
    act = killed(chaos, ROUTER, *HOSTS)

    everyone_answered(chaos.play("kill -9 of a router", "killed-router", *HOSTS, act=act))


def test_a_haproxy_is_killed(chaos: Chaos) -> None:
    act = killed(chaos, HAPROXY, *HOSTS)

    everyone_answered(chaos.play("kill -9 of a haproxy", "killed-haproxy", *HOSTS, act=act))


def test_a_host_loses_its_power_which_led_the_swarm(chaos: Chaos) -> None:
    def act() -> None:
        chaos.swarm.power_off(ONE)
        time.sleep(35)
        chaos.swarm.power_on(ONE)
        until_whole(chaos, on=TWO)

    everyone_answered(chaos.play("a host without power for 35 s", "killed-host", *HOSTS, act=act))


def test_the_database_is_killed_and_comes_back(chaos: Chaos) -> None:
    def act() -> None:
        chaos.database.kill()
        time.sleep(25)
        chaos.database.start()

    everyone_answered(chaos.play("kill -9 of the database, back after 25 s", "killed-database", *HOSTS, act=act))


def test_the_network_is_parted(chaos: Chaos) -> None:
    """Clients reach every host all the time, and one host reaches neither the others nor the database."""

    def act() -> None:
        chaos.swarm.cut_off(THREE, ONE, TWO, DATABASE)
        time.sleep(35)
        chaos.swarm.cut_off(THREE, ONE, TWO, DATABASE, whole=True)
        time.sleep(5)
        until_whole(chaos)

    row = chaos.play("a host parted from the others and the database for 35 s", "parted", *HOSTS, act=act)
    everyone_answered(row)


def test_a_version_is_rolled_out(chaos: Chaos) -> None:
    before = chaos.swarm.router_image
    chaos.swarm.router_image = chaos.swarm.derive("gridtie-lab/router:next", "LABEL lab=next")

    def act() -> None:
        chaos.swarm.deploy(chaos.setting.directory, chaos.setting.more)
        until(lambda: chaos.swarm.update() == "completed", "the update is completed")

    assert before != chaos.swarm.router_image
    everyone_answered(chaos.play("another version, one router after the other", "rolled", *HOSTS, act=act))
    until_whole(chaos, image=chaos.swarm.router_image)


def test_a_version_that_does_not_start_is_taken_back(chaos: Chaos) -> None:
    works = chaos.swarm.router_image
    chaos.swarm.router_image = chaos.swarm.derive("gridtie-lab/router:broken", 'ENTRYPOINT ["false"]')

    def act() -> None:
        chaos.swarm.deploy(chaos.setting.directory, chaos.setting.more)
        until(lambda: chaos.swarm.update() == "rollback_completed", "the update is taken back")

    row = chaos.play("a version that does not start, taken back", "rolled-back", *HOSTS, act=act)
    chaos.swarm.router_image = works
    everyone_answered(row)
    until_whole(chaos, image=works)


def test_where_no_router_can_meter_clients_are_told_so(chaos: Chaos) -> None:
    """None of them is ready then, and haproxy has somebody answer all the same."""
    chaos.swarm.can_write(False)
    try:
        until(lambda: chaos.status(TWO) == 503, "a refusal that says why", 60)
    finally:
        chaos.swarm.can_write(True)
    until(lambda: chaos.status(TWO) == 200, "answers again", 60)


@pytest.mark.parametrize("host", HOSTS)
def test_every_router_has_a_copy_of_all_rows(chaos: Chaos, host: str) -> None:
    def whole() -> bool:
        ((count,),) = chaos.database.ask("SELECT count(*) FROM gridtie.requests")
        return chaos.rows_at(host) == int(count)

    until(whole, f"{host} has as many rows as the database", 60)


def test_one_router_is_killed(chaos: Chaos) -> None:
    """Nobody is there in the meantime: what is asked then has no answer, and what had one is not lost."""
    chaos.swarm.label(TWO)
    until_whole(chaos, TWO)

    nothing_lost(chaos.play("kill -9 of a router", "alone-killed", TWO, act=killed(chaos, ROUTER, TWO)))


def test_the_database_of_one_router_is_killed_and_comes_back(chaos: Chaos) -> None:
    def act() -> None:
        chaos.database.kill()
        time.sleep(25)
        chaos.database.start()

    everyone_answered(chaos.play("kill -9 of the database, back after 25 s", "alone-database", TWO, act=act))


def test_a_version_of_one_router_is_rolled_out(chaos: Chaos) -> None:
    chaos.swarm.router_image = chaos.swarm.derive("gridtie-lab/router:last", "LABEL lab=last")

    def act() -> None:
        chaos.swarm.deploy(chaos.setting.directory, chaos.setting.more)
        until(lambda: chaos.swarm.update() == "completed", "the update is completed")

    nothing_lost(chaos.play("another version", "alone-rolled", TWO, act=act))
