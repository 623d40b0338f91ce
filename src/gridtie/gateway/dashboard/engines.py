"""What engines hold in memory, by their own word: how much of a model lies on the graphics card, and its context.

Asked only while somebody watches, and no more often than every few seconds. Ollama alone says it (`/api/ps`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

import msgspec

from gridtie.providers.target import Target
from gridtie.routing.probe import Unanswered, get

EVERY_SECONDS = 5.0
_TIMEOUT_SECONDS = 2.0


class InMemory(msgspec.Struct, frozen=True):
    """A model in an engine's memory. Bytes in all, those on graphics cards, and tokens of context."""

    size: int = 0
    size_vram: int = 0
    context_length: int = 0


class _Row(InMemory, frozen=True):
    name: str = ""


class _Loaded(msgspec.Struct, frozen=True):
    models: list[_Row] = []


class Engines:
    """The last word of each engine."""

    def __init__(self) -> None:
        self._asked = 0.0
        self._asking: asyncio.Task[None] | None = None
        # By target.
        self.held: Mapping[str, InMemory] = {}

    def look(self, now: float, targets: Iterable[Target]) -> None:
        """Ask anew where the last word is old; `now` in monotonic seconds. Needs a running loop."""
        if now - self._asked < EVERY_SECONDS or (self._asking is not None and not self._asking.done()):
            return
        self._asked = now
        wanted = [each for each in targets if each.own and each.dialect == "ollama" and each.probe_url]
        self._asking = asyncio.get_running_loop().create_task(self._ask(wanted), name="dashboard engines")

    async def close(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    async def _ask(self, targets: list[Target]) -> None:
        said = {url: await _loaded(url, targets) for url in {each.probe_url for each in targets}}
        held = {each.id: said[each.probe_url].get(each.model) for each in targets}
        self.held = {id: found for id, found in held.items() if found is not None}


async def _loaded(url: str, targets: list[Target]) -> dict[str, InMemory]:
    asked = next(each for each in targets if each.probe_url == url)
    try:
        answer = await get(url, asked.headers, asked.ca_file, _TIMEOUT_SECONDS)
        if answer.status != 200:
            return {}
        return {row.name: row for row in msgspec.json.decode(answer.body, type=_Loaded).models}
    except (Unanswered, msgspec.DecodeError, UnicodeDecodeError):
        return {}
