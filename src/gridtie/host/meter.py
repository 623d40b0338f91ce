"""What a machine uses while something runs: the engine's resident memory, and energy where counters exist.

Energy is the whole machine's part that a counter covers, whoever used it: processor packages (RAPL, which only root may
read on most systems) and graphics cards (their drawn power by nvidia-smi, sampled). What has no counter is None.
"""

from __future__ import annotations

import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Callable, Mapping, Optional

from .command import Ran, run_command

# Seconds between two looks: asking Docker and nvidia-smi takes some hundredths of a second of a core each time.
INTERVAL_S = 5.0
_POWERCAP = "sys/class/powercap"
_NVIDIA_SMI = ("nvidia-smi", "--query-gpu=power.draw", "--format=csv,noheader,nounits")


@dataclass(frozen=True)
class Sample:
    """One look. `joules` have been used by the processors since the first one; `watts` are drawn by all cards now."""

    time: float  # Unix time
    resident: Optional[int] = None
    joules: Optional[float] = None
    watts: Optional[float] = None

    def document(self) -> dict[str, Any]:
        return asdict(self)


def from_document(document: Mapping[str, Any]) -> Sample:
    """What `document` gave."""
    return Sample(**{name: document.get(name) for name in Sample.__dataclass_fields__})  # type: ignore[arg-type]


class Packages:
    """The processors' energy counters, which wrap around."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._counters = _counters(root / _POWERCAP)
        self._last = {path: _number(path / "energy_uj") for path in self._counters}
        self._used = 0

    def joules(self) -> Optional[float]:
        """Since this was made; None where there is no counter, or this user may not read it."""
        if not self._counters:
            return None
        for path in self._counters:
            before, now = self._last[path], _number(path / "energy_uj")
            if before is None or now is None:
                return None
            self._used += now - before if now >= before else now - before + (_number(path / "max_energy_range_uj") or 0)
            self._last[path] = now
        return self._used / 1e6


def _counters(powercap: Path) -> list[Path]:
    """The whole platform where that is counted, else the packages: other domains lie inside these."""
    try:
        named = {path: (path / "name").read_text().strip() for path in sorted(powercap.glob("intel-rapl:*"))}
    except OSError:
        return []
    platform = [path for path, name in named.items() if name == "psys"]
    return platform[:1] or [path for path, name in named.items() if name.startswith("package-")]


def _number(path: Path) -> Optional[int]:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def graphics_watts(run: Callable[..., Ran] = run_command) -> Optional[float]:
    """Watts that all NVIDIA cards draw now; None where there are none, or they do not say."""
    ran = run(_NVIDIA_SMI)
    try:
        return sum(float(line) for line in ran.out.split()) if ran.status == 0 and ran.out.split() else None
    except ValueError:  # "[N/A]" on cards without the sensor
        return None


class Sampler(threading.Thread):
    """Looks every few seconds, and hands on what it sees, until it is stopped."""

    def __init__(
        self,
        take: Callable[[Sample], None],
        resident: Callable[[], Optional[int]] = lambda: None,
        interval: float = INTERVAL_S,
        root: Path = Path("/"),
        watts: Callable[[], Optional[float]] = graphics_watts,
    ) -> None:
        """`resident` gives the engine's resident bytes, and must not raise."""
        super().__init__(daemon=True)
        self._take = take
        self._resident = resident
        self._interval = interval
        self._packages = Packages(root)
        self._watts = watts
        self._ending = threading.Event()
        # A machine without cards is not asked for them again and again.
        self._cards = True

    def look(self) -> Sample:
        """One look now."""
        watts = self._watts() if self._cards else None
        self._cards = watts is not None
        return Sample(time.time(), self._resident(), self._packages.joules(), watts)

    def run(self) -> None:
        while True:
            self._take(self.look())
            if self._ending.wait(self._interval):
                return

    def stop(self) -> None:
        """Take no more samples."""
        self._ending.set()
        if self.ident is not None:
            self.join()
