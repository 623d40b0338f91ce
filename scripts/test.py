"""Run the project's checks: `make test`, `make test PART="lint unit"` for some of them, or `PART=all`, as CI does.

Every part runs even if an earlier one failed, so that one run shows all that is wrong; the closing
table says what each came to and how long it took. The parts, in order:

lint         format, style, types, Ansible and YAML rules
unit         one module at a time, in parallel; properties; random inputs
contract     wire formats, the SDKs that people use, recorded ground truth
integration  real engines and the real router container, on two stations beside any live one
lab          a disposable systemd host, provisioned from nothing, killed, verified and reset
scenarios    every way in which a machine becomes a station, is one, or stops being one; in the place of lab in
             PART=all, since it takes longer than all of the others together
kills        the scenarios in which runs are killed, at every point where they can be; only where it is asked for
pairs        upgrades from the engine of 1.0.0 to this one, both from their sources; only where it is asked for
bundles      a station without a network is upgraded by a newer bundle and goes back; only where it is asked for
memory       what the real engine holds in memory, for each small model, at three contexts, alone and four at once, of
             which integration has one model; only where it is asked for
clients      every agent and command that can be had, wired and asked, for docs/clients.md; only where it is asked for
scale        what servers for many run: real vLLM on the processor behind the router and behind the endpoint picker of a
             Kubernetes cluster, whose API is real; several routers on a Docker Swarm that is broken under load; only
             where it is asked for
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
LAB = "tests/lab"
BARE_MACHINE = f"{LAB}/test_bare_machine.py"
# By the time that they take, so that two workers end together; but the native engine's is not begun beside that of the
# upgrades, since it would wait for the mirror that those make. A file that is not named here is taken for a long one.
LONGEST_FIRST = (
    "test_upgrade", "test_bare_machine", "test_native", "test_team", "test_shipped_inventories", "test_adopted_docker",
    "test_bundle", "test_station_upgrade", "test_collection", "test_proxy", "test_gpu", "test_ci", "test_firewall",
    "test_bad_input", "test_observability", "test_mirror",
)  # fmt: skip
# What parts of their own run: bundles, scale.
APART = ("test_bundle_upgrade", "test_vllm_router")
# Files side by side, each in its own order: a machine waits for downloads and starts as long as it computes.
SIDE_BY_SIDE = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder", "--timeout", "1800")

# Unit tests that are skipped where there is no PostgreSQL.
STORES = ("tests/unit/ledger/test_store.py", "tests/unit/ledger/postgres", "tests/unit/gateway/test_replica.py")

# As tests/standins/chromium.py looks for it.
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

# Programs that make the lab's hosts and reach them, and the packages that they are in. A station's run installs the
# first where it needs it, so that it may be here already.
LAB_PROGRAMS = {"mmdebstrap": "mmdebstrap", "ssh": "openssh-client"}

# Stations of the tests: a project's name is also that of its containers, directories, account and command.
STATIONS = {
    "GRIDTIE_TEST_STATION": {"gridtie_project": "gridtie-test", "gridtie_engine": "ollama", "gridtie_port": "28484"},
    "GRIDTIE_TEST_EMBEDDED_STATION": {
        "gridtie_project": "gridtie-test-embedded",
        "gridtie_engine": "embedded",
        "gridtie_port": "28485",
    },
}
# One on which agents find a model that takes their first question and calls tools.
CLIENTS_STATION = {
    "GRIDTIE_TEST_CLIENTS_STATION": {
        "gridtie_project": "gridtie-test-clients",
        "gridtie_engine": "embedded",
        "gridtie_port": "28486",
        "gridtie_models": ["smollm2:135m", {"name": "smollm2-tools:135m", "context": 32768}],
    }
}


def run(*command: str | Path, **environment: str) -> bool:
    """Run a command from the checkout, its output shown as it comes; whether it succeeded."""
    print("$", " ".join(map(str, command)), flush=True)
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(command, cwd=CHECKOUT, env={**os.environ, "PATH": path, **environment}).returncode == 0


def pytest(*arguments: str, **environment: str) -> bool:
    """Run tests; with GRIDTIE_RECORD what each file came to is kept in docs/results, where all of it is run."""
    if not os.environ.get("GRIDTIE_RECORD") or "-k" in arguments:
        return run(BIN / "pytest", "-q", *arguments, **environment)
    from record import keep_tests, version

    with tempfile.TemporaryDirectory() as scratch:
        junit, made_by = Path(scratch) / "junit.xml", version()
        passed = run(BIN / "pytest", "-q", f"--junitxml={junit}", *arguments, **environment)
        keep_tests(junit, made_by)
    return passed


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
    return client_programs("some-agents") and pytest("-n", "2", "tests/contract")


def integration() -> bool:
    """Provision the stations with the product's own playbook, test against them, remove them."""
    with stations() as environment:
        ready = environment is not None and browser() and prometheus() and postgresql()
        return ready and pytest("-n", "0", "tests/integration", *STORES, **(environment or {}))


def lab() -> bool:
    """A bare machine becomes a station."""
    return lab_hosts() and pytest("-n", "0", BARE_MACHINE, "--timeout", "1800")


def scenarios() -> bool:
    """The bare machine, engines as services, upgrades, teams, runners, other Dockers, proxies, bad input."""
    return lab_hosts() and pytest(*SIDE_BY_SIDE, *longest_first())


def longest_first() -> list[str]:
    """The lab's files in the order in which they are begun."""
    names = [path.stem for path in sorted((CHECKOUT / LAB).glob("test_*.py")) if path.stem not in APART]
    names.sort(key=lambda name: LONGEST_FIRST.index(name) if name in LONGEST_FIRST else -1)
    return [f"{LAB}/{name}.py" for name in names]


def kills() -> bool:
    """A killed run and the one after it: each stage's boundary, within the longest, each moment of an upgrade."""
    # A worker is given two tests at least, so that the two files with two each go to one.
    files = [f"{LAB}/test_{name}.py" for name in ("upgrade", "bare_machine", "native")]
    steps = ("-k", "killed or second_run_changes_nothing_and")
    return lab_hosts() and pytest(*SIDE_BY_SIDE, *steps, *files, GRIDTIE_TEST_KILLS="everywhere")


def pairs() -> bool:
    """The upgrades of the scenarios, from the Ollama of stations of 1.0.0 to the one that is compiled now."""
    upgrades = (f"{LAB}/test_upgrade.py", "-n", "0", "--timeout", "1800")
    return lab_hosts() and pytest(*upgrades, GRIDTIE_TEST_PAIR="compiled")


def bundles() -> bool:
    """A station from a bundle becomes one of a newer bundle, without a network, and goes back."""
    return lab_hosts() and pytest("-n", "0", "--timeout", "1800", f"{LAB}/test_bundle_upgrade.py")


def memory() -> bool:
    """Small models examined as long as stations do, and beside the prediction what their servers hold."""
    with stations() as environment:
        acceptance = ("-n", "0", "tests/integration/test_acceptance.py")
        return environment is not None and pytest(*acceptance, **environment, GRIDTIE_TEST_MEMORY="everywhere")


def lab_hosts() -> bool:
    """What hosts of the lab are made with: Docker, by the role that users get it from, and programs of this machine."""
    missing = [package for program, package in LAB_PROGRAMS.items() if not shutil.which(program)]
    return playbook("playbooks/container_engine.yml", {}) and (not missing or packages(*missing))


def browser() -> bool:
    """Chromium, in which pages are looked at: the distribution's, unless there is one."""
    if any(map(shutil.which, BROWSERS)):
        return True
    return packages("chromium")


def packages(*names: str) -> bool:
    """Packages of the distribution, by the module that stations get theirs by."""
    install = ("gridtie.gridtie.gridtie_packages", "-a", json.dumps({"names": names}))
    return run(BIN / "ansible", "localhost", "--connection", "local", "--become", "-m", *install)


def prometheus() -> bool:
    """Prometheus, which scrapes the router: the distribution's."""
    return run(Path(sys.executable), "scripts/prometheus.py")


def postgresql() -> bool:
    """PostgreSQL, which several routers share: the distribution's."""
    return run(Path(sys.executable), "scripts/postgresql.py")


def clients() -> bool:
    """Agents, commands and SDKs that people use, each asked for real; the table of docs/clients.md says what came."""
    if not client_programs("agents"):
        return False
    with stations(CLIENTS_STATION) as environment:
        asked = environment is not None and ask_clients(environment)
    return run(Path(sys.executable), "scripts/results_pages.py") and asked


def scale() -> bool:
    """What servers for many run, for real; what is missing is installed and compiled. Faults: docs/replicas.md."""
    ready = lab_hosts() and vllm() and kubernetes() and postgresql()
    return ready and break_and_serve() and run(Path(sys.executable), "scripts/results_pages.py")


def vllm() -> bool:
    """vLLM for the processor, out of Python's packages."""
    return run(Path(sys.executable), "scripts/vllm_environment.py")


def kubernetes() -> bool:
    """An API server and an endpoint picker, compiled out of Go's modules."""
    return run(Path(sys.executable), "scripts/kubernetes_api.py")


def break_and_serve() -> bool:
    """Run the tests of `scale`, and keep the table of faults in docs/results."""
    from record import keep, version

    with tempfile.TemporaryDirectory() as scratch:
        made_by, began, table = version(), time.monotonic(), Path(scratch) / "chaos.json"
        tests = ("-n", "0", "--timeout", "2400", "tests/scale", f"{LAB}/test_vllm_router.py")
        passed = pytest(*tests, GRIDTIE_CHAOS=str(table))
        if table.exists():
            found = json.loads(table.read_text(encoding="utf-8"))
            keep("chaos", "make test PART=scale", 0 if passed else 1, time.monotonic() - began, made_by, found)
    return passed


def ask_clients(environment: dict[str, str]) -> bool:
    """Run the tests with every client, and keep their reports in docs/results."""
    from client_results import AT_A_STATION, FILES, keep
    from record import version

    with tempfile.TemporaryDirectory() as scratch:
        made_by, began = version(), time.monotonic()
        passed, reports = True, []
        # A real model computes with all cores.
        for lanes, files in (("2", FILES), ("0", (AT_A_STATION,))):
            junit = Path(scratch) / f"junit-{lanes}.xml"
            report = ("-o", "junit_family=xunit1", f"--junitxml={junit}")
            more = {**environment, "GRIDTIE_TEST_AGENTS": "all"}
            passed = run(BIN / "pytest", "-q", "-n", lanes, *report, *files, **more) and passed
            reports += [junit] if junit.exists() else []
        keep(reports, 0 if passed else 1, time.monotonic() - began, made_by)
    return passed


def client_programs(kind: str) -> bool:
    """Programs that people ask the router through, each in an environment of its own."""
    return run(Path(sys.executable), "scripts/client_programs.py", kind)


def playbook(name: str, variables: dict[str, Any]) -> bool:
    return run(BIN / "ansible-playbook", name, "-e", json.dumps(variables))


@contextmanager
def stations(wanted: Mapping[str, dict[str, Any]] = STATIONS) -> Iterator[dict[str, str] | None]:
    """Both test stations, or other ones, provisioned; None where that failed. Removed in any case."""
    try:
        done = all(playbook("site.yml", variables) for variables in wanted.values())
        configs = {name: f"/etc/{variables['gridtie_project']}" for name, variables in wanted.items()}
        yield configs if done else None
    finally:
        for variables in wanted.values():
            playbook(
                "playbooks/reset.yml", {**variables, "gridtie_purge": "true", "gridtie_confirm_purge": "localhost"}
            )


PARTS: dict[str, Callable[[], bool]] = {
    part.__name__: part
    for part in (lint, unit, contract, integration, lab, scenarios, kills, pairs, memory, bundles, clients, scale)
}  # fmt: skip
USUAL = ["lint", "unit", "contract", "integration", "lab"]
# The bare machine is among the scenarios, and so beside them.
ALL = ["lint", "unit", "contract", "integration", "scenarios"]
# What parts were called before.
FORMER = {"stories": "scenarios"}


def chosen(asked: list[str]) -> list[str]:
    """The parts to be run, in the order in which they were asked for."""
    wanted = [part for word in asked for part in (ALL if word == "all" else [FORMER.get(word, word)])]
    return list(dict.fromkeys(wanted)) or USUAL


def remarks(asked: list[str]) -> Iterator[str]:
    """What whoever asked for these parts should know."""
    for word in asked:
        if word in FORMER:
            yield f"{word} is called {FORMER[word]} now: make test PART={FORMER[word]}"
    if chosen(asked) == USUAL:
        yield "scenarios    not run; CI runs them in the place of lab: make test PART=all"
    if chosen(asked) == ALL:
        yield "kills, pairs, memory, bundles and scale: not run; docs/testing.md has when they were"
        yield "clients      two of them, among contract; docs/clients.md has when all were asked"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = [[], "all", *PARTS, *FORMER]
    parser.add_argument("parts", nargs="*", choices=known, metavar="PART", help=f"all, {', '.join(PARTS)}")
    asked = parser.parse_args().parts
    results: list[tuple[str, bool, float]] = []
    for part in chosen(asked):
        print(f"\n== {part}: {PARTS[part].__doc__ or ''}".rstrip(), flush=True)
        started = time.monotonic()
        results.append((part, PARTS[part](), time.monotonic() - started))
    print()
    for part, passed, seconds in results:
        print(f"{part:12} {'passed' if passed else 'FAILED'} {seconds:6.0f} s")
    print(*remarks(asked), sep="\n")
    return 0 if all(passed for _, passed, _ in results) else 1


if __name__ == "__main__":
    sys.exit(main())
