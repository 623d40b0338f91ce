"""One line a stage, with the elapsed time and what is being built or fetched."""

from __future__ import annotations

import contextlib
import datetime
import os
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from ansible.plugins.callback.default import CallbackModule as DefaultCallback
from ansible.template import Templar

from ..plugin_utils import gridtie_fleet_report as fleet_report
from ..plugin_utils.gridtie_collection import installed

DOCUMENTATION = """
name: gridtie
type: stdout
short_description: One line a stage, live progress, failures in full
description:
  - A stage is a role that the play itself includes. Its line tells how it ended, how long it took and what was done.
  - While a stage runs, a terminal shows what it waits for; a log file gets a line now and then.
  - With C(-v) and more, Ansible's usual output.
extends_documentation_fragment:
  - default_callback
  - result_format_callback
"""

# Words that must be in reach of the eye, not of a search: wide enough for "container engine".
_TITLE_WIDTH = 18
# Sign of life in a log that nobody watches: often enough to see that it moves, seldom enough to read.
_LOG_INTERVAL_S = 20.0
_TERMINAL_INTERVAL_S = 0.2
_SPINNER = "|/-\\"
_TAIL_LINES = 40

# How the message of a failure begins that was told when it happened, and is counted at the end.
TOLD = "Told above"

_PASSWORD = "sudo wants a password: add --ask-become-pass" + (
    "." if installed() else ", or use `make site` in a terminal."
)
_HINTS = (
    ("is not in the sudoers", "This user may not use sudo. Ask the machine's administrator, or run as root."),
    ("incorrect sudo password", "The sudo password was wrong: run the command again."),
    # ansible-core 2.19 says it so, as soon as sudo asks a second time.
    ("duplicate become password prompt", "The sudo password was wrong: run the command again."),
    ("missing sudo password", _PASSWORD),
    ("a password is required", _PASSWORD),
    ("no space left on device", "The disk is full: free some space (docker system df shows what Docker holds)."),
)


class _Stage:
    """What is told about one stage at its end."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.started = time.monotonic()
        self.changed: list[str] = []
        self.failed = False
        self.note = ""
        # Whether no host had anything to do with it.
        self.skipped = False
        # What there is to read before anything is changed: a table, perhaps.
        self.announcement = ""
        # What a person should know, and of which hosts: each is told once for all of them.
        self.notices: dict[str, list[str]] = {}


class _Live:
    """The line about the running stage, drawn by a thread of its own: the main thread waits for results.

    It writes with ``os.write`` alone. Workers are forked while this thread runs, and a fork must not inherit a lock of
    Python's buffered output that the thread holds.
    """

    def __init__(self, progress_file: str) -> None:
        self._file = progress_file
        self._terminal = os.isatty(1) and os.environ.get("TERM", "dumb") != "dumb"
        self._stop = threading.Event()
        self._pause = threading.Lock()
        self._drawn = False
        self._thread: threading.Thread | None = None
        self.stage: _Stage | None = None
        self.task = ""

    def start(self) -> None:
        self._thread = threading.Thread(target=self._loop, name="gridtie-progress", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join(timeout=2)
        self.clear()

    def next_task(self, name: str) -> None:
        self.task = name
        with contextlib.suppress(OSError):
            os.truncate(self._file, 0)

    def clear(self) -> None:
        """Take the live line away, so that a lasting one can be written."""
        with self._pause:
            self._erase()

    def _erase(self) -> None:
        if self._drawn:
            os.write(1, b"\r\x1b[2K")
            self._drawn = False

    def _doing(self) -> str:
        try:
            with Path(self._file).open(encoding="utf-8", errors="replace") as file:
                return " ".join(file.read(400).split()) or self.task
        except OSError:
            return self.task

    def _loop(self) -> None:
        said, last, turn = "", time.monotonic(), 0
        while not self._stop.wait(_TERMINAL_INTERVAL_S if self._terminal else 1.0):
            stage = self.stage
            if stage is None:
                continue
            now = time.monotonic()
            doing = self._doing()
            if self._terminal:
                turn += 1
                width = shutil.get_terminal_size().columns - 1
                title = f"{_SPINNER[turn % 4]} {stage.title:<{_TITLE_WIDTH - 2}}"
                line = f"  {title} {_duration(now - stage.started):>8}  {doing}"
                with self._pause:
                    if self.stage is stage:
                        os.write(1, b"\r\x1b[2K" + line[:width].encode())
                        self._drawn = True
            elif now - max(last, stage.started) >= _LOG_INTERVAL_S:
                last = now
                same = " (still)" if doing == said else ""
                said = doing
                elapsed = _duration(now - stage.started)
                line = f"  {stage.title:<{_TITLE_WIDTH}} {elapsed:>10}  ...       {doing}{same}\n"
                with self._pause:
                    os.write(1, line.encode())


class CallbackModule(DefaultCallback):
    """Ansible's events, told as stages; with -v everything is left to the default callback."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "gridtie"

    def __init__(self) -> None:
        super().__init__()
        self._stages: list[_Stage] = []
        self._summaries: list[str] = []
        self._check = False
        self._several_hosts = False
        self._fleet = fleet_report.FleetReport()
        self._playbook, self._verdict_file, self._heading, self._told_heading = "", "", "", ""
        self._directory = tempfile.mkdtemp(prefix="gridtie-progress-")
        path = f"{self._directory}/now"
        with Path(path).open("w", encoding="utf-8"):
            pass
        # Read back by the playbook, which hands it to the modules.
        os.environ["GRIDTIE_PROGRESS_FILE"] = path
        self._live = _Live(path)
        self._began = time.monotonic()
        # The stage that asks something on the terminal.
        self._waiting: _Stage | None = None

    @property
    def _usual(self) -> bool:
        return bool(self._display.verbosity)

    # The run

    def v2_playbook_on_start(self, playbook: Any) -> None:
        self._playbook = Path(playbook._file_name).stem
        if self._usual:
            super().v2_playbook_on_start(playbook)
            return
        self._live.start()

    def v2_playbook_on_play_start(self, play: Any) -> None:
        hosts, batch = self._begin_play(play)
        self._check = bool(play.check_mode)
        if self._usual:
            super().v2_playbook_on_play_start(play)
            return
        self._end_stage()
        self._play = play
        self._several_hosts = len(hosts) > 1
        wave = f" on {', '.join(batch)}" if len(batch) < len(hosts) else ""
        suffix = "  (check: nothing is changed)" if self._check else ""
        # Said with the first thing that is told: a play may have nothing to do.
        self._heading = f"{play.get_name().strip()}{wave}{suffix}"

    def _begin_play(self, play: Any) -> tuple[list[str], list[str]]:
        """All hosts of a play, and those of the wave that starts."""
        manager = play.get_variable_manager()
        told = manager.get_vars(play=play)
        hosts, batch = (list(told.get(name) or []) for name in ("ansible_play_hosts_all", "ansible_play_batch"))
        self._fleet.begin(hosts, batch)
        if hosts and not self._verdict_file:
            host = next(host for host in manager._inventory.get_hosts() if host.name in hosts)
            known = manager.get_vars(play=play, host=host)
            template = Templar(loader=manager._loader, variables=known)
            self._verdict_file = str(template.template(known.get("gridtie_verdict_file") or ""))
        return hosts, batch

    def v2_playbook_on_no_hosts_matched(self) -> None:
        """Nothing is said: a play for those that came so far, or for none."""

    def v2_playbook_on_no_hosts_remaining(self) -> None:
        """Nothing is said: each host's failure was, and the table has those that were not reached."""

    def v2_playbook_on_stats(self, stats: Any) -> None:
        if self._usual:
            super().v2_playbook_on_stats(stats)
            self._tell_fleet(stats)
        else:
            self._end_stage()
            self._heading = ""
            self._live.stop()
            for summary in self._summaries:
                self._say(summary)
            self._tell_fleet(stats)
            self._say("")
            # At the end, since a failure that the playbook itself answers is nobody's to mend.
            if stats.failures or stats.dark:
                self._say(
                    "Run the same command again when that is done: it goes on where it stopped. -v shows every task."
                )
                self._say("")
            self._totals(stats)
        shutil.rmtree(self._directory, ignore_errors=True)

    def _tell_fleet(self, stats: Any) -> None:
        """Each host's outcome and verdict: a table where there are several, and the file that was asked for."""
        rows = self._fleet.rows({host: stats.summarize(host) for host in stats.processed})
        if self._check:
            return
        if self._fleet.is_told(rows):
            self._display.display(f"\n{fleet_report.table(rows)}")
        if self._verdict_file:
            path = Path(self._verdict_file).expanduser()
            document = fleet_report.document(rows, self._playbook, datetime.datetime.now(datetime.timezone.utc))
            try:
                fleet_report.write(path, document)
            except OSError as error:
                self._display.warning(f"gridtie_verdict_file: {path} cannot be written: {error}")

    def _totals(self, stats: Any) -> None:
        """What Ansible counts, and where the time went."""
        for host in sorted(stats.processed):
            counts = stats.summarize(host)
            line = (
                f"{host}: changed={counts['changed']} failed={counts['failures']} unreachable={counts['unreachable']}"
            )
            bad = counts["failures"] or counts["unreachable"]
            self._say(f"{line}  in {_duration(time.monotonic() - self._began)}", color="red" if bad else "green")

    # Stages

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        if self._usual:
            super().v2_playbook_on_task_start(task, is_conditional)
            return
        self._go_on()
        if task.action.rpartition(".")[2] == "pause":
            # It may ask on the terminal, where nothing else writes meanwhile; it may be skipped as well.
            self._waiting, self._live.stage = self._live.stage, None
            self._live.clear()
        if task.action.rpartition(".")[2] == "include_role" and not _in_role(task):
            self._end_stage()
            stage = _Stage(task.get_name().strip())
            self._stages.append(stage)
            self._live.stage = stage
        self._live.next_task(task.get_name().rpartition(" : ")[2].strip())

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        if self._usual:
            super().v2_playbook_on_handler_task_start(task)
            return
        self._live.next_task(task.get_name().rpartition(" : ")[2].strip())

    def _go_on(self) -> None:
        """With the stage whose question has been answered, if one was asked."""
        if self._waiting is not None:
            self._live.stage, self._waiting = self._waiting, None

    def _end_stage(self) -> None:
        self._go_on()
        stage, self._live.stage = self._live.stage, None
        self._live.clear()
        if stage is None or stage.skipped:
            return
        if stage.failed:
            state, color = "FAILED", "red"
        elif stage.changed:
            state, color = "would change" if self._check else "changed", "yellow"
        else:
            state, color = "ok", "green"
        elapsed = _duration(time.monotonic() - stage.started)
        self._say(f"  {stage.title:<{_TITLE_WIDTH}} {elapsed:>10}  {state:<8}  {stage.note}".rstrip(), color=color)
        if self._check:
            for name in stage.changed:
                self._say(f"  {'':<{_TITLE_WIDTH}} {'':>10}  - {name}")
        self._announce(stage.announcement)
        for notice, hosts in stage.notices.items():
            where = f"{', '.join(hosts)}: " if self._several_hosts else ""
            self._say(f"  Note: {where}{notice}", color="bright yellow")

    def _announce(self, text: str) -> None:
        for line in text.splitlines():
            self._say(f"  {line}".rstrip())

    # Results

    def v2_runner_on_ok(self, result: Any) -> None:
        self._hear(result)
        payload = _payload(result)
        if self._usual:
            super().v2_runner_on_ok(result)
            if payload.get("announcement"):
                self._display.display(str(payload["announcement"]))
            return
        stage, announcement = self._live.stage, str(payload.get("announcement") or "")
        if stage is None:
            self._announce(announcement)
            return
        # A task of the play itself is no part of the role that was left out before it.
        stage.skipped = stage.skipped and not _in_role(_task(result))
        stage.announcement = announcement or stage.announcement
        facts = payload.get("ansible_facts") or {}
        stage.note = str(payload.get("stage_note") or facts.get("gridtie_stage_note") or stage.note).strip()
        if payload.get("changed"):
            name = _task(result).get_name().rpartition(" : ")[2].strip()
            if self._several_hosts:
                name = f"{_host(result)}: {name}"
            if name not in stage.changed:
                stage.changed.append(name)
        # What a person has to know before anything is changed.
        for notice in [*(payload.get("notices") or []), *(facts.get("gridtie_stage_notices") or [])]:
            stage.notices.setdefault(notice, []).append(str(_host(result)))
        summary = payload.get("summary") or facts.get("gridtie_resolved_summary")
        if summary:
            self._summaries.append(str(summary).rstrip())

    def v2_runner_on_skipped(self, result: Any) -> None:
        if self._usual:
            super().v2_runner_on_skipped(result)
        elif (
            self._live.stage
            and _task(result).action.rpartition(".")[2] == "include_role"
            and not _in_role(_task(result))
        ):
            self._live.stage.skipped = True

    def v2_playbook_on_include(self, included_file: Any) -> None:
        if self._live.stage:
            self._live.stage.skipped = False
        if self._usual:
            super().v2_playbook_on_include(included_file)

    def v2_runner_item_on_ok(self, result: Any) -> None:
        if self._usual:
            super().v2_runner_item_on_ok(result)

    def v2_runner_item_on_skipped(self, result: Any) -> None:
        if self._usual:
            super().v2_runner_item_on_skipped(result)

    def v2_runner_item_on_failed(self, result: Any) -> None:
        if self._usual:
            super().v2_runner_item_on_failed(result)
            return
        if not _task(result).ignore_unreachable:
            self._failure(result)

    def v2_runner_retry(self, result: Any) -> None:
        if self._usual:
            super().v2_runner_retry(result)

    def v2_on_file_diff(self, result: Any) -> None:
        if self._usual:
            super().v2_on_file_diff(result)
            return
        payload = _payload(result)
        text = self._get_diff(payload["diff"]) if payload.get("diff") and payload.get("changed") else ""
        if text:
            self._say(text)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        if not ignore_errors:
            self._hear(result, failed=True)
        if self._usual:
            super().v2_runner_on_failed(result, ignore_errors)
            return
        if not ignore_errors:
            self._failure(result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        if not _task(result).ignore_unreachable:
            self._hear(result, failed=True)
        if self._usual:
            super().v2_runner_on_unreachable(result)
            return
        if not _task(result).ignore_unreachable:
            self._failure(result)

    def _hear(self, result: Any, *, failed: bool = False) -> None:
        """What the table at the end is made of."""
        payload, host = _payload(result), str(_host(result))
        self._fleet.take_facts(host, payload.get("ansible_facts") or {})
        if isinstance(payload.get("report"), dict):
            self._fleet.take_verdict(host, payload["report"])
        if failed:
            self._fleet.take_failure(host, _task(result).get_name().rpartition(" : ")[2].strip())

    def _failure(self, result: Any) -> None:
        if str(_payload(result).get("msg", "")).startswith(TOLD):
            return
        stage = self._live.stage
        if stage:
            stage.failed, stage.skipped = True, False
        self._end_stage()
        payload = _payload(result)
        name = _task(result).get_name().rpartition(" : ")[2].strip()
        self._say(f"\n{_host(result)}: {name} failed", color="red")
        for line in failure_lines(payload):
            self._say(line)

    def _say(self, line: str, color: str | None = None) -> None:
        self._live.clear()
        if self._heading:
            heading, self._heading = self._heading, ""
            if heading != self._told_heading:
                self._told_heading = heading
                self._say(heading, color="bright blue")
        self._display.display(line, color=color)
        sys.stdout.flush()


def failure_lines(payload: dict[str, Any]) -> list[str]:
    """A failed result as a person reads it: the message, the last output, what to do."""
    message = str(payload.get("msg") or payload.get("reason") or "it gave no message").strip()
    lines = ["", message]
    for stream in ("stderr", "module_stderr", "stdout", "module_stdout"):
        text = str(payload.get(stream) or "").rstrip()
        if text and text not in message:
            kept = text.splitlines()[-_TAIL_LINES:]
            lines += [
                "",
                f"{stream.replace('module_', '')} (the last {len(kept)} lines):",
                *(f"  {line}" for line in kept),
            ]
    everything = "\n".join(lines).lower()
    lines += ["", *(f"What to do: {hint}" for phrase, hint in _HINTS if phrase in everything)]
    return lines if lines[-1] else lines[:-1]


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"


def _in_role(task: Any) -> bool:
    return getattr(task, "_role", None) is not None


def _payload(result: Any) -> dict[str, Any]:
    # ansible-core 2.19 renamed the private attributes to public properties.
    payload = result.result if hasattr(result, "result") else result._result
    return {"msg": "hidden: it may hold a secret"} if payload.get("_ansible_no_log") else payload


def _task(result: Any) -> Any:
    return result.task if hasattr(result, "task") else result._task


def _host(result: Any) -> Any:
    return result.host if hasattr(result, "host") else result._host
