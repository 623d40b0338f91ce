"""A machine's graphics cards as facts for the roles."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

from .gridtie_host.gpu import read_survey
from .gridtie_host.gpu.report import document


def describe(root: str = "/", mode: str = "container", docker_version: str = "") -> dict[str, Any]:
    """What was found below a root directory, what the engine would use, and what is missing.

    Another directory than / is a record of another machine: `uname` says nothing about that one.
    """
    here = Path(root) == Path("/")
    return document(read_survey(Path(root), platform.machine() if here else ""), mode, docker_version)
