"""A machine's graphics cards as facts for the roles."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

from .gridtie_host.gpu import read_survey
from .gridtie_host.gpu.devices import DeviceError, asked, narrowed
from .gridtie_host.gpu.report import document


def describe(root: str = "/", mode: str = "container", docker_version: str = "", devices: Any = None) -> dict[str, Any]:
    """What was found below a root directory, what the engine would use, and what is missing.

    ``devices`` is gridtie_gpu_devices; ``devices_problem`` says what is wrong with it, and all cards count then.

    Another directory than / is a record of another machine: `uname` says nothing about that one.
    """
    here = Path(root) == Path("/")
    survey, problem = read_survey(Path(root), platform.machine() if here else ""), {}
    try:
        survey = narrowed(survey, asked(devices))
    except DeviceError as error:
        problem = {"found": str(error), "fix": error.fix}
    return {**document(survey, mode, docker_version), "devices_problem": problem}
