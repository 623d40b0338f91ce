"""`gridtie bench` where the whole project is: on a controller, and in the container that a host's command starts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from gridtie.bench import page, purse, text
from gridtie.bench.asking import Failed, Way
from gridtie.bench.errors import BenchError
from gridtie.bench.expect import Expectation, judge, parse
from gridtie.bench.lines import named
from gridtie.bench.machine import this_machine
from gridtie.bench.meter import FileMeter, Meter, OwnMeter
from gridtie.bench.plan import BESIDE, ROUTER
from gridtie.bench.profiles import PROFILES, USUAL, Profile
from gridtie.bench.progress import Progress
from gridtie.bench.results import FILES, LeftOut, Results, Run, Writer, read
from gridtie.bench.run import Runner, Tools
from gridtie.bench.summary import compared, summaries
from gridtie.bench.target import Beside, Configuration, Route, find_route
from gridtie.config.problems import closest
from gridtie.dialects.facts import Facts
from gridtie.dialects.types import Dialect
from gridtie.host import paths
from gridtie.host.new_file import put
from gridtie.host.paths import StationError
from gridtie.host.router import Declined, Router, Unreachable, send
from gridtie.host.table import indented
from gridtie.host.version import __version__
from gridtie.providers.target import Target
from gridtie.upstream.connection_pool import ConnectionPool

HELD, MISSED, COULD_NOT, INTERRUPTED = 0, 1, 2, 130

Most = Callable[[Facts, int], float]
Resident = Callable[[], int | None]


def run(args: Namespace) -> int:
    """Measure, show or compare; the exit status is the answer."""
    try:
        expectations = [parse(each) for each in args.expect]
        if args.compare:
            return _compare(args)
        if args.show:
            return _tell(args, read(args.show), expectations)
        return _measure(args, expectations)
    except (BenchError, StationError, Unreachable, Declined) as error:
        sys.stderr.write(f"gridtie: {error}\n")
        return COULD_NOT


# -- files -------------------------------------------------------------------------------------------------------------


def _compare(args: Namespace) -> int:
    before, after = (read(path) for path in args.compare)
    found = compared(before, after)
    if not found:
        raise BenchError(f"{args.compare[0]} and {args.compare[1]} have no row in common: nothing can be compared")
    for name, results in zip(("A", "B"), (before, after), strict=True):
        sys.stdout.write(f"{name}  {indented(text.head(results))}\n\n")
    sys.stdout.write(f"{text.findings(found, 'B against A')}\n")
    if args.json:
        told = {"schema": text.SCHEMA, "findings": [text.finding_document(each) for each in found]}
        _put(args.json, _as_json(told))
    if args.html:
        _put(args.html, page.comparison(before, after, found))
    return MISSED if any(each.word == "slower" for each in found) else HELD


def _tell(args: Namespace, results: Results, expectations: Sequence[Expectation]) -> int:
    outcomes = judge(expectations, summaries(results))
    sys.stdout.write(text.report(results, outcomes) + "\n")
    if args.json:
        _put(args.json, _as_json(text.document(results, outcomes)))
    if args.html:
        _put(args.html, page.page(results, outcomes))
    return HELD if all(outcome.held for outcome in outcomes) else MISSED


def _put(path: Path, content: str) -> None:
    try:
        put(path, content)
    except OSError as error:
        raise BenchError(f"{path} cannot be written: {error.strerror}; name another place") from None


def _as_json(document: object) -> str:
    return json.dumps(msgspec.to_builtins(document), indent=2, ensure_ascii=False) + "\n"


# -- measuring ---------------------------------------------------------------------------------------------------------


def _measure(args: Namespace, expectations: Sequence[Expectation]) -> int:
    session = Session(args)
    failure = ""
    status = COULD_NOT
    try:
        asyncio.run(session.work())
    except BenchError as error:
        if session.writer is None:
            raise
        failure = str(error)
    except KeyboardInterrupt:
        if session.writer is None:
            raise
        failure, status = "interrupted", INTERRUPTED
    outcome = _tell(args, session.writer.results, expectations) if session.writer is not None else COULD_NOT
    sys.stdout.write(f"\nResults are in {session.path}\n")
    if not failure:
        return outcome
    sys.stderr.write(f"gridtie: {failure}; what was measured is kept, go on with --resume {session.path}\n")
    return status


class Session:
    """One call of the command: what it asks, whom, and where it writes."""

    def __init__(self, args: Namespace) -> None:
        """Find the way to the target. Raises `BenchError`, `StationError`, `Unreachable`, `Declined`."""
        self._args = args
        # From the first line written on.
        self.writer: Writer | None = None
        before = read(args.resume).run if args.resume else None
        self._endpoint = paths.find(os.environ, paths.home_of(os.environ))
        self._router = Router(self._endpoint.url, self._endpoint.key)
        wanted, environment = (before.target, before.environment) if before else (args.target, args.environment)
        self._route = find_route(self._router, wanted, environment)
        if before and self._route.target != before.target:
            raise BenchError(f"{args.resume} is about {before.target}; the router goes to {self._route.target} now")
        configuration = Configuration.read(paths.config_dir(os.environ))
        self._spend = args.spend or (before.spend if before else 0.0)
        self._most = allowed(self._route, configuration, self._spend)
        self._direct = args.direct or (before.direct if before else "")
        self._beside = _beside(self._route, configuration, self._direct)
        self._profiles = before.profiles if before else _profiles(args)
        self.path: Path = args.resume or args.out or named("bench", self._route.target)

    async def work(self) -> None:
        """Measure all of it, or the rest. Raises `BenchError`."""
        pool = ConnectionPool(asyncio.get_running_loop())
        try:
            await self._work(pool)
        finally:
            pool.close()
            # Connections that were just closed get to notice.
            await asyncio.sleep(0)

    async def _work(self, pool: ConnectionPool) -> None:
        key = ("authorization", f"Bearer {self._endpoint.key}")
        router = Way(pool, f"{self._endpoint.url}/v1", (key, *self._route.headers), model=self._route.model)
        ways = {ROUTER: router}
        beside, why = await _reached(pool, self._beside)
        if beside is not None:
            ways[BESIDE] = beside
        with self._opened(tuple(ways), why) as writer, _meter(self._args) as meter, Progress(sys.stderr) as progress:
            self.writer = writer
            tools = Tools(
                router=self._router,
                ways=ways,
                meter=meter,
                beside=self._beside.target if beside is not None else None,
                purse=purse.Purse(writer, self._spend) if self._most is not None else None,
                most=self._most,
            )
            await Runner(writer, tools, progress.say).measure()

    def _opened(self, ways: tuple[str, ...], why: str) -> Writer:
        """The file of results, new or as it was left."""
        args = self._args
        if args.resume:
            writer = FILES.resume(args.resume)
            if missing := set(writer.results.run.ways) - set(ways):
                writer.close()
                raise BenchError(f"{args.resume} measured beside the router, and now that cannot be: {why or missing}")
            return writer
        writer = FILES.begin(self.path, self._described(ways, why))
        for profile in self._profiles:
            if reason := unfit(profile, self._route):
                writer.add(LeftOut(profile=profile.name, why=reason))
        return writer

    def _described(self, ways: tuple[str, ...], why: str) -> Run:
        args, route = self._args, self._route
        return Run(
            version=__version__,
            started=datetime.now().astimezone().isoformat(timespec="seconds"),
            # Another run asks other prompts, or the engine would know them.
            seed=args.seed or secrets.token_hex(8),
            endpoint=self._endpoint.url,
            target=route.target,
            locality=route.locality,
            context=route.context,
            model=route.model,
            environment=route.environment,
            tags=route.tags,
            clouds=route.clouds,
            ways=ways,
            why_not_beside=why,
            direct=self._direct,
            profiles=self._profiles,
            concurrency=args.concurrency,
            requests=args.requests,
            rounds=min(args.rounds, args.requests),
            cold=args.cold,
            spend=self._spend,
            machine=this_machine(),
        )


def allowed(route: Route, configuration: Configuration, spend: float) -> Most | None:
    """What a request may be billed at most; None where the router can send it to no cloud. Raises `BenchError`."""
    if route.locality != "cloud" and not route.clouds:
        return None
    if not spend:
        instead = f" ({'; '.join(route.skipped)})" if route.skipped else ""
        cloud = "is a cloud" if route.locality == "cloud" else f"may be answered for by {', '.join(route.clouds)}"
        raise BenchError(
            f"{route.target} {cloud}{instead}, and nothing is sent to a cloud without a limit: --spend USD sets it"
        )
    if configuration.targets is None:
        raise BenchError(f"no limit of spending can be kept, since prices are not known: {configuration.why}")
    return purse.bound(configuration.targets, route.clouds)


def _beside(route: Route, configuration: Configuration, direct: str) -> Beside:
    """The engine past the router, at the address that was named or the configured one."""
    found = configuration.beside(route)
    if not direct or route.locality != "local":
        return found
    url = direct.rstrip("/")
    target = found.target or _guessed(route, url)
    path = "/v1" if target.dialect == "openai" and not urlsplit(url).path else ""
    return Beside(msgspec.structs.replace(target, base_url=url + path))


def _guessed(route: Route, url: str) -> Target:
    """A target at an address of which nothing is known: an Ollama says its version, all others speak OpenAI's."""
    try:
        ollama = send("GET", f"{url}/api/version", timeout=5.0).status == 200
    except (Unreachable, ValueError) as error:
        raise BenchError(f"--direct {url}: {error}") from None
    provider, _, model = route.target.partition("/")
    dialect: Dialect = "ollama" if ollama else "openai"
    return Target(id=route.target, provider=provider, model=model, locality="local", dialect=dialect, base_url=url)


async def _reached(pool: ConnectionPool, beside: Beside) -> tuple[Way | None, str]:
    """The way past the router, or why there is none."""
    target = beside.target
    if target is None:
        return None, beside.why
    try:
        way = Way(
            pool, target.base_url, target.headers, model=target.model, dialect=target.dialect, ca_file=target.ca_file
        )
        await way.connect()
    except (Failed, ValueError) as error:
        return None, f"{error}; --direct URL names another address of the engine"
    return way, ""


def _profiles(args: Namespace) -> tuple[Profile, ...]:
    chosen = []
    for name in args.profile or USUAL:
        profile = PROFILES.get(name)
        if profile is None:
            near = closest(name, list(PROFILES))
            raise BenchError(
                f"there is no profile {name!r}{f' ({near})' if near else ''}; there are {', '.join(PROFILES)}"
            )
        profile = profile.without_tools() if args.without_tools else profile
        chosen.append(profile.sized(args.prompt_tokens) if args.prompt_tokens else profile)
    return tuple(dict.fromkeys(chosen))


def unfit(profile: Profile, route: Route) -> str:
    """Why a profile cannot be asked of a target; "" where it can."""
    if route.context is not None and profile.context > route.context:
        return (
            f"it takes {profile.context:,} tokens of context and the target has {route.context:,} "
            "(--prompt-tokens asks for less)"
        )
    if profile.tools and not route.tools:
        return "the target takes no tools (--without-tools asks the same without)"
    return ""


@contextlib.contextmanager
def _meter(args: Namespace) -> Iterator[Meter]:
    """What is used meanwhile: seen by this process, or told by the host where this is a container."""
    if args.meter:
        yield FileMeter(args.meter)
        return
    own = OwnMeter(_resident())
    try:
        yield own
    finally:
        own.stop()


def _resident() -> Resident:
    """Looks at the engine's processes, as the doctor does."""
    # Not in the router's image, where the host looks in its place.
    from gridtie.host.commands.bench import resident_of

    return resident_of()
