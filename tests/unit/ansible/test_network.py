"""How a host goes out: as the inventory says, else as the host itself does, never as the controller does."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from plugins.action.gridtie_inputs import undeclared_proxies
from plugins.module_utils import gridtie_images, gridtie_network, gridtie_reach
from plugins.module_utils.gridtie_command import follow

ROOT = Path(__file__).resolve().parents[3]
NAMES = [name for both in ("http_proxy", "https_proxy", "no_proxy") for name in (both, both.upper())]
# Modules that ask the network for something, or start what does.
GOING_OUT = ("gridtie_machine", "gridtie_packages", "gridtie_apt_source", "gridtie_image", "gridtie_release",
             "gridtie_models", "gridtie_bundle_packages")  # fmt: skip


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy in the environment, and none left there afterwards."""
    monkeypatch.setattr(os, "environ", {name: value for name, value in os.environ.items() if name not in NAMES})


@pytest.fixture
def proxy() -> Iterator[tuple[str, list[str]]]:
    """A proxy for plain HTTP that answers by itself, and what it was asked."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def test_what_only_the_proxy_reaches_is_found_reachable_by_the_declared_proxy(proxy: tuple[str, list[str]]) -> None:
    url, asked = proxy
    before = gridtie_reach.probe("http://releases.invalid/")

    gridtie_network.use({"http_proxy": url, "https_proxy": "", "no_proxy": None})

    assert before["state"] == "unreachable"
    assert gridtie_reach.probe("http://releases.invalid/")["state"] == "ok"
    assert asked == ["http://releases.invalid/"]


def test_both_spellings_say_what_was_declared_and_the_rest_stays_the_hosts_own() -> None:
    os.environ.update(HTTP_PROXY="http://hosts-own", no_proxy="here")

    gridtie_network.use({"http_proxy": "", "https_proxy": "http://declared", "no_proxy": None})

    assert {name: os.environ.get(name) for name in NAMES} == {
        "http_proxy": None, "HTTP_PROXY": "http://hosts-own", "https_proxy": "http://declared",
        "HTTPS_PROXY": "http://declared", "no_proxy": "here", "NO_PROXY": None,
    }  # fmt: skip


def test_hosts_that_are_reached_directly_are_not_masked_in_what_a_module_returns() -> None:
    """Ansible replaces every secret argument wherever it is found: 127.0.0.1 would vanish from addresses."""
    options = gridtie_network.ARGUMENTS["network"]["options"]

    assert {name: option["no_log"] for name, option in options.items()} == {
        "http_proxy": True, "https_proxy": True, "no_proxy": False, "bundle": False,
    }  # fmt: skip


def test_programs_that_a_module_starts_go_out_as_declared() -> None:
    """apt reads the small spelling alone, curl as well for http; pip, Go and Docker take either."""
    gridtie_network.use({"http_proxy": "http://declared", "https_proxy": "http://secure", "no_proxy": "here"})

    said = follow(["sh", "-c", "echo $http_proxy $HTTP_PROXY $https_proxy $no_proxy"], what="it", limit_s=10)

    assert said == "http://declared http://declared http://secure here"


def test_an_image_is_built_with_what_is_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip, Go and apt within a build get it as a secret, in both spellings."""
    seen: dict[str, str] = {}
    monkeypatch.setattr(gridtie_images, "follow", lambda *_, environment, **__: seen.update(environment))
    gridtie_network.use({"http_proxy": "", "https_proxy": "http://u:p@declared:3128", "no_proxy": ""})

    images = gridtie_images.Images({"cli": "docker", "host": "unix:///nowhere"}, "", {})
    images.build({"name": "router", "reference": "gridtie/router:1", "arguments": {}}, "context", [])

    assert seen["GRIDTIE_PROXY"].splitlines() == [
        "export HTTPS_PROXY=http://u:p@declared:3128", "export https_proxy=http://u:p@declared:3128",
    ]  # fmt: skip


def tasks(path: Path) -> Iterator[dict[str, Any]]:
    loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    for task in loaded if isinstance(loaded, list) else []:
        yield task
        for part in ("block", "rescue", "always"):
            yield from task.get(part, [])


def test_every_step_that_goes_out_is_given_what_the_inventory_declares() -> None:
    without = {
        (path.relative_to(ROOT / "roles").as_posix(), module.rpartition(".")[2])
        for path in sorted((ROOT / "roles").glob("*/tasks/*.yml"))
        for task in tasks(path)
        for module, arguments in task.items()
        if module.rpartition(".")[2] in GOING_OUT and arguments.get("network") != "{{ _station_network }}"
        # To hold a version asks nobody.
        if arguments.get("state") not in ("held", "unheld")
    }

    # These ask nobody: they look without probes, take out of an image that is here, read again what is here, remove.
    assert without == {
        ("preflight/tasks/look.yml", "gridtie_machine"),
        ("engine_ollama/tasks/native.yml", "gridtie_release"),
        ("models/tasks/verify.yml", "gridtie_models"),
        ("models/tasks/uninstall.yml", "gridtie_models"),
    }


def test_a_controllers_own_proxies_are_those_of_no_other_host(tmp_path: Path) -> None:
    defaults = yaml.safe_load((ROOT / "roles/station/defaults/main.yml").read_text(encoding="utf-8"))
    private = yaml.safe_load((ROOT / "roles/station/vars/main.yml").read_text(encoding="utf-8"))
    names = [f"gridtie_{name}_proxy" for name in ("http", "https", "no")]
    role = tmp_path / "roles" / "station"
    for part, content in (
        ("defaults", {name: defaults[name] for name in names}),
        ("vars", {name: private[name] for name in ("_station_network", "_station_bundle")}),
        ("tasks", [{"ansible.builtin.copy": {"dest": f"{tmp_path}/{{{{ inventory_hostname }}}}", "mode": "0600",
                                             "content": "{{ _station_network | to_json }}"},
                    "delegate_to": "controller"}]),
    ):  # fmt: skip
        (role / part).mkdir(parents=True)
        (role / part / "main.yml").write_text(yaml.safe_dump(content))
    (tmp_path / "play.yml").write_text("- {hosts: all, gather_facts: false, roles: [station]}\n")
    own, declared = "http://controller:3128", "http://inventory:3128"
    (tmp_path / "hosts").write_text(
        f"controller ansible_connection=local ansible_python_interpreter={sys.executable}\n"
        f"declared-here ansible_connection=local gridtie_https_proxy={declared}\n"
        f"other ansible_connection=ssh\ndeclared ansible_connection=ssh gridtie_https_proxy={declared}\n"
    )
    done = subprocess.run(
        [Path(sys.executable).parent / "ansible-playbook", "-i", "hosts", "play.yml"],
        env=os.environ | {"HTTP_PROXY": own, "https_proxy": own, "NO_PROXY": "localhost"},
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    found = {
        host: json.loads((tmp_path / host).read_text()) for host in ("controller", "declared-here", "other", "declared")
    }
    assert {host: tuple(said.values()) for host, said in found.items()} == {
        "controller": ("", own, own, "localhost"),
        "declared-here": ("", own, declared, "localhost"),
        "other": ("", "", "", ""),
        "declared": ("", "", declared, ""),
    }


@pytest.mark.parametrize(
    ("environ", "declared", "named"),
    [
        ({"HTTPS_PROXY": "http://p"}, "", ["https_proxy"]),
        ({"https_proxy": "http://p"}, "http://other", []),
        ({"NO_PROXY": "localhost"}, "", []),
    ],
    ids=["not declared", "declared", "none"],
)
def test_who_relied_on_the_controllers_proxy_is_told(environ: dict[str, str], declared: str, named: list[str]) -> None:
    values = {"gridtie_http_proxy": "", "gridtie_https_proxy": declared}

    assert undeclared_proxies(environ, values) == named
