"""What was used in a block: the samples of a machine's meter between two moments, and what the engine says itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from gridtie.host.meter import INTERVAL_S, Sample, Sampler, from_document
from gridtie.host.router import Unreachable, send
from gridtie.providers.target import Target


@dataclass(frozen=True)
class Used:
    """Of one block; None: nothing here tells."""

    resident_bytes: int | None = None
    processor_joules: float | None = None
    graphics_joules: float | None = None


class Meter(Protocol):
    """Gives the samples so far."""

    def samples(self) -> Sequence[Sample]: ...


class OwnMeter:
    """Samples that this process takes."""

    def __init__(self, resident: Callable[[], int | None]) -> None:
        """`resident` gives the engine's resident bytes, None where they cannot be seen."""
        self._samples: list[Sample] = []
        self._sampler = Sampler(self._samples.append, resident)
        self._sampler.start()

    def stop(self) -> None:
        self._sampler.stop()

    def samples(self) -> Sequence[Sample]:
        return self._samples


class FileMeter:
    """Samples that the host writes, for a benchmark that runs in a container and sees nothing of it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def samples(self) -> Sequence[Sample]:
        try:
            lines = self._path.read_text().splitlines(keepends=True)
        except OSError:
            return ()
        # The last line may be half written.
        return [from_document(json.loads(line)) for line in lines if line.endswith("\n")]


def used(samples: Sequence[Sample], began: float, ended: float) -> Used:
    """What samples say about the time between two moments (Unix time), the nearest ones on either side included."""
    within = [each for each in samples if began - INTERVAL_S <= each.time <= ended + INTERVAL_S]
    resident = [each.resident for each in within if each.resident is not None]
    watts = [each.watts for each in within if each.watts is not None]
    return Used(
        resident_bytes=max(resident, default=None),
        processor_joules=_counted(within, began, ended),
        graphics_joules=sum(watts) / len(watts) * (ended - began) if watts else None,
    )


def _counted(samples: Sequence[Sample], began: float, ended: float) -> float | None:
    """Joules by the counter, drawn evenly between two samples; None where it was not seen twice."""
    counted = [(each.time, each.joules) for each in samples if each.joules is not None]
    if len(counted) < 2:
        return None
    (first_time, first), (last_time, last) = counted[0], counted[-1]
    return (last - first) / (last_time - first_time) * (ended - began) if last_time > first_time else None


class _Loaded(msgspec.Struct):
    name: str = ""
    model: str = ""
    size: int = 0
    size_vram: int = 0


class _Ps(msgspec.Struct):
    models: list[_Loaded] = []


async def reported(target: Target | None) -> tuple[int | None, int | None]:
    """Bytes of the model in memory and on cards, by Ollama's own account; None where the engine gives none."""
    if target is None or target.dialect != "ollama":
        return None, None
    try:
        answer = await asyncio.to_thread(
            send, "GET", f"{target.base_url}/api/ps", headers=dict(target.headers), timeout=5.0
        )
        models = msgspec.json.decode(answer.body, type=_Ps).models
    except (Unreachable, msgspec.DecodeError):
        return None, None
    found = next((each for each in models if target.model in (each.name, each.model)), None)
    return (None, None) if found is None else (found.size, found.size_vram)
