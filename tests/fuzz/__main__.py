"""`make fuzz`: random inputs for every target, until so many are done or something is wrong.

Prints inputs a second, resident memory and live objects. Stops at the first exception, at an input that takes more than
a second, and where memory or objects grow. The same seed gives the same inputs; what is printed at a stop shows how to
get the one that was at fault again:  make fuzz ARGS="--target SSE --seed 1 --batch 17"
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import os
import random
import signal
import sys
import traceback
from collections import Counter
from time import monotonic
from types import FrameType

from fuzz.mutate import mutate, pieces
from fuzz.targets import TARGETS, Target

BATCH = 500
# One input may take so many seconds of the processor: what is tried waits for nothing, and by the clock a busy machine
# would hold any of them up.
HANG = 1.0
# After a first part in which caches fill, memory and objects may grow by so much.
WARM = 0.1
MOST_BYTES = 48 * 1024 * 1024
MOST_OBJECTS = 20_000
_SHOW_SECONDS = 10.0


class Hang(Exception):
    """An input took too long."""


class Stop(Exception):
    """Something is wrong; said already."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=int(os.environ.get("GRIDTIE_FUZZ_INPUTS", "1000000")))
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("GRIDTIE_FUZZ_SECONDS", "inf")))
    parser.add_argument("--seed", default="1")
    parser.add_argument("--target", choices=TARGETS, help="one of them alone")
    parser.add_argument("--keep-going", action="store_true", help="tell each kind of failure once, and go on")
    parser.add_argument("--batch", type=int, help="one batch alone, each input named before it is tried")
    asked = parser.parse_args(arguments)
    chosen = [TARGETS[asked.target]] if asked.target else list(TARGETS.values())
    failures = Failures(asked.seed, asked.keep_going)
    faulthandler.enable()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if asked.batch is not None:
            for target in chosen:
                run_batch(target, asked.seed, asked.batch, failures, say=True)
        else:
            Run(chosen, failures, asked.inputs, asked.seconds).run()
    except Stop:
        return 1
    return 1 if failures.kinds else 0


class Failures:
    """What was found: each kind is told once."""

    def __init__(self, seed: str, keep_going: bool) -> None:
        self.seed = seed
        self.kinds: Counter[tuple[str, str, str]] = Counter()
        self._keep_going = keep_going

    def note(self, target: Target, batch: int, index: int, arriving: list[bytes], error: Exception) -> None:
        """Raises `Stop` unless it is to go on."""
        place = traceback.extract_tb(error.__traceback__)[-1]
        kind = (target.name, type(error).__name__, f"{place.filename}:{place.lineno}")
        self.kinds[kind] += 1
        if self.kinds[kind] > 1:
            return
        traceback.print_exception(error)
        print(f"{target.name}: {type(error).__name__} at input {index} of batch {batch}: {arriving!r}"[:4000])
        print(f"again:  make fuzz ARGS=\"--target '{target.name}' --seed {self.seed} --batch {batch}\"", flush=True)
        if not self._keep_going:
            raise Stop from error


class Run:
    """A long run over several targets."""

    def __init__(self, targets: list[Target], failures: Failures, inputs: int, seconds: float) -> None:
        self._targets = targets
        self._failures = failures
        self._inputs = inputs
        self._until = monotonic() + seconds
        self._done: Counter[str] = Counter()
        self._spent: Counter[str] = Counter()

    def run(self) -> None:
        """To the end, or to Ctrl-C; what was done is told in any case. Raises `Stop`."""
        try:
            self._take_turns()
        except KeyboardInterrupt:
            print("stopped")
        finally:
            self._tell()

    def _take_turns(self) -> None:
        """Each target has its share at any time."""
        started = shown = monotonic()
        baseline: tuple[int, Counter[str]] | None = None
        while sum(self._done.values()) < self._inputs and monotonic() < self._until:
            # Whoever is furthest behind its share.
            target = min(self._targets, key=lambda each: self._done[each.name] / each.share)
            began = monotonic()
            run_batch(target, self._failures.seed, self._done[target.name] // BATCH, self._failures)
            self._spent[target.name] += monotonic() - began  # type: ignore[assignment]
            self._done[target.name] += BATCH
            if monotonic() - shown > _SHOW_SECONDS:
                shown = monotonic()
                # All targets have had their turn by then: those with a small share are rare.
                warm = all(self._done.values()) and len(self._done) == len(self._targets)
                if baseline is None and warm and sum(self._done.values()) > WARM * self._inputs:
                    baseline = (_resident(), _objects())
                self._show(started, baseline)
        self._show(started, baseline)

    def _tell(self) -> None:
        shares = sum(target.share for target in self._targets)
        for target in self._targets:
            done, spent = self._done[target.name], self._spent[target.name]
            share = f"{100 * target.share / shares:.1f} %"
            print(f"{target.name:20} {done:>10,} inputs {share:>7} {done / spent if spent else 0:>8,.0f} a second")
        for (name, error, place), count in self._failures.kinds.most_common():
            print(f"failed {count:,} times: {name}: {error} at {place}")

    def _show(self, started: float, baseline: tuple[int, Counter[str]] | None) -> None:
        gc.collect()
        done, resident = sum(self._done.values()), _resident()
        count = len(gc.get_objects())
        seconds = monotonic() - started
        print(
            f"{done:>12,} inputs, {done / seconds:,.0f} a second, {resident / 1e6:.1f} MB, {count:,} objects",
            flush=True,
        )
        if baseline is None:
            return
        if resident > baseline[0] + MOST_BYTES:
            print(f"memory grows: {baseline[0] / 1e6:.1f} MB once warm, {resident / 1e6:.1f} MB now")
            raise Stop
        if count > baseline[1].total() + MOST_OBJECTS:
            grown = _objects() - baseline[1]
            print(f"objects grow: {baseline[1].total():,} once warm, {count:,} now: {grown.most_common(5)}")
            raise Stop


def run_batch(target: Target, seed: str, number: int, failures: Failures, *, say: bool = False) -> None:
    """Some hundred inputs, told by seed and number alone. Raises `Stop`."""
    rng = random.Random(f"{seed}/{target.name}/{number}")
    before = signal.signal(signal.SIGPROF, _too_long)
    try:
        _run_all(target, rng, number, failures, say)
    finally:
        signal.signal(signal.SIGPROF, before)


def _run_all(target: Target, rng: random.Random, number: int, failures: Failures, say: bool) -> None:
    for index in range(BATCH):
        arriving = pieces(rng, mutate(rng, target.corpus, target.words))
        if say:
            print(index, arriving, flush=True)
        signal.setitimer(signal.ITIMER_PROF, HANG)
        try:
            target.check(arriving)
        except Exception as error:
            signal.setitimer(signal.ITIMER_PROF, 0)
            failures.note(target, number, index, arriving, error)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)


def _too_long(number: int, frame: FrameType | None) -> None:
    raise Hang(f"an input took more than {HANG:g} s of the processor")


def _resident() -> int:
    with open("/proc/self/statm") as stream:  # noqa: PTH123
        return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _objects() -> Counter[str]:
    """Live objects by type: whatever container grows, its contents are among them."""
    return Counter(type(each).__name__ for each in gc.get_objects())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
