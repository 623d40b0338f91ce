"""Imports point one way, so that each package can be read, tested and replaced alone."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "gridtie"

# Package -> the packages of ours it may import. What is not listed may import anything of ours.
ALLOWED = {
    "host": set(),
    # For names that mean the same on a host and in the router.
    "config": {"host.ollama_name", "host.purpose_names", "host.origins"},
    "catalogue": {"host"},
    "dialects": {"config", "host.tool_calls"},
    "upstream": {"config"},
    "ledger": {"config", "dialects"},
    "providers": {"host.purpose_names", "dialects", "upstream", "config"},
    "routing": {"providers", "dialects", "upstream", "config", "ledger"},
    # The dashboard's history is the report's arithmetic, its colours the report's page.
    "gateway": {
        *("routing", "providers", "dialects", "upstream", "config", "ledger", "report", "page"),
        *("host.origins", "host.audit", "host.decision_words", "host.version"),
    },
    "agents": {"host.sandbox"},
    "artefacts": {"host", "config"},
    "bench": {"routing", "providers", "dialects", "upstream", "config", "ledger", "page", "host"},
    # What a group of hosts was told to run is read in the same way on each of them.
    "lock": {"host.fit.agreed"},
    "quality": {
        "bench",
        "solved",
        "agents",
        "routing",
        "providers",
        "dialects",
        "upstream",
        "config",
        "ledger",
        "host",
    },
    "page": set(),
    "testing": {"host.version"},
    "demo": {"agents", "bench", "solved", "quality.stats", "dialects", "ledger", "host"},
    # What was measured, by the report's reading of a ledger and the benchmark's of its files; memory by `gridtie fit`.
    "size": {"report", "bench", "ledger", "dialects", "config", "host"},
    # The report's arithmetic, and how sure rates are.
    "solved": {"report", "ledger", "config", "bench", "host.table", "quality.stats"},
    # Of a host's what its image has as well.
    "report": {
        *("ledger", "config", "dialects", "page", "host.paths", "host.local_time", "host.new_file", "host.table"),
        *("host.commands.report_arguments", "host.version"),
    },
}

# Inside `host`, from what all rest on to what is called: each imports from its own line and from those above.
HOST_ORDER = [
    {
        "version",
        "table",
        "local_time",
        "directory_lock",
        "json_file",
        "new_file",
        "command",
        "ollama_name",
        "purpose_names",
        "sandbox",
        "tool_calls",
        "plain_yaml",
        "printable",
        "decision_words",
        "origins",
        "audit",
        "key_limits",
        "turn_over",
        "firewall",
    },
    {
        *("catalogue", "paths", "ledger_file", "router", "sandbox_link", "router_image", "streamed", "keys", "gpu"),
        *("meter", "readings", "catalogue_file"),
    },
    {"keys_in_force", "machine", "connect", "backup"},
    {"fit"},
    {"acceptance"},
    {"models"},
    {"doctor"},
    {"commands"},
    {"cli"},
    {"__main__", "zipapp"},
]

# Modules that decide or translate and therefore touch neither files, sockets, clocks nor threads.
PURE = [
    "bench/plan.py",
    "bench/profiles.py",
    "bench/stats.py",
    "size/answer.py",
    "size/cost.py",
    "size/ladder.py",
    "size/places.py",
    "size/queueing.py",
    "solved/stats.py",
    "bench/verdict.py",
    "routing/decide.py",
    "routing/plan.py",
    "config/schema.py",
    "lock/document.py",
    *sorted(
        str(path.relative_to(SOURCE))
        for package in ("dialects", "host/fit")
        for path in (SOURCE / package).rglob("*.py")
    ),
]
INPUT_OUTPUT = {
    "asyncio",
    "http",
    "io",
    "os",
    "pathlib",
    "select",
    "shutil",
    "socket",
    "sqlite3",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "urllib.request",
    "uvloop",
    "httptools",
    "yaml",
}


def imported(path: Path) -> set[str]:
    """Full names of everything that a module imports, also inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = absolute(node, path)
            names.add(module)
            names.update(f"{module}.{alias.name}" for alias in node.names)
    return names


def absolute(node: ast.ImportFrom, path: Path) -> str:
    """The module's full name; `host` imports relatively, because Ansible ships it to hosts under another name."""
    if not node.level:
        return node.module or ""
    package = ["gridtie", *path.relative_to(SOURCE).parts[: -node.level]]
    return ".".join([*package, *([node.module] if node.module else [])])


def ours(path: Path) -> set[str]:
    return {name.removeprefix("gridtie.") for name in imported(path) if name.startswith("gridtie.")}


def within(name: str, packages: set[str]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_a_package_imports_only_what_is_below_it(package: str) -> None:
    wrong = {
        f"{path.relative_to(SOURCE)} imports gridtie.{name}"
        for path in (SOURCE / package).rglob("*.py")
        for name in ours(path)
        if not within(name, ALLOWED[package] | {package})
    }

    assert not wrong


def level(part: str) -> int:
    """Which line of HOST_ORDER a module or package directly below `host` is in."""
    return next(index for index, parts in enumerate(HOST_ORDER) if part in parts)


def test_on_a_host_imports_run_from_commands_down_to_what_the_machine_is() -> None:
    host = SOURCE / "host"
    wrong = {
        f"{path.relative_to(SOURCE)} imports gridtie.{name}"
        for path in host.rglob("*.py")
        if path != host / "__init__.py"
        for name in ours(path)
        if name.startswith("host.")
        and level(name.split(".")[1]) > level(path.relative_to(host).with_suffix("").parts[0])
    }

    assert not wrong


def test_what_lies_directly_below_host_has_its_line_in_the_order() -> None:
    found = {path.stem for path in (SOURCE / "host").iterdir() if path.name not in ("__init__.py", "__pycache__")}

    assert found == set().union(*HOST_ORDER)


@pytest.mark.parametrize("module", PURE)
def test_a_pure_module_does_no_input_or_output(module: str) -> None:
    assert not {name for name in imported(SOURCE / module) if name in INPUT_OUTPUT}


def test_what_runs_on_a_bare_host_needs_the_standard_library_alone() -> None:
    wrong = {
        f"{path.relative_to(SOURCE)} imports {name}"
        for path in (SOURCE / "host").rglob("*.py")
        for name in imported(path)
        if not name.startswith("gridtie") and name.split(".")[0] not in sys.stdlib_module_names
    }

    assert not wrong
