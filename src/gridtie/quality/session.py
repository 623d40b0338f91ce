"""Puts what is left of a run's tasks to the router, one after another, and writes down what each answer is worth."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from gridtie.agents.judge import Runner
from gridtie.bench.command import allowed
from gridtie.bench.errors import BenchError
from gridtie.bench.ledger_row import facts_of, row_of, settled
from gridtie.bench.lines import Facts, named
from gridtie.bench.purse import Purse
from gridtie.bench.target import Configuration, find_route
from gridtie.config.problems import closest
from gridtie.dialects.openai_chat.facts import read as read_facts
from gridtie.host import paths, sandbox
from gridtie.host.commands.quality_arguments import CATEGORIES
from gridtie.host.router import Router
from gridtie.host.sandbox import Execution, SandboxUnavailable
from gridtie.host.sandbox_link import LinkedSandbox
from gridtie.host.version import __version__
from gridtie.ledger import Entry
from gridtie.quality import humaneval
from gridtie.quality.ask import NotAnswered, Reply, ask, body_of
from gridtie.quality.results import FILES, LeftOut, Run, Try, Writer, read
from gridtie.quality.task import Task
from gridtie.quality.tasks import TASKS

# So many requests without an answer, one after another: the target is gone, and the rest would be unanswered, too.
_GIVE_UP = 3


class Session:
    """One call of the command: what it asks, whom, and where it writes."""

    def __init__(self, args: Namespace) -> None:
        """Find the way to the target. Raises `BenchError`, `StationError`, `Unreachable`, `Declined`."""
        self._args = args
        before = read(args.resume).run if args.resume else None
        self._endpoint = paths.find(os.environ, paths.home_of(os.environ))
        self._router = Router(self._endpoint.url, self._endpoint.key)
        wanted, environment = (before.target, before.environment) if before else (args.target, args.environment)
        self._route = find_route(self._router, wanted, environment, "quality")
        if before and self._route.target != before.target:
            raise BenchError(f"{args.resume} is about {before.target}; the router goes to {self._route.target} now")
        self._spend = args.spend or (before.spend if before else 0.0)
        configuration = Configuration.read(paths.config_dir(os.environ))
        self._quantisation = configuration.quantisation(self._route)
        self._most = allowed(self._route, configuration, self._spend)
        self._tasks = _again(before) if before else _chosen(args)
        self._by_name = {task.name: task for task in self._tasks}
        self._box, self._no_box = _sandbox(args, self._tasks)
        self.path: Path = args.resume or args.out or named("quality", self._route.target)
        self._silent = 0

    def opened(self) -> Writer:
        """The file of results, new or as it was left."""
        args, route = self._args, self._route
        if args.resume:
            return FILES.resume(args.resume)
        run = Run(
            version=__version__,
            started=datetime.now().astimezone().isoformat(timespec="seconds"),
            target=route.target,
            locality=route.locality,
            context=route.context,
            quantisation=self._quantisation,
            environment=route.environment,
            tasks={task.name: task.category for task in self._tasks},
            sets=tuple(map(str, args.set)),
            samples=args.samples,
            temperature=args.temperature,
            spend=self._spend,
        )
        writer = FILES.begin(self.path, run)
        for task in self._tasks:
            if why := self._unfit(task):
                writer.add(LeftOut(task=task.name, why=why))
        return writer

    def go(self, writer: Writer, say: Callable[[str], None]) -> None:
        """Try what is left. Raises `BenchError` where the target answers no more."""
        purse = Purse(writer, self._spend) if self._most is not None else None
        left = writer.results.left
        # Before anything is asked: an answer that cannot be judged may have cost money.
        if self._no_box and any(self._by_name[name].executes for name, _ in left):
            raise BenchError(self._no_box)
        for place, (name, sample) in enumerate(left, 1):
            say(f"{name}: try {place} of {len(left)}")
            self._one(writer, self._by_name[name], sample, purse)

    def _one(self, writer: Writer, task: Task, sample: int, purse: Purse | None) -> None:
        body = body_of(task, self._route, sample, writer.results.run.temperature)
        number = None
        if purse is not None and self._most is not None:
            number = purse.take(self._most(read_facts(msgspec.json.encode(body)), task.max_tokens))
        try:
            reply = ask(self._endpoint.url, self._endpoint.key, self._route, body)
        except NotAnswered as error:
            self._count(error)
            return
        self._silent = 0
        row = row_of(self._router, reply.request_id)
        if self._elsewhere(reply, row):
            return
        if purse is not None and number is not None:
            purse.settle(number, settled(row))
        if row is not None and writer.results.facts == Facts():
            writer.add(facts_of(row))
        why = task.check(reply.answer, self._box)
        writer.add(Try(task=task.name, sample=sample, why=why, seconds=reply.seconds, entry=row))

    def _elsewhere(self, reply: Reply, row: Entry | None) -> bool:
        """Whether another target answered: that is no answer of the one that is tried."""
        target = reply.target or (row.target if row else None)
        locality = reply.locality or (row.locality if row else None)
        if not target or target == self._route.target:
            return False
        if locality == "cloud" and not self._spend:
            raise BenchError(f"{target}, a cloud, answered for {self._route.target}, which is local: stopped at once")
        return True

    def _count(self, error: NotAnswered) -> None:
        self._silent += 1
        if error.final or self._silent >= _GIVE_UP:
            raise BenchError(f"{self._route.target} answers no more: {error}") from None

    def _unfit(self, task: Task) -> str:
        """Why a task cannot be given to this target, or on this machine; "" where it can."""
        context = self._route.context
        if context is not None and task.context + task.max_tokens > context:
            return f"the target has {context:,} tokens of context"
        if task.tools and not self._route.tools:
            return "the target takes no tools"
        return self._no_box if task.executes else ""


def _chosen(args: Namespace) -> list[Task]:
    """Our own tasks, or those of the files that are named; both where categories are named as well."""
    wanted = args.category or ([] if args.set else CATEGORIES)
    for name in wanted:
        if name not in CATEGORIES:
            near = closest(name, list(CATEGORIES))
            known = ", ".join(CATEGORIES)
            raise BenchError(f"there is no category {name!r}{f' ({near})' if near else ''}; there are {known}")
    own = [task for task in TASKS.values() if task.category in wanted]
    return own + [task for path in args.set for task in humaneval.load(path)]


def _again(run: Run) -> list[Task]:
    """The tasks of a run that is gone on with."""
    known = TASKS | {task.name: task for path in run.sets for task in humaneval.load(Path(path))}
    if gone := [name for name in run.tasks if name not in known]:
        raise BenchError(f"{gone[0]} was tried before and is no task of this version; begin a new run")
    return [known[name] for name in run.tasks]


def _sandbox(args: Namespace, tasks: Sequence[Task]) -> tuple[Runner, str]:
    """What runs a model's code, or why nothing may: it is executed in a sandbox or not at all."""
    try:
        if any(task.executes for task in tasks):
            if args.linked_sandbox:
                return LinkedSandbox(sys.stdout, sys.stdin).run, ""
            return sandbox.find(paths.config_dir(os.environ), args.sandbox_image, retry_with="gridtie quality").run, ""
    except SandboxUnavailable as error:
        return _refuse, f"there is no sandbox ({error})"
    return _refuse, ""


def _refuse(_program: str, _stdin: str) -> Execution:
    raise SandboxUnavailable("nothing is executed without a sandbox")
