"""What a person can write wrongly is told before anything is changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from plugins.action import gridtie_inputs as inputs
from plugins.plugin_utils import gridtie_ranges as ranges

from standins.play import play

ROOT = Path(__file__).resolve().parents[3]


def test_the_defaults_have_nothing_wrong() -> None:
    specs = inputs.load_specs(ROOT / "roles")
    defaults = {name: spec["default"] for name, spec in specs.items() if "{{" not in str(spec.get("default", "{{"))}

    assert inputs.check_names(set(specs), set(defaults)) == []
    assert inputs.check_types(specs, defaults) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [("gridtie_port", "abc"), ("gridtie_engine", "olama"), ("gridtie_pins", "maybe")],
)
def test_a_value_of_the_wrong_type_is_named_with_what_is_wanted(name: str, value: Any) -> None:
    (problem,) = inputs.check_types(inputs.load_specs(ROOT / "roles"), {name: value})

    assert problem["found"].startswith(name)
    assert problem["fix"].startswith(f"set {name} to ")


def test_a_misspelt_name_is_told_the_near_one_and_facts_are_left_alone() -> None:
    problems = inputs.check_names({"gridtie_port"}, {"gridtie_prot", "gridtie_resolved_choice", "gridtie_machine"})

    assert [problem["fix"] for problem in problems] == ["did you mean gridtie_port?"]


def test_a_variable_of_an_earlier_version_is_known_and_its_new_name_is_told() -> None:
    given = {"gridtie_port", "gridtie_require_pins"}

    assert inputs.check_names({"gridtie_port", "gridtie_pins"}, given) == []
    assert (
        inputs.check_values({"gridtie_require_pins": True}) == inputs.check_values({"gridtie_require_pins": "no"}) == []
    )
    assert [notice.split()[:5] for notice in inputs.renamed(given)] == [
        ["gridtie_require_pins", "is", "called", "gridtie_pins", "now"]
    ]


def test_a_run_tells_the_new_name_among_its_notices_once(tmp_path: Path) -> None:
    """An action's warning is in no line of a run; a notice is."""
    routing = ROOT / "config" / "llm_routing.yaml"
    check = {"gridtie.gridtie.gridtie_inputs": {"routing_file": str(routing)}, "register": "told"}
    show = {"ansible.builtin.debug": {"msg": "{{ told.problems | length }} {{ told.notices }}"}}

    status, output = play(tmp_path, [check, show], {"gridtie_require_pins": False})

    assert status == 0, output
    (notice,) = inputs.renamed({"gridtie_require_pins"})
    assert f"0 ['{notice}']" in output


def test_models_that_nobody_knows_are_told_with_the_nearest() -> None:
    assert inputs.check_models({}) == []
    assert "did you mean llama3:8b" in inputs.check_models({"gridtie_models": ["llama3:9b"]})[0]["found"]


@pytest.mark.parametrize(
    "values",
    [
        {"gridtie_models_max_download_gb": -1},
        {"gridtie_project": "My Station"},
        {"gridtie_prefix": "/opt"},
        {"gridtie_state_dir": "relative/path"},
        {"gridtie_config_dir": "/etc/gridtie/../ssh"},
        {"gridtie_engine_user": "llm", "gridtie_user": "llm"},
        {"gridtie_require_pins": "maybe"},
        {"gridtie_lock_file": "gridtie.lock.yaml"},
        {"gridtie_traces_endpoint": "collector:4318"},
        {"gridtie_backup_directory": "backups"},
        {"gridtie_backup_directory": "/srv"},
        {"gridtie_backup_directory": "/srv/../etc/backups"},
        {"gridtie_backup_directory": '/srv/a" "/etc'},
        {"gridtie_backup_directory": "/etc/gridtie/backups"},
        {"gridtie_backup_directory": "/var/lib/"},
        {"gridtie_backup_directory": "/var/lib/ci/ledger", "gridtie_project": "ci"},
        {"gridtie_backup_directory": "/srv/station", "gridtie_state_dir": "/srv/station/state"},
        {"gridtie_vllm_model": {"name": "qwen3:8b", "source": "hf.co/Qwen/Qwen3-8B", "revision": "main"}},
        {"gridtie_vllm_model": {"name": "smollm2:135m", "contxt": 4096}},
        {"gridtie_artefacts_file": "artefacts.yaml"},
        {"gridtie_artefacts_file": "/nowhere/artefacts.yaml"},
    ],
    ids=str,
)
def test_values_that_a_type_cannot_forbid(values: dict[str, Any]) -> None:
    assert len(inputs.check_values(values)) == 1


def test_backups_have_any_other_place() -> None:
    for directory in ("", "/srv/backups", "/var/lib/gridtie-backups/", "/var/backups/gridtie"):
        assert inputs.check_values({"gridtie_backup_directory": directory}) == []


NUMBERS = {
    name: spec for name, spec in inputs.load_specs(ROOT / "roles").items() if spec.get("type") in ("int", "float")
}


def test_every_number_of_a_role_has_its_range_and_its_default_is_in_it() -> None:
    defaults = {name: spec["default"] for name, spec in NUMBERS.items() if "default" in spec}

    assert set(ranges.RANGES) == set(NUMBERS)
    assert list(ranges.problems(NUMBERS, defaults)) == []


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [-1, "-1", float("nan"), float("inf")], ids=str)
def test_a_number_below_its_range_or_none_is_refused_with_what_may_be_there(name: str, value: Any) -> None:
    (problem,) = ranges.problems(NUMBERS, {name: value})

    assert problem["found"] == f"{name} is {value}"
    assert problem["fix"].startswith(f"set {name} to ")


def test_no_backup_at_all_is_nothing_to_keep() -> None:
    (problem,) = ranges.problems(NUMBERS, {"gridtie_backup_keep": 0})

    assert problem["fix"] == "set gridtie_backup_keep to 1 or more, such as 7"


def test_a_number_above_its_range_is_refused_and_the_usual_one_is_told() -> None:
    (problem,) = ranges.problems(NUMBERS, {"gridtie_port": 70000})

    assert problem["fix"] == "set gridtie_port to a number from 1 to 65535, such as 8484"


def test_everything_that_is_wrong_with_a_file_of_artefacts_is_told_with_its_line(tmp_path: Path) -> None:
    own = tmp_path / "artefacts.yaml"
    text = (ROOT / "config/artefacts.yaml").read_text(encoding="utf-8")
    own.write_text(text.replace("sha256: c898", "sha256: C898").replace("    rocm:\n", "    rocn:\n"), encoding="utf-8")

    problems = inputs.check_values({"gridtie_artefacts_file": str(own)})

    assert [problem["found"].partition(": ")[2] for problem in problems] == [
        'ollama.extras: the key "rocm" is missing',
        "ollama.extras.rocn: unknown key",
    ]
    assert problems[1]["found"].startswith(f"{own}:{text[: text.index('    rocm:')].count(chr(10)) + 1}: ")
    assert problems[1]["fix"] == 'did you mean "rocm"?'


def test_the_projects_routing_file_is_right_and_a_broken_one_is_told_with_its_line(tmp_path: Path) -> None:
    good = ROOT / "config/llm_routing.yaml"
    bad = tmp_path / "llm_routing.yaml"
    bad.write_text(good.read_text(encoding="utf-8") + "\nsurprise: 1\n", encoding="utf-8")
    line = len(bad.read_text(encoding="utf-8").splitlines())

    assert inputs.check_routing(good, []) == ([], ["dev", "test", "ci", "production"])
    assert f"{bad}:{line}" in inputs.check_routing(bad, [])[0][0]["found"]
    assert "surprise" in inputs.check_routing(bad, [])[0][0]["found"]


def test_a_routing_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert "no such routing file" in inputs.check_routing(tmp_path / "none.yaml", [])[0][0]["found"]


def test_a_pool_that_the_routing_file_does_not_know_would_be_without_effect(tmp_path: Path) -> None:
    text = (ROOT / "config/llm_routing.yaml").read_text(encoding="utf-8")
    without = tmp_path / "llm_routing.yaml"
    start = text.index("  # The routers of the machines")
    without.write_text(text[:start] + text[text.index("  # No cloud is configured") :], encoding="utf-8")

    assert inputs.check_routing(ROOT / "config/llm_routing.yaml", ["gpu"])[0] == []
    assert inputs.check_routing(without, [])[0] == []
    assert "no provider of the type pool" in inputs.check_routing(without, ["gpu"])[0][0]["found"]


SOUND: dict[str, Any] = {
    "gridtie_listen": "0.0.0.0",
    "gridtie_tls": "project",
    "gridtie_port": 8484,
    "gridtie_tls_port": 8443,
    "gridtie_address": "gpu-server.lan",
    "gridtie_tls_names": ["10.0.0.7", "fe80::1"],
    "gridtie_tls_days": 90,
    "gridtie_tls_renew_days": 30,
    "gridtie_people": [{"name": "alice", "environments": ["dev"], "since": "2026-11-24"}, {"name": "bob"}],
    "gridtie_pool": ["gpu-server"],
    "gridtie_networks": ["gridtie-jobs"],
    "gridtie_engine_mode": "container",
}


def site_problems(**changes: Any) -> list[str]:
    found = inputs.site.problems({**SOUND, **changes}, ["gpu-server", "laptop"], "laptop", ["dev", "production"])
    return [problem["found"] for problem in found]


def test_a_sound_site_has_no_problem() -> None:
    assert site_problems() == []
    assert site_problems(gridtie_listen="", gridtie_tls="off") == []
    assert site_problems(gridtie_listen="127.0.0.1", gridtie_tls="off") == []
    assert site_problems(gridtie_people=[{"name": "alice", "environments": [" Dev"]}]) == []
    for devices in ("all", [0, 2], "0,1", ["GPU-11111111-2222-3333-4444-555555555555"], [], ["GPU-00000000000000ff"]):
        assert site_problems(gridtie_gpu_devices=devices) == []
    assert site_problems(gridtie_firewall=["10.1.0.0/16", "fd00::/8", "10.9.0.7"], gridtie_firewall_ports=[22]) == []


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"gridtie_tls": "off"}, "gridtie_listen is 0.0.0.0, where others than this machine reach it"),
        ({"gridtie_listen": "10.0.0.7", "gridtie_tls": "off"}, "gridtie_tls is off"),
        ({"gridtie_listen": "everywhere"}, "gridtie_listen is 'everywhere'"),
        ({"gridtie_tls_port": 8484}, "both 8484"),
        ({"gridtie_tls_names": ["https://gpu"]}, "'https://gpu' is no host name"),
        ({"gridtie_tls_renew_days": 90}, "every run would renew it"),
        ({"gridtie_tls": "given"}, "gridtie_tls_certificate is ''"),
        ({"gridtie_people": [{"name": "a b"}]}, "the name 'a b'"),
        ({"gridtie_people": [{"name": "station"}]}, "the name 'station'"),
        ({"gridtie_people": [{"name": "relay.laptop"}]}, "the name 'relay.laptop'"),
        ({"gridtie_people": [{"name": "alice"}, {"name": "alice"}]}, "alice twice"),
        ({"gridtie_people": [{"name": "alice"}, {"name": "Alice"}]}, "Alice twice"),
        ({"gridtie_people": [{"name": "alice", "environments": ["prod"]}]}, "the environment 'prod'"),
        ({"gridtie_people": [{"name": "alice", "environments": []}]}, "has no environment"),
        ({"gridtie_people": [{"name": "alice", "since": "yesterday"}]}, "since of alice"),
        ({"gridtie_people": [{"name": "alice", "until": "31.12."}]}, "until of alice is '31.12.'"),
        ({"gridtie_people": [{"name": "alice", "until": "20261231"}]}, "until of alice is '20261231'"),
        ({"gridtie_people": [{"name": "alice", "since": "2026-W48-1"}]}, "since of alice"),
        ({"gridtie_people": [{"name": "alice", "limits": {"usd_per_day": -1}}]}, "usd_per_day of alice is -1"),
        ({"gridtie_pool_since": "20261124"}, "gridtie_pool_since is '20261124'"),
        ({"gridtie_pool": ["laptop"]}, "names laptop itself"),
        ({"gridtie_pool": ["gpu"]}, "gpu, which is no host"),
        ({"gridtie_networks": ["a b"]}, "gridtie_networks has 'a b'"),
        ({"gridtie_engine_mode": "native"}, "can join no other"),
        ({"gridtie_gpu_devices": ["first"]}, "gridtie_gpu_devices has 'first'"),
        ({"gridtie_gpu_devices": [0], "gridtie_gpu": False}, "gridtie_gpu is off, so that none is used"),
        ({"gridtie_firewall": "10.1.0.0/16"}, "gridtie_firewall is the text '10.1.0.0/16'"),
        ({"gridtie_firewall": ["10.1.2.3/16"]}, "the range is 10.1.0.0/16, the address 10.1.2.3"),
        ({"gridtie_firewall": ["the-office"]}, "gridtie_firewall: 'the-office' is no address and no range"),
        ({"gridtie_firewall": ["10.0.0.1"], "gridtie_firewall_ports": [70000]}, "gridtie_firewall_ports has 70000"),
        ({"gridtie_firewall_ports": [22]}, "gridtie_firewall is empty, so that nothing would guard them"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_site_is_named(changes: dict[str, Any], wanted: str) -> None:
    assert any(wanted in found for found in site_problems(**changes))
