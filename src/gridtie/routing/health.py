"""Keeps `State` told how the local engines are: one task per engine, a cheap question every few seconds.

Clouds are never probed: what they answer to real requests is all there is to know, and it is free.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from gridtie.providers import vllm
from gridtie.providers.relay import read_offer
from gridtie.providers.target import Target
from gridtie.routing.probe import Answer, Unanswered, get
from gridtie.routing.state import State

log = logging.getLogger("gridtie.health")

Get = Callable[[str, tuple[tuple[str, str], ...], str | None, float], Awaitable[Answer]]

# Seconds between questions while all is well. Ollama unloads after minutes and loads in seconds.
INTERVAL = 2.0
# While an engine is down the pauses grow to this: short, since requests are refused meanwhile.
LONGEST_INTERVAL = 5.0
TIMEOUT = 2.0
# A machine that computes with all its cores answers late. Refused connections count at once.
TIMEOUTS_IN_A_ROW = 3


class Finding(msgspec.Struct, frozen=True):
    """What one answer says about one target. `loaded` None: the engine does not say."""

    ready: bool
    loaded: bool | None = None
    why: str = ""
    # The most tokens of a request, where it is said.
    context: int | None = None
    # Whether its metrics say what it does.
    measured: bool = False
    # Of vllm-router: how many requests those of its servers that are well take at once; None: not known.
    slots: int | None = None
    # Of a member of the pool: how many of our requests it could begin now, where it says so.
    free: int | None = None


class _Model(msgspec.Struct, frozen=True):
    name: str = ""
    id: str = ""
    owned_by: Any = None
    max_model_len: Any = None
    # What another station's router says of it.
    gridtie: Any = None

    @property
    def context(self) -> int | None:
        said = self.max_model_len
        return said if isinstance(said, int) and not isinstance(said, bool) and said > 0 else None


class _Worker(msgspec.Struct, frozen=True):
    url: str = ""
    is_healthy: bool = False


class _Body(msgspec.Struct, frozen=True):
    models: list[_Model] | None = None  # Ollama's /api/ps
    data: list[_Model] | None = None  # OpenAI's /v1/models
    workers: list[_Worker] | None = None  # vllm-router's /workers


def finding(target: Target, answer: Answer) -> Finding:
    """Read an engine's answer for one of its targets."""
    if answer.status in (401, 403):
        return Finding(False, why=f"it refuses the key (HTTP {answer.status})")
    if answer.status == 503:
        return Finding(False, loaded=False, why="it is still loading its model (HTTP 503)")
    if answer.status == 404:  # there, and without the listing that was asked for
        return Finding(True)
    if not 200 <= answer.status < 300:
        return Finding(False, why=f"it answers with HTTP {answer.status}")
    # llama.cpp's server: one process, one model.
    if target.probe_url.endswith("/health"):
        return Finding(True, loaded=True)
    try:
        body = msgspec.json.decode(answer.body, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Finding(False, why="its answer is not the JSON that such an engine gives")
    if target.probe_url.endswith("/workers"):
        return _behind(target, body.workers or [])
    if target.dialect == "ollama":
        return Finding(True, loaded=_tagged(target.model) in {_tagged(model.name) for model in body.models or []})
    if body.data is None:
        return Finding(True)
    for model in body.data:
        if model.id == target.model:
            if target.lends and (offer := read_offer(model.gridtie)) is not None:
                why = "" if offer.ready else "its router answers, and its engine does not"
                return Finding(offer.ready, loaded=offer.loaded is not False, why=why, free=offer.free)
            return Finding(True, loaded=True, context=model.context, measured=model.owned_by == vllm.OWNER)
    names = [model.id for model in body.data]
    return Finding(False, loaded=False, why=f"it does not serve {target.model}; it has: {', '.join(names) or '(none)'}")


def _behind(target: Target, workers: Iterable[_Worker]) -> Finding:
    """Of the servers behind vllm-router. One that is drained takes no requests, and nor does one that is down: what is
    sent beyond the slots of the others would wait there, where nobody sees it.
    """
    well = {worker.url.rstrip("/") for worker in workers if worker.is_healthy}
    if not well:
        return Finding(False, loaded=False, why="none of the servers behind it answers")
    slots = [slots for url, slots in target.servers if url.rstrip("/") in well]
    return Finding(True, loaded=True, slots=sum(slots) if slots else None)


def _tagged(name: str) -> str:
    """Ollama's names have a tag, `latest` where none is written."""
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


class Health:
    """The probes of one process. Belongs to the event loop's thread."""

    def __init__(self, state: State, *, get: Get = get, interval: float = INTERVAL) -> None:
        self._state = state
        self._get = get
        self._interval = interval
        self._engines: dict[tuple[object, ...], _Engine] = {}
        self._by_target: dict[str, _Engine] = {}
        state.on_failure = self._failed

    def update(self, targets: Mapping[str, Target]) -> None:
        """Probe the engines of these targets, and no others. Needs a running loop."""
        groups: dict[tuple[object, ...], list[Target]] = {}
        for target in targets.values():
            if target.probe_url:
                groups.setdefault((target.probe_url, target.headers, target.ca_file), []).append(target)
        for key in [key for key in self._engines if key not in groups]:
            self._engines.pop(key).stop()
        for key, group in groups.items():
            if key in self._engines:
                self._engines[key].targets = group
                self._engines[key].look()  # a new model of an old engine is unknown until then
            else:
                self._engines[key] = _Engine(self._state, group, self._get, self._interval)
        self._by_target = {target.id: engine for engine in self._engines.values() for target in engine.targets}

    async def close(self) -> None:
        """Stop all probes."""
        engines = list(self._engines.values())
        self._engines.clear()
        self._by_target.clear()
        for engine in engines:
            engine.stop()
        await asyncio.gather(*(engine.task for engine in engines), return_exceptions=True)

    def _failed(self, target_id: str) -> None:
        """A request could not reach it: look now, not at the next turn."""
        if engine := self._by_target.get(target_id):
            engine.look()


class _Engine:
    """One engine and the targets that it serves."""

    def __init__(self, state: State, targets: list[Target], get: Get, interval: float) -> None:
        self.targets = targets
        self._state = state
        self._get = get
        self._interval = interval
        self._pause = interval
        self._late = 0
        self._well: bool | None = None
        self._look = asyncio.Event()
        self.task = asyncio.get_running_loop().create_task(self._watch(), name=f"health {targets[0].probe_url}")

    def look(self) -> None:
        self._look.set()

    def stop(self) -> None:
        self.task.cancel()

    async def _watch(self) -> None:
        while True:
            self._look.clear()
            first = self.targets[0]
            try:
                answer = await self._get(first.probe_url, first.headers, first.ca_file, TIMEOUT)
            except Unanswered as error:
                self._silent(error)
            else:
                self._late = 0
                findings = [(target, finding(target, answer)) for target in self.targets]
                self._tell(findings)
                if any(found.measured for _, found in findings):
                    await self._measure(first)
            try:
                async with asyncio.timeout(self._pause):
                    await self._look.wait()
            except TimeoutError:
                continue

    async def _measure(self, target: Target) -> None:
        """What the engine does for everybody, by its metrics; that it does not say it is no sign of anything."""
        load = None
        with suppress(Unanswered):
            url = vllm.metrics_url(target.base_url)
            answer = await self._get(url, target.headers, target.ca_file, TIMEOUT)
            load = vllm.read_load(answer.body) if answer.status == 200 else None
        for each in self.targets:
            self._state.set_load(each.id, load)

    def _silent(self, error: Unanswered) -> None:
        if not error.certain:
            self._late += 1
            if self._late < TIMEOUTS_IN_A_ROW or self._at_work():
                return
        self._tell([(target, Finding(False, loaded=False, why=str(error))) for target in self.targets])

    def _at_work(self) -> bool:
        """A slow answer from an engine that computes for us is no sign of anything."""
        return any(self._state.in_flight(target.id) for target in self.targets)

    def _tell(self, findings: Iterable[tuple[Target, Finding]]) -> None:
        well, why = True, ""
        for target, found in findings:
            self._state.set_ready(target.id, found.ready, found.why)
            self._state.set_loaded(target.id, found.loaded)
            self._state.set_context(target.id, found.context)
            if target.lends:
                self._state.set_offer(target.id, found.free)
            elif target.servers:
                self._state.set_slots(target.id, found.slots)
            if not found.measured:
                self._state.set_load(target.id, None)
            if not found.ready:
                well, why = False, found.why
        if well is not self._well and not (well and self._well is None):
            url = self.targets[0].probe_url
            log.log(logging.INFO if well else logging.WARNING, "%s %s", url, "is ready" if well else f"is not: {why}")
        self._well = well
        self._pause = self._interval if well else min(self._pause * 1.5, max(LONGEST_INTERVAL, self._interval))
