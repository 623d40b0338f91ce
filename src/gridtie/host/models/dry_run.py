"""Asks the engine itself what it would reserve for a model, before the model is there.

llama.cpp's server makes a dry run when it starts: it reads the header, allocates nothing, and says what it would take.
A file that has only the header, at its full length, is enough. The server is the engine's own launcher, wherever it
runs; it is ended as soon as it has spoken. It also says at once of a model that it cannot load.
"""

from __future__ import annotations

import re
import subprocess
import threading
from pathlib import Path
from typing import Any, Iterable, Optional, Sequence

from ..fit.header import Header
from ..fit.memory import MIB, Need, Settings

# A header with a large vocabulary takes a second or two.
ANSWER_S = 60.0
# The formula is within this of the dry run (docs/memory-fit.md); more is told.
TOLERANCE = 0.02

_PARTS = {
    "kv": re.compile(r"llama_kv_cache: size =\s+([\d.]+) MiB"),
    "state": re.compile(r"llama_memory_recurrent: size =\s+([\d.]+) MiB"),
    "output": re.compile(r"llama_context:\s+\S+\s+output buffer size =\s+([\d.]+) MiB"),
    "compute": re.compile(r"sched_reserve:\s+\S+ compute buffer size =\s+([\d.]+) MiB"),
}
# A line of the breakdown: all that the model takes there, then its weights, context and compute in whole MiB. A card's
# line has them in brackets, after what is free.
_BREAKDOWN = re.compile(r"\d+ =\s+(\d+) \+\s+\d+ \+\s+\d+\s*[)|]")
_REFUSED = re.compile(r"error loading model: (.*)|llama_init_from_model: (.*)|(GGML_ASSERT\(.*\) failed)")
_LAST_LINES = 5


class CannotLoad(Exception):
    """This engine cannot load the model; the message is its own reason, one line."""


class NoAnswer(Exception):
    """The launcher said neither what it would reserve nor why it cannot; the message has its last words."""


def write_header_only(data: bytes, header: Header, path: Path) -> None:
    """A file as long as the whole model that has only its header: a few megabytes on the disk. Raises OSError."""
    with path.open("wb") as file:
        file.write(data[: header.size])
        file.truncate(header.file_bytes)


def dry_run(
    launcher: Sequence[str],
    model: str,
    settings: Settings,
    timeout: float = ANSWER_S,
    account: Optional[tuple[int, int]] = None,
) -> Need:
    """What the engine would reserve for the file `model`, as the launcher reaches it. Weights are whole MiB.

    `launcher` is the engine's llama-server, with what runs it in its container and ends it there when its standard
    input does (`engine_server.py`). It runs as the user and group of `account`. Raises CannotLoad, NoAnswer.
    """
    other: dict[str, Any] = {}
    if account is not None:
        other = {"user": account[0], "group": account[1], "extra_groups": []}
    try:
        server = subprocess.Popen(
            [*launcher, *_arguments(model, settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            cwd="/",
            **other,
        )
    except OSError as error:
        raise NoAnswer(f"{launcher[0]} cannot be run: {error.strerror}") from None
    late = threading.Timer(timeout, server.kill)
    late.start()
    try:
        return _heard(server.stdout or ())
    finally:
        late.cancel()
        # Before the client is gone: what runs in a container ends by this.
        for pipe in (server.stdin, server.stdout):
            if pipe:
                pipe.close()
        server.kill()
        server.wait()


def agrees(predicted: Need, said: Need) -> bool:
    """Whether the formula is as near to the engine's own figure as it should be. Weights are said in whole MiB, and a
    projector by nobody.
    """
    return abs(_without_projector(predicted) - said.total) <= TOLERANCE * said.total + MIB


def _without_projector(need: Need) -> int:
    return need.total - need.projector


def disagreement(predicted: Need, said: Need, header: Header) -> str:
    """One sentence where the engine's own figure is beyond the tolerance of ours, which names the rule; else ""."""
    if agrees(predicted, said):
        return ""
    parts = [(name, getattr(predicted, name), getattr(said, name)) for name in ("weights", "kv", "state", "compute")]
    name, ours, theirs = max(parts, key=lambda part: abs(part[1] - part[2]))
    rule = f"the rule for {header.architecture!r:.60} does not hold for its build"
    if name == "weights" and abs(theirs - ours - _tied_embedding(header)) <= 2 * MIB:
        rule = "the rule that a tied embedding counts once does not hold on this processor, which has it in two layouts"
    return (
        f"memory is predicted as {_without_projector(predicted) // MIB} MiB, and this engine would reserve "
        f"{said.total // MIB}: {rule} ({name} {ours // MIB} and {theirs // MIB} MiB); the engine's figure counts"
    )


def _tied_embedding(header: Header) -> int:
    """Bytes of an embedding that is the output as well, 0 where there is none."""
    embedding = header.tensors.get("token_embd.weight")
    return embedding.bytes if embedding and "output.weight" not in header.tensors else 0


def _arguments(model: str, settings: Settings) -> list[str]:
    """llama-server's flags; those alone that every launcher of ours knows."""
    return [
        *("--model", model, "--host", "127.0.0.1", "--port", "0", "--offline", "--no-webui"),
        *("--ctx-size", str(settings.context * settings.parallel), "--parallel", str(settings.parallel)),
        *("--batch-size", str(settings.ubatch), "--ubatch-size", str(settings.ubatch)),
        *("--cache-type-k", settings.kv_type, "--cache-type-v", settings.kv_type),
        *("--flash-attn", "on" if settings.flash_attention else "off"),
        *("--fit", "on", "--log-verbosity", "5"),
    ]


def _heard(lines: Iterable[str]) -> Need:
    """Read what the server says until it has said enough."""
    found = dict.fromkeys(_PARTS, 0.0)
    weights = 0
    last: list[str] = []
    for line in lines:
        for part, pattern in _PARTS.items():
            if match := pattern.search(line):
                found[part] += float(match[1])
        if match := _BREAKDOWN.search(line):
            weights += int(match[1])
        elif weights:
            break
        elif match := _REFUSED.search(line):
            raise CannotLoad(next(filter(None, match.groups())).strip()[:300])
        last = [*last[1 - _LAST_LINES :], line.strip()]
    if not weights:
        words = " / ".join(filter(None, last))[-300:]
        raise NoAnswer(f"the engine's server said nothing of memory; its last words: {words or 'none'}")
    return Need(
        weights=weights * MIB,
        kv=round(found["kv"] * MIB),
        state=round(found["state"] * MIB),
        compute=round((found["compute"] + found["output"]) * MIB),
    )
