"""The tarball: what is in it, and roles of it in a playbook that is not ours, with no checkout in sight."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from plugins.plugin_utils import gridtie_collection as collection

import installed
from pages import links

ROOT = installed.CHECKOUT
# What the preflight and the engine's role would hand on, so that nothing has to be looked at here.
MACHINE: dict[str, Any] = {
    "gridtie_machine": {"init": "systemd", "system": {"id": "debian"}, "graphics": {}, "memory": {"total": 8 << 30}},
    "gridtie_docker": {"works": True, "compose": "2", "buildx": "0", "host": "unix:///nonexistent.sock"},
    "gridtie_station": {},
    "gridtie_resolved_choice": {"engine": "embedded", "mode": "container", "source": "packages", "why": "wanted"},
    "gridtie_resolved_gpu": {"backend": ""},
    "gridtie_resolved_account": {"user": "nobody", "group": "nogroup"},
}
NO_DOCKER = {"gridtie_docker": {"works": False, "compose": "", "buildx": "", "host": ""}}
ENGINE = {"gridtie_resolved_engine": {"kind": "embedded", "mode": "container"}}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody's directory, with the collection installed below."""
    directory = tmp_path_factory.mktemp("home")
    installed.install(installed.build(directory), directory)
    return directory


@pytest.fixture(scope="module")
def there(home: Path) -> Path:
    return home / "ansible_collections/gridtie/gridtie"


Play = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def play(home: Path, tmp_path: Path) -> Play:
    """Run a playbook of one's own against this machine, in a directory of one's own."""

    def run(*tasks: dict[str, Any], facts: dict[str, Any], python: str = "") -> subprocess.CompletedProcess[str]:
        book = tmp_path / "play.yml"
        book.write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": list(tasks)}]))
        here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "ansible_become": False}
        command = [python or sys.executable, str(Path(sys.executable).with_name("ansible-playbook"))]
        return subprocess.run(
            [*command, "-i", "localhost,", "-e", json.dumps({**here, **facts}), str(book)],
            cwd=tmp_path, env=installed.environment(home), capture_output=True, text=True, check=False,
        )  # fmt: skip

    return run


def role(name: str, entry: str = "main") -> dict[str, Any]:
    return {"ansible.builtin.include_role": {"name": f"gridtie.gridtie.{name}", "tasks_from": entry}}


def said(done: subprocess.CompletedProcess[str]) -> str:
    """What Ansible printed, as one line."""
    return " ".join((done.stdout + done.stderr).replace("\\n", " ").split())


# --- what is in it ----------------------------------------------------------------------------------------------------


def test_the_tarball_is_small_and_holds_no_test_but_those_that_users_run(home: Path, there: Path) -> None:
    (tarball,) = home.glob("*.tar.gz")

    assert tarball.stat().st_size < 2_000_000
    assert [path.name for path in (there / "tests").iterdir()] == ["verify"]
    top = {path.name for path in there.iterdir()}
    assert top == {
        "CHANGELOG.md", "CONTRIBUTING.md", "FILES.json", "LICENSE", "MANIFEST.json", "README.md", "SECURITY.md",
        "bindep.txt", "compose", "config", "demo_final.py", "docs", "inventories", "meta", "playbooks", "plugins",
        "requirements", "requirements.txt", "requirements.yml", "roles", "src", "tests",
    }  # fmt: skip


def test_no_result_picture_or_recording_slips_into_the_tarball(there: Path) -> None:
    """Text that people wrote is small; only the list of all files is larger, since hashes do not shrink."""
    sizes = {
        str(path.relative_to(there)): len(zlib.compress(path.read_bytes(), 9))
        for path in there.rglob("*")
        if path.is_file() and path.name != "FILES.json"
    }

    assert {name: size for name, size in sizes.items() if size > 24 << 10} == {}


def test_every_link_of_its_pages_leads_to_a_file_in_it(there: Path) -> None:
    lost = [
        f"{page.relative_to(there)}: {target}"
        for page in sorted(there.rglob("*.md"))
        for target in links(page)
        if not page.parent.joinpath(target).exists()
    ]

    assert lost == []


def test_every_file_that_a_role_or_plugin_reads_is_in_it(there: Path) -> None:
    """Roles name files by their way from the role's own directory, plugins from the collection's."""
    read: set[str] = set()
    for path in [*there.glob("roles/*/*/*.yml"), *there.glob("plugins/*/*.py")]:
        text = path.read_text(encoding="utf-8")
        read |= set(re.findall(r"\brole_path(?: ~ '| }})/\.\./\.\./([\w./]+)", text))
        read |= {f"roles/{name}" for name in re.findall(r"\brole_path(?: ~ '| }})/\.\./(\w[\w./]+)", text)}
        read |= set(re.findall(r'\bROOT / "([\w./]+)"', text))

    assert {"config/artefacts.yaml", "compose/compose.yaml", "tests/verify", "src/gridtie/host"} <= read
    assert [name for name in sorted(read) if not (there / name).exists()] == []


def test_a_role_reads_nothing_outside_of_the_collection(there: Path) -> None:
    climbs = re.compile(r"(?:\.\./){3,}")
    files = [path for path in (there / "roles").rglob("*") if path.suffix in (".yml", ".j2")]

    assert [path.name for path in files if climbs.search(path.read_text(encoding="utf-8"))] == []


def test_images_are_named_alike_whether_they_are_made_from_the_checkout_or_the_tarball(there: Path) -> None:
    """A station that was made from one is not built anew by the other."""
    from plugins.action.gridtie_image import read_tree

    assert read_tree(there) == read_tree(ROOT)


def test_the_version_is_the_same_in_every_place_that_says_it(there: Path) -> None:
    version = collection.version(ROOT)
    environment = yaml.safe_load((ROOT / "execution-environment.yml").read_text(encoding="utf-8"))

    assert collection.version(there) == version
    assert f'version = "{version}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert environment["additional_build_files"][0]["src"] == f"dist/gridtie-gridtie-{version}.tar.gz"
    (brought,) = environment["dependencies"]["galaxy"]["collections"]
    assert brought["name"] == f"collection/gridtie-gridtie-{version}.tar.gz"


def test_an_execution_environment_gets_the_ansible_that_the_tests_run_with() -> None:
    environment = yaml.safe_load((ROOT / "execution-environment.yml").read_text(encoding="utf-8"))
    lock = (ROOT / "requirements/site-py312.lock").read_text(encoding="utf-8").splitlines()

    assert f"{environment['dependencies']['ansible_core']['package_pip']} \\" in lock


def test_collections_that_roles_use_are_declared_and_pinned() -> None:
    """Whoever adds a module of the community's says so in both files; a station is made without the cluster's."""
    text = "\n".join(
        path.read_text(encoding="utf-8") for start in ("roles", "playbooks") for path in (ROOT / start).rglob("*.yml")
    )
    used = set(re.findall(r"\b((?:community|ansible|containers|kubernetes)\.(?!builtin|legacy)\w+)\.\w+:", text))
    declared = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["dependencies"]
    pinned = yaml.safe_load((ROOT / "requirements.yml").read_text(encoding="utf-8"))["collections"]

    assert set(declared) == used - {"kubernetes.core"}
    assert {each["name"] for each in pinned} == used
    assert [each for each in pinned if not re.fullmatch(r"\d+\.\d+\.\d+", each["version"])] == []


# --- what the machine needs that runs Ansible ------------------------------------------------------------------------


def test_what_is_imported_where_ansible_runs_is_declared_for_pip_and_for_execution_environments(there: Path) -> None:
    described = yaml.safe_load((there / "meta/execution-environment.yml").read_text(encoding="utf-8"))
    python = (there / described["dependencies"]["python"]).read_text(encoding="utf-8")
    declared = set(re.findall(r"^([\w-]+)", python, re.MULTILINE))

    assert declared == {"httpx", "msgspec", "pytest", "pytest-testinfra"}


def test_commands_in_messages_are_those_that_there_are(play: Play, there: Path) -> None:
    words = ["'site'", "'site', '-e gridtie_models_deep=true'"]
    lookups = [f"{{{{ lookup('gridtie.gridtie.gridtie_command', {each}) }}}}" for each in words]
    done = play({"ansible.builtin.debug": {"msg": lookups}}, facts={})

    assert collection.command("site", root=ROOT) == "make site"
    assert collection.command("site", "-e a=1", root=ROOT) == 'make site ARGS="-e a=1"'
    assert '"ansible-playbook gridtie.gridtie.site",' in said(done)
    assert '"ansible-playbook gridtie.gridtie.site -e gridtie_models_deep=true"' in said(done)


def test_a_package_that_is_missing_there_is_told_with_the_command_before_anything_is_changed(
    play: Play, there: Path, tmp_path: Path
) -> None:
    without = tmp_path / "python"
    without.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{HIDE}' \"$@\"\n")
    without.chmod(0o755)

    done = play(role("preflight"), facts={}, python=str(without))

    assert done.returncode != 0
    assert "nothing was changed" in said(done)
    # Nothing behind it: the command can be copied to the end of the line.
    assert re.search(rf"-m pip install -r {there}/requirements\.txt$", done.stdout + done.stderr, re.MULTILINE)
    assert "changed=0" in said(done)


# Runs a program of Python with msgspec out of reach.
HIDE = """
import runpy, sys
sys.modules["msgspec"] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


# --- a role by itself -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "facts", "says"),
    [
        ("engine_embedded", NO_DOCKER, "No Docker works on this machine. Put gridtie.gridtie.container_engine before"),
        ("engine_ollama", {}, "the preflight chose embedded (wanted). Set gridtie_engine: ollama, or call"),
        ("models", {}, "Put gridtie.gridtie.engine_embedded before it"),
        ("router", {}, "Put gridtie.gridtie.engine_embedded and gridtie.gridtie.models before it"),
        ("router", ENGINE, "this machine has no models yet. Put gridtie.gridtie.models before it"),
        ("doctor", {"gridtie_prefix": "/nonexistent/prefix"}, "The role gridtie.gridtie.router installs it"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_role_without_those_before_it_says_which_are_missing_and_changes_nothing(
    name: str, facts: dict[str, Any], says: str, play: Play
) -> None:
    done = play(role(name), facts={**MACHINE, **facts})

    assert done.returncode != 0
    assert says in said(done)
    assert "changed=0" in said(done)


def test_what_an_earlier_run_made_counts_unless_another_kind_is_wanted(play: Play) -> None:
    station = {"engine": {"kind": "embedded", "mode": "container"}, "models": [{"name": "m"}]}
    tell = {"ansible.builtin.debug": {"msg": "{{ gridtie_resolved_models | default('none') }}"}}

    taken = play(role("station", "earlier"), tell, facts={**MACHINE, "gridtie_station": station})
    other = {"engine": {**station["engine"], "mode": "native"}, "models": station["models"]}  # type: ignore[dict-item]
    left = play(role("station", "earlier"), tell, facts={**MACHINE, "gridtie_station": other})

    assert '"name": "m"' in said(taken)
    assert '"msg": "none"' in said(left)


def test_models_of_an_engine_that_has_been_changed_for_another_do_not_count(play: Play) -> None:
    """The engine's role has run, the role models has not: the addresses are those of the engine before."""
    before = {"engine": {"kind": "vllm", "mode": "container"}, "models": [{"name": "m", "url": "http://engine:8000"}]}

    done = play(role("router"), facts={**MACHINE, **ENGINE, "gridtie_station": before})

    assert "this machine has no models yet. Put gridtie.gridtie.models before it" in said(done)
    assert "changed=0" in said(done)


def test_a_value_that_a_roles_specification_forbids_is_refused_when_it_is_called_alone(play: Play) -> None:
    done = play(role("doctor"), facts={**MACHINE, "gridtie_doctor_timeout_s": "soon"})

    assert done.returncode != 0
    assert "gridtie_doctor_timeout_s" in said(done)
    assert "changed=0" in said(done)


# --- a bill, by the playbook's full name ------------------------------------------------------------------------------


def test_its_playbook_makes_a_bill_where_it_was_typed_and_says_whose_ledger_is_missing(
    home: Path, tmp_path: Path
) -> None:
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "ansible_become": False}
    nowhere = {"gridtie_prefix": str(tmp_path / "none"), "gridtie_config_dir": str(tmp_path / "none")}
    command = [sys.executable, str(Path(sys.executable).with_name("ansible-playbook")), "gridtie.gridtie.report"]

    done = subprocess.run(
        [*command, "-i", "desk,", "-e", json.dumps({**here, **nowhere})],
        cwd=tmp_path, env=installed.environment(home), capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, said(done)
    (file,) = (tmp_path / "reports").glob("*.json")
    assert json.loads(file.read_text())["missing"] == [
        {"host": "desk", "why": "no gridtie is there: run site.yml against it"}
    ]
