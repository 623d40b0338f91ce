"""The stack for Docker Swarm: hardened and bounded as the compose project, secrets as secrets, replaced one by one."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from gridtie.config.schema import Limits, Timeouts

COMPOSE = Path(__file__).resolve().parents[3] / "compose"
PAGE = COMPOSE.parent / "docs" / "replicas.md"
STACK: dict[str, Any] = yaml.safe_load((COMPOSE / "stack.yaml").read_text())
ROUTER, HAPROXY = STACK["services"]["router"], STACK["services"]["haproxy"]
BOTH = pytest.mark.parametrize("service", [ROUTER, HAPROXY], ids=["router", "haproxy"])
# What the routers need a variable for, as docs/replicas.md has it.
VARIABLES = {
    "GRIDTIE_CONFIG_DIR": "/nonexistent",
    "GRIDTIE_CONFIG_VERSION": "1",
    "GRIDTIE_ROUTER_IMAGE": f"registry.example/router@sha256:{'0' * 64}",
    "GRIDTIE_HAPROXY_IMAGE": f"registry.example/haproxy@sha256:{'0' * 64}",
}


def seconds(text: str) -> float:
    number, unit = re.fullmatch(r"(\d+)([smh])", text).groups()  # type: ignore[union-attr]
    return int(number) * {"s": 1, "m": 60, "h": 3600}[unit]


def haproxy(name: str) -> str:
    """A setting of haproxy.cfg."""
    found = re.search(rf"^    {name} (.*)$", (COMPOSE / "haproxy.cfg").read_text(), re.MULTILINE)
    assert found is not None, name
    return found[1]


def test_docker_accepts_it() -> None:
    """With what a team adds in a file of its own."""
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "stack", "config", "--help"], capture_output=True).returncode:
        pytest.skip("no docker that knows `stack config`")
    command = [docker, "stack", "config", "-c", str(COMPOSE / "stack.yaml")]
    done = subprocess.run(command, env={**os.environ, **VARIABLES}, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    # Docker says so of settings that it passes over.
    assert done.stderr == ""
    assert set(yaml.safe_load(done.stdout)["services"]) == {"router", "haproxy"}


@pytest.mark.parametrize("missing", VARIABLES)
def test_a_variable_that_is_missing_is_named_with_what_it_is(missing: str) -> None:
    found = re.findall(rf"\$\{{{missing}:\?([^}}]*)\}}", (COMPOSE / "stack.yaml").read_text())

    assert any(found)
    assert f"export {missing}=" in PAGE.read_text()


@BOTH
def test_every_service_is_hardened_and_bounded(service: dict[str, Any]) -> None:
    assert (service["read_only"], service["cap_drop"], service["user"]) == (True, ["ALL"], "65534:65534")
    assert {"memory", "pids"} <= service["deploy"]["resources"]["limits"].keys()
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    # Docker does not take it from a stack.
    assert "security_opt" not in service
    assert '"no-new-privileges": true' in PAGE.read_text()


@BOTH
def test_images_come_from_whoever_deploys_and_have_no_default(service: dict[str, Any]) -> None:
    assert re.fullmatch(r"\$\{GRIDTIE_(ROUTER|HAPROXY)_IMAGE:\?[^}]+\}", service["image"])


def test_the_router_is_that_of_the_compose_project() -> None:
    other = yaml.safe_load((COMPOSE / "compose.yaml").read_text())["services"]["router"]

    assert set(other["environment"]) <= set(ROUTER["environment"])
    for name in ("ulimits", "healthcheck"):
        assert ROUTER[name] == other[name]
    assert ROUTER["deploy"]["resources"]["limits"]["pids"] == other["pids_limit"]
    assert ROUTER["ulimits"]["nofile"] >= 4 * Limits().max_connections


def test_what_nobody_else_may_read_is_a_secret_that_the_router_alone_reads() -> None:
    uid, gid = ROUTER["user"].split(":")
    for secret in ROUTER["secrets"]:
        assert (secret["uid"], secret["gid"], secret["mode"]) == (uid, gid, 0o400)

    targets = {secret["source"]: secret["target"] for secret in ROUTER["secrets"]}
    assert targets == {
        "keys": "/etc/gridtie/keys.json",
        "certificate": "/etc/gridtie/tls/server.pem",
        "database": ROUTER["environment"]["GRIDTIE_DATABASE_FILE"],
    }
    assert set(STACK["secrets"]) == set(targets)
    assert "secrets" not in HAPROXY


def test_a_file_that_changed_has_another_name() -> None:
    """Swarm refuses to change what is there under a name."""
    for kind in ("configs", "secrets"):
        for name, given in STACK[kind].items():
            if name != "haproxy":
                assert re.fullmatch(rf"gridtie_{name}_\$\{{GRIDTIE_CONFIG_VERSION:\?[^}}]*\}}", given["name"])
    digest = hashlib.sha256((COMPOSE / "haproxy.cfg").read_bytes()).hexdigest()[:12]
    assert STACK["configs"]["haproxy"]["name"] == f"gridtie_haproxy_{digest}"


def test_only_haproxy_is_reached_and_by_the_port_of_its_own_host() -> None:
    assert "ports" not in ROUTER
    assert [(port["target"], port["mode"]) for port in HAPROXY["ports"]] == [(8443, "host")]
    assert ROUTER["environment"]["GRIDTIE_LISTEN"].startswith("127.0.0.1:")
    assert ROUTER["environment"]["GRIDTIE_TLS_LISTEN"] == "0.0.0.0:8443"
    assert haproxy("server-template").split()[2] == "router:8443"


@BOTH
def test_one_is_replaced_after_the_other_and_a_bad_one_is_taken_back(service: dict[str, Any]) -> None:
    deploy = service["deploy"]
    update = deploy["update_config"]

    assert (deploy["mode"], deploy["endpoint_mode"]) == ("global", "dnsrr")
    # Two with one state, or one port, are not possible.
    assert (update["parallelism"], update["order"], update["failure_action"]) == (1, "stop-first", "rollback")
    assert deploy["rollback_config"]["failure_action"] == "pause"


def test_answers_under_way_are_finished_before_a_container_is_killed() -> None:
    assert float(ROUTER["environment"]["GRIDTIE_DRAIN_SECONDS"]) < seconds(ROUTER["stop_grace_period"])
    assert seconds(haproxy("hard-stop-after")) < seconds(HAPROXY["stop_grace_period"])
    # With SIGTERM it would break them off.
    assert HAPROXY["stop_signal"] == "SIGUSR1"


def test_haproxy_waits_longer_for_an_answer_than_the_router_does() -> None:
    for name in ("timeout client", "timeout server"):
        assert seconds(haproxy(name)) > Timeouts().total


def test_haproxy_asks_whether_a_router_is_ready_and_reads_nothing() -> None:
    port = ROUTER["environment"]["GRIDTIE_LISTEN"].rpartition(":")[2]

    assert haproxy("http-check send").split() == (
        f"meth GET uri /readyz ver HTTP/1.1 hdr Host localhost:{port}".split()
    )
    assert haproxy("mode") == "tcp"
