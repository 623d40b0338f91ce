"""`make demo COMPARE=1`: the demo on a local target and at a cloud, over several tasks and seeds."""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import msgspec

from gridtie.agents import tasks
from gridtie.agents.client import Client
from gridtie.agents.endpoint import Endpoint
from gridtie.bench.command import allowed
from gridtie.bench.errors import BenchError
from gridtie.bench.lines import Stopped, named
from gridtie.bench.machine import this_machine
from gridtie.bench.progress import Progress
from gridtie.bench.purse import Purse
from gridtie.bench.target import Configuration, Route, find_route
from gridtie.demo import session, told
from gridtie.demo.results import FILES, Results, Run, Side, Writer, read
from gridtie.demo.standin import Standin, running
from gridtie.demo.way import Way
from gridtie.host import paths, sandbox
from gridtie.host.new_file import put
from gridtie.host.paths import StationError
from gridtie.host.router import Declined, Router, Unreachable
from gridtie.host.sandbox import SandboxUnavailable
from gridtie.host.version import __version__
from gridtie.solved.money import Tariff

COMPARED, COULD_NOT, INTERRUPTED = 0, 2, 130


def run(options: Namespace, retry_with: str = "") -> int:
    """Build, and tell; exit status 0 where all of it was built. `retry_with` is the command for sudo."""
    try:
        before = read(options.resume) if options.resume else None
        with ExitStack() as stack:
            box = sandbox.find(paths.config_dir(os.environ), options.sandbox_image, retry_with=retry_with)
            ways = _ways(options, before, stack)
            path: Path = options.resume or options.out or named("demo", ways[0].side.target)
            target = _target(options.json, path)
            with _opened(options, before, ways, path) as writer:
                failure, status = _build(writer, ways, box, options.spend or writer.results.run.spend)
        return _tell(writer.results, path, target, failure, status)
    except (BenchError, StationError, Unreachable, Declined, SandboxUnavailable) as error:
        sys.stderr.write(f"gridtie: {error}\n")
        return COULD_NOT


def _build(writer: Writer, ways: Sequence[Way], box: sandbox.Sandbox, spend: float) -> tuple[str, int]:
    for way in ways:
        way.purse = Purse(writer, spend) if way.most is not None else None
    try:
        with Progress(sys.stderr) as progress:
            session.go(writer, ways, box.run, progress.say)
    except (BenchError, SandboxUnavailable) as error:
        failure, status = str(error), COULD_NOT
    except KeyboardInterrupt:
        failure, status = "interrupted", INTERRUPTED
    else:
        left, broken = len(writer.results.left), writer.results.broken
        failure, status = (f"{left} runs were interrupted: {broken[-1].why}", COULD_NOT) if left else ("", COMPARED)
    if failure:
        writer.add(Stopped(why=failure))
    return failure, status


def _target(named_: Path | None, path: Path) -> Path:
    """Where it is written what the runs in `path` come to. Raises `BenchError`."""
    target = named_ or path.with_suffix(".json")
    if target.absolute() == path.absolute():
        raise BenchError(f"{path} is where every run is kept, and would be overwritten by --json; name another")
    return target


def _tell(results: Results, path: Path, target: Path, failure: str, status: int) -> int:
    tariff = Tariff.read(paths.config_dir(os.environ))
    sys.stdout.write(told.text(results, tariff) + "\n")
    try:
        put(target, json.dumps(told.document(results, tariff), indent=2) + "\n")
    except OSError as error:
        raise BenchError(f"{target} cannot be written: {error.strerror}; name another place with --json") from None
    sys.stdout.write(
        f"\nResults are in {path}, what they come to is in {target}: `gridtie report --quality {target}` sets it "
        "beside the money\n"
    )
    if failure:
        sys.stderr.write(f"gridtie: {failure}; what was built is kept, go on with --resume {path}\n")
    return status


def _opened(options: Namespace, before: Results | None, ways: Sequence[Way], path: Path) -> Writer:
    if before is not None:
        return FILES.resume(path)
    return FILES.begin(
        path,
        Run(
            version=__version__,
            started=datetime.now().astimezone().isoformat(timespec="seconds"),
            sides=tuple(way.side for way in ways),
            tasks=tuple(dict.fromkeys(options.task or tasks.TASKS)),
            seed=options.seed,
            seeds=options.seeds,
            spend=options.spend,
            machine=this_machine(),
        ),
    )


# -- sides -------------------------------------------------------------------------------------------------------------


def _ways(options: Namespace, before: Results | None, stack: ExitStack) -> list[Way]:
    """The local side and the cloud's, or a stand-in's in its place."""
    endpoint = paths.find(os.environ, paths.home_of(os.environ))
    config = paths.config_dir(os.environ)
    router = Router(endpoint.url, endpoint.key)
    if before is not None:
        here, there = before.run.sides
        spend = options.spend or before.run.spend
        wanted, cloud, standin = here.target, "" if there.standin else there.target, there.standin
        environment = here.environment
    else:
        wanted, cloud, standin, spend = options.model, options.cloud, options.standin, options.spend
        environment = options.environment
    local = find_route(router, wanted, environment, "demo")
    if local.locality != "local":
        raise BenchError(
            f"{wanted} leads to {local.target} in {environment}, which is not local; name a local target with --model"
        )
    if not standin and not cloud:
        cloud, standin = _configured_cloud(router, options.model)
    ways = [_way(local, endpoint.url, endpoint.key, config, spend, stack)]
    if standin:
        other = stack.enter_context(running())
        ways.append(_standin_way(other, stack))
    else:
        route = find_route(router, cloud, None if "/" in cloud else "production", "demo")
        if route.locality != "cloud":
            raise BenchError(f"{cloud} leads to {route.target}, which is no cloud; name one with --cloud, or --standin")
        ways.append(_way(route, endpoint.url, endpoint.key, config, spend, stack))
    _as_before(before, ways)
    return ways


def _configured_cloud(router: Router, model: str) -> tuple[str, bool]:
    """The cloud that production leads to; where there is none, a stand-in has to do."""
    try:
        route = find_route(router, model, "production", "demo")
    except BenchError:
        return "", True
    return (route.target, False) if route.locality == "cloud" else ("", True)


def _way(route: Route, url: str, key: str, config: Path, spend: float, stack: ExitStack) -> Way:
    configuration = Configuration.read(config)
    most = allowed(route, configuration, spend)
    client = Client(Endpoint(f"{url}/v1", key), route.model, route.environment, route.tags)
    side = Side(
        target=route.target,
        locality=route.locality,
        context=route.context,
        quantisation=configuration.quantisation(route),
        model=route.model,
        environment=route.environment,
        tags=route.tags,
    )
    return Way(side, stack.enter_context(client), Router(url, key), most)


def _standin_way(other: Standin, stack: ExitStack) -> Way:
    """Its money is play money, and no purse is held for it."""
    route = find_route(Router(other.url, other.key), "coder", "production", "demo")
    way = _way(route, other.url, other.key, other.config, float("inf"), stack)
    return Way(msgspec.structs.replace(way.side, standin=True), way.client, way.router)


def _as_before(before: Results | None, ways: Sequence[Way]) -> None:
    for was, way in zip(before.run.sides if before else (), ways, strict=False):
        if was.target != way.side.target:
            raise BenchError(f"the run that is gone on with is about {was.target}; {way.side.target} is there now")
