"""Where a run is: one line that is written over in a terminal, a line each elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import TextIO


class Progress:
    """Says what is being done; goes away when it ends."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._live = out.isatty()

    def say(self, line: str) -> None:
        self._out.write(f"\r\033[K{line}" if self._live else f"{line}\n")
        self._out.flush()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._out.write("\r\033[K")
            self._out.flush()
