"""The compose project: its settings file, its services' hardening, and when a container stays."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2 import Environment
from plugins.module_utils import gridtie_compose as compose

from gridtie.config.schema import Limits

COMPOSE = Path(__file__).resolve().parents[3] / "compose"


def service(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((COMPOSE / "compose.yaml").read_text())["services"][name]
    return found


def test_settings_survive_being_written_and_read() -> None:
    settings = {"GRIDTIE_HTTPS_PROXY": "http://u:p$w@proxy.example:3128", "GRIDTIE_NO_PROXY": "", "A": "b c #d"}

    assert compose.parse_env(compose.render_env(settings)) == settings


def test_a_setting_that_nothing_was_written_behind_is_empty() -> None:
    assert compose.as_text({"GRIDTIE_TRACES_ENDPOINT": None, "GRIDTIE_PORT": 8484}) == {
        "GRIDTIE_TRACES_ENDPOINT": "",
        "GRIDTIE_PORT": "8484",
    }


@pytest.mark.parametrize("value", ["it's", "two\nlines", "back\\slash"])
def test_a_value_that_the_file_cannot_hold_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="GRIDTIE_X holds"):
        compose.render_env({"GRIDTIE_X": value})


def test_exported_variables_that_compose_would_prefer_are_found() -> None:
    names = ["PATH", "GRIDTIE_PORT", "COMPOSE_FILE", "GRIDTIE_PROGRESS_FILE"]

    assert compose.foreign_variables(names) == ["GRIDTIE_PORT", "COMPOSE_FILE"]


@pytest.mark.parametrize("name", ["engine", "router"])
def test_every_service_is_hardened_and_bounded(name: str) -> None:
    declared = service(name)

    assert (declared["read_only"], declared["cap_drop"]) == (True, ["ALL"])
    assert declared["security_opt"] == ["no-new-privileges:true"]
    assert {"mem_limit", "pids_limit", "logging", "restart"} <= declared.keys()


def test_engine_and_router_are_told_apart_and_neither_is_root() -> None:
    """What parses files of strangers must not be the user who may read keys, also where nobody says who it is."""
    assert service("router")["user"] == "${GRIDTIE_CONTAINER_USER:?}"
    assert service("engine")["user"] == "${GRIDTIE_ENGINE_CONTAINER_USER:-65534:65534}"


def test_the_router_may_open_a_client_and_a_target_for_each_of_its_connections() -> None:
    allowed = service("router")["ulimits"]

    assert allowed["nofile"] >= 4 * Limits().max_connections
    assert allowed["core"] == 0


def test_the_engine_sees_models_alone_and_cannot_write_them() -> None:
    mounts = [(mount["target"], mount["read_only"]) for mount in service("engine")["volumes"]]

    assert mounts == [("/models", True)]


def test_the_engine_publishes_nothing_and_its_network_leads_nowhere() -> None:
    networks = yaml.safe_load((COMPOSE / "compose.yaml").read_text())["networks"]

    assert "ports" not in service("engine")
    assert service("engine")["networks"] == ["engine"]
    assert networks["engine"]["internal"] is True


def test_the_engines_health_is_asked_with_what_its_image_surely_has() -> None:
    engine = yaml.safe_load((COMPOSE / "engine.ollama.yaml").read_text())["services"]["engine"]
    checks = [engine["healthcheck"]["test"], service("router")["healthcheck"]["test"]]

    assert engine["healthcheck"]["test"] == ["CMD-SHELL", "ollama list >/dev/null"]
    assert not [check for check in checks if "curl" in str(check) or "wget" in str(check)]


def test_vllm_asks_nobody_outside_and_is_started_by_arguments_alone() -> None:
    engine = yaml.safe_load((COMPOSE / "engine.vllm.yaml").read_text())["services"]["engine"]

    told = engine["environment"]
    assert (told["HF_HUB_OFFLINE"], told["VLLM_NO_USAGE_STATS"], told["DO_NOT_TRACK"]) == ("1", "1", "1")
    assert engine["command"].endswith("${GRIDTIE_VLLM_ARGUMENTS:-}")
    assert not {"ports", "volumes", "networks", "privileged", "cap_add"} & engine.keys()
    # What is compiled for a card is run from there, and nothing else may be.
    assert [where.partition(":")[0] for where in engine["tmpfs"] if "exec" in where] == ["/cache"]


def test_another_checkpoint_under_the_same_name_is_another_container() -> None:
    """Its arguments are the same, and a server that goes on would answer with the weights that it has read before."""
    (run, *_) = yaml.safe_load((COMPOSE / "../roles/engine_vllm/tasks/configure.yml").read_text())
    given = run["vars"]["_engine_settings"]
    text = (COMPOSE / "engine.vllm.yaml").read_text()

    assert given["GRIDTIE_VLLM_CHECKPOINT"].startswith("{{ _vllm_checkpoint.model.digest")
    assert yaml.safe_load(text)["services"]["engine"]["labels"] == {
        "io.gridtie.checkpoint": "${GRIDTIE_VLLM_CHECKPOINT:-}"
    }
    assert set(re.findall(r"\$\{(GRIDTIE_VLLM_\w+)", text)) == given.keys()


def test_beside_a_native_engine_the_router_is_on_the_machines_network_and_its_loopback_alone() -> None:
    text = (COMPOSE / "router.native.yaml").read_text().replace("!reset ", "")
    router = yaml.safe_load(text)["services"]["router"]

    assert (router["network_mode"], router["ports"], router["networks"]) == ("host", [], None)
    assert router["environment"] == {"GRIDTIE_LISTEN": "127.0.0.1:${GRIDTIE_PORT:-8484}"}


def test_the_router_is_published_on_loopback_alone() -> None:
    assert service("router")["ports"] == ["127.0.0.1:${GRIDTIE_PORT:-8484}:8484"]


def container(status: str = "running", health: str | None = "healthy", config: str = "abc") -> dict[str, Any]:
    state: dict[str, Any] = {"Status": status, "ExitCode": 137}
    if health:
        state["Health"] = {"Status": health}
    return {"State": state, "Config": {"Labels": {"com.docker.compose.config-hash": config}}}


@pytest.mark.parametrize(
    ("found", "word"),
    [
        ({}, "not there"),
        (container(), "healthy"),
        (container(health=None), "healthy"),
        (container(health="starting"), "starting"),
        (container(status="exited"), "exited (exit status 137)"),
    ],
)
def test_a_containers_condition_in_a_word(found: dict[str, Any], word: str) -> None:
    assert compose.condition(found) == word


@pytest.mark.parametrize(
    ("found", "stays"),
    [(container(), True), (container(config="other"), False), (container(status="exited"), False), ({}, False)],
)
def test_only_a_running_container_with_these_settings_stays(found: dict[str, Any], stays: bool) -> None:
    assert compose.is_current(found, "abc") is stays


def overlay(**values: Any) -> dict[str, Any]:
    """What the inventory adds to the router."""
    text = (COMPOSE.parent / "roles/station/templates/router.site.yaml.j2").read_text()
    usual = {"_station_secure": False, "_station_host_network": False, "gridtie_networks": []}
    usual |= {"gridtie_database_url_file": "", "gridtie_listen": "0.0.0.0", "gridtie_tls_port": 8443}
    rendered: dict[str, Any] = yaml.safe_load(Environment(trim_blocks=True).from_string(text).render(usual | values))
    return rendered["services"]["router"] or {}


def test_the_router_is_told_the_file_with_the_databases_url_and_never_the_url() -> None:
    shared = overlay(gridtie_database_url_file="secrets/database")
    both = overlay(gridtie_database_url_file="secrets/database", _station_secure=True)
    alone = overlay(_station_secure=True)

    assert shared == {"environment": {"GRIDTIE_DATABASE_FILE": "/etc/gridtie/secrets/database"}}
    assert both["environment"] == {**shared["environment"], "GRIDTIE_TLS_LISTEN": "0.0.0.0:8443"}
    assert alone["environment"] == {"GRIDTIE_TLS_LISTEN": "0.0.0.0:8443"}


def test_vllm_router_sees_whom_it_asks_and_nothing_else_of_the_configuration() -> None:
    overlay = yaml.safe_load((COMPOSE / "engine.vllm_router.yaml").read_text())["services"]["engine"]

    assert [(mount["source"], mount["read_only"]) for mount in overlay["volumes"]] == [
        ("${GRIDTIE_CONFIG_DIR:?}/vllm-router", True)
    ]
    assert "ports" not in overlay
    assert overlay["networks"] == ["engine", "default"]
