"""Run the project's checks: `make test`, `make test PART="lint unit"` for some of them, or `PART=all`, as CI does.

Every part runs even if an earlier one failed, so that one run shows all that is wrong; the closing
table says what each came to and how long it took. The parts, in order:

lint         format, style, types, Ansible and YAML rules
unit         one module at a time, in parallel; properties; random inputs
contract     wire formats, official SDKs, recorded ground truth
integration  real engines and the real router container, on two stations beside any live one
lab          a disposable systemd host, provisioned from nothing, killed, verified and reset
stories      every other way in which a machine becomes a station, is one, or stops being one; only where it is asked
             for, as CI does, since it takes longer than all of the others together
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
BARE_MACHINE = "tests/lab/test_bare_machine.py"

# Stations of the tests: a project's name is also that of its containers, directories, account and command.
STATIONS = {
    "GRIDTIE_TEST_STATION": {"gridtie_project": "gridtie-test", "gridtie_engine": "ollama", "gridtie_port": "28484"},
    "GRIDTIE_TEST_EMBEDDED_STATION": {
        "gridtie_project": "gridtie-test-embedded",
        "gridtie_engine": "embedded",
        "gridtie_port": "28485",
    },
}


def run(*command: str | Path, **environment: str) -> bool:
    """Run a command from the checkout, its output shown as it comes; whether it succeeded."""
    print("$", " ".join(map(str, command)), flush=True)
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(command, cwd=CHECKOUT, env={**os.environ, "PATH": path, **environment}).returncode == 0


def pytest(*arguments: str, **environment: str) -> bool:
    return run(BIN / "pytest", "-q", *arguments, **environment)


def lint() -> bool:
    """Everything that is read rather than run. All of them, also after one failed."""
    return all(
        [
            run(BIN / "ruff", "format", "--check", "--quiet", "."),
            run(BIN / "ruff", "check", "--quiet", "."),
            run(BIN / "mypy"),
            run(BIN / "mypy", "-p", "plugins"),
            run(BIN / "yamllint", "--strict", "."),
            run(BIN / "ansible-lint", "--offline", "-q"),
        ]
    )


def unit() -> bool:
    return pytest("-n", "2", "tests/unit", "tests/properties", "tests/fuzz")


def contract() -> bool:
    return pytest("-n", "2", "tests/contract")


def integration() -> bool:
    """Provision the stations with the product's own playbook, test against them, remove them."""
    with stations() as environment:
        return environment is not None and pytest("-n", "0", "tests/integration", **environment)


def lab() -> bool:
    """A bare machine becomes a station."""
    return container_engine() and pytest("-n", "0", BARE_MACHINE, "--timeout", "1800")


def stories() -> bool:
    """All the others: an engine as a service, upgrades, teams, runners, other Dockers, proxies, bad input."""
    # Files side by side, each in its own order: a machine waits for downloads and starts as long as it computes.
    side_by_side = ("-n", "2", "--dist", "loadfile", "--timeout", "1800")
    return container_engine() and pytest(*side_by_side, "--ignore", BARE_MACHINE, "tests/lab")


def container_engine() -> bool:
    """Docker, by the role that users get it from."""
    return playbook("playbooks/container_engine.yml", {})


def playbook(name: str, variables: dict[str, str]) -> bool:
    extra = [word for key, value in variables.items() for word in ("-e", f"{key}={value}")]
    return run(BIN / "ansible-playbook", name, *extra)


@contextmanager
def stations() -> Iterator[dict[str, str] | None]:
    """Both test stations, provisioned; None where that failed. Removed in any case."""
    try:
        done = all(playbook("site.yml", variables) for variables in STATIONS.values())
        configs = {name: f"/etc/{variables['gridtie_project']}" for name, variables in STATIONS.items()}
        yield configs if done else None
    finally:
        for variables in STATIONS.values():
            playbook(
                "playbooks/reset.yml", {**variables, "gridtie_purge": "true", "gridtie_confirm_purge": "localhost"}
            )


PARTS: dict[str, Callable[[], bool]] = {
    part.__name__: part for part in (lint, unit, contract, integration, lab, stories)
}  # fmt: skip
USUAL = [name for name in PARTS if name != "stories"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[[], "all", *PARTS], metavar="PART", help=", ".join(PARTS))
    asked = parser.parse_args().parts or USUAL
    wanted = list(PARTS) if "all" in asked else asked
    results: list[tuple[str, bool, float]] = []
    for part in wanted:
        print(f"\n== {part}: {PARTS[part].__doc__ or ''}".rstrip(), flush=True)
        started = time.monotonic()
        results.append((part, PARTS[part](), time.monotonic() - started))
    print()
    for part, passed, seconds in results:
        print(f"{part:12} {'passed' if passed else 'FAILED'} {seconds:6.0f} s")
    if wanted == USUAL:
        print("stories      not run; CI runs them as well: make test PART=all")
    return 0 if all(passed for _, passed, _ in results) else 1


if __name__ == "__main__":
    sys.exit(main())
