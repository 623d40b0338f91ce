#!/usr/bin/env python3
"""Five agents (planner, coder, tester, reviewer, documenter) build one small feature through the router.

Exit code 0: the hidden acceptance tests passed. 1: they did not, or an agent gave nothing usable. 2: the demo could
not run (no router, no sandbox, a wrong argument). 130: interrupted. With --compare, 0: all of it was built, whatever
passed.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import time
from pathlib import Path
from typing import NoReturn


def _lacks(missing: ModuleNotFoundError) -> NoReturn:
    sys.stderr.write(
        f"The module {missing.name!r} is not installed for {sys.executable}. Run `make demo`, which makes the "
        "project's environment first, or use its interpreter: .venv/bin/python demo_final.py\n"
    )
    raise SystemExit(2) from None


try:
    import httpx  # noqa: F401 - asked for here, so that a missing environment is told in one sentence

    from gridtie.agents import account, endpoint, pipeline, tasks
    from gridtie.agents.client import Client, Record, RequestFailed
    from gridtie.agents.screen import Screen
    from gridtie.agents.task import Task
    from gridtie.host import sandbox
    from gridtie.host.commands.bench_arguments import dollars, positive
    from gridtie.host.purpose_names import renamed
except ModuleNotFoundError as missing:
    _lacks(missing)

PASSED, FAILED, COULD_NOT_RUN, INTERRUPTED = 0, 1, 2, 130


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; returns the exit code."""
    options = _parser().parse_args(arguments)
    screen = Screen(sys.stdout)
    if options.list_tasks:
        return _list_tasks(screen)
    if options.compare:
        return _compare(options)
    if len(options.task or ()) > 1:
        _report_problems(["One run builds one task; several --task go with --compare."])
        return COULD_NOT_RUN
    task = tasks.TASKS[options.task[0]] if options.task else tasks.DEFAULT
    try:
        return _demonstrate(task, options, screen)
    except KeyboardInterrupt:
        screen.end_of_answer()
        screen.line("Interrupted; the sandbox is gone.")
        return INTERRUPTED


def _compare(options: argparse.Namespace) -> int:
    """Needs all that the project's environment has; the demo itself runs where there is `httpx` and `msgspec`."""
    try:
        from gridtie.demo import command as comparison
    except ModuleNotFoundError as missing:
        _lacks(missing)
    return comparison.run(options, retry_with=_again())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="demo_final.py", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="coder", help="model or alias to ask the router for (default: coder)")
    parser.add_argument(
        "--environment",
        default="dev",
        choices=("dev", "test", "ci", "production"),
        help="which routing rules apply (default: dev, which is local first)",
    )
    parser.add_argument(
        "--task",
        action="append",
        choices=sorted(tasks.TASKS),
        metavar="TASK",
        help=f"what to build (default: {tasks.DEFAULT.name}; see --list-tasks); with --compare several, default: all",
    )
    parser.add_argument("--seed", type=_seed, default=1, help="0 to 1000000; another seed, another run (default: 1)")
    parser.add_argument("--list-tasks", action="store_true", help="say what can be built, and stop")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the result to FILE")
    parser.add_argument(
        "--sandbox-image", metavar="IMAGE", help="image with python3 to run code in (default: the router's)"
    )
    compare = parser.add_argument_group("on a local model and at a cloud, several times")
    compare.add_argument(
        "--compare", action="store_true", help="what one solved task cost on each, by agent; a file keeps every run"
    )
    compare.add_argument("--cloud", default="", metavar="TARGET", help="default: the cloud that production leads to")
    compare.add_argument("--standin", action="store_true", help="a program that has the answers, in a cloud's place")
    compare.add_argument(
        "--spend",
        type=dollars,
        default=0.0,
        metavar="USD",
        help="the most that the cloud may bill; nothing goes there without",
    )
    compare.add_argument("--seeds", type=positive, default=2, metavar="N", help="so many, from --seed on; default: 2")
    compare.add_argument("--out", type=Path, metavar="FILE", help="every run; default: demo-TARGET-TIME.jsonl")
    compare.add_argument("--resume", type=Path, metavar="FILE", help="go on with what was cut off")
    return parser


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) > 1_000_000:
        raise argparse.ArgumentTypeError(f"found {text!r}, wanted a whole number from 0 to 1000000")
    return int(text)


def _list_tasks(screen: Screen) -> int:
    for task in tasks.TASKS.values():
        default = " (default)" if task is tasks.DEFAULT else ""
        screen.line(f"{task.name}  [{task.level}]{default}", "bold")
        screen.line(f"    {task.request}")
    screen.line()
    screen.line("tiny and small: a very small model may do; real: takes a real coding model. Rates: docs/demo.md")
    return PASSED


def _demonstrate(task: Task, options: argparse.Namespace, screen: Screen) -> int:
    prepared = _prepare(options)
    if isinstance(prepared, list):
        _report_problems(prepared)
        return COULD_NOT_RUN
    client, box = prepared
    with client:
        _announce(task, options, screen, client, box)
        started = time.monotonic()
        try:
            result = pipeline.build(task, client, box.run, options.seed, screen)
        except (RequestFailed, sandbox.SandboxUnavailable) as error:
            screen.end_of_answer()
            _report_problems([str(error)])
            return COULD_NOT_RUN
        seconds = time.monotonic() - started
        records = {reply.request_id: client.record(reply.request_id) for reply in result.replies if reply.request_id}
    _close(task, result, records, seconds, screen)
    if options.json is not None:
        options.json.write_text(json.dumps(_as_json(task, options, result, records, seconds), indent=2) + "\n")
    return PASSED if result.passed else FAILED


def _prepare(options: argparse.Namespace) -> tuple[Client, sandbox.Sandbox] | list[str]:
    """Everything that the demo needs, or the list of what is missing; nothing has been started by then."""
    problems: list[str] = []
    if options.json is not None and not os.access(options.json.parent, os.W_OK):
        problems.append(f"--json {options.json}: {options.json.parent} is not a directory that you may write to.")
    client: Client | None = None
    box: sandbox.Sandbox | None = None
    try:
        client = Client(endpoint.find(), options.model, options.environment)
        served = client.models()
        if told := renamed(options.model, served):
            sys.stderr.write(f"{told}\n")
        elif options.model not in served:
            problems.append(
                f"The router serves no model {options.model!r}; it has {', '.join(served) or 'none'}. "
                "Name one of them with --model."
            )
    except (endpoint.EndpointMissing, RequestFailed) as error:
        problems.append(str(error))
    try:
        box = sandbox.find(endpoint.config_dir(), options.sandbox_image, retry_with=_again())
    except sandbox.SandboxUnavailable as error:
        problems.append(str(error))
    if client is None or box is None or problems:
        return problems
    return client, box


def _again() -> str:
    """This very command, for sudo: with the variables that choose the router, which sudo would drop."""
    kept = [name for name in ("GRIDTIE_CONFIG_DIR", "OPENAI_API_KEY", "OPENAI_BASE_URL") if name in os.environ]
    preserve = [f"--preserve-env={','.join(kept)}"] if kept else []
    # -B: as root, leave no root-owned byte code in the user's checkout.
    return shlex.join([*preserve, sys.executable, "-B", *sys.argv])


def _report_problems(problems: list[str]) -> None:
    errors = Screen(sys.stderr)
    errors.line("The demo could not run:", "bold", "red")
    for problem in problems:
        errors.line(f"  - {problem}")


def _announce(task: Task, options: argparse.Namespace, screen: Screen, client: Client, box: sandbox.Sandbox) -> None:
    limits = box.limits
    screen.line("Five agents build one small feature", "bold")
    screen.field("task", task.request)
    screen.field("through", f"{client.endpoint.base_url}, model {options.model}, environment {options.environment}")
    screen.field("seed", str(options.seed))
    screen.field(
        "sandbox",
        "a throwaway container for every execution: no network, read-only, no capabilities, "
        f"{limits.seconds:g} s, {limits.memory_mb} MB, {limits.processes} processes",
    )


def _close(
    task: Task, result: pipeline.Result, records: dict[str, Record | None], seconds: float, screen: Screen
) -> None:
    lines = account.lines(result.replies, records)
    screen.table(account.HEADER, [line.cells() for line in lines], account.total(result.replies, records))
    screen.line("first: time to the first token. " + account.remark(result.replies, records), "dim")
    screen.line()
    if result.passed:
        screen.line(f"PASS  {task.function} passed its hidden tests, in {seconds:.1f} s", "bold", "green")
        return
    reason = result.failure or "the final file failed hidden tests"
    screen.line(f"FAIL  {task.function}: {reason} ({seconds:.1f} s)", "bold", "red")
    if task.level != "tiny":
        screen.line(
            "This task takes a real coding model; docs/demo.md has the rates that were measured with the small one."
        )


def _as_json(
    task: Task,
    options: argparse.Namespace,
    result: pipeline.Result,
    records: dict[str, Record | None],
    seconds: float,
) -> dict[str, object]:
    hidden = result.hidden
    return {
        "schema": 1,
        "task": task.name,
        "model": options.model,
        "environment": options.environment,
        "seed": options.seed,
        "passed": result.passed,
        "failure": result.failure,
        "hidden": {"passed": hidden.passed, "total": hidden.total} if hidden else None,
        "coder_tries": result.coder_tries,
        "seconds": round(seconds, 2),
        "agents": [vars(line) for line in account.lines(result.replies, records)],
        "requests": [reply.request_id for reply in result.replies],
        "source": result.source,
    }


if __name__ == "__main__":
    sys.exit(main())
