"""What a run says at its end: a station that works and has no model to write code with says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2

TEMPLATE = Path(__file__).parents[3] / "roles" / "doctor" / "templates" / "summary.txt.j2"


def card(*checks: dict[str, Any], key: str = "", curl: bool = True) -> str:
    """The card of a station on which every check holds, as Ansible writes it."""
    environment = jinja2.Environment(trim_blocks=True, undefined=jinja2.StrictUndefined)
    engine = {
        "kind": "ollama",
        "version": "0.32.15",
        "mode": "native",
        "unit": "gridtie-engine.service",
        "why": "it can be had",
    }
    model = {"name": "gridtie/smollm2:135m", "context": 8192, "purposes": ["smoke-test"], "why": "the only one"}
    return environment.from_string(TEMPLATE.read_text()).render(
        gridtie_resolved_engine=engine,
        gridtie_resolved_models=[model],
        gridtie_resolved_key=key,
        gridtie_config_dir="/etc/gridtie",
        gridtie_project="gridtie",
        gridtie_port=8484,
        gridtie_machine={"curl": curl},
        gridtie_docker={"version": "27", "host": "unix:///var/run/docker.sock"},
        inventory_hostname="localhost",
        _doctor={"stage_note": "PASS: 3 of 3 checks hold", "report": {"checks": list(checks)}},
    )


def test_every_warning_of_the_doctor_is_a_line() -> None:
    text = card(
        {"id": "a", "ok": True, "warning": "there is no coding model here"},
        {"id": "b", "ok": True, "warning": ""},
        {"id": "c", "ok": True, "warning": "it is not for agents"},
    )

    assert "  warning    there is no coding model here\n             it is not for agents\n" in text


def test_without_one_there_is_no_such_line() -> None:
    """Also of a report of an earlier version, whose checks have no warnings."""
    assert "warning" not in card({"id": "a", "ok": True})
    assert "\n\nWhat to try next:" in card({"id": "a", "ok": True})


def test_what_can_be_tried_is_typed_as_the_person_who_has_a_key_or_by_sudo() -> None:
    assert "  gridtie chat       ask it something\n" in card(key="/home/dev/.config/gridtie")
    assert "  sudo gridtie chat       ask it something\n" in card()


def test_a_machine_without_curl_is_told_of_no_such_command() -> None:
    assert "  curl -s http://127.0.0.1:8484/v1/chat/completions" in card()
    assert "curl" not in card(curl=False)
