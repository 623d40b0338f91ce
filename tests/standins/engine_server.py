"""The engine's llama-server as whoever asks it for a dry run meets it: a program that writes llama.cpp's own lines.

It looks at the file that it was given as the real one does (that it is there, as long as its header says), notes what
it was asked, and serves until it is ended.
"""

from __future__ import annotations

import sys
from pathlib import Path

from gridtie.host.fit.memory import MIB, Need
from gridtie.host.models.engine_server import EngineServer

_PROGRAM = """\
import json, os, pathlib, sys, time
here = pathlib.Path(sys.argv[0]).parent
model = sys.argv[sys.argv.index("--model") + 1]
with (here / "asked").open("a") as notes:
    notes.write(json.dumps([os.getpid(), os.stat(model).st_size, *sys.argv[1:]]) + "\\n")
sys.stderr.write((here / "said").read_text())
sys.stderr.flush()
time.sleep(60)
"""


class StandIn:
    """A server in `folder`; `say` sets its next answer."""

    def __init__(self, folder: Path, name: str = "ollama 0.32.15") -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "server.py").write_text(_PROGRAM)
        self.say(Need(0, 0, 0))
        self.server = EngineServer(name, [sys.executable, "-I", str(folder / "server.py")], folder, str(folder))

    def say(self, need: Need) -> None:
        """What llama.cpp b10566 writes for these figures."""
        weights = max(1, round(need.weights / MIB))
        self.write(
            f"llama_kv_cache: size = {need.kv / MIB:.2f} MiB (\n"
            f"llama_memory_recurrent: size = {need.state / MIB:.2f} MiB (\n"
            f"sched_reserve:        CPU compute buffer size = {need.compute / MIB:.2f} MiB\n"
            f"common_memory_breakdown_print: |   - Host  |  {weights + 9} = {weights} + 5 + 4 |\n"
            "common_params_fit_impl: projected\n"
        )

    def refuse(self, reason: str) -> None:
        self.write(f"llama_model_load: error loading model: {reason}\n")

    def write(self, text: str) -> None:
        (self.folder / "said").write_text(text)

    @property
    def asked(self) -> list[str]:
        """One line for each time that it was started."""
        notes = self.folder / "asked"
        return notes.read_text().splitlines() if notes.is_file() else []
