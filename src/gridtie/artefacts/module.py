"""The Go module that compiles Ollama: go.sum pins it and all that it needs."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gridtie.artefacts.update import ArtefactsError

_MODULE = "github.com/ollama/ollama"
_REQUIRED = re.compile(rf"({re.escape(_MODULE)}) v\S+")
_LIMIT_S = 600


@contextmanager
def module_of(directory: Path, version: str) -> Iterator[str]:
    """Require that version, have Go write go.sum anew, and give the llama.cpp tag that this Ollama is made for.

    Raises ArtefactsError. After any error, also one of what is done with it, both files are as they were.
    """
    if not shutil.which("go"):
        raise ArtefactsError("go is not on PATH; install it, or say --only release and compile what is compiled now")
    files = {name: (directory / name).read_text() for name in ("go.mod", "go.sum")}
    try:
        yield _tidied(directory, files["go.mod"], version)
    except BaseException:
        for name, content in files.items():
            (directory / name).write_text(content)
        raise


def _tidied(directory: Path, module: str, version: str) -> str:
    try:
        (directory / "go.mod").write_text(_REQUIRED.sub(rf"\1 v{version}", module))
        _go(directory, "mod", "tidy")
        source = Path(_go(directory, "list", "-m", "-f", "{{.Dir}}", _MODULE))
        return (source / "LLAMA_CPP_VERSION").read_text().strip()
    except (ArtefactsError, OSError) as error:
        raise ArtefactsError(f"{_MODULE} {version}: {error}") from error


def _go(directory: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["go", *arguments], cwd=directory, capture_output=True, text=True, timeout=_LIMIT_S, check=False
    )
    if done.returncode:
        raise ArtefactsError(f"go {' '.join(arguments)}: {' / '.join(done.stderr.strip().splitlines()[-3:])}")
    return done.stdout.strip()
