"""Roles, playbooks and plugins call everything by its full name: whoever installs the collection has no other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2 import Environment, nodes

ROOT = Path(__file__).resolve().parents[3]
OURS = "gridtie.gridtie."
FILES = sorted(
    path
    for start in ("roles", "playbooks")
    for path in (ROOT / start).rglob("*")
    if path.suffix in (".yml", ".j2") and path.is_file()
)
# What a task, block or play may say beside its action.
KEYWORDS = {
    "always", "args", "async", "become", "become_user", "block", "changed_when", "check_mode", "delegate_to", "diff",
    "environment", "failed_when", "gather_facts", "hosts", "ignore_errors", "ignore_unreachable", "listen", "loop",
    "loop_control",
    "max_fail_percentage", "name", "no_log", "notify", "poll", "register", "rescue", "run_once", "serial", "strategy",
    "tags", "tasks", "post_tasks", "pre_tasks", "throttle", "until", "retries", "delay", "vars", "when",
    "any_errors_fatal", "handlers", "order", "force_handlers",
}  # fmt: skip
# Values that are expressions without braces.
BARE = {"when", "that", "failed_when", "changed_when", "until"}
JINJA = Environment()


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def tasks(found: Any) -> Iterator[dict[str, Any]]:
    """Every task, also inside of blocks and plays."""
    for entry in found or []:
        yield entry
        for part in ("block", "rescue", "always", "tasks", "pre_tasks", "post_tasks", "handlers"):
            yield from tasks(entry.get(part))


TASK_FILES = [path for path in FILES if path.suffix == ".yml" and {"tasks", "handlers", "playbooks"} & {*path.parts}]


@pytest.mark.parametrize("path", TASK_FILES, ids=name)
def test_every_action_has_the_name_of_its_collection(path: Path) -> None:
    assert [key for task in tasks(load(path)) for key in task.keys() - KEYWORDS if key.count(".") != 2] == []


@pytest.mark.parametrize("path", TASK_FILES, ids=name)
def test_every_role_that_is_included_has_the_name_of_its_collection(path: Path) -> None:
    included = [
        task[action]["name"]
        for task in tasks(load(path))
        for action in ("ansible.builtin.include_role", "ansible.builtin.import_role")
        if action in task
    ]

    assert [role for role in included if not role.startswith(OURS)] == []


@pytest.mark.parametrize("path", sorted((ROOT / "roles").glob("*/meta/main.yml")), ids=name)
def test_every_role_that_another_builds_on_has_the_name_of_its_collection(path: Path) -> None:
    assert [each["role"] for each in load(path)["dependencies"] if not each["role"].startswith(OURS)] == []


def expressions(value: Any, key: str = "") -> Iterator[str]:
    """Every template in a YAML document."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from expressions(name)
            yield from expressions(part, name)
    elif isinstance(value, list):
        for part in value:
            yield from expressions(part, key)
    elif isinstance(value, str):
        yield "{{ " + value + " }}" if key in BARE and "{{" not in value else value


def called(template: str) -> Iterator[tuple[str, str]]:
    """Filters and lookups of a template: what they are, and their names."""
    tree = JINJA.parse(template.replace("\\", "\\\\"))  # Ansible takes backslashes as they stand.
    for found in tree.find_all(nodes.Filter):
        yield "filter", found.name
        if found.name in ("map", "select", "reject") and found.args and isinstance(found.args[0], nodes.Const):
            yield "filter", str(found.args[0].value)
    for call in tree.find_all(nodes.Call):
        if isinstance(call.node, nodes.Name) and call.node.name in ("lookup", "query", "q"):
            (plugin, *_) = call.args
            yield "lookup", str(plugin.as_const())


def plugins(kind: str) -> set[str]:
    """The names that the plugins of this kind have in the collection."""
    files = [path for path in (ROOT / "plugins" / kind).glob("*.py") if path.stem != "__init__"]
    if kind == "lookup":
        return {path.stem for path in files}
    constants = (node for path in files for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    keys = (key for node in constants if isinstance(node, ast.Dict) for key in node.keys)
    names = {str(key.value) for key in keys if isinstance(key, ast.Constant)}
    return {name for name in names if name.startswith("gridtie_")}


@pytest.mark.parametrize("path", [path for path in FILES if "meta" not in path.parts], ids=name)
def test_every_filter_and_lookup_of_ours_is_called_as_it_is_called_once_installed(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    templates = expressions(yaml.safe_load(text)) if path.suffix == ".yml" else [text]
    found = {entry for template in templates for entry in called(template)}
    ours = {entry for entry in found if entry[1].removeprefix(OURS).startswith("gridtie_")}

    assert ours <= {(kind, f"{OURS}{each}") for kind in ("filter", "lookup") for each in plugins(kind)}


def test_there_are_filters_and_lookups_of_ours_to_look_for() -> None:
    assert "gridtie_builder" in plugins("filter")
    assert "gridtie_zipapp" in plugins("lookup")
    assert set(called("{{ x | map('gridtie_a') }}{{ lookup('gridtie_b') }}")) == {
        ("filter", "map"), ("filter", "gridtie_a"), ("lookup", "gridtie_b"),
    }  # fmt: skip


PLUGINS = sorted(path for path in (ROOT / "plugins").rglob("*.py") if "gridtie_host" not in path.parts)


@pytest.mark.parametrize("path", PLUGINS, ids=name)
def test_a_plugin_imports_its_neighbours_and_runs_modules_by_names_that_hold_when_installed(path: Path) -> None:
    """The checkout's own directories are on nobody's path there, and short names are another collection's."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    absolute = {str(node.module).partition(".")[0] for node in imports if not node.level}
    # It is what makes the project's package known.
    finds = any(
        "gridtie_collection" in (node.module or "", *(each.name for each in node.names))
        or (node.module or "").endswith(".gridtie_collection")
        for node in imports
        if node.level
    )
    run = [
        node.args[0].value if node.args else node.keywords[0].value.value  # type: ignore[attr-defined]
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "_execute_module"
    ]

    assert "plugins" not in absolute
    assert finds or "gridtie" not in absolute
    assert [module for module in run if module.count(".") != 2] == []


MODULES = sorted((ROOT / "plugins/modules").glob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_an_example_of_a_module_can_be_copied(path: Path) -> None:
    assigned = (node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.Assign))
    (examples,) = (ast.literal_eval(node.value) for node in assigned if ast.unparse(node.targets[0]) == "EXAMPLES")
    used = [key for task in tasks(yaml.safe_load(examples)) for key in task.keys() - KEYWORDS]

    assert f"{OURS}{path.stem}" in used
    assert [key for key in used if key.count(".") != 2] == []


def test_the_checkout_is_found_under_the_name_of_the_collection() -> None:
    """Ansible finds collections in directories; this one leads back to the checkout."""
    link = ROOT / "collections/ansible_collections/gridtie/gridtie"

    assert link.is_symlink()
    assert not link.readlink().is_absolute()
    assert link.resolve() == ROOT
